"""The app as Django knows it."""

from django.apps import AppConfig


class Config(AppConfig):
    name = "sync"
    verbose_name = "同步"

"""The app as Django knows it."""

from django.apps import AppConfig


class Config(AppConfig):
    name = "inspections"
    verbose_name = "检查与整改"

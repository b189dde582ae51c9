"""The app as Django knows it."""

from django.apps import AppConfig
from django.conf import settings

from safety import guard


class Config(AppConfig):
    name = "safety"
    verbose_name = "校安基础"

    def ready(self) -> None:
        if settings.GUARD:
            guard.install()

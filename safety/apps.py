"""The app as Django knows it."""

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import Tags, register

from safety import checks, guard


class Config(AppConfig):
    name = "safety"
    verbose_name = "校安基础"

    def ready(self) -> None:
        if settings.GUARD:
            guard.install()
        for check in (checks.secret_key, checks.one_process, checks.names_in_settings):
            register(check, checks.TAG)
        for check in (checks.demo_district, checks.durable_commits):
            register(check, checks.TAG, Tags.database)

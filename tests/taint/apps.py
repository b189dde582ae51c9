"""An app of the tests' settings: begins to watch in every process that they set up."""

import atexit

from django.apps import AppConfig
from django.utils.module_loading import import_string


class Config(AppConfig):
    name = "tests.taint"
    label = "taint"

    def ready(self) -> None:
        for begin in ("watch_sockets", "watch_log"):
            import_string(f"tests.taint.watch.{begin}")()
        atexit.register(import_string("tests.taint.watch.hand_over"))

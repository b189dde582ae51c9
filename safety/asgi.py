"""The product as an ASGI application: HTTP by Django and the doors beside it, sockets by our own, and what lives as long
as the server."""

import os
from collections.abc import Callable

from channels.routing import ProtocolTypeRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.utils.module_loading import import_string

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "safety.settings")
get_asgi_application()  # sets Django up; the handler that serves is ours

# by dotted string: these import models, which stand only once Django is set up
django = import_string("safety.admission.Admitted")()
beside_django = {prefix: import_string(name) for prefix, name in settings.BESIDE_DJANGO.items()}


async def http(scope: dict, receive: Callable, send: Callable) -> None:
    """A door that reads its body as it arrives stands beside Django, which spools it and drops it when the phone goes."""
    for prefix, door in beside_django.items():
        if scope["path"] == prefix or scope["path"].startswith(f"{prefix}/"):
            return await door(scope, receive, send)
    return await django(scope, receive, send)


application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": import_string("safety.consumers.application"),
        "lifespan": import_string("safety.lifespan.Lifespan")(settings.LIFESPAN),
    }
)

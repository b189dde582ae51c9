"""The product as an ASGI application: HTTP by Django, sockets by our own, and what lives as long as the server."""

import os

from channels.routing import ProtocolTypeRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.utils.module_loading import import_string

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "safety.settings")
http = get_asgi_application()

# by dotted string: these import models, which stand only once Django is set up
application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": import_string("safety.consumers.application"),
        "lifespan": import_string("safety.lifespan.Lifespan")(settings.LIFESPAN),
    }
)

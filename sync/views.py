"""The road's doors. Every answer carries the protocol's headers: a reply without them is no network, but a captive portal."""

import msgspec
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.parsers import BaseParser
from rest_framework.views import APIView

from safety.authentication import device_id_of
from safety.errors import NotAllowed, Unauthenticated
from sync.push import push

PROTOCOL = "1"


class AnyBytes(BaseParser):
    """Bytes as they come: hot bodies are decoded by msgspec, not by a serializer."""

    media_type = "*/*"

    def parse(self, stream, media_type=None, parser_context=None):
        return stream


class SyncView(APIView):
    """A phone's door: a device must be known."""

    parser_classes = [AnyBytes]

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        if not request.user.is_authenticated:
            raise Unauthenticated()
        if device_id_of(request) is None:
            raise NotAllowed("no-device", "同步要用手机登录(登记终端),网页登录不能同步。")

    def finalize_response(self, request, response, *args, **kwargs):
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Sync-Protocol"] = PROTOCOL
        response["Sync-Server-Time"] = timezone.now().isoformat()
        response["Cache-Control"] = "no-store"
        return response


class PushView(SyncView):
    """POST a batch of operations; 200 with one verdict each, whatever the verdicts."""

    def post(self, request):
        answer = push(request.body, person=request.user.id, device=device_id_of(request), now=timezone.now())
        return HttpResponse(msgspec.json.encode(answer), content_type="application/json")

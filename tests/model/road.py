"""The way between a phone and the real doors, in one process: what travels is bytes, and it may fail in every way of §7.2.

A fault is named for what the phone meets. Whatever the server answers is shown to who watches, also what never arrives.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpResponse

from tests.sync.mirror import CLIENT

FAULTS = ("lost request", "lost answer", "cut answer", "sent twice", "captive portal", "bad gateway")
ARRIVED = ("lost answer", "cut answer")  # the server has heard it, the phone does not know
PORTAL = HttpResponse("<html>请登录酒店网络</html>", content_type="text/html")
GATEWAY = HttpResponse("<html>502</html>", content_type="text/html", status=502)


class NoNetwork(Exception):
    """Nothing came that is ours: the phone knows no more than before."""


@dataclass(frozen=True)
class Sent:
    """One request as it went out."""

    method: str
    url: str
    token: str
    person: UUID
    body: bytes = b""
    kind: str = "application/json"


@dataclass
class Road:
    """Carries requests; `faults` are met one after the other, "" is none."""

    dying: ClassVar[bool] = False  # the server dies between the commit of what it hears now and its answer

    faults: list[str] = field(default_factory=list)
    strays: list[Sent] = field(default_factory=list)  # pushes that the network may deliver once more, at any time
    watch: Callable[[Sent, HttpResponse], Any] = lambda sent, response: None

    def ask(self, sent: Sent) -> HttpResponse:
        """The response; raises NoNetwork where the phone gets none."""
        fault = self.faults.pop(0) if self.faults else ""
        if sent.url.endswith("/push"):
            self.strays.append(sent)
        if fault == "lost request":
            raise NoNetwork
        if fault in ("captive portal", "bad gateway"):
            return PORTAL if fault == "captive portal" else GATEWAY
        if fault == "sent twice":
            self.deliver(sent)
        Road.dying = fault == "lost answer"
        response = self.deliver(sent)
        Road.dying = False
        if fault == "lost answer":
            raise NoNetwork
        if fault == "cut answer":
            response.content = response.content[: len(response.content) // 2]
        return response

    def deliver(self, sent: Sent) -> HttpResponse:
        """The server hears it, whoever hears the answer."""
        response = CLIENT.generic(
            sent.method, sent.url, sent.body, content_type=sent.kind, headers={"Authorization": f"Bearer {sent.token}"}
        )
        self.watch(sent, response)
        return response


def members_of(response: HttpResponse) -> dict:
    """The JSON of one of the road's own answers; raises NoNetwork for anything else (a portal, a gateway, half an answer)."""
    if "Sync-Protocol" not in response.headers or "json" not in response.headers.get("Content-Type", ""):
        raise NoNetwork
    try:
        return json.loads(response.content)
    except ValueError as cut:
        raise NoNetwork from cut

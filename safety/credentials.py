"""How a socket says who it is, and whether that still holds later: a request is judged once, a socket stays open."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.http import HttpRequest, parse_cookie

from safety.authentication import COOKIE, DeviceBlocked, token_of
from safety.errors import Unauthenticated
from safety.models import DeviceToken, Person

SUBPROTOCOL = "campus.v1"
BEARER = "bearer."


@dataclass(frozen=True, slots=True)
class Credential:
    """By what a socket was opened: a device's token, or a desk's session with the password of that time."""

    person_id: UUID
    token_id: UUID | None = None
    session_key: str = ""
    session_hash: str = ""


def credential_of(scope: dict, *, now: datetime) -> Credential | None:
    """Who opens a socket: `Sec-WebSocket-Protocol: campus.v1, bearer.<token>`, the phone's cookie, or a session."""
    cookies = parse_cookie(_header(scope, b"cookie"))
    secret = next((each.removeprefix(BEARER) for each in scope["subprotocols"] if each.startswith(BEARER)), None)
    if secret is None:
        secret = cookies.get(COOKIE)
    if secret is not None:
        return _by_token(secret, now)
    return _by_session(cookies.get(settings.SESSION_COOKIE_NAME, ""))


def still_good(credentials: Iterable[Credential], *, now: datetime) -> set[Credential]:
    """Those that would open a socket at this moment. At most three queries, whatever their number."""
    by_token = [each for each in credentials if each.token_id]
    by_session = [each for each in credentials if not each.token_id]
    good = set()
    if by_token:
        alive = DeviceToken.objects.alive(now).filter(id__in={each.token_id for each in by_token})
        tokens = set(alive.values_list("id", flat=True))
        good |= {each for each in by_token if each.token_id in tokens}
    if by_session:
        running = Session.objects.filter(
            session_key__in={each.session_key for each in by_session}, expire_date__gt=now
        ).values_list("session_key", flat=True)
        persons = Person.objects.filter(id__in={each.person_id for each in by_session}, is_active=True)
        keys, hashes = set(running), {person.id: person.get_session_auth_hash() for person in persons}
        good |= {
            each for each in by_session if each.session_key in keys and hashes.get(each.person_id) == each.session_hash
        }
    return good


def _by_token(secret: str, now: datetime) -> Credential | None:
    try:
        token = token_of(secret, now=now)
    except (Unauthenticated, DeviceBlocked):
        return None
    return Credential(token.device.person_id, token_id=token.id)


def _by_session(key: str) -> Credential | None:
    if not key:
        return None
    request = HttpRequest()
    request.session = SessionStore(key)
    person = get_user(request)
    if not person.is_authenticated:
        return None
    return Credential(person.id, session_key=key, session_hash=person.get_session_auth_hash())


def _header(scope: dict, name: bytes) -> str:
    return "; ".join(value.decode("latin-1") for each, value in scope["headers"] if each.lower() == name)

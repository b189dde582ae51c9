"""How a request says who it is: a phone's token (Bearer, or an HttpOnly cookie with CSRF), a desk's session."""

import hashlib
import io
import secrets
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.utils import timezone
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.request import Request

from safety import rows
from safety.errors import Malformed, NotAllowed, Problem, Unauthenticated
from safety.models import Device, DeviceToken, Person
from safety.models.device import TOKEN_DAYS

COOKIE = "device"
CSRF_MISSING = "页面太旧,请刷新后再试。手机上的内容都还在。"
TOUCH_EVERY = timedelta(hours=1)  # last_used_at is for expiry by days: not a write at every request


def issue_token(device: Device, *, now: datetime) -> str:
    """A new secret for a device; only its SHA-256 is kept."""
    secret = secrets.token_urlsafe(32)
    DeviceToken.objects.create(device=device, sha256=_digest(secret), created_at=now, last_used_at=now)
    return secret


def register_device(person: Person, *, name: str, device_id: UUID | None, now: datetime) -> Device:
    """The phone from which somebody signs in: its own again when it names itself, else a new one.

    A phone that had to sign in again keeps its device, so what waits in its outbox stays its own. An id that is not
    this person's, or is revoked, is passed over: nothing is told about it.
    """
    known = Device.objects.filter(id=device_id, person=person, revoked_at__isnull=True).first()
    if known is None:
        return Device.objects.create(person=person, name=name, registered_at=now)
    end_tokens(known, now=now)
    return known


def end_tokens(device: Device, *, now: datetime) -> None:
    """No secret of this device opens the door any more."""
    device.tokens.filter(revoked_at__isnull=True).update(revoked_at=now)


class AccountDisabled(Unauthenticated):
    """Told to whoever holds a phone's own secret: signing in again is of no use, and nothing there is to be dropped."""

    code, status = "account-disabled", 403
    message = "这个账号已停用,不能再同步。手机上没有上传的内容都还在,请导出后交给管理员。"


class DeviceBlocked(Problem):
    """A revoked phone is to drop what it holds; `action` says whether it may send first, `push_until` until when."""

    code, status = "device-blocked", 403
    message = "这台手机已被停用,管理员要求清除其中的内容。"


RESCUED = "这台手机已被停用。请先让它把没有上传的内容传完(期限 {until}),然后清除。"


def token_of(secret: str, *, now: datetime) -> DeviceToken:
    """The living token of a secret, its device and person with it.

    Raises Unauthenticated, AccountDisabled, DeviceBlocked.
    """
    token = _living(secret, now=now)
    if token is None and _is_disabled(secret):
        raise AccountDisabled(action="export")
    if token is None:
        raise _blocked(token_to_wipe(secret, now=now).device, now)
    if now - token.last_used_at > TOUCH_EVERY:
        DeviceToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


def _living(secret: str, *, now: datetime) -> DeviceToken | None:
    """What `TokenSet.alive` says, by three plain reads: it is asked at every request."""
    for token in rows.find(DeviceToken, sha256=_digest(secret), revoked_at=None):
        for device in rows.find(Device, id=token.device_id, revoked_at=None):
            for person in rows.find(Person, id=device.person_id, is_active=True):
                token.device, device.person = device, person
                return token if token.last_used_at > now - timedelta(days=TOKEN_DAYS) else None
    return None


def _is_disabled(secret: str) -> bool:
    standing = DeviceToken.objects.filter(sha256=_digest(secret), revoked_at__isnull=True)
    return standing.filter(device__revoked_at__isnull=True, device__person__is_active=False).exists()


def token_to_rescue(secret: str, *, now: datetime) -> DeviceToken:
    """For doors that take what lies on a phone: a living token, or one of a phone that may still send before its wipe.

    Raises Unauthenticated, DeviceBlocked.
    """
    try:
        return token_of(secret, now=now)
    except DeviceBlocked:
        token = token_to_wipe(secret, now=now)
        if not _may_send(token.device, now):
            raise
        return token


def token_to_wipe(secret: str, *, now: datetime) -> DeviceToken:
    """Any token, living or not, of a phone that was told to wipe itself. Raises Unauthenticated."""
    told = DeviceToken.objects.filter(sha256=_digest(secret), device__wipe_ordered_at__isnull=False)
    token = told.select_related("device", "device__person").first()
    if token is None:
        raise Unauthenticated("token-expired", "登录已失效。手机上的内容都还在,请重新登录后继续上传。")
    return token


def _may_send(device: Device, now: datetime) -> bool:
    return device.wiped_at is None and device.rescue_until is not None and now < device.rescue_until


def _blocked(device: Device, now: datetime) -> DeviceBlocked:
    if not _may_send(device, now):
        return DeviceBlocked(action="wipe")
    until = device.rescue_until.isoformat(timespec="seconds")
    said = f"{timezone.localtime(device.rescue_until):%Y-%m-%d %H:%M}"
    blocked = DeviceBlocked(message=RESCUED, until=said, action="push-then-wipe", push_until=until)
    blocked.more.pop("until")
    return blocked


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class _CsrfCheck(CsrfViewMiddleware):
    def _reject(self, request, reason):
        return reason


class DeviceTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer …`, or the phone's cookie; the cookie also wants the CSRF token on unsafe methods.

    A view opens to living tokens, unless it says by `opens_to` which others it takes (`token_to_rescue`, `token_to_wipe`).
    A cookie that opens nothing any more is passed over beside a desk's session: a browser sends both, unasked.
    """

    def authenticate(self, request) -> tuple[Person, Device] | None:
        secret = _bearer(request)
        comes_by_cookie = secret is None
        if comes_by_cookie:
            secret = request.COOKIES.get(COOKIE)
            if secret is None:
                return None
            _require_csrf(request._request)
        opens_to = getattr(request.parser_context["view"], "opens_to", token_of)
        try:
            device = opens_to(secret, now=timezone.now()).device
        except Unauthenticated as expired:
            # a disabled account and a phone to be wiped are told so, whoever else is signed in
            if comes_by_cookie and expired.code == "token-expired" and request._request.user.is_authenticated:
                return None
            raise
        claimed = request.headers.get("Sync-Device")
        if claimed is not None and claimed != str(device.id):
            raise Malformed("other-device", "请求里的终端编号与登录的终端不一致,请重新登录。")
        return device.person, device

    def authenticate_header(self, request) -> str:
        return "Bearer"


class DeskSessionAuthentication(SessionAuthentication):
    """Django's session, for desks and the admin; CSRF is asked by DRF's own class."""

    def authenticate_header(self, request) -> str:
        return "Session"


def caller_of(scope: dict, *, method: str, view: object = None) -> tuple[Person, Device | None]:
    """Who calls a door that stands beside Django (an ASGI scope), by the same ways as at Django's doors; their device,
    or None for a desk's session. `view` stands for the door where authentication asks for a view.

    The body is not touched: of the headers, those that tell of one are left out. Raises Unauthenticated, NotAllowed
    (CSRF) and Malformed.
    """
    headers = [each for each in scope["headers"] if each[0] not in (b"content-type", b"content-length")]
    request = ASGIRequest({**scope, "method": method, "headers": headers}, io.BytesIO())
    SessionMiddleware(_nothing).process_request(request)
    AuthenticationMiddleware(_nothing).process_request(request)
    authenticators = [DeviceTokenAuthentication(), DeskSessionAuthentication()]
    asked = Request(request, authenticators=authenticators, parser_context={"view": view})
    try:
        if not asked.user.is_authenticated:
            raise Unauthenticated()
    except exceptions.PermissionDenied as forged:  # DRF's own word for a missing CSRF token
        raise NotAllowed("csrf", CSRF_MISSING) from forged
    return asked.user, asked.auth if isinstance(asked.auth, Device) else None


def _nothing(request) -> HttpResponse:
    return HttpResponse()


def _bearer(request) -> str | None:
    parts = get_authorization_header(request).split()
    if len(parts) != 2 or parts[0].lower() != b"bearer":
        return None
    return parts[1].decode("latin-1")


def _require_csrf(request) -> None:
    check = _CsrfCheck(_nothing)
    check.process_request(request)
    if check.process_view(request, None, (), {}):
        raise NotAllowed("csrf", CSRF_MISSING)


def set_cookie(response: HttpResponse, secret: str) -> None:
    """The phone's token as a cookie that no script reads and no other site sends."""
    response.set_cookie(
        COOKIE,
        secret,
        max_age=TOKEN_DAYS * 86400,
        path="/api/",
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Strict",
    )


def device_id_of(request) -> UUID | None:
    """The device of an authenticated request, or None for a desk's session."""
    return request.auth.id if isinstance(request.auth, Device) else None

"""The doors for signing in: a phone's token under /api/v1/auth/, a desk's session at /login/.

What is done to phones afterwards stands in device_views.py.
"""

import logging
from datetime import timedelta

from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_cool_off
from django.contrib.auth import authenticate, logout
from django.contrib.auth.signals import user_logged_in
from django.contrib.auth.views import LoginView
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import rotate_token
from django.shortcuts import render
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from safety import auth_serializers as shapes
from safety.access import GRANTS, may_administer, sight_of, today
from safety.authentication import COOKIE, device_id_of, end_tokens, issue_token, register_device, set_cookie
from safety.duty import watches
from safety.errors import SlowDown, Unauthenticated
from safety.handlers import problem_response
from safety.models import Device, Organisation, Person

log = logging.getLogger(__name__)

LOCKED = "登录失败次数太多,请在 {retry_after} 秒后再试。忘记密码请联系系统管理员。"


class Login(APIView):
    """Signs a phone in: account and password against a token of its own."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="auth_login",
        summary="登录,登记终端,领取令牌",
        request=shapes.LoginInput,
        responses={200: shapes.LoginAnswer},
        examples=[
            OpenApiExample(
                "手机登录",
                value={"username": "duxue01", "password": "……", "device": "张老师的手机"},
                request_only=True,
            )
        ],
    )
    def post(self, request) -> HttpResponse:
        said = _checked(shapes.LoginInput, request.data)
        person = authenticate(request._request, username=said["username"], password=said["password"])
        if person is None:
            raise Unauthenticated("bad-credentials", "账号或密码不正确,请检查后重试。")
        now = timezone.now()
        with transaction.atomic():
            device = register_device(person, name=said["device"], device_id=said.get("device_id"), now=now)
            secret = issue_token(device, now=now)
        # the throttle forgets the failures of one who got in; it listens to Django's own signal
        user_logged_in.send(sender=Person, request=request._request, user=person)
        log.info("auth.login person=%s device=%s cookie=%d", person.id, device.id, said["cookie"])
        response = Response(
            {
                "token": None if said["cookie"] else secret,
                "device": {"id": device.id, "name": device.name},
                "person": _person(person),
            }
        )
        response["Cache-Control"] = "no-store"
        if said["cookie"]:
            set_cookie(response, secret)
            rotate_token(request._request)  # the page needs a CSRF token beside the cookie
        return response


class Logout(APIView):
    """Ends the token by which it is called, or the desk's session."""

    @extend_schema(operation_id="auth_logout", summary="退出登录", request=None, responses={204: None})
    def post(self, request) -> HttpResponse:
        if isinstance(request.auth, Device):
            end_tokens(request.auth, now=timezone.now())
        else:
            logout(request._request)
        log.info("auth.logout person=%s device=%s", request.user.pk, device_id_of(request))
        response = Response(status=204)
        response.delete_cookie(COOKIE, path="/api/", samesite="Strict")
        return response


class MeView(APIView):
    """Who I am today: posts, and what they let me do where."""

    @extend_schema(operation_id="auth_me", summary="我的任职与权限", responses={200: shapes.Me})
    def get(self, request) -> HttpResponse:
        now = timezone.now()
        person = request.user
        posts = sight_of(person, on=today(now)).posts
        device = request.auth if isinstance(request.auth, Device) else None
        rows = [_post(post) for post in posts]
        return Response(
            {
                "person": _person(person),
                "device": device and {"id": device.id, "name": device.name},
                "posts": rows,
                "rights": {
                    "verbs": sorted({verb for row in rows for verb in row["verbs"]}),
                    "desk": watches([person.id], at=now, alerts=[])[person.id].opens_desk,
                    "admin": may_administer(person, on=today(now)),
                },
            }
        )


class DeskLogin(LoginView):
    """The desk's page for signing in; its session also opens the admin and the desk's socket."""

    template_name = "safety/login.html"
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs) -> dict:
        return super().get_context_data(demo=Organisation.objects.filter(demo=True).exists(), **kwargs)


def locked_out(request: HttpRequest, response: HttpResponse | None, credentials: dict | None) -> HttpResponse:
    """What django-axes answers while an account is locked for an address: a problem, or a page at the page's door."""
    retry_after = _seconds_locked(request, credentials)
    if request.path.startswith("/api/"):
        return problem_response(SlowDown("too-many-logins", LOCKED, retry_after=retry_after))
    page = render(request, "safety/locked.html", {"minutes": -(-retry_after // 60)}, status=429)
    page["Retry-After"] = str(retry_after)
    return page


def _seconds_locked(request: HttpRequest, credentials: dict | None) -> int:
    """Seconds until the last failure is old enough; at least one."""
    attempts = AxesProxyHandler.get_implementation().get_user_attempts(request, credentials)
    last = max((attempt.attempt_time for found in attempts for attempt in found), default=timezone.now())
    left = last + (get_cool_off(request) or timedelta(0)) - timezone.now()
    return max(1, int(left.total_seconds()) + 1)


def _checked(shape, data) -> dict:
    serializer = shape(data=data)
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data


def _person(person: Person) -> dict:
    return {"id": person.id, "username": person.username, "name": person.name}


def _post(post) -> dict:
    return {
        "id": post.id,
        "role": post.role,
        "role_name": post.get_role_display(),
        "side": post.side,
        "node": {"id": post.node_id, "name": post.node.name, "kind": post.node.kind},
        "from_on": post.from_on,
        "to_on": post.to_on,
        "verbs": sorted(verb for verb, roles in GRANTS.items() if post.role in roles),
    }

"""The pages about phones: what is not here yet, one phone and what was on it, what nobody took in, the import.

For everybody with an account: each sees the own phones; administrators, safety officers and duty officers those whom
their posts cover. What is not theirs is an unknown page.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from safety.access import may_administer, sight_of, today
from safety.devices import OVERSEERS, device_for, devices_under, lose, order_wipe, revoke
from safety.errors import NotAllowed, NotFound, Problem
from safety.home import page
from safety.models import Person, Role
from sync.backlog import backlog_of, holdings_of, limit, oversees, phones_of
from sync.imports import import_outbox
from sync.models import Why
from sync.orphans import content_of, handle, keeps, orphan, orphans, to_look_at

ADMINISTRATORS = (Role.ADMINISTRATOR.value,)
PER_PAGE = 50


def page_for_people(*methods: str) -> Callable:
    """A page for who has signed in; what is not theirs is unknown, what is not theirs to do is said so."""

    def around(view: Callable) -> Callable:
        @wraps(view)
        def shown(request: HttpRequest, *args, **kwargs) -> HttpResponse:
            try:
                return view(request, *args, **kwargs)
            except NotFound as unknown:
                raise Http404 from unknown
            except NotAllowed as refused:
                raise PermissionDenied from refused

        allowed = require_http_methods(methods) if methods else require_safe
        return allowed(never_cache(login_required(shown)))

    return around


@page_for_people()
def phones(request: HttpRequest) -> HttpResponse:
    """GET /phones/."""
    now = timezone.now()
    sight = sight_of(request.user, on=today(now))
    context = {
        "now": now,
        "mine": phones_of(request.user, now=now),
        "backlog": backlog_of(sight, now=now) if oversees(sight) else None,
        "limit_hours": int(limit().total_seconds() // 3600),
        "keeps": keeps(sight),
        "to_look_at": to_look_at(sight, now=now),
    }
    return _page(request, "sync/phones.html", context)


@page_for_people("GET", "HEAD", "POST")
def phone(request: HttpRequest, device_id: UUID) -> HttpResponse:
    """GET /phones/<id>/: what was probably on it; POST: 停用, 挂失, 清除."""
    now = timezone.now()
    if request.method == "POST":
        device = device_for(request.user, device_id, roles=ADMINISTRATORS, now=now)
        messages.success(request, _do(request, device, now))
        return HttpResponseRedirect(request.path)
    device = device_for(request.user, device_id, roles=OVERSEERS, now=now)
    sight = sight_of(request.user, on=today(now))
    theirs = devices_under(sight, ADMINISTRATORS, on=today(now)).filter(pk=device.pk).exists()
    context = {
        "now": now,
        "device": device,
        "held": holdings_of(device, sight, now=now),
        "may_wipe": theirs,
        "may_end": theirs or device.person_id == request.user.pk,
    }
    return _page(request, "sync/phone.html", context)


def _do(request: HttpRequest, device, now) -> str:
    """What a form of the page asks; gives what to say of it. Raises NotAllowed, NotFound."""
    match request.POST.get("do"):
        case "lose":
            lose(device, by=request.user, now=now)
            return "已挂失：这台手机立即失效。下面是它上面可能还有、没有送到的内容。"
        case "revoke":
            revoke(device, by=request.user, now=now)
            return "已停用：这台手机立即失效。"
        case "wipe":
            order_wipe(device, rescue=False, by=request.user, now=now)
            return "已下令清除：手机下次联络时清除其中的内容。"
        case "rescue":
            order_wipe(device, rescue=True, by=request.user, now=now)
            return "已下令清除：七天内，手机下次联络时先把没有上传的传完，再清除。"
    raise NotFound


@page_for_people()
def left(request: HttpRequest) -> HttpResponse:
    """GET /phones/left/?why=…&handled=1&after=…: what nobody took in."""
    now, why = timezone.now(), request.GET.get("why", Why.REFUSED)
    if why not in Why.values:
        raise NotFound
    handled = request.GET.get("handled") == "1"
    sight = sight_of(request.user, on=today(now))
    try:
        found = orphans(
            sight, why=why, handled=handled, now=now, limit=PER_PAGE, after=request.GET.get("after") or None
        )
    except Problem as problem:
        raise problem if isinstance(problem, NotAllowed) else NotFound from problem
    context = {"now": now, "found": found, "why": why, "kinds": Why.choices, "handled": handled}
    return _page(request, "sync/left.html", context)


@page_for_people("GET", "HEAD", "POST")
def left_one(request: HttpRequest, about: UUID) -> HttpResponse:
    """GET /phones/left/<id>/: one of them with what was said; POST: 标为已处理, with a note."""
    now = timezone.now()
    sight = sight_of(request.user, on=today(now))
    one = orphan(sight, about, now=now)
    note, missing = request.POST.get("note", "").strip()[:300], False
    if request.method == "POST" and note:
        handle(one, note=note, by=request.user, now=now)
        messages.success(request, "已标为处理完毕，说明进入记录。")
        return HttpResponseRedirect(f"{reverse('left')}?why={one.why}")
    if request.method == "POST":
        missing = True
    by = Person.objects.filter(pk=one.review.handled_by).first() if one.is_handled else None
    context = {"now": now, "one": one, "content": content_of(one, sight), "handled_by": by, "missing": missing}
    return _page(request, "sync/left_one.html", context)


@page_for_people("GET", "HEAD", "POST")
def bring_in(request: HttpRequest) -> HttpResponse:
    """GET /phones/import/: the form; POST: what became of each operation and photo of the file."""
    now = timezone.now()
    if not may_administer(request.user, on=today(now)):
        raise NotAllowed
    context: dict[str, Any] = {"now": now, "result": None, "refused": ""}
    if request.method == "POST":
        file = request.FILES.get("file")
        if file is None:
            context["refused"] = "请先选择手机导出的文件（zip）。"
        else:
            try:
                context["result"] = import_outbox(file, by=request.user, now=now)
            except Problem as problem:
                context["refused"] = problem.detail
    return _page(request, "sync/import.html", context)


def _page(request: HttpRequest, template: str, context: dict) -> HttpResponse:
    shared = {"here": "phones", "administers": may_administer(request.user, on=today(context["now"]))}
    return page(request, template, shared | context)

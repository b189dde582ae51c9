"""Problems as HTTP answers: DRF's exception handler, and what Django calls for 404 and 500."""

import json
import logging
from collections.abc import Iterator

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.views import exception_handler

from safety.errors import (
    Invalid,
    Malformed,
    MethodNotAllowed,
    NotAllowed,
    NotFound,
    Problem,
    ServerError,
    SlowDown,
    Unauthenticated,
    UnsupportedMedia,
)

log = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"


def problem_response(problem: Problem) -> HttpResponse:
    """`application/problem+json` with the problem's status; bytes depend on the problem alone."""
    body = json.dumps(problem.as_json(), ensure_ascii=False).encode()
    response = HttpResponse(body, status=problem.status, content_type=PROBLEM_TYPE)
    if problem.status == 401:
        response["WWW-Authenticate"] = "Bearer"
    if "retry_after" in problem.more:
        response["Retry-After"] = str(problem.more["retry_after"])
    return response


def drf_problem(exc: Exception, context: dict) -> HttpResponse | None:
    """DRF's EXCEPTION_HANDLER: ours as they are, DRF's own translated; anything else stays a 500."""
    problem = as_problem(exc)
    if problem is None:
        return exception_handler(exc, context)
    log.info("refused code=%s status=%s path=%s", problem.code, problem.status, context["request"].path)
    response = problem_response(problem)
    if isinstance(exc, exceptions.APIException):
        for name, value in (
            ("WWW-Authenticate", getattr(exc, "auth_header", None)),
            ("Retry-After", getattr(exc, "wait", None)),
        ):
            if value is not None:
                response[name] = str(int(value) + 1 if name == "Retry-After" else value)
    return response


def as_problem(exc: Exception) -> Problem | None:
    """The Problem that stands for an exception of Django's or DRF's; None for our own failures."""
    if isinstance(exc, Problem):
        return exc
    if isinstance(exc, Http404 | exceptions.NotFound):
        return NotFound()
    if isinstance(exc, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        return Unauthenticated()
    if isinstance(exc, PermissionDenied | exceptions.PermissionDenied):
        return NotAllowed()
    if isinstance(exc, exceptions.ValidationError):
        return Invalid(errors=list(_errors_in(exc.detail)))
    if isinstance(exc, exceptions.ParseError):
        return Malformed(reason="不是有效的 JSON")
    if isinstance(exc, exceptions.Throttled):
        return SlowDown(retry_after=int(exc.wait or 1))
    if isinstance(exc, exceptions.MethodNotAllowed):
        return MethodNotAllowed()
    if isinstance(exc, exceptions.UnsupportedMediaType | exceptions.NotAcceptable):
        return UnsupportedMedia()
    return None


def _errors_in(detail, field: str = "") -> Iterator[dict]:
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from _errors_in(inner, f"{field}.{name}" if field else name)
    elif isinstance(detail, list):
        for inner in detail:
            yield from _errors_in(inner, field)
    else:
        yield {"field": field, "code": getattr(detail, "code", "invalid"), "detail": str(detail)}


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404: a problem under /api/, elsewhere a page; neither tells the unknown from the unseen."""
    return problem_response(NotFound()) if _is_api(request) else defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500."""
    return problem_response(ServerError()) if _is_api(request) else defaults.server_error(request)


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")

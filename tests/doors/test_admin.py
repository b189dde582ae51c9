"""The admin's addresses, all of them, by everybody: administrators come in, and see what lies under their own posts.

✓ shown · 302 to the sign-in · 403 not a form · 404 or "unknown": as an id that is none, to the byte.
"""

import pytest
from django.contrib import admin
from django.urls import get_resolver

from tests.doors.test_listed import addresses

pytestmark = pytest.mark.django_db

FORMS = [
    "safety.organisation",
    "safety.site",
    "safety.person",
    "safety.post",
    "safety.dutyshift",
    "inspections.checklisttemplate",
    "inspections.templateversion",
]
LOOKED_AT = [
    "safety.alert",
    "safety.delivery",
    "safety.device",
    "safety.change",
    "inspections.basis",
    "inspections.checklistitem",
    "inspections.task",
    "inspections.inspection",
    "inspections.finding",
    "inspections.rectificationitem",
    "inspections.statement",
    "inspections.quickhazard",
    "inspections.photo",
    "inspections.submission",
    "inspections.conflict",
    "sync.operation",
    "sync.verdict",
]
PAGES = ["", "add/", "<path:object_id>/history/", "<path:object_id>/delete/", "<path:object_id>/change/"]
PAGES += ["<path:object_id>/"]  # Django's own way from an old address to /change/
BESIDE = ["", "login/", "logout/", "password_change/", "password_change/done/", "autocomplete/", "jsi18n/"]
BESIDE += ["r/<path:content_type_id>/<path:object_id>/", "^(?P<app_label>safety|inspections|sync)/$", "(?P<url>.*)$"]


def test_every_address_of_the_admin_is_in_the_list():
    found = {address for address, _ in addresses(get_resolver().url_patterns) if address.startswith("admin/")}
    models = [name.replace(".", "/") for name in [*FORMS, *LOOKED_AT]]
    listed = {f"admin/{model}/{page}" for model in models for page in PAGES} | {f"admin/{each}" for each in BESIDE}
    extra = found - listed
    assert (extra, listed - found) == (set(), set())
    assert {model._meta.label_lower for model in admin.site._registry} == {*FORMS, *LOOKED_AT}

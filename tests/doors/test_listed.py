"""Every address and every socket stands in this list with how it may be called; one that does not fails here.

The list is written by hand. Whoever opens a door adds a line, and tries the door by everybody in the table named beside it.
The admin's addresses stand in test_admin.py.
"""

from django.conf import settings
from django.urls import get_resolver

from inspections.reading import COLLECTIONS as OF_EVIDENCE
from safety.consumers import SOCKETS
from safety.reading import COLLECTIONS as OF_THE_GROUND

# address → methods that it answers, the table that tries it
DOORS = {
    "": ("any", "test_road"),
    "docs/": ("any", "test_road"),
    "phones/": ("any", "test_phones"),
    "phones/import/": ("any", "test_phones"),
    "phones/left/": ("any", "test_phones"),
    "phones/left/<uuid:about>/": ("any", "test_phones"),
    "phones/<uuid:device_id>/": ("any", "test_phones"),
    "login/": ("GET POST PUT", "test_road"),
    "logout/": ("POST", "test_road"),
    "api/v1/schema.json": ("any", "test_road"),
    "api/v1/auth/login": ("POST", "test_road"),
    "api/v1/auth/logout": ("POST", "test_road"),
    "api/v1/auth/me": ("GET", "test_road"),
    "api/v1/devices": ("GET", "test_road, test_phones"),
    "api/v1/devices/wiped": ("POST", "test_road"),
    "api/v1/devices/<uuid:device_id>/rename": ("POST", "test_road"),
    "api/v1/devices/<uuid:device_id>/revoke": ("POST", "test_road"),
    "api/v1/devices/<uuid:device_id>/lose": ("POST", "test_road"),
    "api/v1/devices/<uuid:device_id>/wipe": ("POST", "test_road"),
    "api/v1/devices/<uuid:device_id>/holdings": ("GET", "test_phones"),
    "api/v1/sync/backlog": ("GET", "test_phones"),
    "api/v1/sync/quarantine-report": ("POST", "test_phones"),
    "api/v1/sync/import": ("POST", "test_phones"),
    "api/v1/sync/orphans": ("GET", "test_phones"),
    "api/v1/sync/orphans/<uuid:about>": ("GET", "test_phones"),
    "api/v1/sync/orphans/<uuid:about>/handle": ("POST", "test_phones"),
    "api/v1/sync/pull": ("GET", "test_road, test_read"),
    "api/v1/sync/push": ("POST", "test_road, test_said, test_taken"),
    r"api/v1/^blobs/(?P<sha256>[0-9a-f]{64})$": ("HEAD PUT", "test_road"),
    "api/v1/photos/<uuid:photo_id>/<str:name>.jpg": ("GET", "test_read"),
    "api/v1/rectifications/<uuid:doc_id>/history": ("GET", "test_read"),
    r"api/v1/^ref/templates/(?P<sha256>[0-9a-f]{64})\.json$": ("GET", "test_read"),
    "api/v1/changes/<slug:collection>/<uuid:doc_id>": ("GET", "test_read"),
    "api/v1/chains/<uuid:organisation>": ("GET", "test_read"),
    "api/v1/<slug:collection>": ("POST", "test_said, test_taken"),
    "api/v1/<slug:collection>/<uuid:doc_id>": ("DELETE PATCH", "test_said"),
    "api/v1/<slug:collection>/<uuid:doc_id>/<slug:action>": ("POST", "test_said"),
}
# collections that are read; at those of evidence and cure verbs are said as well
READ_ONLY = ["organisations", "sites", "people", "shifts", "alerts", "alerts_mine"]
READ_AND_SAID = [
    "templates",
    "tasks",
    "inspections",
    "findings",
    "quick_hazards",
    "submissions",
    "conflicts",
    "photos",
    "rectifications",
    "notices",
    "receipts",
    "reports",
    "revisits",
    "extensions",
    "judgements",
    "closures",
    "withdrawals",
    "transfers",
    "transfer_replies",
    "decisions",
    "signatures",
    "comments",
]
DOORS |= {f"api/v1/{name}": ("GET", "test_read") for name in READ_ONLY}
DOORS |= {f"api/v1/{name}/<uuid:doc_id>": ("GET", "test_read") for name in READ_ONLY}
DOORS |= {f"api/v1/{name}": ("GET POST", "test_read, test_said") for name in READ_AND_SAID}
DOORS |= {f"api/v1/{name}/<uuid:doc_id>": ("DELETE GET PATCH", "test_read, test_said") for name in READ_AND_SAID}


def addresses(patterns, before=""):
    """(address, methods) of every route, those of included lists under their prefix."""
    for each in patterns:
        if hasattr(each, "url_patterns"):
            yield from addresses(each.url_patterns, before + str(each.pattern))
        else:
            yield before + str(each.pattern), methods_of(each.callback)


def methods_of(callback):
    view = getattr(callback, "cls", None) or getattr(callback, "view_class", None)
    if view is None:
        return "any"
    allowed = getattr(callback, "initkwargs", {}).get("http_method_names", view.http_method_names)
    answered = [name.upper() for name in allowed if name != "options" and hasattr(view, name)]
    return " ".join(sorted(answered))


def test_every_address_is_in_the_list():
    found = {address: methods for address, methods in addresses(get_resolver().url_patterns)}
    ours = {address: methods for address, methods in found.items() if not address.startswith("admin/")}
    assert ours == {address: methods for address, (methods, _) in DOORS.items()}


def test_every_door_beside_django_is_in_the_list():
    assert list(settings.BESIDE_DJANGO) == ["/api/v1/files"]  # test_files


def test_every_collection_is_in_the_list():
    assert [of.name for of in OF_THE_GROUND] == READ_ONLY
    assert [of.name for of in OF_EVIDENCE] == READ_AND_SAID


def test_every_socket_is_in_the_list():
    assert [str(each.pattern) for each in SOCKETS] == ["api/v1/ws/desk", "api/v1/ws/poke"]  # test_sockets


def test_the_finder_of_addresses_sees_a_door_that_is_not_listed():
    """It would be blind if it did not walk into what is included."""
    found = dict(addresses(get_resolver().url_patterns))
    assert "admin/safety/person/add/" in found and len(found) > len(DOORS)

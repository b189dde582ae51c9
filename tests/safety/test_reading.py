"""What is read of the ground: organisations, people, duty, alerts, the log and its chains."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from safety import serializers as shapes
from safety.access import sight_of, today
from safety.alerts import Urgency
from safety.changes import unit
from safety.ids import new_id
from safety.models import (
    Alert,
    AlertState,
    Body,
    Change,
    Channel,
    Delivery,
    DeliveryState,
    LegalMode,
    OrganisationKind,
    Role,
    Seat,
    Severity,
    SiteKind,
)
from safety.models.device import Device
from safety.reading import COLLECTIONS
from tests.makers import make_organisation, make_person, make_school, make_shift, make_site
from tests.sessions import reader

pytestmark = pytest.mark.django_db


API = "/api/v1"


def ids(client, address, **query):
    answer = client.get(f"{API}/{address}", query)
    assert answer.status_code == 200, answer.content
    return {row["id"] for row in answer.json()["items"]}


def raise_alert(town, *, site=None, sentence="燃气报警失效", key="k", said=None):
    site = site or town.canteen
    with unit(actor=None, source="test") as work:
        work.lock({site.unit_id})
        body = work.body(b"{}")
        work.urgencies.append(
            Urgency(
                level="alert",
                severity=Severity.MAJOR,
                organisation_id=site.unit_id,
                site_id=site.id,
                dedupe_key=key,
                sentence=sentence,
                subject_collection="rectifications",
                subject_id=new_id(),
                said_at=said or timezone.now(),
                body=body,
            )
        )
    return Alert.objects.get(dedupe_key=key)


def test_choices_of_the_shapes_are_those_of_the_tables():
    pairs = [
        (shapes.ORGANISATION_KINDS, OrganisationKind.choices),
        (shapes.LEGAL_MODES, LegalMode.choices),
        (shapes.SITE_KINDS, SiteKind.choices),
        (shapes.ROLES, Role.choices),
        (shapes.SEATS, Seat.choices),
        (shapes.ALERT_STATES, AlertState.choices),
        (shapes.SEVERITIES, Severity.choices),
        (shapes.DELIVERY_STATES, DeliveryState.choices),
        (shapes.CHANNELS, Channel.choices),
    ]
    assert [ours for ours, _ in pairs] == [theirs for _, theirs in pairs]


def test_principal_reads_the_own_school_and_every_bureau_but_no_neighbour(town):
    seen = ids(reader(town.principal), "organisations", limit=200)
    assert str(town.school.id) in seen and str(town.elsewhere.id) in seen
    assert str(town.neighbour.id) not in seen and str(town.foreign.id) not in seen


def test_organisations_are_filtered_by_kind_subtree_boarding_and_name(town):
    boarding = make_school(district=town.district, name="寄宿学校", boarding=True)
    client = reader(town.safety)
    schools = {str(town.school.id), str(town.neighbour.id), str(boarding.id)}
    assert ids(client, "organisations", kind="school") == schools
    assert ids(client, "organisations", under=str(town.district.id)) == schools | {str(town.district.id)}
    assert ids(client, "organisations", under=str(town.foreign.id)) == set()
    assert ids(client, "organisations", boarding="true") == {str(boarding.id)}
    assert ids(client, "organisations", text="寄宿") == {str(boarding.id)}


def test_organisation_under_a_foreign_node_is_looked_for_in_vain(town):
    assert ids(reader(town.principal), "organisations", under=str(town.foreign.id)) == set()


def test_organisations_come_in_the_order_of_the_tree(town):
    rows = reader(town.safety).get(f"{API}/organisations?limit=200").json()["items"]
    kinds = [row["kind"] for row in rows if row["id"] in {str(town.district.id), str(town.school.id)}]
    assert kinds == ["district", "school"]


def test_sites_are_filtered_by_unit_kind_school_served_and_state(town):
    bus = make_site(unit=town.school, kind=SiteKind.BUS, plate="陕B12345", serves=(town.neighbour,), name="校车")
    client = reader(town.safety)
    assert ids(client, "sites", serves=str(town.neighbour.id)) == {str(bus.id)}
    assert ids(client, "sites", kind=["bus"]) == {str(bus.id)}
    assert str(town.canteen.id) in ids(client, "sites", unit=str(town.school.id))
    assert ids(client, "sites", closed="true") == set()
    shown = reader(town.neighbour_principal).get(f"{API}/sites/{bus.id}").json()
    assert shown["names"] == {"unit_id": town.school.name, "serves": [town.neighbour.name]}


def test_people_come_with_those_posts_that_the_reader_may_see(town):
    shown = reader(town.safety).get(f"{API}/people/{town.principal.id}").json()
    assert [(post["role"], post["node"]) for post in shown["posts"]] == [("principal", town.school.name)]
    assert set(shown) == {"id", "rev", "name", "active", "names", "posts"}
    assert ids(reader(town.safety), "people", role="principal") == {
        str(town.principal.id),
        str(town.neighbour_principal.id),
    }
    assert ids(reader(town.safety), "people", node=str(town.school.id)) == {
        str(person.id) for person in (town.principal, town.inspector, town.colleague)
    }
    assert ids(reader(town.stranger), "people", text="校长") == set()


def test_shifts_are_read_by_those_whose_posts_cover_the_node(town):
    shift = town.officer.shifts.get()
    assert ids(reader(town.safety), "shifts", now="true") == {str(shift.id)}
    assert ids(reader(town.officer), "shifts", node=str(town.district.id)) == {str(shift.id)}
    assert ids(reader(town.principal), "shifts") == set()
    tomorrow = today(timezone.now()) + timedelta(days=3)
    assert ids(reader(town.safety), "shifts", from_on=tomorrow) == set()


def test_alert_is_read_by_the_bureau_over_the_school_and_by_nobody_whom_it_was_not_told(town):
    alert = raise_alert(town)
    for person in (town.officer, town.safety, town.administrator):
        assert ids(reader(person), "alerts") == {str(alert.id)}
    for person in (town.stranger, town.principal, town.neighbour_principal):
        client = reader(person)
        assert ids(client, "alerts") == set()
        known, unknown = client.get(f"{API}/alerts/{alert.id}"), client.get(f"{API}/alerts/{new_id()}")
        assert (known.status_code, known.content) == (404, unknown.content)


def test_alert_shows_a_desk_whom_it_was_owed_to(town):
    alert = raise_alert(town, said=timezone.now() - timedelta(hours=11))
    shown = reader(town.safety).get(f"{API}/alerts/{alert.id}").json()
    assert [(each["name"], each["reason"]) for each in shown["deliveries"]] == [("值班员", "duty")]
    assert shown["late_seconds"] >= 11 * 3600 - 5
    assert shown["names"] == {
        "organisation_id": town.school.name,
        "node_id": "甲区教育局",
        "site_id": town.canteen.name,
    }


def test_alert_shows_who_acknowledged_it(town):
    alert = raise_alert(town)
    desk = reader(town.officer)
    assert desk.get(f"{API}/alerts/{alert.id}").json()["acknowledgement"] is None
    assert desk.post(f"{API}/alerts/{alert.id}/acknowledge", {}, format="json").status_code == 200
    shown = reader(town.safety).get(f"{API}/alerts/{alert.id}").json()
    assert (shown["state"], shown["acknowledgement"]["name"]) == ("acknowledged", "值班员")


def test_alerts_are_filtered_by_what_waits_for_me_and_what_is_open(unguarded, town):
    first, second = raise_alert(town, key="a"), raise_alert(town, key="b")
    Alert.objects.filter(pk=second.pk).update(state=AlertState.RESOLVED)
    desk = reader(town.officer)
    assert ids(desk, "alerts", waiting="true") == {str(first.id)}
    assert ids(desk, "alerts", open="false") == {str(second.id)}
    assert ids(desk, "alerts", state=["resolved", "waiting"]) == {str(first.id), str(second.id)}
    assert ids(desk, "alerts", severity="system") == set()
    assert ids(reader(town.safety), "alerts", waiting="true") == set()


def test_delivery_is_read_by_its_person_alone(town):
    raise_alert(town)
    delivery = Delivery.objects.get()
    assert ids(reader(town.officer), "alerts_mine", opened="false") == {str(delivery.id)}
    assert ids(reader(town.safety), "alerts_mine") == set()
    assert reader(town.safety).get(f"{API}/alerts_mine/{delivery.id}").status_code == 404


def test_changes_of_a_document_tell_who_moved_it_and_where_it_stands_in_its_chain(town):
    alert = raise_alert(town)
    reader(town.officer).post(f"{API}/alerts/{alert.id}/acknowledge", {}, format="json")
    rows = reader(town.safety).get(f"{API}/changes/alerts/{alert.id}").json()["items"]
    assert [row["kind"] for row in rows] == ["alert.raised", "alert.acknowledged"]
    assert rows[1]["names"] == {"actor_id": "值班员"}
    change = Change.objects.get(kind="alert.acknowledged")
    assert rows[1]["chain"] == {
        "id": str(town.school.id),
        "n": change.n,
        "prev": bytes(change.prev).hex(),
        "hash": bytes(change.hash).hex(),
    }
    assert rows[1]["body_hash"] == bytes(change.body_hash).hex()
    first = reader(town.safety).get(f"{API}/changes/alerts/{alert.id}?limit=1").json()
    rest = reader(town.safety).get(f"{API}/changes/alerts/{alert.id}", {"after": first["next"]}).json()
    assert first["items"] + rest["items"] == rows


def test_changes_of_a_foreign_or_unknown_document_are_unknown(town):
    client = reader(town.neighbour_principal)
    foreign = client.get(f"{API}/changes/sites/{town.canteen.id}")
    unknown = client.get(f"{API}/changes/sites/{new_id()}")
    nowhere = client.get(f"{API}/changes/sessions/{new_id()}")
    assert (foreign.status_code, foreign.content, nowhere.content) == (404, unknown.content, unknown.content)


def chain_of(person, organisation):
    return reader(person).get(f"{API}/chains/{organisation.id}").json()


def test_chain_verifies_from_the_first_row(town):
    raise_alert(town)
    answer = chain_of(town.principal, town.school)
    assert (answer["intact"], answer["first_bad"]) == (True, None)
    assert answer["verified"] == Change.objects.filter(chain_id=town.school.id).count() >= 3


@pytest.mark.parametrize("harm", ["changed", "removed", "removed at the end", "reordered", "body"])
def test_chain_names_the_first_link_that_does_not_hold(unguarded, town, harm):
    raise_alert(town)
    links = list(Change.objects.filter(chain_id=town.school.id).order_by("n"))
    second, third = links[1], links[2]
    wanted = 2
    if harm == "changed":
        Change.objects.filter(pk=second.pk).update(kind="site.closed")
    elif harm == "removed":
        second.delete()
    elif harm == "removed at the end":
        links[-1].delete()
        wanted = len(links)
    elif harm == "reordered":
        Change.objects.filter(pk=second.pk).update(n=third.n)
        Change.objects.filter(pk=third.pk).update(n=second.n)
    else:
        Body.objects.filter(pk=second.body_id).update(bytes=b'{"other": 1}')
    answer = chain_of(town.safety, town.school)
    assert (answer["intact"], answer["first_bad"], answer["verified"]) == (False, wanted, wanted - 1)


def test_chain_holds_when_a_body_is_erased(unguarded, town):
    raise_alert(town)
    Body.objects.update(bytes=None, salt=None, erased_at=timezone.now())
    assert chain_of(town.safety, town.school)["intact"] is True


def test_chain_is_unknown_to_whoever_holds_no_post_over_the_organisation(town):
    client = reader(town.neighbour_principal)
    known, unknown = client.get(f"{API}/chains/{town.school.id}"), client.get(f"{API}/chains/{new_id()}")
    assert (known.status_code, known.content) == (404, unknown.content)
    assert client.get(f"{API}/chains/{town.district.id}").status_code == 404


def test_phone_reads_with_its_token(town):
    device = Device.objects.create(person=town.inspector, name="手机", registered_at=timezone.now())
    client = APIClient()
    client.force_authenticate(town.inspector, device)
    assert str(town.school.id) in ids(client, "organisations", limit=200)


def test_every_reading_door_of_the_ground_refuses_a_caller_without_an_account(town):
    client = APIClient()
    addresses = [of.name for of in COLLECTIONS] + [f"{of.name}/{new_id()}" for of in COLLECTIONS]
    addresses += [f"changes/sites/{town.canteen.id}", f"chains/{town.school.id}"]
    assert {client.get(f"{API}/{address}").status_code for address in addresses} == {401}


@pytest.mark.parametrize("method", ["put", "delete", "options"])
def test_reading_door_takes_no_other_method(town, method):
    answer = getattr(reader(town.safety), method)(f"{API}/alerts")
    assert (answer.status_code, answer.json()["code"]) == (405, "method-not-allowed")


def test_sight_of_a_tree_node_reads_what_stands_below_it_whenever_it_was_made(town):
    late = make_organisation(parent=town.district, name="新学校")
    assert str(late.id) in ids(reader(town.safety), "organisations", kind="school")
    sight = sight_of(make_person(role="inspector", at=late), on=today(timezone.now()))
    assert {each for _, each in sight.pairs} >= {late.id}


def test_shift_over_now_is_filtered_by_its_day(town):
    make_shift(person=town.safety, node=town.district, hours=0.5)
    assert ids(reader(town.safety), "shifts", now="true") == {str(town.officer.shifts.get().id)}
    assert len(ids(reader(town.safety), "shifts", now="false")) == 1

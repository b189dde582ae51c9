"""What is read of visits, findings and cure: by whom, in which order, at what cost."""

import gzip
import json
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from inspections import serializers as shapes
from inspections.models import (
    ENDED,
    Finding,
    FindingKind,
    Grade,
    Inspection,
    InspectionState,
    ItemState,
    PhotoState,
    RectificationItem,
    ShownCopy,
    Statement,
    Task,
)
from inspections.models.rectification import StatementKind
from inspections.reading import COLLECTIONS
from safety.access import sight_of, today
from safety.changes import unit
from safety.ids import new_id
from safety.models import Index
from tests.makers import make_checklist, make_person, make_school, make_site, make_task
from tests.sessions import reader
from tests.statements import statements
from tests.sync.phone import Phone

pytestmark = pytest.mark.django_db


API = "/api/v1"


def visit(town, *, by=None, answers=None, submit=True, site=None, phone=None):
    """A visit told by a phone, submitted unless said otherwise."""
    phone = phone or Phone(by or town.inspector)
    answers = answers or {"ST-11": {"result": {"value": "fail", "place": "冷库"}, "note": ""}}
    said = {"site_id": (site or town.canteen).id, "template_version_id": town.checklist.id}
    doc_id = phone.op("inspections", "create", {**said, "started_at": timezone.now(), "answers": answers})
    if submit:
        snapshot = json.dumps({"answers": answers}, ensure_ascii=False)
        end = {"snapshot": snapshot, "participants": [phone.person.id], "finished_at": timezone.now()}
        phone.op("inspections", "submit", end, doc_id=doc_id)
    assert {one["status"] for one in phone.send()} == {"applied"}
    return Inspection.objects.get(pk=doc_id)


def item_of(town, **more):
    visit(town, **more)
    return RectificationItem.objects.get()


def say(person, collection, **said):
    phone = Phone(person)
    doc_id = phone.op(collection, "create", said)
    assert phone.send()[0]["status"] == "applied"
    return doc_id


def many_visits(town, count):
    phone = Phone(town.inspector)
    return [
        visit(
            town,
            phone=phone,
            answers={"ST-11": {"result": {"value": "fail", "place": f"{n}号冷库"}, "note": ""}},
        )
        for n in range(count)
    ]


def test_choices_of_the_shapes_are_those_of_the_tables():
    pairs = [
        (shapes.GRADES, Grade.choices),
        (shapes.FINDING_KINDS, FindingKind.choices),
        (shapes.ITEM_STATES, ItemState.choices),
        (shapes.INSPECTION_STATES, InspectionState.choices),
        (shapes.TASK_STATES, Task._meta.get_field("state").choices),
        (shapes.PHOTO_STATES, PhotoState.choices),
    ]
    assert [ours for ours, _ in pairs] == [theirs for _, theirs in pairs]


def test_visit_is_read_as_a_phone_pulls_it_with_names_beside(town):
    seen = visit(town)
    answer = reader(town.inspector).get(f"{API}/inspections/{seen.id}").json()
    names = answer.pop("names")
    assert answer == json.loads(seen.wire())
    assert (names["unit_id"], names["participants"]) == (town.school.name, ["督学甲"])


def test_draft_is_unknown_to_the_school_until_it_is_submitted(town):
    draft = visit(town, submit=False)
    submitted = visit(town)
    principal = reader(town.principal)
    assert principal.get(f"{API}/inspections/{draft.id}").status_code == 404
    assert principal.get(f"{API}/inspections/{submitted.id}").status_code == 200
    assert [row["id"] for row in principal.get(f"{API}/inspections").json()["items"]] == [str(submitted.id)]


@pytest.mark.parametrize("who", ["neighbour_principal", "stranger"])
def test_foreign_document_answers_as_an_unknown_id_to_the_byte(town, who):
    item = item_of(town)
    foreign = {
        "inspections": Inspection.objects.get().id,
        "rectifications": item.id,
        "findings": Finding.objects.get().id,
        "notices": say(town.safety, "notices", rectification_id=item.id),
    }
    client = reader(getattr(town, who))
    for collection, doc_id in foreign.items():
        known = client.get(f"{API}/{collection}/{doc_id}")
        unknown = client.get(f"{API}/{collection}/{new_id()}")
        assert (known.status_code, known.content, known.headers) == (404, unknown.content, unknown.headers), collection
        assert client.get(f"{API}/{collection}").json() == {"items": [], "next": None}
        assert reader(town.safety).get(f"{API}/{collection}/{doc_id}").status_code == 200
    history = client.get(f"{API}/rectifications/{item.id}/history")
    assert (history.status_code, history.content) == (
        404,
        client.get(f"{API}/rectifications/{new_id()}/history").content,
    )
    changes = client.get(f"{API}/changes/rectifications/{item.id}")
    assert (changes.status_code, changes.content) == (
        404,
        client.get(f"{API}/changes/rectifications/{new_id()}").content,
    )


def test_every_collection_refuses_a_caller_without_an_account(town):
    client = APIClient()
    for of in COLLECTIONS:
        assert client.get(f"{API}/{of.name}").status_code == 401
        assert client.get(f"{API}/{of.name}/{new_id()}").status_code == 401


def test_restricted_visit_is_read_by_its_named_readers_alone(town):
    ql = make_checklist(audience="restricted", named=(town.inspector,), code="QL1")
    phone = Phone(town.inspector)
    said = {"site_id": town.canteen.id, "template_version_id": ql.id, "started_at": timezone.now()}
    doc_id = phone.op("inspections", "create", said)
    assert phone.send()[0]["status"] == "applied"
    assert reader(town.inspector).get(f"{API}/inspections/{doc_id}").status_code == 200
    assert reader(town.colleague).get(f"{API}/inspections/{doc_id}").status_code == 404
    assert reader(town.safety).get(f"{API}/inspections/{doc_id}").status_code == 404


def test_deleted_document_is_gone_from_the_reading_doors(town):
    task = make_task(site=town.canteen, checklist=town.checklist)
    with unit(actor=None, source="test") as work:
        work.lock({task.unit_id})
        work.say(task, "task.dropped", body=work.body(b"{}"), urgency=None, deleted=True)
    assert reader(town.inspector).get(f"{API}/tasks/{task.id}").status_code == 404


def test_tasks_are_filtered_by_what_is_mine_and_what_is_late(town):
    there = {"site": town.canteen, "checklist": town.checklist}
    mine, late = make_task(assignees=(town.inspector,), **there), make_task(days=-1, **there)
    client = reader(town.inspector)

    def found(query):
        return [row["id"] for row in client.get(f"{API}/tasks?{query}").json()["items"]]

    assert found("mine=true") == [str(mine.id)]
    assert found("mine=false") == [str(late.id)]
    assert found("overdue=true") == [str(late.id)]
    assert found("overdue=false") == [str(mine.id)]
    assert found("") == [str(late.id), str(mine.id)]


def test_items_are_filtered_by_each_parameter_that_the_schema_names(unguarded, town):
    item = item_of(town)
    RectificationItem.objects.filter(pk=item.pk).update(due_on=today(timezone.now()) - timedelta(days=1))
    client = reader(town.safety)
    day = today(timezone.now())
    hits = {
        "unit": town.school.id,
        "site": town.canteen.id,
        "state": "registered",
        "kind": "hazard",
        "grade": "general",
        "item_code": "ST-11",
        "open": "true",
        "overdue": "true",
        "due_by": day,
        "from_on": day,
        "to_on": day,
        "text": "冷藏" if "冷藏" in item.text else item.text[:2],
    }
    misses = {
        "unit": town.neighbour.id,
        "site": new_id(),
        "state": "closed",
        "kind": "issue",
        "grade": "major",
        "item_code": "SS-01",
        "open": "false",
        "overdue": "false",
        "due_by": day - timedelta(days=9),
        "from_on": day + timedelta(days=1),
        "to_on": day - timedelta(days=1),
        "text": "没有这样的字",
    }
    for name in hits:
        assert len(client.get(f"{API}/rectifications", {name: hits[name]}).json()["items"]) == 1, name
        assert client.get(f"{API}/rectifications", {name: misses[name]}).json()["items"] == [], name
    assert set(hits) | {"limit", "after"} == set(shapes.RectificationFilters().fields)
    shown = client.get(f"{API}/rectifications/{item.id}").json()
    assert (shown["overdue"], item.state in ENDED) == (True, False)


def test_findings_are_read_with_their_item_and_filtered_by_visit(town):
    first, second = many_visits(town, 2)
    rows = reader(town.safety).get(f"{API}/findings?inspection={first.id}").json()["items"]
    assert [row["place"] for row in rows] == ["0号冷库"]
    assert rows[0]["names"]["found_by"] == "督学甲"
    assert len(reader(town.safety).get(f"{API}/findings?unit={town.school.id}").json()["items"]) == 2


def test_finding_is_unknown_to_the_school_until_the_notice_of_its_item(town):
    item = item_of(town)
    principal = reader(town.principal)
    assert principal.get(f"{API}/findings").json()["items"] == []
    say(town.safety, "notices", rectification_id=item.id)
    assert [row["rectification_id"] for row in principal.get(f"{API}/findings").json()["items"]] == [str(item.id)]


def test_history_of_an_item_runs_in_order_of_ordinal_and_over_pages(town):
    item = item_of(town)
    say(town.safety, "notices", rectification_id=item.id, text="请整改")
    say(town.principal, "receipts", rectification_id=item.id)
    say(town.principal, "reports", rectification_id=item.id, round=1, text="已修好")
    client = reader(town.principal)
    whole = client.get(f"{API}/rectifications/{item.id}/history").json()
    assert [entry["collection"] for entry in whole["items"]] == ["findings", "notices", "receipts", "reports"]
    assert whole["items"][3]["document"]["text"] == "已修好"
    assert whole["items"][1]["document"]["names"] == {"author_id": "安全科"}
    first = client.get(f"{API}/rectifications/{item.id}/history?limit=3").json()
    rest = client.get(f"{API}/rectifications/{item.id}/history", {"limit": 3, "after": first["next"]}).json()
    assert first["items"] + rest["items"] == whole["items"]
    assert rest["next"] is None


def test_comment_among_the_bureau_is_not_in_the_history_that_the_school_reads(town):
    item = item_of(town)
    say(town.safety, "notices", rectification_id=item.id)
    say(town.safety, "comments", rectification_id=item.id, text="先不告诉学校", audience="bureau")
    say(town.safety, "comments", rectification_id=item.id, text="请尽快", audience="shared")
    texts = [
        entry["document"].get("text")
        for entry in reader(town.principal).get(f"{API}/rectifications/{item.id}/history").json()["items"]
        if entry["collection"] == "comments"
    ]
    assert texts == ["请尽快"]
    assert len(reader(town.principal).get(f"{API}/comments").json()["items"]) == 1
    assert len(reader(town.safety).get(f"{API}/comments").json()["items"]) == 2


def test_statement_is_read_under_its_own_collection_alone(town):
    item = item_of(town)
    notice = say(town.safety, "notices", rectification_id=item.id)
    client = reader(town.safety)
    assert client.get(f"{API}/notices/{notice}").status_code == 200
    for kind in StatementKind.values:
        if kind != "notices":
            assert client.get(f"{API}/{kind}/{notice}").status_code == 404


def test_pages_follow_each_other_without_gap_or_repetition(town):
    seen = [str(one.id) for one in many_visits(town, 5)]
    client = reader(town.safety)
    read, after, pages = [], None, 0
    while True:
        page = client.get(f"{API}/inspections", {"limit": 2} | ({"after": after} if after else {})).json()
        read += [row["id"] for row in page["items"]]
        pages += 1
        after = page["next"]
        if after is None:
            break
    assert (read, pages) == (seen[::-1], 3)


def test_list_costs_the_same_number_of_statements_for_many_rows_as_for_few(town):
    many_visits(town, 2)
    for row in RectificationItem.objects.all():
        say(town.safety, "notices", rectification_id=row.id)
    client = reader(town.safety)
    addresses = [of.name for of in COLLECTIONS] + [f"rectifications/{RectificationItem.objects.first().id}/history"]

    def counts():
        found = {}
        for address in addresses:
            with statements() as asked:
                assert client.get(f"{API}/{address}?limit=200").status_code == 200
            found[address] = len(asked)
        return found

    few = counts()
    many_visits(town, 6)
    for row in RectificationItem.objects.filter(state="registered"):
        say(town.safety, "notices", rectification_id=row.id)
    assert counts() == few
    assert max(few.values()) <= 10


def test_document_costs_one_subquery_whatever_the_size_of_the_tree(town):
    for _ in range(12):
        make_school(district=town.district)
    sight = sight_of(town.safety, on=today(timezone.now()))
    sql = str(Inspection.objects.visible_to(sight).query)
    assert sql.count("EXISTS") == 1 and sql.count("SELECT") == 2


def test_template_text_is_served_by_hash_and_may_be_kept_for_ever(town):
    version = town.checklist
    client = reader(town.principal)
    answer = client.get(f"{API}/ref/templates/{version.sha256}.json")
    assert (answer.status_code, answer.content) == (200, bytes(version.content))
    assert "immutable" in answer["Cache-Control"] and "private" in answer["Cache-Control"]
    again = client.get(f"{API}/ref/templates/{version.sha256}.json", headers={"If-None-Match": answer["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    packed = client.get(f"{API}/ref/templates/{version.sha256}.json", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(packed.content) == bytes(version.content) and packed["ETag"] == answer["ETag"]
    listed = client.get(f"{API}/templates/{version.id}").json()
    assert listed["content"] == f"/api/v1/ref/templates/{version.sha256}.json"


def test_restricted_template_is_read_by_named_readers_alone_and_not_kept(town):
    version = make_checklist(audience="restricted", named=(town.inspector,))
    address = f"{API}/ref/templates/{version.sha256}.json"
    named, other = reader(town.inspector).get(address), reader(town.safety).get(address)
    unknown = reader(town.safety).get(f"{API}/ref/templates/{'0' * 64}.json")
    assert (named.status_code, named["Cache-Control"]) == (200, "private, no-cache")
    assert (other.status_code, other.content) == (404, unknown.content)


def test_current_templates_are_the_newest_published_of_each(unguarded, town):
    older = town.checklist
    newer = make_checklist()
    type(newer).objects.filter(pk=newer.pk).update(template=older.template_id, version=2)
    found = reader(town.inspector).get(f"{API}/templates?current=true").json()["items"]
    assert [row["id"] for row in found] == [str(newer.id)]


def test_photo_is_shown_with_the_addresses_of_its_copies_and_no_original(town):
    seen = visit(town)
    photo = say(
        town.inspector,
        "photos",
        subject_collection="inspections",
        subject_id=seen.id,
        sha256="ab" * 32,
        size_bytes=1000,
        item_code="ST-11",
    )
    ShownCopy.objects.create(photo_id=photo, name="320", sha256="cd" * 32, size_bytes=100)
    shown = reader(town.principal).get(f"{API}/photos?subject={seen.id}").json()["items"]
    assert [row["id"] for row in shown] == [str(photo)]
    assert [copy["href"] for copy in shown[0]["copies"]] == [f"/api/v1/photos/{photo}/320.jpg"]


def test_site_that_serves_two_schools_shows_its_visits_to_both(town):
    bus = make_site(unit=town.school, serves=(town.neighbour,))
    seen = visit(town, site=bus)
    assert Index.objects.filter(collection="inspections", doc_id=seen.id).count() == 2
    assert len(reader(town.safety).get(f"{API}/inspections").json()["items"]) == 1
    assert reader(town.neighbour_principal).get(f"{API}/inspections/{seen.id}").status_code == 200


def test_verb_is_said_at_the_address_at_which_the_collection_is_read(town):
    item = item_of(town)
    client = reader(town.safety)
    created = client.post(f"{API}/notices", {"rectification_id": str(item.id), "text": "请整改"}, format="json")
    assert created.status_code == 201
    assert client.get(f"{API}/notices/{created.json()['id']}").json()["text"] == "请整改"
    assert Statement.objects.get().kind == "notices"


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("patch", "notices"),
        ("delete", "notices"),
        ("put", "notices"),
        ("put", "notices/{id}"),
        ("delete", "unheard_of"),
        ("patch", "alerts/{id}/acknowledge"),
    ],
)
def test_address_without_that_method_says_so(town, method, address):
    answer = getattr(reader(town.safety), method)(f"{API}/{address.format(id=new_id())}", {}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (405, "method-not-allowed")


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("limit=0", 422, "limit"),
        ("limit=201", 422, "limit"),
        ("limit=abc", 422, "limit"),
        ("unit=not-a-uuid", 422, "unit"),
        ("state=nonsense", 422, "state"),
        ("from_on=0001-01-01", 422, "from_on"),
        ("to_on=9999-12-31", 422, "to_on"),
        ("from_on=2026-02-30", 422, "from_on"),
        ("from_on=2026-03-02&to_on=2026-03-01", 422, "to_on"),
        ("after=eyJ4IjoxfQ", 422, "after"),
        ("unit=x&unit=y", 422, "unit"),
        ("colour=red", 400, None),
    ],
)
def test_list_says_which_parameter_it_cannot_use(town, query, status, field):
    answer = reader(town.safety).get(f"{API}/inspections?{query}")
    problem = answer.json()
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")
    if field is None:
        assert problem["code"] == "unknown-parameter" and "colour" in problem["detail"]
    else:
        assert (problem["code"], [error["field"] for error in problem["errors"]]) == ("validation", [field])


def test_cursor_of_another_list_is_refused(town):
    many_visits(town, 2)
    client = reader(town.safety)
    after = client.get(f"{API}/inspections?limit=1").json()["next"]
    assert client.get(f"{API}/rectifications", {"after": after}).status_code == 422


def test_text_with_a_nul_is_refused_and_not_a_fault_of_ours(town):
    assert reader(town.safety).get(f"{API}/rectifications?text=a%00b").status_code == 422


def test_person_whose_post_has_ended_reads_nothing_more(town):
    visit(town)
    former = make_person(role="inspector", at=town.school)
    assert len(reader(former).get(f"{API}/inspections").json()["items"]) == 1
    former.posts.update(to_on=today(timezone.now()) - timedelta(days=1))
    assert reader(former).get(f"{API}/inspections").json()["items"] == []

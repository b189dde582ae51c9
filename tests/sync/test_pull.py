"""Pull through its door: pages, deltas, refusals, and the way from one scope to another (sync.md §1.3, P1–P10)."""

import base64
import hashlib
import logging
from copy import deepcopy
from datetime import timedelta
from threading import Thread
from urllib.parse import urlencode

import msgspec
import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.utils import timezone

from safety import rows
from safety.access import today
from safety.alerts import settle
from safety.changes import SCHEMA, unit
from safety.guard import lifted
from safety.ids import new_id
from safety.models import (
    Alert,
    AlertState,
    Change,
    Clock,
    Delivery,
    Exit,
    Index,
    Person,
    Post,
    ScopeSet,
)
from sync import feed
from sync.cursor import Cursor, decode_cursor, encode_cursor
from sync.pull import Asked, pull
from sync.schemas import ClientTooOld, Schemas
from tests.makers import make_district, make_person, make_school, make_site
from tests.statements import statements
from tests.sync.mirror import CLIENT, URL, Mirror, fresh
from tests.sync.papers import Paper, bureau, move_school, own, say, shared, write

pytestmark = pytest.mark.django_db


@pytest.fixture
def district():
    return make_district(name="甲区教育局")


@pytest.fixture
def school(district):
    return make_school(district=district, name="甲校")


@pytest.fixture
def neighbour(district):
    return make_school(district=district, name="邻校")


@pytest.fixture
def elsewhere():
    return make_district(name="乙区教育局")


@pytest.fixture
def foreign(elsewhere):
    return make_school(district=elsewhere, name="乙校 CANARY")


@pytest.fixture
def officer(district):
    return make_person(role="safety_officer", at=district)


@pytest.fixture
def inspector(school):
    return make_person(role="inspector", at=school)


@pytest.fixture
def principal(school):
    return make_person(role="principal", at=school)


def give_post(person, node):
    Post.objects.create(person=person, role="inspector", node=node, from_on=today(timezone.now()))


def end_post(person):
    Post.objects.filter(person=person).delete()


def opened(mirror) -> Cursor:
    return decode_cursor(mirror.cursor, mirror.device.person_id)


def forged(mirror, **changes) -> str:
    """The mirror's cursor with other values, sealed as if the server had made it."""
    return encode_cursor(msgspec.structs.replace(opened(mirror), **changes), mirror.device.person_id)


def problem_of(response):
    assert response["Content-Type"] == "application/problem+json"
    return msgspec.json.decode(response.content)


# --- the shape of an answer -------------------------------------------------------------------------------------------


def test_answer_has_the_members_of_the_protocol(inspector, school):
    paper = write(shared(school), "甲")
    mirror = Mirror(inspector)
    answer = mirror.page()
    assert list(answer) == [
        "protocol",
        "epoch",
        "cursor",
        "seq",
        "has_more",
        "phase",
        "server_time",
        "durable_seq",
        "changes",
        "digest",
    ]
    assert (answer["protocol"], answer["phase"], answer["has_more"]) == (1, "snapshot", False)
    assert (answer["durable_seq"], answer["digest"]) == (None, None)
    assert (answer["epoch"], answer["seq"]) == tuple(Clock.objects.values_list("epoch", "seq").get())
    entry = next(change for change in answer["changes"] if change["id"] == str(paper.id))
    seq = Index.objects.get(doc_id=paper.id).seq
    doc = {"id": str(paper.id), "rev": 1, "text": "甲", "mark": None}
    assert list(entry.items()) == [
        ("collection", "papers"),
        ("id", str(paper.id)),
        ("op", "put"),
        ("rev", 1),
        ("seq", seq),
        ("doc", doc),
    ]


def test_put_carries_the_bytes_that_were_rendered_when_the_document_was_said(inspector, school):
    paper = write(shared(school), "空格  与 \\u0041 原样")
    mirror = Mirror(inspector)
    mirror.page()
    assert b'"doc":' + bytes(Index.objects.get(doc_id=paper.id).wire) in mirror.bytes


@pytest.mark.parametrize(
    ("query", "status"), [({}, 200), ({"limit": "0"}, 400), ({"cursor": "x"}, 400), ({"token": "no"}, 401)]
)
def test_every_answer_carries_the_headers_of_the_protocol_when_it_is_a_refusal_too(inspector, query, status):
    mirror = Mirror(inspector)
    mirror.token = query.pop("token", mirror.token)
    response = mirror.ask(**query)
    assert response.status_code == status
    assert response["Sync-Protocol"] == "1"
    assert response["Sync-Server-Time"]
    assert response["Cache-Control"] == "no-store"
    assert "json" in response["Content-Type"]


def test_nobody_pulls_without_a_token_and_nothing_is_pushed_in_by_post(inspector):
    assert CLIENT.get(URL).status_code == 401
    mirror = Mirror(inspector)
    response = CLIENT.post(URL, headers={"Authorization": f"Bearer {mirror.token}"})
    assert (response.status_code, response["Sync-Protocol"]) == (405, "1")


# --- the delta --------------------------------------------------------------------------------------------------------


def test_delta_gives_each_document_once_in_its_newest_state_in_order_of_number(inspector, school):
    mirror = Mirror(inspector)
    mirror.sync()
    first, second = write(shared(school), "一"), write(shared(school), "二")
    first.text = "一改"
    say(first)
    first.text = "一再改"
    say(first)
    answer = mirror.page()
    assert answer["phase"] == "delta"
    assert [(change["id"], change["rev"], change["doc"]["text"]) for change in answer["changes"]] == [
        (str(second.id), 1, "二"),
        (str(first.id), 3, "一再改"),
    ]


def test_replayed_page_changes_nothing(inspector, school):
    mirror = Mirror(inspector)
    mirror.sync()
    start = mirror.cursor
    paper, other = write(shared(school)), write(shared(school))
    say(other, deleted=True)
    mirror.page()
    held, answer = dict(mirror.docs), mirror.answers[-1]
    mirror.cursor, mirror.seq = start, 0
    assert mirror.page() == answer | {"server_time": mirror.answers[-1]["server_time"]}
    assert mirror.docs == held and ("papers", str(paper.id)) in held


def test_deleted_document_is_told_with_its_rev_and_never_comes_to_a_new_phone(inspector, school):
    paper = write(shared(school))
    mirror = Mirror(inspector)
    mirror.sync()
    say(paper, deleted=True)
    (change,) = mirror.page()["changes"]
    seq = Clock.objects.get().seq
    assert change == {
        "collection": "papers",
        "id": str(paper.id),
        "op": "del",
        "rev": 2,
        "seq": seq,
        "reason": "deleted",
    }
    assert str(paper.id) not in Mirror(inspector).ask().content.decode()


def test_document_that_comes_back_after_its_deletion_is_put_again(inspector, school):
    paper = write(shared(school))
    mirror = Mirror(inspector)
    mirror.sync()
    say(paper, deleted=True)
    mirror.sync()
    say(paper)
    mirror.sync()
    assert mirror.docs == fresh(inspector) and mirror.ids("papers") == {str(paper.id)}


def test_document_that_leaves_a_pair_of_the_reader_is_told_as_departed(officer, principal, school, neighbour):
    paper = write(shared(school))
    mirror, other = Mirror(principal), Mirror(officer)
    mirror.sync(), other.sync()
    paper.shown_to = shared(neighbour)
    say(paper)
    (change,) = mirror.page()["changes"]
    seq = Clock.objects.get().seq
    assert change == {"collection": "papers", "id": str(paper.id), "op": "del", "seq": seq, "reason": "scope"}
    (moved,) = other.page()["changes"]
    assert (moved["op"], moved["rev"]) == ("put", 2)


def test_document_with_rows_for_five_schools_is_one_entry(officer, district):
    schools = [make_school(district=district) for _ in range(5)]
    mirror = Mirror(officer)
    mirror.sync()
    bus = make_site(unit=schools[0], kind="bus", plate="陕B12345", serves=tuple(schools[1:]))
    assert Index.objects.filter(doc_id=bus.id).count() == 5
    assert [change["id"] for change in mirror.page()["changes"]] == [str(bus.id)]
    snapshot = Mirror(officer).page()
    assert sum(change["id"] == str(bus.id) for change in snapshot["changes"]) == 1


def test_documents_of_the_bureau_and_of_others_never_reach_the_school(principal, officer, school, foreign):
    draft, private, theirs = write(bureau(school), "CANARY"), write(own(officer), "CANARY"), write(shared(foreign))
    mirror = Mirror(principal)
    mirror.sync()
    for paper in (draft, private, theirs):
        say(paper)
    draft.text = ""
    mirror.sync()
    assert not mirror.ids("papers") and b"CANARY" not in mirror.bytes
    draft.shown_to = shared(school)
    say(draft)
    mirror.sync()
    assert mirror.ids("papers") == {str(draft.id)}


def test_idle_pull_gives_the_same_cursor_and_writes_nothing(inspector):
    mirror = Mirror(inspector)
    mirror.sync()
    cursor, number = mirror.cursor, Clock.objects.get().seq
    answer = mirror.page()
    assert (answer["changes"], answer["cursor"], answer["seq"]) == ([], cursor, number)
    assert Clock.objects.get().seq == number


def test_seq_is_at_least_one_on_the_first_day_and_grows_when_the_content_of_the_cursor_changes(school):
    person = make_person()
    with lifted():
        Index.objects.all().delete()
        Clock.objects.update(seq=0)
        Change.objects.all().delete()
    mirror = Mirror(person)
    mirror.sync()
    assert mirror.seq == 1
    seen = {mirror.seq: mirror.cursor}
    for act in (
        lambda: write(shared(school)),
        lambda: give_post(person, school),
        lambda: None,
        lambda: end_post(person),
    ):
        act()
        mirror.sync()
        assert seen.setdefault(mirror.seq, mirror.cursor) == mirror.cursor
    assert len(seen) == 4


def test_first_pull_of_a_day_brings_the_scope_document_again(inspector):
    mirror = Mirror(inspector)
    mirror.sync()
    with time_machine.travel(timezone.now() + timedelta(days=1)):
        answer = mirror.page()
        assert [(change["collection"], change["rev"]) for change in answer["changes"]] == [("scope", 2)]
        assert mirror.page()["changes"] == []


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 7, 1000])
def test_paging_gives_the_same_mirror_at_every_limit(officer, school, neighbour, limit):
    papers = [write(shared(school) if n % 3 else shared(school, neighbour), str(n)) for n in range(25)]
    mirror = Mirror(officer)
    mirror.sync(limits=[limit])
    for paper in papers[::2]:
        paper.shown_to = bureau(neighbour)
        say(paper)
    say(papers[1], deleted=True)
    answers = mirror.sync(limits=[limit])
    assert mirror.docs == fresh(officer)
    assert all(len(answer["changes"]) == limit for answer in answers[:-1])


def test_page_is_filled_across_the_stages_of_a_transition(officer, inspector, school, neighbour):
    for _ in range(4):
        write(shared(school)), write(shared(neighbour))
    mirror = Mirror(inspector)
    mirror.sync()
    Post.objects.filter(person=inspector).update(node=neighbour)
    answers = mirror.sync(limits=[5])
    assert [len(answer["changes"]) for answer in answers[:-1]] == [5] * (len(answers) - 1)
    assert mirror.docs == fresh(inspector)


def test_page_ends_at_the_cap_of_bytes_but_holds_at_least_one_entry(inspector, school):
    mirror = Mirror(inspector)
    mirror.sync()
    for size in (200_000, 200_000, 200_000, 700_000, 10):
        write(shared(school), "x" * size)
    answers = mirror.sync()
    assert [len(answer["changes"]) for answer in answers] == [2, 1, 1, 1]
    assert [answer["has_more"] for answer in answers] == [True, True, True, False]
    assert mirror.docs == fresh(inspector)


def test_statements_of_a_page_are_few_whatever_its_size(officer, school):
    mirror = Mirror(officer)
    mirror.sync()
    start = mirror.cursor
    for _ in range(30):
        say(*[Paper(shared(school)) for _ in range(10)])
    for limit in (1, 300):
        mirror.cursor, mirror.seq = start, 0
        # token, contact, clock, posts, tree, interval, scope document, exits, moved, wires; the snapshot's own words
        with statements(at_most=14):
            assert len(mirror.page(limit=limit)["changes"]) == limit
        mirror.cursor = None
        with statements(at_most=14):
            mirror.page(limit=limit)


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "abc", "1.5", "", "٣", "99999999999"])
def test_limit_outside_the_contract_is_malformed(inspector, limit):
    response = Mirror(inspector).ask(limit=limit)
    assert (response.status_code, problem_of(response)["code"]) == (400, "malformed")


def test_filter_gives_its_collections_alone_and_binds_the_cursor(inspector, school):
    write(shared(school)), write(shared(school), collection="notes")
    mirror = Mirror(inspector, collections="notes,scope")
    mirror.sync()
    assert {collection for collection, _ in mirror.docs} == {"notes", "scope"}
    write(shared(school)), write(shared(school), collection="notes")
    mirror.sync()
    assert len(mirror.ids("notes")) == 2 and mirror.docs == fresh(inspector, collections="scope,notes")
    for other in ("notes", None):
        mirror.collections = other
        response = mirror.ask(cursor=mirror.cursor)
        assert (response.status_code, problem_of(response)["code"]) == (400, "cursor-filter-mismatch")
    mirror.collections = "scope,notes"
    assert mirror.ask(cursor=mirror.cursor).status_code == 200


@pytest.mark.parametrize("collections", ["", "A", "notes,", "notes;drop", "x" * 25])
def test_filter_that_names_no_collections_is_malformed(inspector, collections):
    response = Mirror(inspector, collections=collections).ask()
    assert (response.status_code, problem_of(response)["code"]) == (400, "malformed")


# --- cursors that cannot go on ----------------------------------------------------------------------------------------


def test_cursor_of_an_epoch_that_is_not_known_here_asks_for_the_whole_journal(inspector):
    mirror = Mirror(inspector)
    mirror.sync()
    Clock.objects.update(epoch="e-restored")
    response = mirror.ask(cursor=mirror.cursor)
    problem = problem_of(response)
    assert (response.status_code, problem["code"], problem["action"]) == (410, "epoch-changed", "resnapshot")
    assert problem["replay_after_seq"] == 0


def test_cursor_ahead_of_the_clock_is_refused_and_alarms_the_administrators_once(inspector, district, caplog):
    administrator = make_person(role="administrator", at=district)
    mirrors = [Mirror(inspector), Mirror(inspector)]
    for mirror in mirrors:
        mirror.sync()
        for _ in range(2):
            with caplog.at_level(logging.ERROR):
                response = mirror.ask(cursor=forged(mirror, seq=Clock.objects.get().seq + 1))
            problem = problem_of(response)
            assert (response.status_code, problem["code"], problem["action"]) == (409, "cursor-ahead", "resnapshot")
            assert problem["replay_after_seq"] == 0
    assert caplog.text.count("pull.cursor_ahead") == 4
    (alert,) = Alert.objects.all()
    assert (alert.node_id, alert.severity, alert.escalate_at) == (district.id, "system", None)
    assert "restored" in alert.sentence
    assert [owed.person_id for owed in Delivery.objects.all()] == [administrator.id]


def test_alarm_that_was_put_aside_is_raised_again_after_an_hour(inspector, district):
    make_person(role="administrator", at=district)
    mirror = Mirror(inspector)
    mirror.sync()
    ahead = forged(mirror, seq=opened(mirror).seq + 10**6)
    mirror.ask(cursor=ahead)
    with unit(actor=None, source="test") as work:
        alert = Alert.objects.get()
        work.lock({alert.organisation_id})
        settle(alert, AlertState.RESOLVED)
        work.say(alert, "alert.resolved", body=work.body(b"{}"), urgency=None)
    assert mirror.ask(cursor=ahead).status_code == 409
    assert Alert.objects.count() == 1
    with time_machine.travel(timezone.now() + timedelta(minutes=61)):
        assert mirror.ask(cursor=ahead).status_code == 409
    assert Alert.objects.count() == 2


def test_cursor_whose_scope_is_no_longer_kept_asks_for_a_snapshot(inspector):
    mirror = Mirror(inspector)
    mirror.sync()
    end_post(inspector)
    ScopeSet.objects.all().delete()
    response = mirror.ask(cursor=mirror.cursor)
    assert (response.status_code, problem_of(response)["code"]) == (410, "cursor-expired")
    mirror.cursor, mirror.docs, mirror.seq = None, {}, 0
    mirror.sync()


def test_cursor_of_another_person_asks_for_a_snapshot(inspector, principal):
    mirror, other = Mirror(inspector), Mirror(principal)
    mirror.sync()
    response = other.ask(cursor=mirror.cursor)
    assert (response.status_code, problem_of(response)["code"]) == (410, "cursor-expired")


def test_cursor_that_was_changed_on_the_way_gives_nothing(inspector, school):
    mirror = Mirror(inspector)
    mirror.sync()
    sealed = bytearray(base64.urlsafe_b64decode(mirror.cursor + "=="))
    at = sealed.index(b'"s":') + 4
    sealed[at : at + 1] = b"9"
    response = mirror.ask(cursor=base64.urlsafe_b64encode(bytes(sealed)).decode().rstrip("="))
    assert (response.status_code, problem_of(response)["code"]) == (410, "cursor-expired")


# --- the digest -------------------------------------------------------------------------------------------------------


def test_digest_comes_with_the_last_page_and_agrees_with_a_sound_mirror(officer, school, neighbour):
    papers = [write(shared(school) if n % 3 else shared(school, neighbour) | bureau(neighbour)) for n in range(9)]
    mirror = Mirror(officer)
    mirror.sync()
    say(papers[0]), say(papers[1], deleted=True)
    first = msgspec.json.decode(mirror.ask(cursor=mirror.cursor, limit=1, digest=1).content)
    assert (first["has_more"], first["digest"]) == (True, None)
    assert mirror.digest() != mirror.servers_digest()
    mirror.sync()
    told = mirror.servers_digest()
    assert told == mirror.digest() == Mirror(officer).servers_digest(limit=1000)
    assert told["papers"]["count"] == 8 and all(0 <= of["sum"] < 2**53 for of in told.values())
    assert mirror.page()["digest"] is None


def test_digest_of_one_document_is_thirteen_hex_digits_of_a_hash(inspector, school):
    paper = write(shared(school))
    first = hashlib.sha256(f"{paper.id}|1".encode()).hexdigest()[:13]
    assert Mirror(inspector, collections="papers").servers_digest() == {"papers": {"count": 1, "sum": int(first, 16)}}
    # the example of docs/pull.md
    assert feed.hash_of("01936f60-0000-7000-8000-0000000000a1", 4) == 1289028742535158


def damage_revision(docs, key):
    docs[key] = docs[key] | {"rev": docs[key]["rev"] + 1}


def damage_lost(docs, key):
    del docs[key]


def damage_foreign(docs, key):
    docs["papers", str(new_id())] = docs[key]


def damage_swapped(docs, key):
    docs["papers", str(new_id())] = docs.pop(key)


@pytest.mark.parametrize("damage", [damage_revision, damage_lost, damage_foreign, damage_swapped])
def test_digest_shows_that_a_mirror_is_not_what_it_should_be(inspector, school, damage):
    papers = [write(shared(school)) for _ in range(3)]
    mirror = Mirror(inspector)
    mirror.sync()
    damage(mirror.docs, ("papers", str(papers[1].id)))
    ours, theirs = mirror.digest(), mirror.servers_digest()
    assert {collection for collection in ours | theirs if ours.get(collection) != theirs.get(collection)} == {"papers"}


def test_digest_is_of_the_collections_asked_for_and_of_this_reader_alone(inspector, principal, school, foreign):
    write(shared(school)), write(bureau(school)), write(shared(foreign)), write(shared(school), collection="notes")
    for person, papers in ((inspector, 2), (principal, 1)):
        mirror = Mirror(person, collections="papers,scope")
        mirror.sync()
        told = mirror.servers_digest()
        assert told == mirror.digest() and told["papers"]["count"] == papers and set(told) == {"papers", "scope"}
    assert Mirror(inspector, collections="nothing").servers_digest() == {}


def test_digest_loads_no_document_and_takes_one_statement(officer, school):
    say(*[Paper(shared(school), text="x" * 1000) for _ in range(50)])
    mirror = Mirror(officer)
    mirror.sync()
    with statements() as plain:
        mirror.ask(cursor=mirror.cursor)
    with statements() as counted:
        mirror.ask(cursor=mirror.cursor, digest=1)
    assert len(counted) == len(plain) + 1
    (asked,) = [each for each in counted if "DISTINCT i.collection" in each]
    assert "wire" not in asked


@pytest.mark.parametrize("digest", ["2", "yes", ""])
def test_digest_that_is_not_one_is_malformed(inspector, digest):
    assert Mirror(inspector).ask(digest=digest).status_code == 400


# --- schemas ----------------------------------------------------------------------------------------------------------


def test_mirror_in_another_schema_gets_everything_again_without_an_error(inspector, school):
    write(shared(school))
    mirror = Mirror(inspector)
    mirror.sync()
    before = deepcopy(mirror.docs)
    for doc in mirror.docs.values():
        doc["text"] = "as the older schema had it"
    mirror.cursor, seq = forged(mirror, schema=2), mirror.seq
    answers = mirror.sync(limits=[2])
    assert answers[0]["phase"] == "transition"
    assert {key: doc for key, doc in mirror.docs.items() if key[0] != "scope"} == {
        key: doc for key, doc in before.items() if key[0] != "scope"
    }
    assert mirror.seq > seq, "the content of the cursor changed, so its number grew"
    assert opened(mirror).schema == SCHEMA and mirror.page()["changes"] == []


def test_refused_cursor_of_another_schema_moves_nothing(inspector, school):
    mirror = Mirror(inspector, collections="papers")
    mirror.sync()
    number = Clock.objects.get().seq
    cursor, mirror.collections = forged(mirror, schema=2), None
    assert mirror.ask(cursor=cursor).status_code == 400
    assert Clock.objects.get().seq == number


ARTIFICIAL = Schemas(
    4,
    {
        3: {"papers": lambda doc: {name: value for name, value in doc.items() if name != "mark"}},
        2: {"papers": lambda doc: doc | {"text": [doc["text"]]}},
        1: {"papers": lambda doc: doc | {"never": True}},
    },
)


def pulled(mirror, *, schema, cursor=None):
    asked = Asked(now=timezone.now(), limit=1000, schema=schema)
    start = decode_cursor(cursor, mirror.device.person_id) if cursor else None
    return msgspec.json.decode(pull(mirror.device.person_id, cursor=start, asked=asked, schemas=ARTIFICIAL))


def paper_in(answer):
    return next(change["doc"] for change in answer["changes"] if change["collection"] == "papers")


def test_client_is_served_in_the_schema_that_it_knows_and_again_when_it_was_updated(inspector, school):
    paper = write(shared(school), "甲")
    with lifted():
        Index.objects.update(schema=4)
    mirror, whole = Mirror(inspector), {"id": str(paper.id), "rev": 1, "text": "甲", "mark": None}
    old = pulled(mirror, schema=2)
    assert paper_in(old) == {"id": str(paper.id), "rev": 1, "text": ["甲"]}
    assert pulled(mirror, schema=2, cursor=old["cursor"])["changes"] == []
    newer = pulled(mirror, schema=3, cursor=old["cursor"])
    assert (newer["phase"], paper_in(newer)) == ("transition", {"id": str(paper.id), "rev": 1, "text": "甲"})
    newest = pulled(mirror, schema=9, cursor=newer["cursor"])
    assert (newest["phase"], paper_in(newest)) == ("transition", whole)
    assert pulled(mirror, schema=None, cursor=newest["cursor"])["changes"] == []
    with pytest.raises(ClientTooOld):
        pulled(mirror, schema=1)


def test_document_that_was_not_rendered_anew_yet_goes_out_as_it_is(inspector, school):
    write(shared(school), "甲")
    with lifted():
        Index.objects.filter(collection="papers").update(schema=2)
    assert paper_in(pulled(Mirror(inspector), schema=2))["text"] == "甲"


def test_steps_down_are_pure_and_touch_no_byte_where_nothing_differs():
    wire = b'{"id": "1",  "text": "a", "mark": 1}'
    assert ARTIFICIAL.cast("papers", wire, rendered=4, to=4) is wire
    assert ARTIFICIAL.cast("notes", wire, rendered=4, to=2) is wire
    assert msgspec.json.decode(ARTIFICIAL.cast("papers", wire, rendered=4, to=2)) == {"id": "1", "text": ["a"]}
    assert [ARTIFICIAL.served(known) for known in (2, 3, 4, 5, None)] == [2, 3, 4, 4, 4]
    assert [Schemas(1).served(known) for known in (1, 2, None)] == [1, 1, 1]
    for known in (0, 1):
        with pytest.raises(ClientTooOld):
            ARTIFICIAL.served(known)


# --- from one scope to another ----------------------------------------------------------------------------------------


def test_school_that_moves_to_another_district_goes_from_one_officer_and_comes_to_the_other(
    officer, elsewhere, foreign, school
):
    paper, draft = write(shared(school), "甲"), write(bureau(school), "乙")
    receiver = make_person(role="safety_officer", at=elsewhere)
    loser, gainer = Mirror(officer), Mirror(receiver)
    loser.sync(), gainer.sync()
    move_school(school, elsewhere)
    gone = [change for answer in loser.sync(limits=[2]) for change in answer["changes"] if change["op"] == "del"]
    assert {str(paper.id), str(draft.id), str(school.id)} <= {change["id"] for change in gone}
    assert all(change["reason"] == "scope" and "doc" not in change for change in gone)
    gainer.sync(limits=[2])
    assert gainer.ids("papers") == {str(paper.id), str(draft.id)}
    assert loser.docs == fresh(officer) and gainer.docs == fresh(receiver)
    say(paper)
    assert loser.page()["changes"] == []
    assert [change["rev"] for change in gainer.page()["changes"]] == [2]


def test_inspector_keeps_nothing_of_the_school_when_the_post_ends_at_midnight(inspector, school):
    papers = [write(shared(school)) for _ in range(3)]
    last_day = today(timezone.now())
    Post.objects.filter(person=inspector).update(to_on=last_day)
    mirror = Mirror(inspector)
    mirror.sync()
    assert len(mirror.ids("papers")) == 3
    midnight = timezone.now() + timedelta(days=1)
    with time_machine.travel(midnight):
        answers = mirror.sync(limits=[2])
        assert answers[0]["phase"] == "transition"
        assert not mirror.ids("papers") and mirror.docs == fresh(inspector)
        say(papers[0])
        assert mirror.page()["changes"] == []


def test_regained_access_brings_everything_back_and_what_changed_meanwhile(inspector, school):
    kept, edited, dropped = (write(shared(school)) for _ in range(3))
    mirror = Mirror(inspector)
    mirror.sync()
    end_post(inspector)
    mirror.sync()
    assert not mirror.ids("papers")
    edited.text = "改"
    say(edited)
    say(dropped, deleted=True)
    new = write(shared(school))
    give_post(inspector, school)
    mirror.sync(limits=[1])
    assert mirror.ids("papers") == {str(paper.id) for paper in (kept, edited, new)}
    assert mirror.docs == fresh(inspector)


def test_two_phones_of_one_person_end_equal_however_late_each_of_them_comes(inspector, officer, school, neighbour):
    papers = [write(shared(school)) for _ in range(4)]
    early, late = Mirror(inspector), Mirror(inspector)
    early.sync(), late.sync()
    Post.objects.filter(person=inspector).update(node=neighbour)
    early.sync(limits=[1])
    papers[0].shown_to = shared(neighbour)
    say(papers[0])
    write(shared(neighbour))
    early.sync()
    late.sync(limits=[1])
    assert early.docs == late.docs == fresh(inspector)


def test_ids_made_after_the_loss_of_access_are_not_told(inspector, school):
    before = write(shared(school))
    mirror = Mirror(inspector)
    mirror.sync()
    end_post(inspector)
    after, moved = write(shared(school)), write(shared(school))
    moved.shown_to = set()
    say(moved)
    mirror.bytes = b""
    mirror.sync()
    assert str(before.id).encode() in mirror.bytes
    assert str(after.id).encode() not in mirror.bytes and str(moved.id).encode() not in mirror.bytes


def test_exits_from_before_a_scope_was_given_are_not_told(inspector, school, neighbour):
    paper = write(shared(neighbour))
    mirror = Mirror(inspector)
    mirror.sync()
    paper.shown_to = set()
    say(paper)
    give_post(inspector, neighbour)
    mirror.bytes = b""
    mirror.sync(limits=[1])
    assert str(paper.id).encode() not in mirror.bytes


def test_document_that_another_row_still_shows_is_not_removed(inspector, school, neighbour):
    give_post(inspector, neighbour)
    both, mine = write(shared(school, neighbour)), write(shared(school) | own(inspector))
    mirror = Mirror(inspector)
    mirror.sync()
    Post.objects.filter(person=inspector, node=school).delete()
    answers = mirror.sync()
    removed = {change["id"] for answer in answers for change in answer["changes"] if change["op"] == "del"}
    assert not removed & {str(both.id), str(mine.id)}
    assert mirror.ids("papers") == {str(both.id), str(mine.id)}


def test_document_that_left_during_the_absence_is_removed_with_the_scope(officer, elsewhere, foreign, school):
    paper, other = write(shared(school)), write(shared(school))
    mirror = Mirror(officer)
    mirror.sync()
    paper.shown_to = shared(foreign)
    say(paper)
    move_school(school, elsewhere)
    mirror.sync(limits=[1])
    assert not mirror.ids("papers") and mirror.docs == fresh(officer)
    assert other


def test_change_in_an_added_pair_during_the_paging_is_not_missed(inspector, school, neighbour):
    papers = [write(shared(neighbour), str(n)) for n in range(6)]
    mirror = Mirror(inspector)
    mirror.sync()
    give_post(inspector, neighbour)
    mirror.page(limit=3)
    papers[0].text = "已过的又改"
    papers[5].shown_to = set()
    say(papers[0], papers[5])
    say(papers[4], deleted=True)
    mirror.sync(limits=[1])
    assert mirror.docs == fresh(inspector) and len(mirror.ids("papers")) == 4


def test_transition_begins_anew_when_the_scope_changes_half_way(inspector, school, neighbour, district):
    third = make_school(district=district)
    for n in range(5):
        write(shared(school), str(n)), write(shared(neighbour), str(n)), write(shared(third), str(n))
    mirror = Mirror(inspector)
    mirror.sync()
    for node in (neighbour, third, neighbour, school, third):
        Post.objects.filter(person=inspector).update(node=node)
        for limit in (3, 4, 3):
            assert mirror.page(limit=limit)["has_more"]
    mirror.sync(limits=[2])
    assert mirror.docs == fresh(inspector) and len(mirror.ids("papers")) == 5


def test_document_that_left_a_gained_pair_during_the_paging_is_removed(inspector, school, neighbour):
    moving, *others = [write(shared(school)) for _ in range(3)]
    mirror = Mirror(inspector)
    mirror.sync()
    Post.objects.filter(person=inspector).update(node=neighbour)
    moving.shown_to = shared(neighbour)
    say(moving)  # its exit is passed over: the neighbour's row shows it
    say(*others)
    while mirror.ids("papers") == {str(paper.id) for paper in (moving, *others)}:
        mirror.page(limit=1)
    moving.shown_to = set()
    say(moving)
    mirror.sync(limits=[1])
    assert mirror.docs == fresh(inspector) and not mirror.ids("papers")


def test_first_snapshot_that_is_given_up_half_way_leaves_nothing_of_it(inspector, school):
    for n in range(5):
        write(shared(school), str(n))
    mirror = Mirror(inspector)
    while not mirror.ids("papers"):
        mirror.page(limit=1)
    end_post(inspector)
    answers = mirror.sync(limits=[1])
    assert answers[0]["phase"] == "snapshot"
    assert not mirror.ids("papers") and mirror.docs == fresh(inspector)


# --- one read snapshot, by the indexes --------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_page_is_of_one_moment_when_a_writer_commits_in_the_middle_of_it():
    district = make_district()
    school, neighbour = make_school(district=district), make_school(district=district)
    paper = write(shared(school), "旧")
    mirror = Mirror(make_person(role="principal", at=school))
    mirror.sync()
    paper.text = "中"
    say(paper)
    writers = []

    def move_away():
        paper.text, paper.shown_to = "CANARY", shared(neighbour)
        try:
            say(paper)
        finally:
            connection.close()

    def interrupt(execute, sql, params, many, context):
        if "safety_index i" in sql and not writers:
            writers.append(Thread(target=move_away))
            writers[0].start()
            writers[0].join()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(interrupt):
        (change,) = mirror.page()["changes"]
    assert writers and (change["op"], change["doc"]["text"]) == ("put", "中")
    (change,) = mirror.page()["changes"]
    assert (change["op"], change["reason"]) == ("del", "scope")
    assert b"CANARY" not in mirror.bytes


def fill_index(schools, *, count):
    now = timezone.now()
    first = Clock.objects.get().seq + 1
    papers = [Paper(shared(schools[n % len(schools)]), rev=1) for n in range(count)]
    index, changes = [], []
    for seq, paper in enumerate(papers, start=first):
        ((audience, key),) = paper.shown_to
        index.append((paper.collection, paper.id, audience, key, seq, seq, 1, False, 1, paper.wire()))
        changes.append((seq, "papers", paper.id, "paper.said", None, None, None, now, now, *[None] * 6))
    left = [
        Exit(seq=row[4], collection="papers", doc_id=row[1], audience="bureau", key=schools[n % len(schools)].id)
        for n, row in enumerate(index)
    ]
    with lifted():
        rows.insert(Index, index)
        rows.insert(Change, changes)
        Exit.objects.bulk_create(left[::3])
    Clock.objects.update(seq=first + count - 1)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def plans_of(act) -> str:
    """The plans of all the feed's statements that an act sends."""
    plans = []
    words = "EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN "

    def explain(execute, sql, params, many, context):
        if ("safety_index" in sql or "safety_exit" in sql) and sql.lstrip().startswith(("SELECT", "WITH")):
            asked = execute(words + sql, params, many, context)
            plan = asked if isinstance(asked, list) else context["cursor"].fetchall()
            plans.append("\n".join(" ".join(map(str, row)) for row in plan))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        act()
    return "\n".join(plans)


def test_walks_go_by_the_readers_index_when_there_are_many_documents(district):
    schools = [make_school(district=district) for _ in range(40)]
    for school in schools:
        say(*[Paper(shared(school) | bureau(school)) for _ in range(2)])
    fill_index(schools, count=12_000)
    mirror = Mirror(make_person(role="safety_officer", at=district))
    plans = plans_of(mirror.page)
    plans += plans_of(mirror.page)
    mirror.sync()
    mirror.cursor, mirror.seq = forged(mirror, seq=1_000), 1_000
    plans += plans_of(mirror.page)
    mirror.sync()
    Post.objects.filter(person=mirror.device.person_id).update(node=schools[0])
    plans += plans_of(mirror.page)
    assert "index_of_reader" in plans and "exit_of_reader" in plans
    assert ("Tid Scan on safety_index" if connection.vendor == "postgresql" else "PRIMARY KEY (rowid=?)") in plans
    scans = [f"Seq Scan on safety_{table} " for table in ("index", "exit", "change")]
    for whole_table in (*scans, "SCAN i", "SCAN k", "SCAN c", "SCAN safety_"):
        assert whole_table not in plans


def test_walk_gives_all_rows_in_order_whatever_the_sizes_of_its_steps(district):
    schools = [make_school(district=district) for _ in range(5)]
    for n in range(200):
        write(shared(schools[0]) if n % 10 else shared(*schools), str(n))
    pairs = [pair for school in schools for pair in shared(school)]
    upto = Clock.objects.get().seq
    everything = feed.moved(pairs, after=0, upto=upto, limit=1000, room=10**6).rows
    assert [row.seq for row in everything] == sorted({row.seq for row in everything})
    assert len(everything) == len({row.id for row in everything}) >= 200
    for limit in (1, 3, 50, 199):
        some = feed.moved(pairs, after=0, upto=upto, limit=limit, room=10**6)
        assert some.cut and [(row.seq, row.id) for row in some.rows] == [
            (row.seq, row.id) for row in everything[:limit]
        ]


def test_person_who_is_signed_in_at_a_desk_is_told_to_use_a_phone(inspector):
    desk = Client()
    desk.force_login(Person.objects.get(pk=inspector.pk), backend="safety.access.PostBackend")
    response = desk.get(f"{URL}?{urlencode({'limit': 1})}")
    assert (response.status_code, response["Sync-Protocol"]) == (403, "1")

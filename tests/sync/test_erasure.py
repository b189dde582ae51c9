"""What is erased is nowhere any more: not in a table, not in what a phone is given; and the chain still verifies.

Each saying below carries a word that stands nowhere else. It is told through a phone, erased by the number of its
change, and then every column of every table is searched for it.
"""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from inspections.models import Conflict, Finding, Inspection, QuickHazard, RectificationItem, Statement, Submission
from safety.chains import log_faults, verify_chain
from safety.ids import new_id
from safety.models import Alert, Body, Change, Delivery, Index
from sync.jobs import drain_deferred
from sync.models import Operation, Review, SetAside, Verdict, Waiting
from sync.set_aside import report_set_aside
from tests.history import answer, heard, make_history, start, submit
from tests.sync.mirror import Mirror, fresh
from tests.sync.phone import Phone

pytestmark = pytest.mark.django_db

WORD = "张三同学CANARY住院"
PLACE = "CANARY宿舍三零二"


def where_it_stands():
    """Table and column of each value that holds the word, in whatever type."""
    found = set()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                found |= {f"{table}.{name}" for name, value in zip(names, row, strict=True) if b"CANARY" in raw(value)}
    return found


def raw(value):
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


def erase(town, *, change=None, operation=None, by=None, reason="当事人要求"):
    said = StringIO()
    named = {"change": change} if change is not None else {"operation": operation}
    call_command("erase", by=(by or town.administrator).username, reason=reason, stdout=said, **named)
    return said.getvalue()


def change_of(op_id):
    return Change.objects.filter(operation_id=op_id).order_by("seq").first().seq


def holds(town):
    return (verify_chain(town.school.id).first_bad, log_faults()) == (None, [])


def fail(**more):
    return answer("fail", note=WORD, place=PLACE, reason=WORD, responsible=WORD, **more)


# What may be said, one function a kind: it says the word and gives the operation that said it.


def last_op(phone):
    return phone.outbox[-1]["op_id"]


def say_in_a_patch(town, code="ST-21"):
    phone = Phone(town.inspector)
    visit = start(phone, town, participants=[town.colleague.id])
    heard(phone)
    phone.op("inspections", "patch", {"answers": {code: fail()}, "header": {"summary": WORD}}, doc_id=visit, base_rev=1)
    said = last_op(phone)
    heard(phone)
    return phone, visit, said


def patch(town):
    return say_in_a_patch(town)[2]


def patch_of_an_incident(town):
    return say_in_a_patch(town, "WS-04")[2]


def words_on_an_incident_that_is_none(town):
    phone, visit, _ = plain_visit(town)
    phone.op("inspections", "patch", {"answers": {"WS-04": answer("ok", note=WORD, reason=WORD)}}, doc_id=visit)
    said = last_op(phone)
    heard(phone)
    assert Submission.objects.get().kind == "withheld"
    return said


def words_on_an_incident_that_is_open(town):
    phone, visit, _ = plain_visit(town)
    phone.op("inspections", "patch", {"answers": {"WS-04": answer("fail")}}, doc_id=visit)
    heard(phone)
    phone.op("inspections", "patch", {"answers": {"WS-04": {"note": WORD}}}, doc_id=visit)
    said = last_op(phone)
    heard(phone)
    assert Statement.objects.get().kind == "comments"
    return said


def patch_that_was_submitted_and_cured(town):
    phone, visit, said = say_in_a_patch(town)
    submit(phone, visit, {"ST-21": fail()}, participants=[town.inspector.id])
    heard(phone)
    office = Phone(town.safety)
    office.op("notices", "create", {"rectification_id": RectificationItem.objects.get().id})
    heard(office)
    return said


def patch_beside_a_colleague(town):
    phone, visit, said = say_in_a_patch(town)
    colleague = Phone(town.colleague)
    colleague.op("inspections", "patch", {"answers": {"ST-21": answer("ok", note="看过")}}, doc_id=visit, base_rev=1)
    heard(colleague)
    assert Conflict.objects.count() == 2
    return said


def patch_that_a_colleague_submits_again(town):
    phone, visit, said = say_in_a_patch(town)
    colleague = Phone(town.colleague)
    submit(phone, visit, {"ST-21": fail()}, participants=[town.inspector.id])
    submit(colleague, visit, {"ST-21": fail(), "ST-11": answer("ok")}, participants=[town.colleague.id])
    heard(phone), colleague.send()
    assert Submission.objects.get().kind == "alternative"
    return said


def submission_of_everything(town):
    phone = Phone(town.inspector)
    visit = start(phone, town)
    submit(phone, visit, {"ST-21": fail(), "ST-11": fail()}, participants=[town.inspector.id])
    said = last_op(phone)
    heard(phone)
    return said


def amendment(town):
    phone, visit, _ = plain_visit(town)
    submit(phone, visit, {}, participants=[town.inspector.id])
    content = {"inspection_id": visit, "kind": "amendment", "content": json.dumps({"note": WORD}), "reason": WORD}
    phone.op("submissions", "create", content)
    said = last_op(phone)
    heard(phone)
    return said


def late_patch(town):
    phone, visit, _ = plain_visit(town)
    submit(phone, visit, {"ST-11": answer("ok")}, participants=[town.inspector.id])
    phone.op("inspections", "patch", {"answers": {"ST-11": fail()}}, doc_id=visit)
    said = last_op(phone)
    phone.send()
    return said


def plain_visit(town):
    phone = Phone(town.inspector)
    visit = start(phone, town)
    said = last_op(phone)
    heard(phone)
    return phone, visit, said


def void_visit(town):
    phone, visit, _ = plain_visit(town)
    phone.op("inspections", "patch", {"answers": {"ST-21": answer("fail", place="灶间")}}, doc_id=visit)
    heard(phone)
    phone.op("inspections", "void", {"cause": "other", "reason": WORD}, doc_id=visit)
    said = last_op(phone)
    heard(phone)
    assert Statement.objects.get().kind == "withdrawals"
    return said


def quick_hazard(town, kind="hazard"):
    phone = Phone(town.inspector)
    told = {"site_id": town.canteen.id, "text": WORD, "place": PLACE, "grade": "major_candidate", "kind": kind}
    phone.op("quick_hazards", "create", told)
    said = last_op(phone)
    heard(phone)
    return said


def quick_incident(town):
    return quick_hazard(town, kind="incident")


def signature(town):
    phone, visit, _ = plain_visit(town)
    content = {"inspection_id": visit, "capacity": "inspector", "text": WORD, "signer": WORD, "witness": WORD}
    phone.op("signatures", "create", content)
    said = last_op(phone)
    heard(phone)
    return said


def comment(town):
    phone, visit, _ = plain_visit(town)
    phone.op("comments", "create", {"inspection_id": visit, "text": WORD})
    said = last_op(phone)
    heard(phone)
    return said


def about_an_item(who, collection, **content):
    """One thing said about the open item of the canteen."""

    def say(town):
        phone, visit, _ = plain_visit(town)
        answers = {"ST-11": answer("fail", place="冷库")}
        submit(phone, visit, answers, participants=[town.inspector.id])
        heard(phone)
        item = RectificationItem.objects.get()
        speaker = Phone(getattr(town, who))
        office = Phone(town.safety)
        if collection != "notices":
            office.op("notices", "create", {"rectification_id": item.id})
            heard(office)
        item.refresh_from_db()
        judged = {"round": 1, "evidence_hash": item.evidence_hash} if collection == "revisits" else {}
        speaker.op(collection, "create", {"rectification_id": item.id, **judged, **content})
        said = last_op(speaker)
        heard(speaker)
        return said

    say.__name__ = collection
    return say


def receipt_of_an_alert(town):
    quick = Phone(town.inspector)
    quick.op("quick_hazards", "create", {"site_id": town.canteen.id, "text": "漏气", "grade": "major_candidate"})
    heard(quick)
    desk = Phone(town.officer)
    desk.op("alerts", "resolve", {"reason": WORD}, doc_id=Alert.objects.get().id)
    said = last_op(desk)
    heard(desk)
    return said


UNTIL = str((timezone.now() + timedelta(days=40)).date())
SAYINGS = [
    patch,
    patch_of_an_incident,
    words_on_an_incident_that_is_none,
    words_on_an_incident_that_is_open,
    patch_that_was_submitted_and_cured,
    patch_beside_a_colleague,
    patch_that_a_colleague_submits_again,
    submission_of_everything,
    amendment,
    late_patch,
    void_visit,
    quick_hazard,
    quick_incident,
    signature,
    comment,
    receipt_of_an_alert,
    about_an_item("safety", "notices", text=WORD, measures=WORD),
    about_an_item("principal", "receipts", text=WORD),
    about_an_item(
        "principal",
        "reports",
        round=1,
        text=WORD,
        partial=True,
        cause="other_party",
        other_party=PLACE,
        person=PLACE,
        plan=WORD,
        prevention=WORD,
    ),
    about_an_item("inspector", "revisits", passed=False, reason=WORD),
    about_an_item("principal", "extensions", until=UNTIL, reason=WORD, measures=WORD),
    about_an_item("approver", "judgements", grade="general", clauses=[PLACE], reason=WORD),
    about_an_item("inspector", "withdrawals", reason=WORD),
    about_an_item("safety", "transfers", departments=[PLACE], text=WORD),
    about_an_item("principal", "comments", text=WORD),
    about_an_item("principal", "signatures", capacity="unit", opinion="refused", text=WORD, witness=WORD),
]


@pytest.mark.parametrize("say", SAYINGS, ids=lambda say: say.__name__)
def test_word_is_nowhere_once_it_is_erased_and_the_chain_still_verifies(town, say):
    said = say(town)
    assert {"safety_body.bytes"} <= where_it_stands()
    erase(town, change=change_of(said))
    assert where_it_stands() == set()
    assert holds(town)


def test_effects_stay_when_the_words_go(town):
    told = make_history(town, word=WORD)
    item_before = RectificationItem.objects.get()
    op_id = Change.objects.get(kind="inspection.patched", doc_id=told.visit, actor_id=town.inspector.id).operation_id
    erase(town, change=change_of(op_id))
    assert where_it_stands() == set()
    item, visit = RectificationItem.objects.get(), Inspection.objects.get()
    assert (item.state, item.grade, item.round) == (item_before.state, item_before.grade, item_before.round)
    assert item.evidence_hash == item_before.evidence_hash
    assert visit.answers["ST-21"]["result"]["value"] == "fail" and "已删除" in visit.answers["ST-21"]["note"]
    assert (visit.answers["ST-11"]["note"], visit.state) == ("4 度", "submitted")
    assert Statement.objects.get(pk=told.report).content["text"] == "已换减压阀"
    assert (Alert.objects.get().state, Alert.objects.get().sentence.startswith("甲校")) == ("acknowledged", True)


def test_pull_of_a_phone_that_held_the_words_takes_them_away(town):
    said = patch_that_was_submitted_and_cured(town)
    mirrors = [Mirror(person) for person in (town.inspector, town.safety, town.principal, town.officer)]
    for mirror in mirrors:
        mirror.sync()
    assert all("CANARY" in str(mirror.docs) for mirror in mirrors)
    erase(town, change=change_of(said))
    for mirror in mirrors:
        mirror.sync()
    assert not any("CANARY" in str(mirror.docs) for mirror in mirrors)
    new_phone = str(fresh(town.inspector))
    assert "CANARY" not in new_phone and "已删除" in new_phone


def test_phones_are_given_every_document_that_was_erased_with_a_new_revision(town):
    patch_that_was_submitted_and_cured(town)
    holding = {
        (row.collection, row.doc_id): (row.rev, row.seq)
        for row in Index.objects.all()
        if "CANARY" in bytes(row.wire).decode()
    }
    assert {collection for collection, _ in holding} == {"inspections", "rectifications", "alerts_mine"}
    erase(town, change=Change.objects.get(kind="inspection.patched").seq)
    for (collection, doc_id), (rev, seq) in holding.items():
        row = Index.objects.filter(collection=collection, doc_id=doc_id).first()
        assert (row.rev > rev, row.seq > seq) == (True, True)
    kinds = set(Change.objects.values_list("kind", flat=True))
    assert {"inspection.erased", "rectification.erased", "alert.erased", "delivery.erased"} <= kinds


def test_repeat_of_an_erased_operation_is_answered_as_before_and_told_no_more(town):
    phone = Phone(town.inspector)
    phone.op("quick_hazards", "create", {"site_id": town.canteen.id, "text": WORD})
    batch = list(phone.outbox)
    first = phone.send(batch)[0]
    erase(town, change=first["seq"])
    again = phone.send(batch)[0]
    assert (again["status"], again["seq"], again["replayed"]) == (first["status"], first["seq"], True)
    assert "CANARY" not in json.dumps(again, ensure_ascii=False)
    assert (QuickHazard.objects.count(), where_it_stands()) == (1, set())


def test_erased_operation_is_still_answered_to_nobody_but_its_author(town):
    phone, stranger = Phone(town.inspector), Phone(town.stranger)
    phone.op("quick_hazards", "create", {"site_id": town.canteen.id, "text": WORD})
    batch = list(phone.outbox)
    erase(town, change=phone.send(batch)[0]["seq"])
    assert stranger.send(batch)[0]["problem"]["code"] == "op-id-reused"


def test_refused_operation_is_erased_by_its_id_and_keeps_its_verdict(town):
    phone = Phone(town.inspector)
    phone.op("quick_hazards", "create", {"site_id": town.canteen.id, "text": "x", "kind": WORD, WORD: 1})
    batch = list(phone.outbox)
    first = phone.send(batch)[0]
    assert first["status"] == "rejected" and where_it_stands() == {"safety_body.bytes", "sync_verdict.problem"}
    erase(town, operation=batch[0]["op_id"])
    assert where_it_stands() == set()
    again = phone.send(batch)[0]
    assert (again["status"], again["problem"]["code"]) == ("rejected", "validation")
    assert "CANARY" not in json.dumps(again, ensure_ascii=False)


def test_waiting_operation_is_never_heard_once_it_is_erased(town):
    phone, visit = Phone(town.inspector), new_id()
    phone.op("comments", "create", {"inspection_id": visit, "text": WORD})
    batch = list(phone.outbox)
    assert phone.send(batch)[0]["status"] == "deferred"
    erase(town, operation=batch[0]["op_id"])
    start_of = Phone(town.inspector)
    start_of.op(
        "inspections",
        "create",
        {"site_id": town.canteen.id, "template_version_id": town.checklist.id, "started_at": timezone.now()},
        doc_id=visit,
    )
    heard(start_of)
    drain_deferred(timezone.now())
    again = phone.send(batch)[0]
    assert (again["status"], again["problem"]["code"]) == ("rejected", "erased")
    assert (Statement.objects.count(), Waiting.objects.count(), where_it_stands()) == (0, 0, set())


def test_what_a_phone_put_aside_and_what_was_noted_of_it_lose_the_words_too(town):
    phone = Phone(town.inspector)
    hazard = phone.op("quick_hazards", "create", {"site_id": town.canteen.id, "text": WORD})
    operation = phone.outbox[0]
    heard(phone)
    aside = {"op_id": new_id(), "collection": "quick_hazards", "id": hazard, "kind": "create", "set": {"text": WORD}}
    report = json.dumps({"ops": [{"op": aside, "reason": WORD}, {"op": operation, "reason": WORD}]}, default=str)
    sent = {"person": town.inspector.id, "device": phone.device.id, "now": timezone.now()}
    report_set_aside(report.encode(), **sent)
    assert SetAside.objects.count() == 1  # the other one is the server's already
    Review.objects.update(handled_at=timezone.now(), handled_by=town.administrator.id, note=f"已转告:{WORD}")
    erase(town, operation=operation["op_id"])
    report_set_aside(report.encode(), **sent)
    assert where_it_stands() == set()
    assert holds(town)


def test_drained_operation_loses_its_words_in_the_result_that_phones_pull(town):
    phone, visit = Phone(town.inspector), new_id()
    phone.op("inspections", "patch", {"answers": {WORD[:12]: {"note": WORD}}}, doc_id=visit)
    op_id = last_op(phone)
    phone.send()
    phone.op(
        "inspections",
        "create",
        {"site_id": town.canteen.id, "template_version_id": town.checklist.id, "started_at": timezone.now()},
        doc_id=visit,
    )
    heard(phone)
    drain_deferred(timezone.now())
    assert Verdict.objects.get(op_id=op_id).problem["code"] == "validation"
    assert "safety_index.wire" in where_it_stands()
    erase(town, operation=op_id)
    assert where_it_stands() == set()
    assert Index.objects.get(collection="sync_results").rev == 2


def test_places_of_an_erased_visit_are_found_no_second_time(town):
    phone, visit, said = say_in_a_patch(town)
    erase(town, change=change_of(said))
    phone.op("inspections", "patch", {"answers": {"ST-11": answer("ok")}}, doc_id=visit)
    submit(phone, visit, {"ST-11": answer("ok")}, participants=[town.inspector.id])
    heard(phone)
    assert (Finding.objects.count(), RectificationItem.objects.count(), Alert.objects.count()) == (1, 1, 1)


def test_equal_words_of_another_visit_stay(town):
    said = patch(town)
    other = Phone(town.inspector)
    visit = start(other, town)
    other.op("inspections", "patch", {"answers": {"ST-11": fail()}}, doc_id=visit)
    heard(other)
    erase(town, change=change_of(said))
    assert Inspection.objects.get(pk=visit).answers["ST-11"]["note"] == WORD


def test_reason_stands_in_the_chain_and_the_actor_is_the_administrator(town):
    erase(town, change=change_of(quick_hazard(town)), reason="家长书面要求")
    told = Change.objects.get(kind="quick_hazard.erased")
    assert told.actor_id == town.administrator.id
    assert json.loads(bytes(Body.objects.get(pk=told.body_id).bytes))["reason"] == "家长书面要求"


@pytest.mark.parametrize("who", ["stranger", "safety", "principal", "inspector"])
def test_nobody_but_the_schools_administrator_erases(town, who):
    seq = change_of(quick_hazard(town))
    with pytest.raises(CommandError, match="管理员"):
        erase(town, change=seq, by=getattr(town, who))
    assert where_it_stands() != set()


def test_what_cannot_be_erased_is_said(town):
    seq = change_of(quick_hazard(town))
    erase(town, change=seq)
    with pytest.raises(CommandError, match="已经删除"):
        erase(town, change=seq)
    with pytest.raises(CommandError, match="没有找到"):
        erase(town, change=10**9)
    with pytest.raises(CommandError, match="没有可以删除"):
        erase(town, change=Change.objects.filter(body_id=None).first().seq)
    with pytest.raises(CommandError, match="没有账号"):
        call_command("erase", change=seq, by="nobody", reason="x")
    assert Operation.objects.count() == 1 and Delivery.objects.exists()

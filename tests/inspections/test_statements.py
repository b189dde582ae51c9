"""What may be said about an item, by whom and when, at both doors; and what the whole of it comes to."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from inspections.models import Finding, QuickHazard, RectificationItem, Statement, StatementKind
from inspections.rules import due_on
from safety.access import today
from safety.ids import new_id
from safety.models import Alert, Audience, Change, Delivery, Index, Post, Role
from tests.inspections.doors import DOORS, HEARD, ByPhone, ByWeb, Cure
from tests.makers import make_checklist, make_person, make_school, make_site

pytestmark = pytest.mark.django_db

SOON = date.today() + timedelta(days=60)


@pytest.fixture(params=sorted(DOORS))
def door(request):
    return DOORS[request.param]()


@dataclass(frozen=True)
class Word:
    """One thing that may be said: who says it of an item in which state, and what it comes to; who may not, and when
    the state refuses it (None: never)."""

    by: str
    said: Callable[[Cure], dict]
    standing: str
    then: str
    not_by: str | None
    refused_when: str | None = None
    code: str = "not-in-this-state"


def judged(passed: dict) -> Callable[[Cure], dict]:
    return lambda cure: {**cure.judged, **passed}


def decision(cure: Cure) -> dict:
    asked = Statement.objects.filter(item=cure.id, kind="extensions").last()
    if asked is None and cure.item.state == "rectifying":
        asked = Statement.objects.get(
            pk=ByPhone()
            .say(
                cure.town.principal,
                "extensions.create",
                {"rectification_id": cure.id, "until": SOON, "reason": "配件未到"},
            )
            .doc_id
        )
    return {"target": asked.id if asked else new_id(), "granted": True}


WORDS = {
    "notices": Word("safety", lambda cure: {"text": "限期整改"}, "registered", "notified", "inspector"),
    "receipts": Word("principal", lambda cure: {"text": "收到"}, "notified", "rectifying", "safety"),
    "reports": Word(
        "principal",
        lambda cure: {"round": cure.item.round, "text": "已修好"},
        "rectifying",
        "awaiting_revisit",
        "inspector",
    ),
    "revisits": Word("inspector", judged({"passed": True}), "awaiting_revisit", "closed", "principal"),
    "extensions": Word(
        "principal", lambda cure: {"until": SOON, "reason": "配件未到"}, "rectifying", "rectifying", "safety", "closed"
    ),
    "judgements": Word(
        "approver",
        lambda cure: {"grade": "major", "clauses": ["第七条"], "reason": "燃气泄漏"},
        "notified",
        "notified",
        "safety",
        "closed",
    ),
    "closures": Word(
        "approver",
        judged({"granted": False, "reason": "材料不全"}),
        "awaiting_closure",
        "rectifying",
        "safety",
        "notified",
    ),
    "withdrawals": Word("inspector", lambda cure: {"reason": "看错了"}, "notified", "notified", "principal", "closed"),
    "transfers": Word(
        "safety",
        lambda cure: {"departments": ["城市管理"], "text": "校外占道"},
        "notified",
        "transferred",
        "principal",
        "closed",
    ),
    "transfer_replies": Word(
        "safety", lambda cure: {"done": True, "text": "已清理"}, "transferred", "closed", "inspector", "notified"
    ),
    "decisions": Word("approver", decision, "rectifying", "rectifying", "safety", "notified", "unknown-request"),
    "signatures": Word(
        "principal", lambda cure: {"capacity": "unit", "opinion": "true"}, "closed", "closed", "officer"
    ),
    "comments": Word("principal", lambda cure: {"text": "配件在路上"}, "notified", "notified", None),
}
EVERY = pytest.mark.parametrize("collection", WORDS)


def cure_for(town, collection: str, *, door, state: str | None = None) -> Cure:
    state = state or WORDS[collection].standing
    grade = "major_candidate" if state == "awaiting_closure" else "general"
    return Cure(town, door=door, grade=grade).to(state)


def test_every_kind_of_statement_has_its_word():
    assert set(WORDS) == set(StatementKind.values)


@EVERY
def test_statement_is_heard_at_both_doors(town, door, collection):
    cure = cure_for(town, collection, door=door)
    said_now, before = WORDS[collection].said(cure), cure.item
    answer = cure.say(getattr(town, WORDS[collection].by), collection, **said_now)
    said = Statement.objects.get(pk=answer.doc_id)
    assert (answer.status, answer.code) == (HEARD[door.name], None)
    assert (answer.doc["id"], answer.doc["rectification_id"]) == (str(said.id), str(cure.id))
    assert (said.kind, said.author_id, said.source) == (collection, getattr(town, WORDS[collection].by).id, door.name)
    assert (said.ordinal, cure.item.next_ordinal) == (cure.item.next_ordinal - 1, said.ordinal + 1)
    assert cure.item.state == WORDS[collection].then
    talks = collection in ("signatures", "comments")
    assert (cure.item.rev, cure.item.last_ordinal) == (
        (before.rev, before.last_ordinal) if talks else (before.rev + 1, said.ordinal)
    )


@EVERY
def test_statement_is_refused_to_whom_it_does_not_belong(town, door, collection):
    word = WORDS[collection]
    if word.not_by is None:
        pytest.skip("everybody may comment")
    state = "notified" if word.standing == "registered" else None  # so that the school sees it as well
    cure = cure_for(town, collection, door=door, state=state)
    said = word.said(cure)
    before = (cure.item.rev, Statement.objects.count())
    answer = cure.say(getattr(town, word.not_by), collection, **said)
    assert (answer.status, answer.code) == ("rejected" if door.name == "phone" else 403, "not-allowed")
    assert (cure.item.rev, Statement.objects.count()) == before


@EVERY
def test_what_the_state_refuses_is_refused_at_the_web_and_kept_from_a_phone(town, door, collection):
    word = WORDS[collection]
    if word.refused_when is None:
        pytest.skip("no state refuses it")
    cure = cure_for(town, collection, door=door, state=word.refused_when)
    before = (cure.item.state, cure.item.round, Statement.objects.count())
    answer = cure.say(getattr(town, word.by), collection, **word.said(cure))
    assert answer.code == word.code
    assert answer.detail and "{" not in answer.detail
    if door.name == "web":
        assert answer.status == 422
        assert (cure.item.state, cure.item.round, Statement.objects.count()) == before
    else:
        kept = Statement.objects.get(pk=answer.doc_id)
        assert (answer.status, kept.verdict, kept.problem_code) == ("superseded", "superseded", word.code)
        assert answer.doc["problem_code"] == word.code
        assert (cure.item.state, cure.item.round, Statement.objects.count()) == (*before[:2], before[2] + 1)


@EVERY
def test_same_statement_under_another_operation_is_what_it_was(town, door, collection):
    cure = cure_for(town, collection, door=door)
    said, doc_id = WORDS[collection].said(cure), new_id()
    author = getattr(town, WORDS[collection].by)
    cure.say(author, collection, doc_id=doc_id, **said)
    before = (Change.objects.count(), cure.item.rev)
    again = cure.say(author, collection, doc_id=doc_id, **said)
    assert again.status == {"phone": "applied", "web": 200}[door.name]
    assert (again.doc["id"], Change.objects.count(), cure.item.rev) == (str(doc_id), *before)


@EVERY
def test_taken_id_is_refused_whoever_says_it_and_whatever_else(town, door, collection):
    cure, other = cure_for(town, collection, door=door), Cure(town, door=door, place="另一处").to("notified")
    said, doc_id = WORDS[collection].said(cure), new_id()
    author = getattr(town, WORDS[collection].by)
    cure.say(author, collection, doc_id=doc_id, **said)
    stranger = make_person(role="principal", at=town.foreign)
    before = Change.objects.count()
    for answer in (
        cure.say(author, "comments", doc_id=doc_id, text="别的内容"),
        other.say(author, collection, doc_id=doc_id, **said),
        cure.say(stranger, collection, doc_id=doc_id, **said),
    ):
        assert (answer.status, answer.code, answer.doc) == (
            "rejected" if door.name == "phone" else 409,
            "id-taken",
            None,
        )
    assert Change.objects.count() == before


@EVERY
def test_stranger_and_unknown_item_are_answered_alike_and_nothing_is_applied(town, door, collection):
    cure = cure_for(town, collection, door=door)
    said, before = WORDS[collection].said(cure), (Change.objects.count(), cure.item.rev)
    for stranger in (town.stranger, town.neighbour_principal):
        known = door.say(stranger, f"{collection}.create", {"rectification_id": cure.id, **said})
        unknown = door.say(stranger, f"{collection}.create", {"rectification_id": new_id(), **said})
        assert known.status == ("deferred" if door.name == "phone" else 404)
        assert (known.status, known.code, known.doc, known.detail) == (
            unknown.status,
            unknown.code,
            unknown.doc,
            unknown.detail,
        )
    assert (Change.objects.count(), cure.item.rev) == before


def test_operation_sent_again_has_one_effect_and_one_answer(town):
    phone = ByPhone()
    cure = Cure(town, door=phone).to("notified")
    principal = phone.of(town.principal)
    principal.op("receipts", "create", {"rectification_id": cure.id})
    batch = list(principal.outbox)
    first, again = principal.send(batch)[0], principal.send(batch)[0]
    assert again == first | {"replayed": True}
    assert Statement.objects.filter(item=cure.id, kind="receipts").count() == 1


# The school: delegation, leaving, a part, a cause


def test_principal_leaves_and_the_successor_reads_and_reports(town, door):
    cure = Cure(town, door=door).to("notified")
    yesterday = today(timezone.now()) - timedelta(days=1)
    Post.objects.filter(person=town.principal).update(to_on=yesterday)
    successor = make_person(role="principal", at=town.school, since=today(timezone.now()))
    assert cure.report().status == ("deferred" if door.name == "phone" else 404)
    assert cure.report(by=successor).status == HEARD[door.name]
    assert cure.item.state == "awaiting_revisit"


@pytest.mark.parametrize("role", ["delegate", "school_safety_officer"])
def test_principal_delegates_within_the_school_and_names_who_is_in_charge(town, door, role):
    cure = Cure(town, door=door).to("notified")
    answer = cure.report(by=make_person(role=role, at=town.school), person="后勤主任 王强", done_on=date.today())
    assert (answer.status, answer.doc["person"]) == (HEARD[door.name], "后勤主任 王强")
    assert cure.item.state == "awaiting_revisit"


def test_delegate_of_another_school_is_a_stranger(town, door):
    cure = Cure(town, door=door).to("notified")
    assert cure.report(by=make_person(role="delegate", at=town.neighbour)).status in ("deferred", 404)


def test_report_has_room_for_a_part_for_funds_and_for_another_party(town, door):
    cure = Cure(town, door=door).to("notified")
    part = cure.report(partial=True, cause="funds", funds=12000.5, plan="下月采购", prevention="已停用并围挡")
    other = cure.report(cause="other_party", other_party="某餐饮公司")
    assert (part.doc["partial"], part.doc["cause"], part.doc["funds"]) == (True, "funds", 12000.5)
    assert (other.doc["cause"], other.doc["other_party"]) == ("other_party", "某餐饮公司")
    assert cure.item.state == "awaiting_revisit"


# Notices and dates


def test_notice_opens_the_item_and_what_is_behind_it_to_the_school(town, door):
    cure = Cure(town, door=door)
    phone = ByPhone()
    shown = {"subject_collection": "quick_hazards", "subject_id": cure.hazard.doc_id, "size_bytes": 9}
    photo = phone.say(town.inspector, "photos.create", {**shown, "sha256": "ab" * 32})
    judgement = cure.say(town.approver, "judgements", grade="serious", reason="有隐患")
    talk = cure.say(town.safety, "comments", text="先电话核实", audience="bureau")
    open_talk = cure.say(town.safety, "comments", text="请尽快", audience="shared")
    assert seen_by(town.school) == set()
    cure.notify()
    shared = seen_by(town.school)
    assert {cure.id, cure.hazard.doc_id, photo.doc_id, judgement.doc_id, open_talk.doc_id} <= shared
    assert talk.doc_id not in shared


def seen_by(organisation) -> set[UUID]:
    """Documents of items that a school reads, as its phones pull them."""
    of_items = ("rectifications", "quick_hazards", "photos", *WORDS)
    rows = Index.objects.filter(audience="shared", key=organisation.id, collection__in=of_items)
    return set(rows.values_list("doc_id", flat=True))


def test_photo_of_a_cover_stays_with_the_bureau_whatever_the_notice(town):
    cure, phone = Cure(town), ByPhone()
    said = {"site_id": town.canteen.id, "template_version_id": town.checklist.id, "started_at": timezone.now()}
    visit = phone.say(town.inspector, "inspections.create", said)
    told = {"site_id": town.canteen.id, "text": "证件过期", "item_code": "ST-05", "inspection_id": visit.doc_id}
    hazard = phone.say(town.inspector, "quick_hazards.create", told)
    shown = {"subject_collection": "quick_hazards", "subject_id": hazard.doc_id, "size_bytes": 9}
    cover = phone.say(town.inspector, "photos.create", {**shown, "sha256": "cd" * 32})
    cure.id = UUID(hazard.doc["rectification_id"])
    cure.notify()
    assert hazard.doc_id in seen_by(town.school)
    assert cover.doc_id not in seen_by(town.school)
    late = phone.say(town.inspector, "photos.create", {**shown, "sha256": "ce" * 32})
    assert (late.status, late.doc_id in seen_by(town.school)) == ("applied", False)


def test_hazard_and_photo_that_come_after_the_notice_are_open_to_the_school(town):
    cure, phone = Cure(town), ByPhone()
    cure.notify()
    again = phone.say(
        town.inspector,
        "quick_hazards.create",
        {"site_id": town.canteen.id, "text": "又漏了", "item_code": "ST-11", "place": "冷库"},
    )
    shown = {"subject_collection": "quick_hazards", "subject_id": again.doc_id, "size_bytes": 9}
    photo = phone.say(town.inspector, "photos.create", {**shown, "sha256": "ab" * 32})
    assert {again.doc_id, photo.doc_id} <= seen_by(town.school)


def test_notice_is_owed_to_the_principal_who_opens_it_once(town, door):
    officer = make_person(role="school_safety_officer", at=town.school)
    cure = Cure(town, door=door)
    notice = cure.notify(text="限期整改", due_on=SOON)
    owed = Delivery.objects.filter(subject_collection="notices", subject_id=notice.doc_id)
    assert set(owed.values_list("person_id", flat=True)) == {town.principal.id, officer.id}
    mine = owed.get(person=town.principal)
    assert f"{SOON.month}月{SOON.day}日" in mine.sentence
    opened = door.say(town.principal, "alerts_mine.open", {}, doc_id=mine.id)
    assert opened.status == {"phone": "applied", "web": 200}[door.name]
    mine.refresh_from_db()
    assert (mine.state, mine.said_by, mine.said_via) == ("opened", town.principal.id, door.name)
    receipt, rev = mine.receipt_at, mine.rev
    door.say(town.principal, "alerts_mine.open", {}, doc_id=mine.id)
    mine.refresh_from_db()
    assert (mine.receipt_at, mine.rev) == (receipt, rev)
    other = door.say(town.neighbour_principal, "alerts_mine.open", {}, doc_id=mine.id)
    assert other.status in ("deferred", 404)


def test_each_notice_is_owed_anew_and_a_closed_item_owes_none(town):
    cure = Cure(town).to("rectifying")
    cure.notify(kind="list", text="挂牌督办", due_on=SOON)
    sentences = Delivery.objects.filter(person=town.principal, reason="notice").values_list("sentence", flat=True)
    assert len(sentences) == 2
    assert any("挂牌督办" in each for each in sentences)
    cure.report()
    cure.revisit()
    assert (cure.notify().status, cure.item.state) == ("applied", "closed")
    assert Delivery.objects.filter(person=town.principal, reason="notice").count() == 2


def test_first_notice_of_a_round_sets_the_date_and_a_later_one_does_not(town, door):
    cure = Cure(town, door=door)
    first = cure.notify()
    ours = due_on("general", today(timezone.now()))
    assert (first.doc["due_on"], cure.item.due_on) == (ours.isoformat(), ours)
    second = cure.notify(text="再次催办")
    assert (second.doc["due_on"], cure.item.due_on) == (None, ours)
    cure.notify(due_on=SOON)
    assert cure.item.due_on == ours
    cure.notify(kind="list", due_on=SOON)
    assert (cure.item.due_on, cure.item.facts["listed"]) == (SOON, True)
    cure.notify(kind="delist")
    assert (cure.item.due_on, "listed" in cure.item.facts) == (SOON, False)


def test_place_is_ordered_out_of_use_and_put_to_use_again(town, door):
    cure = Cure(town, door=door)
    cure.notify(suspend_use=True, measures="围挡并派人看守")
    assert cure.item.facts["suspended"] is True
    cure.notify()
    assert cure.item.facts["suspended"] is True
    cure.notify(suspend_use=False)
    assert "suspended" not in cure.item.facts


def test_granted_extension_moves_the_due_date_and_a_refused_one_does_not(town, door):
    cure = Cure(town, door=door).to("rectifying")
    first = cure.item.due_on
    refused = cure.say(town.principal, "extensions", until=SOON, reason="配件未到", measures="停用")
    cure.say(town.approver, "decisions", target=refused.doc_id, granted=False, reason="可先修补")
    assert (cure.item.due_on, "extended" in cure.item.facts) == (first, False)
    asked = cure.say(town.principal, "extensions", until=SOON, reason="配件未到", measures="停用")
    granted = cure.say(town.approver, "decisions", target=asked.doc_id, granted=True, until=SOON - timedelta(days=30))
    assert granted.status == HEARD[door.name]
    assert (cure.item.due_on, cure.item.facts["extended"]) == (SOON - timedelta(days=30), True)
    again = cure.say(town.approver, "decisions", target=asked.doc_id, granted=False)
    assert again.code == "already-decided"
    assert cure.item.due_on == SOON - timedelta(days=30)


def test_item_is_overdue_after_its_last_day_unless_it_is_another_authoritys(town):
    cure = Cure(town)
    day = date.today() - timedelta(days=1)
    cure.notify(due_on=day)
    assert not cure.item.is_overdue_on(day)
    assert cure.item.is_overdue_on(day + timedelta(days=1))
    assert cure.item in RectificationItem.objects.overdue_on(day + timedelta(days=1))
    cure.transfer()
    assert not cure.item.is_overdue_on(day + timedelta(days=1))
    assert cure.item not in RectificationItem.objects.overdue_on(day + timedelta(days=1))


# Withdrawing


def test_withdrawal_is_proposed_by_the_inspector_and_decided_by_the_approver(town, door):
    cure = Cure(town, door=door).to("notified")
    asked = cure.say(town.inspector, "withdrawals", reason="看错了场所")
    assert cure.item.state == "notified"
    assert cure.say(town.safety, "decisions", target=asked.doc_id, granted=True).code == "not-allowed"
    assert cure.say(town.approver, "decisions", target=asked.doc_id, granted=True).status == HEARD[door.name]
    assert cure.item.state == "withdrawn"


def test_alert_of_what_was_withdrawn_waits_for_nobody_any_more(town, door):
    mistaken = Cure(town, door=door, grade="major_candidate", place="灶间")
    standing = Cure(town, door=door, grade="major_candidate", place="气瓶间")
    mistaken.withdraw()
    alert, other = (Alert.objects.get(subject_id=each.id) for each in (mistaken, standing))
    assert (mistaken.item.state, alert.state, alert.escalate_at) == ("withdrawn", "withdrawn", None)
    assert set(Delivery.objects.filter(subject_id=alert.id).values_list("state", flat=True)) == {"over"}
    assert Change.objects.filter(doc_id=alert.id, kind="alert.withdrawn").count() == 1
    assert (other.state, other.escalate_at is not None) == ("waiting", True)


def test_alert_says_that_the_thing_was_fixed_since(town):
    first = Cure(town, grade="major_candidate", place="灶间")
    assert not Alert.objects.get().fixed_since
    Cure(town, grade="major_candidate", place="灶间", fixed=True)
    alert = Alert.objects.get()
    assert (alert.subject_id, alert.fixed_since, alert.occurrences) == (first.id, True, 2)


# Revisits


def test_nobody_revisits_what_they_reported_or_where_they_serve(town, door):
    cure = Cure(town, door=door).to("notified")
    both = make_person(role="inspector", at=town.school)
    Post.objects.create(person=both, role=Role.DELEGATE, node=town.school, from_on=date.today() - timedelta(days=9))
    cure.report(by=both)
    assert cure.revisit(by=both).code == "revisit-by-reporter"
    side = make_person(role="inspector", at=town.school)
    Post.objects.create(person=side, role=Role.DELEGATE, node=town.school, from_on=date.today() - timedelta(days=9))
    assert cure.revisit(by=side).code == "revisit-by-own-side"
    assert cure.revisit().status == HEARD[door.name]
    assert cure.item.state == "closed"


def test_failed_revisit_needs_its_reason(town, door):
    cure = Cure(town, door=door).to("awaiting_revisit")
    answer = cure.revisit(passed=False, reason="")
    assert (answer.status, answer.code) == ("rejected" if door.name == "phone" else 422, "validation")


def test_revisit_of_evidence_that_has_moved_on_is_stale_at_the_web_and_kept_from_a_phone(town, door):
    cure = Cure(town, door=door).to("awaiting_revisit")
    seen = cure.judged
    cure.report(text="补充照片")
    answer = cure.revisit(**seen)
    assert (answer.status, answer.code) == (("superseded" if door.name == "phone" else 409), "stale")
    assert cure.item.state == "awaiting_revisit"
    assert str(cure.item.rev) in answer.detail or door.name == "phone"


def test_fail_counts_whatever_it_saw_but_once_a_round(town, door):
    cure = Cure(town, door=door).to("awaiting_revisit")
    seen = cure.judged
    cure.report(text="补充照片")
    first = cure.revisit(passed=False, **seen)
    second = cure.revisit(by=town.colleague, passed=False, **seen)
    assert (cure.item.state, cure.item.round) == ("rectifying", 2)
    assert [first.doc["verdict"], second.doc["verdict"]] == ["moved", "co_signed"]


def test_report_of_an_ended_round_is_kept_there_and_moves_nothing(town, door):
    cure = Cure(town, door=door).to("awaiting_revisit")
    cure.revisit(passed=False)
    late = cure.report(round=1)
    assert (late.status, late.doc["verdict"], cure.item.state) == (HEARD[door.name], "kept", "rectifying")
    early = cure.report(round=3)
    assert (early.status, early.code) == ("superseded" if door.name == "phone" else 422, "unknown-round")


def test_pass_does_not_ease_what_its_author_had_not_seen(town, door):
    """A hazard is found again while the inspector is off-line; the pass named neither it nor another evidence."""
    cure = Cure(town, door=door).to("rectifying")
    seen = cure.item.last_ordinal
    Cure(town)
    judged_now = cure.judged
    blind = cure.say(town.colleague, "revisits", passed=True, seen=seen, **judged_now)
    assert (blind.status, blind.code) == ("superseded" if door.name == "phone" else 409, "stale")
    sighted = cure.say(town.colleague, "revisits", passed=True, seen=cure.item.last_ordinal, **judged_now)
    assert (sighted.status, cure.item.state) == (HEARD[door.name], "closed")


# Majors


def test_major_is_judged_passed_by_two_and_closed_by_the_approver(town, door):
    cure = Cure(town, door=door, grade="major_candidate").to("awaiting_revisit")
    assert cure.say(town.approver, "judgements", grade="major", reason="判定").code == "needs-clause"
    cure.say(town.approver, "judgements", grade="major", clauses=["第七条"], reason="判定")
    assert (cure.item.grade, cure.item.facts["judged"]) == ("major", True)
    cure.revisit()
    assert (cure.item.state, cure.item.facts["passed_by"]) == ("awaiting_revisit", [str(town.inspector.id)])
    cure.revisit()
    assert cure.item.state == "awaiting_revisit"
    cure.revisit(by=town.colleague)
    assert cure.item.state == "awaiting_closure"
    assert cure.close(by=town.safety).code == "not-allowed"
    assert cure.close(granted=False, reason="照片不清").status == HEARD[door.name]
    assert (cure.item.state, cure.item.round) == ("rectifying", 2)
    cure.report()
    cure.revisit()
    cure.revisit(by=town.colleague)
    cure.close()
    assert cure.item.state == "closed"
    assert cure.item.closed_at is not None


def test_candidate_is_judged_before_it_closes(town, door):
    cure = Cure(town, door=door, grade="major_candidate").to("awaiting_closure")
    early = cure.close()
    assert (early.status, early.code) == ("superseded" if door.name == "phone" else 422, "needs-judgement")
    cure.say(town.approver, "judgements", grade="serious", reason="不构成重大")
    assert cure.close().status == HEARD[door.name]
    assert (cure.item.state, cure.item.grade) == ("closed", "serious")


# Transfer


@pytest.mark.parametrize(("done", "state"), [(True, "closed"), (False, "registered")])
def test_transfer_comes_back_done_or_returned(town, door, done, state):
    cure = Cure(town, door=door).to("notified")
    cure.transfer(departments=["城市管理", "市场监管"], reply_by=SOON)
    assert (cure.item.state, cure.item.facts["departments"]) == ("transferred", ["城市管理", "市场监管"])
    reply = cure.say(town.safety, "transfer_replies", done=done, department="城市管理", text="已清理")
    assert (reply.status, cure.item.state) == (HEARD[door.name], state)


# After the end: looking back, and rebounds


def test_passed_revisit_of_a_closed_item_is_a_look_back(town, door):
    cure = Cure(town, door=door).to("closed")
    cure.revisit(by=town.colleague)
    assert (cure.item.state, cure.item.facts["looked_back"]) == ("closed", True)


def test_failed_revisit_of_a_closed_item_opens_it_again(town, door):
    cure = Cure(town, door=door).to("closed")
    cure.revisit(passed=False, reason="又漏了")
    assert (cure.item.state, cure.item.round, cure.item.facts["rebound"]) == ("rectifying", 2, True)
    assert cure.item.closed_at is None


@pytest.mark.parametrize("told_by", ["hazard", "visit"])
def test_rebound_while_another_item_is_open_there_is_a_finding_of_that_one(town, door, told_by):
    cure = Cure(town, door=door).to("closed") if told_by == "hazard" else found_on_a_visit(town, door).to("closed")
    fresh = Cure(town)
    assert fresh.item.repeats_id == cure.id
    assert fresh.item.facts["repeated"] is True
    revisit = cure.revisit(passed=False, reason="又漏了")
    assert (revisit.status, revisit.doc["verdict"]) == (HEARD[door.name], "attached_elsewhere")
    assert (cure.item.state, cure.item.facts["linked"]) == ("closed", [str(fresh.id)])
    found = Finding.objects.get(item=fresh.id, revisit=revisit.doc_id)
    assert (found.text, found.found_by_id, fresh.item.state) == ("又漏了", town.inspector.id, "registered")


def found_on_a_visit(town, door) -> Cure:
    """An item that a visit's answer opened, at the place of every other Cure."""
    phone = ByPhone()
    said = {"site_id": town.canteen.id, "template_version_id": town.checklist.id, "started_at": timezone.now()}
    visit = phone.say(town.inspector, "inspections.create", said)
    snapshot = '{"answers":{"ST-11":{"result":{"value":"fail","place":"冷库"}}}}'
    end = {"snapshot": snapshot, "participants": [town.inspector.id], "finished_at": timezone.now()}
    phone.say(town.inspector, "inspections.submit", end, doc_id=visit.doc_id)
    cure = Cure.__new__(Cure)
    cure.town, cure.door, cure.id = town, door, RectificationItem.objects.get().id
    return cure


def test_hazard_after_a_closure_in_the_same_batch_opens_an_item_of_its_own(town):
    cure = Cure(town).to("awaiting_revisit")
    phone = ByPhone().of(town.inspector)
    phone.op("revisits", "create", {"rectification_id": cure.id, "passed": True, **cure.judged})
    told = {"site_id": town.canteen.id, "text": "又漏了", "item_code": "ST-11", "place": "冷库"}
    phone.op("quick_hazards", "create", told)
    assert [result["status"] for result in phone.send()] == ["applied", "applied"]
    assert cure.item.state == "closed"
    fresh = RectificationItem.objects.exclude(pk=cure.id).get()
    assert (fresh.state, fresh.repeats_id, fresh.findings.count()) == ("registered", cure.id, 1)


def test_hazard_and_statement_on_one_item_in_one_batch_are_both_numbered(town):
    cure = Cure(town).to("notified")
    phone = ByPhone().of(town.inspector)
    told = {"site_id": town.canteen.id, "text": "又漏了", "item_code": "ST-11", "place": "冷库"}
    phone.op("quick_hazards", "create", told)
    phone.op("comments", "create", {"rectification_id": cure.id, "text": "第二次"})
    phone.op("quick_hazards", "create", told | {"text": "第三次"})
    assert [result["status"] for result in phone.send()] == ["applied"] * 3
    ordinals = [*cure.item.findings.values_list("ordinal", flat=True)]
    ordinals += cure.item.statements.values_list("ordinal", flat=True)
    assert sorted(ordinals) == list(range(1, cure.item.next_ordinal))


# Who reads


def test_comment_for_the_bureau_is_never_the_schools(town, door):
    cure = Cure(town, door=door).to("notified")
    before = cure.item.rev
    inner = cure.say(town.safety, "comments", text="约谈校长", audience="bureau")
    outer = cure.say(town.safety, "comments", text="请补照片")
    assert outer.doc_id in seen_by(town.school)
    assert inner.doc_id not in seen_by(town.school)
    assert cure.item.rev == before
    web = door if door.name == "web" else ByWeb()
    assert web.of(town.principal).get(f"/api/v1/comments/{inner.doc_id}").status_code == 404
    history = web.of(town.principal).get(f"/api/v1/rectifications/{cure.id}/history").json()["items"]
    assert str(inner.doc_id) not in {each["document"]["id"] for each in history}


def test_comment_of_a_school_for_the_bureau_is_read_by_its_author_and_the_bureau(town, door):
    cure = Cure(town, door=door).to("notified")
    answer = cure.say(town.principal, "comments", text="家长有意见", audience="bureau")
    readers = set(Index.objects.filter(doc_id=answer.doc_id).values_list("audience", "key"))
    assert answer.doc is not None
    assert readers == {("bureau", town.school.id), ("person", town.principal.id)}


def test_statement_on_a_bus_is_read_by_each_school_that_it_serves(town, door):
    bus = make_site(unit=town.school, kind="bus", name="校车", plate="陕B12345", serves=(town.neighbour,))
    cure = Cure(town, door=door, site_id=bus.id)
    notice = cure.notify()
    assert notice.doc_id in seen_by(town.school) & seen_by(town.neighbour)


def test_notice_of_a_restricted_item_names_the_principal_and_tells_nobody_else(town, door):
    officer = make_person(role="school_safety_officer", at=town.school)
    cure = Cure(town, door=door, kind="incident", text="三班学生发热", item_code="")
    named = {town.inspector.id, town.approver.id}
    assert readers(cure.id) == {("restricted", each) for each in named}
    assert cure.notify().status in ("deferred", 404)  # the safety section is not named
    inner = cure.say(town.approver, "comments", text="暂不通知家长", audience="bureau")
    notice = cure.say(town.approver, "notices", text="按预案处置")
    told = {("restricted", each) for each in {*named, town.principal.id}}
    for doc_id in (cure.id, cure.hazard.doc_id, notice.doc_id):
        assert readers(doc_id) == told
    assert readers(inner.doc_id) == {("restricted", each) for each in named}
    assert [each.person_id for each in Delivery.objects.filter(reason="notice")] == [town.principal.id]
    assert "发热" not in Delivery.objects.get(reason="notice").sentence
    assert cure.report(by=officer).status in ("deferred", 404)
    assert cure.report().status == HEARD[door.name]
    late = cure.say(town.approver, "comments", text="仍不通知", audience="bureau")
    assert readers(late.doc_id) == {("restricted", each) for each in named}


def readers(doc_id) -> set:
    return set(Index.objects.filter(doc_id=doc_id).values_list("audience", "key"))


def test_two_incidents_at_one_place_are_two_items(town):
    first, second = (Cure(town, kind="incident", text=text, item_code="", place="三班") for text in ("甲", "乙"))
    ordinary = Cure(town, text="地面湿滑", item_code="", place="三班")
    assert len({first.id, second.id, ordinary.id}) == 3
    assert (ordinary.item.audience, ordinary.item.suggests_id) == (Audience.BUREAU, None)


# Signatures


def test_inspectors_hand_is_an_inspectors(town, door):
    cure = Cure(town, door=door).to("notified")
    answer = cure.say(town.principal, "signatures", capacity="inspector")
    assert (answer.status, answer.code) == ("rejected" if door.name == "phone" else 403, "not-an-inspector")
    assert cure.say(town.inspector, "signatures", capacity="inspector").status == HEARD[door.name]


def test_refusal_to_sign_names_its_reason_and_who_saw_it(town, door):
    cure = Cure(town, door=door).to("notified")
    refused = {"capacity": "unit", "opinion": "refused"}
    for said, missing in (({}, "text"), ({"text": "不认可"}, "witness")):
        answer = cure.say(town.inspector, "signatures", **refused, **said)
        assert (answer.status, answer.code) == ("rejected" if door.name == "phone" else 422, "validation"), missing
    whole = cure.say(town.inspector, "signatures", **refused, text="不认可", witness="门卫李某")
    assert (whole.status, whole.doc["witness"]) == (HEARD[door.name], "门卫李某")


def test_signature_and_comment_name_one_thing_only(town, door):
    cure = Cure(town, door=door).to("notified")
    for said in ({}, {"rectification_id": cure.id, "inspection_id": new_id()}):
        answer = door.say(town.inspector, "comments.create", {"text": "看看", **said})
        assert answer.code == "validation"


# Findings at the same place


def test_hazard_told_on_a_visit_is_the_finding_of_its_place(town):
    phone = ByPhone()
    said = {"site_id": town.canteen.id, "template_version_id": town.checklist.id, "started_at": timezone.now()}
    visit = phone.say(town.inspector, "inspections.create", said)
    told = {"site_id": town.canteen.id, "text": "冷库十度", "item_code": "ST-11", "place": "冷库"}
    first = phone.say(town.inspector, "quick_hazards.create", {**told, "inspection_id": visit.doc_id})
    snapshot = '{"answers":{"ST-11":{"result":{"value":"fail","place":"冷 库"}}}}'
    end = {"snapshot": snapshot, "participants": [town.inspector.id], "finished_at": timezone.now()}
    phone.say(town.inspector, "inspections.submit", end, doc_id=visit.doc_id)
    second = phone.say(town.inspector, "quick_hazards.create", {**told, "inspection_id": visit.doc_id, "text": "再看"})
    graver = {**told, "inspection_id": visit.doc_id, "text": "压缩机冒烟", "grade": "serious"}
    third = phone.say(town.inspector, "quick_hazards.create", graver)
    item = RectificationItem.objects.get()
    assert {each.doc["rectification_id"] for each in (first, second, third)} == {str(item.id)}
    assert Finding.objects.filter(inspection=visit.doc_id).get().quick_hazard_id == first.doc_id
    assert (item.findings.count(), item.grade) == (3, "serious")


def test_hazard_told_after_the_answer_stands_behind_its_finding_and_opens_with_it(town):
    cure = found_on_a_visit(town, ByPhone())
    visit = Finding.objects.get().inspection_id
    told = {
        "site_id": town.canteen.id,
        "text": "冷库十度",
        "item_code": "ST-11",
        "place": "冷库",
        "inspection_id": visit,
    }
    hazard = ByPhone().say(town.inspector, "quick_hazards.create", told)
    assert (Finding.objects.get().quick_hazard_id, hazard.doc["rectification_id"]) == (hazard.doc_id, str(cure.id))
    cure.notify()
    assert hazard.doc_id in seen_by(town.school)


def test_hazard_does_not_wait_for_a_visit_that_is_not_there_or_not_the_authors(town):
    phone = ByPhone()
    foreign = make_site(unit=make_school(district=town.elsewhere), name="外区食堂")
    told = {"text": "燃气泄漏", "grade": "major_candidate", "item_code": "ST-21", "place": "灶间"}
    unknown = phone.say(
        town.inspector, "quick_hazards.create", {**told, "site_id": town.canteen.id, "inspection_id": new_id()}
    )
    assert (unknown.status, QuickHazard.objects.get().inspection_id is not None) == ("applied", True)
    assert Finding.objects.get().inspection_id is None
    assert phone.say(town.inspector, "quick_hazards.create", {**told, "site_id": foreign.id}).status == "deferred"


def test_inspector_alone_does_not_lower_what_the_guide_lists(town):
    listed = Cure(town, item_code="ST-21", grade="general", inspection_id=listed_visit(town))
    assert listed.item.grade == "major_candidate"


def listed_visit(town) -> UUID:
    checklist = make_checklist(
        items=({"code": "ST-21", "text": "燃气报警", "grade": "major_candidate", "photo": "always", "listed": True},)
    )
    said = {"site_id": town.canteen.id, "template_version_id": checklist.id, "started_at": timezone.now()}
    return ByPhone().say(town.inspector, "inspections.create", said).doc_id

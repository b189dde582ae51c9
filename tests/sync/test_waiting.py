"""What waits is heard when it can be, is not asked about in vain, and ends after five days with a verdict that is told."""

from datetime import timedelta

import msgspec
import pytest
from django.utils import timezone

from inspections.models import Inspection, Photo, QuickHazard
from safety.guard import lifted
from safety.ids import new_id
from safety.models import Acknowledgement, Index, Post, Role
from safety.scopes import serve_scope
from sync.jobs import drain_deferred, take_up_unanswered
from sync.models import Operation, Review, Verdict, Waiting, Why
from sync.waiting import FAULTS
from tests.makers import make_shift, raise_alert
from tests.statements import statements
from tests.sync.phone import Phone
from tests.sync.test_push import photo, start, tell

pytestmark = pytest.mark.django_db


def later(**more):
    return timezone.now() + timedelta(**more)


def step(phone, town, *, after=(), op_id=None):
    """Queues a hazard that names others in `after`."""
    tell(phone, town)
    phone.outbox[-1] |= {"after": list(after), "op_id": op_id or phone.outbox[-1]["op_id"]}


def told(op_id):
    """What the author's phone pulls about an operation, or None."""
    wire = Index.objects.filter(collection="sync_results", doc_id=op_id).values_list("wire", flat=True).first()
    return msgspec.json.decode(bytes(wire)) if wire else None


def test_what_never_came_is_refused_after_five_days_and_its_author_is_told(town):
    phone = Phone(town.inspector)
    phone.op("photos", "create", photo(new_id()))
    op_id = phone.send()[0]["op_id"]
    assert drain_deferred(later(days=4, hours=23)) == 0
    assert drain_deferred(later(days=5, minutes=1)) == 1
    result = told(op_id)
    assert (result["status"], result["problem"]["code"], result["out_of_order"]) == ("rejected", "not-found", False)
    assert "等了五天" in result["problem"]["detail"]
    assert not Waiting.objects.exists()


def test_what_is_invisible_ends_as_what_is_unknown_to_the_byte(town):
    phone, stranger = Phone(town.inspector), Phone(town.stranger)
    hidden = start(phone, town)
    phone.send()
    stranger.op("inspections", "patch", {"answers": {}}, doc_id=hidden, base_rev=1)
    stranger.op("inspections", "patch", {"answers": {}}, doc_id=new_id(), base_rev=1)
    ids = [result["op_id"] for result in stranger.send()]
    assert drain_deferred(later(days=5, minutes=1)) == 2
    first, second = (told(op_id)["problem"] for op_id in ids)
    assert first == second


@pytest.fixture
def leaver(town):
    """The phone of an inspector who was served the school's scope and holds no post there any more."""
    serve_scope(town.inspector.id, now=timezone.now() - timedelta(days=3))
    town.inspector.posts.update(to_on=timezone.localdate() - timedelta(days=1))
    return Phone(town.inspector)


def said_then(phone, said, collection="photos", **more):
    return phone.op(collection, "create", said, at=timezone.now() - timedelta(days=2), **more)


def test_sight_of_the_time_still_counts_when_the_wait_ends(town, leaver):
    """The visit came to a school that its co-inspector has left meanwhile: what was said under the old post is heard."""
    visit, colleague = new_id(), Phone(town.colleague)
    said_then(leaver, photo(visit))
    waits = leaver.send()[0]["op_id"]
    start(colleague, town, participants=[town.inspector.id])
    colleague.outbox[-1]["id"] = visit
    assert colleague.send()[0]["status"] == "applied"
    assert drain_deferred(later(days=4)) == 0
    assert drain_deferred(later(days=5, minutes=1)) == 1
    assert told(waits)["status"] == "applied"


def test_what_waits_for_a_document_of_its_own_author_needs_no_sight_of_today(town, leaver):
    """Both came off one phone, the photo first, after the post had ended: nobody has to wait five days for that."""
    visit = new_id()
    said_then(leaver, photo(visit))
    waits = leaver.send()[0]["op_id"]
    said = {"site_id": town.canteen.id, "template_version_id": town.checklist.id, "started_at": timezone.now()}
    said_then(leaver, said, "inspections", doc_id=visit)
    assert leaver.send()[0]["status"] == "applied"
    assert drain_deferred(timezone.now()) == 1
    assert told(waits)["status"] == "applied"


def test_step_whose_predecessor_never_came_is_applied_out_of_order_and_flagged(town):
    phone = Phone(town.inspector)
    step(phone, town, after=[new_id()])
    op_id = phone.send()[0]["op_id"]
    assert drain_deferred(later(days=4)) == 0
    assert not QuickHazard.objects.exists()
    assert drain_deferred(later(days=5, minutes=1)) == 1
    assert QuickHazard.objects.count() == 1
    assert (told(op_id)["status"], told(op_id)["out_of_order"]) == ("applied", True)
    assert str(Review.objects.get(why=Why.OUT_OF_ORDER, handled_at=None).about_id) == op_id


def test_chain_of_steps_keeps_its_order_when_its_head_never_came(town):
    phone, first = Phone(town.inspector), new_id()
    step(phone, town, op_id=new_id(), after=[first])
    step(phone, town, op_id=first, after=[new_id()])
    last, first_of_all = (result["op_id"] for result in phone.send())
    now = later(days=5, minutes=1)
    assert drain_deferred(now) == 1
    assert told(last) is None
    assert drain_deferred(now) == 1
    assert (told(first_of_all)["out_of_order"], told(last)["out_of_order"]) == (True, False)


def test_steps_in_a_circle_are_let_go_after_ten_days(town):
    phone, one, other = Phone(town.inspector), new_id(), new_id()
    step(phone, town, op_id=one, after=[other])
    step(phone, town, op_id=other, after=[one])
    phone.send()
    assert drain_deferred(later(days=6)) == 0
    assert drain_deferred(later(days=10, minutes=1)) == 2
    assert Review.objects.filter(why=Why.OUT_OF_ORDER).count() == 1


def spoil(visit):
    """A row that no code of ours can read: what is said of it meets a fault of ours."""
    with lifted():
        Inspection.objects.filter(pk=visit).update(field_meta=5)


def mend(visit):
    with lifted():
        Inspection.objects.filter(pk=visit).update(field_meta=[])


def test_operation_that_we_fail_to_hear_is_heard_again_with_growing_pauses_until_we_can(town):
    phone = Phone(town.inspector)
    visit = start(phone, town)
    phone.send()
    spoil(visit)
    phone.op("inspections", "patch", {"answers": {"ST-11": {"note": "补记"}}}, doc_id=visit, base_rev=1)
    result = phone.send()[0]
    assert (result["status"], result["problem"]["code"]) == ("deferred", "server-error")
    waits = Waiting.objects.get()
    assert (waits.kind, waits.attempts) == (FAULTS, 1)
    pauses = []
    for _ in range(4):
        now = waits.try_at
        assert drain_deferred(now - timedelta(seconds=1)) == 0
        assert Waiting.objects.get().attempts == waits.attempts
        assert drain_deferred(now) == 0
        waits = Waiting.objects.get()
        pauses.append(waits.try_at - now)
    assert pauses == [timedelta(minutes=n) for n in (2, 4, 8, 16)]
    mend(visit)
    assert drain_deferred(waits.try_at) == 1
    assert told(result["op_id"])["status"] == "applied"


def test_fault_of_ours_ends_no_operation_after_five_days(town):
    phone = Phone(town.inspector)
    visit = start(phone, town)
    phone.send()
    spoil(visit)
    phone.op("inspections", "patch", {"answers": {"ST-11": {"note": "补记"}}}, doc_id=visit, base_rev=1)
    behind = phone.outbox[-1]["op_id"]
    step(phone, town, after=[behind])
    phone.send()
    assert drain_deferred(later(days=6)) == 0
    assert not Verdict.objects.filter(op_id=behind).exists() and Waiting.objects.count() == 2


def test_alert_acknowledged_before_it_is_known_is_acknowledged_once_it_is_theirs(town):
    officer = Phone(town.stranger)
    alert = raise_alert(site=town.canteen)
    officer.op("alerts", "acknowledge", {}, doc_id=alert.id)
    assert officer.send()[0]["status"] == "deferred"
    assert drain_deferred(timezone.now()) == 0
    Post.objects.create(
        person=town.stranger, role=Role.DUTY_OFFICER, node=town.district, from_on=timezone.now() - timedelta(days=2)
    )
    make_shift(person=town.stranger, node=town.district)
    assert drain_deferred(timezone.now()) == 1
    assert Acknowledgement.objects.get().person_id == town.stranger.id


def test_photo_of_a_signature_on_a_visit_is_heard_once_the_signature_is_there(town):
    phone, signature = Phone(town.inspector), new_id()
    visit = start(phone, town)
    phone.send()
    picture = phone.op("photos", "create", photo(signature, subject_collection="signatures"))
    assert phone.send()[0]["waiting_for"]["docs"] == [str(signature)]
    phone.op("signatures", "create", {"inspection_id": visit, "capacity": "inspector"}, doc_id=signature)
    assert phone.send()[0]["status"] == "applied"
    assert drain_deferred(timezone.now()) == 1
    assert Photo.objects.get(pk=picture).subject_id == signature


def test_join_with_a_wrong_secret_is_asked_ever_more_rarely(town):
    phone, other = Phone(town.inspector), Phone(town.colleague)
    visit = start(phone, town, join_sha256="ab" * 32)
    phone.send()
    other.op("inspections", "join", {"secret": "wrong-secret"}, doc_id=visit)
    assert other.send()[0]["status"] == "deferred"
    heard, now = 0, timezone.now()
    for minute in range(1, 24 * 60, 5):
        before = Waiting.objects.get().attempts
        drain_deferred(now + timedelta(minutes=minute))
        heard += Waiting.objects.get().attempts - before
    assert 24 <= heard <= 32
    with statements() as asked:
        drain_deferred(now + timedelta(days=1))
    assert len(asked) <= 2
    assert drain_deferred(now + timedelta(days=5, hours=2)) == 1
    assert Verdict.objects.get(op_id=Operation.objects.get(verb="inspections.join").op_id).status == "rejected"


def test_what_waits_for_another_thing_by_now_is_heard_when_that_comes(town):
    """The step before came; then the visit itself is missing: the second wait is not put off by the first."""
    phone, first, visit = Phone(town.inspector), new_id(), new_id()
    phone.op("inspections", "patch", {"answers": {}}, doc_id=visit, base_rev=1, after=[first])
    phone.send()
    step(phone, town, op_id=first)
    phone.send()
    assert drain_deferred(timezone.now()) == 0
    waits = Waiting.objects.get()
    assert (waits.kind, waits.doc_id, waits.attempts, waits.try_at) == ("inspections", visit, 0, None)
    start(phone, town)
    phone.outbox[-1]["id"] = visit
    phone.send()
    assert drain_deferred(timezone.now()) == 1


def test_author_is_told_again_when_the_telling_was_cut_off(town):
    """A kill between verdict and telling leaves the wait standing; the next turn tells, and applies nothing twice."""
    phone = Phone(town.inspector)
    step(phone, town, after=[new_id()])
    op_id = phone.send()[0]["op_id"]
    wait = Waiting.objects.get()
    assert drain_deferred(later(days=5, minutes=1)) == 1
    with lifted():
        Index.objects.filter(collection="sync_results").delete()
    Review.objects.all().delete()
    wait.save(force_insert=True)
    assert drain_deferred(timezone.now()) == 1
    assert (told(op_id)["out_of_order"], Review.objects.count(), QuickHazard.objects.count()) == (True, 1, 1)


def test_operation_of_a_lost_phone_that_was_stored_and_never_heard_is_taken_up(town):
    phone = Phone(town.inspector)
    phone.op("photos", "create", photo(new_id()))
    phone.send()
    Waiting.objects.all().delete()  # as if the server was killed between storing and hearing
    assert take_up_unanswered(later(minutes=5)) == 0
    phone.device.revoked_at = timezone.now()
    phone.device.save()
    assert take_up_unanswered(later(minutes=5)) == 1
    assert Waiting.objects.get().kind == FAULTS
    assert take_up_unanswered(later(minutes=5)) == 0

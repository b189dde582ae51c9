"""`create` on an id that is taken: refused alike whoever it belongs to, without a document; its own author finds it again."""

from uuid import UUID

import msgspec
import pytest
from django.utils import timezone

from inspections.models import Inspection, QuickHazard
from inspections.verbs import VERBS
from safety.ids import new_id
from safety.models import Clock
from tests.doors.arranged import Arranged, encoded
from tests.doors.people import STRANGERS, make_town
from tests.doors.table import granted, read, status, tried
from tests.doors.test_said import CASES, SAID, verb_of

pytestmark = pytest.mark.django_db

TAKEN = read("""
                                   督学 同事 安全 审批 管理 值班 带班 校长 校安 受托 外督 外安 外局 外校 无
inspections.create                  ✓   409  409  409  409  409  409  409  409  409  409  409  409  409  401
submissions.create                  ✓   409  409  409  409  409  409  409  409  409  409  409  409  409  401
photos.create of a visit            ✓   409  409  409  409  409  409  409  409  409  409  409  409  409  401
photos.create of a report          409  409  409  409  409  409  409   ✓   409  409  409  409  409  409  401
quick_hazards.create                ✓   409  409  409  409  409  409  409  409  409  409  409  409  409  401
notices.create                     409  409   ✓   409  409  409  409  409  409  409  409  409  409  409  401
receipts.create                    409  409  409  409  409  409  409   ✓   409  409  409  409  409  409  401
reports.create                     409  409  409  409  409  409  409   ✓   409  409  409  409  409  409  401
revisits.create                     ✓   409  409  409  409  409  409  409  409  409  409  409  409  409  401
extensions.create                  409  409  409  409  409  409  409   ✓   409  409  409  409  409  409  401
judgements.create                  409  409  409   ✓   409  409  409  409  409  409  409  409  409  409  401
closures.create                    409  409  409   ✓   409  409  409  409  409  409  409  409  409  409  401
withdrawals.create                  ✓   409  409  409  409  409  409  409  409  409  409  409  409  409  401
decisions.create                   409  409  409   ✓   409  409  409  409  409  409  409  409  409  409  401
transfers.create                    ✓   409  409  409  409  409  409  409  409  409  409  409  409  409  401
transfer_replies.create            409  409   ✓   409  409  409  409  409  409  409  409  409  409  409  401
signatures.create as inspector      ✓   409  409  409  409  409  409  409  409  409  409  409  409  409  401
signatures.create of the unit       ✓   409  409  409  409  409  409  409  409  409  409  409  409  409  401
comments.create of a visit          ✓   409  409  409  409  409  409  409  409  409  409  409  409  409  401
comments.create of an item          ✓   409  409  409  409  409  409  409  409  409  409  409  409  409  401
""")


def test_table_has_every_create_and_each_is_found_again_by_its_author_alone():
    creates = {verb for verb in VERBS if verb.endswith(".create")}
    assert {".".join(verb_of(row)) for row in TAKEN} == creates
    assert set(TAKEN) == {row for row in SAID if ".".join(verb_of(row)) in creates}
    assert granted(TAKEN) == len(TAKEN)


@pytest.mark.parametrize("row", TAKEN)
def test_taken_id_is_refused_alike_to_all_but_its_author(row):
    town = make_town()
    arranged = Arranged(town)
    stands_on, content = CASES[row]
    collection, _ = verb_of(row)
    target = stands_on(arranged)
    [author] = [column for column, cell in TAKEN[row].items() if cell == "✓"]
    said = content(arranged, target)
    taken = arranged.say(author, collection, "create", said)
    refusals = set()

    def attempt(caller):
        before = Clock.objects.get().seq
        response = caller.call("POST", f"/api/v1/{collection}", encoded({**said, "id": taken}))
        op = {"op_id": new_id(), "collection": collection, "id": taken, "kind": "create", "at": timezone.now()}
        pushed = caller.call("POST", "/api/v1/sync/push", encoded({"ops": [{**op, "set": said}]}))
        assert Clock.objects.get().seq == before, f"{caller} moved something"
        if response.status_code == 409:
            result = msgspec.json.decode(pushed.content)["results"][0]
            assert (result["status"], result["problem"]["code"], result["doc"]) == ("rejected", "id-taken", None)
            refusals.add((response.content, msgspec.json.encode(result["problem"])))
        return status(response.status_code)

    assert tried(town, attempt) == TAKEN[row]
    assert len(refusals) == 1


@pytest.mark.parametrize("collection", ["inspections", "quick_hazards"])
def test_taken_id_is_refused_alike_where_the_stranger_is_at_home(collection):
    """Their own site, a seen and an unseen id of others: nothing in the answer tells whose it is."""
    town = make_town()
    arranged = Arranged(town)
    taken: dict[str, UUID] = {
        "inspections": arranged.visit(),
        "quick_hazards": arranged.say("督学", "quick_hazards", "create", {"site_id": town.canteen.id, "text": "漏水"}),
    }
    homes = [(town.sites[node], town.of("外督")[n]) for n, node in enumerate((town.neighbour, town.foreign))]
    refusals = set()
    for site, caller in homes:
        said = {"site_id": site.id, "text": "漏水"}
        if collection == "inspections":
            said = {"site_id": site.id, "template_version_id": town.checklist.id, "started_at": timezone.now()}
        before = Clock.objects.get().seq
        response = caller.call("POST", f"/api/v1/{collection}", encoded({**said, "id": taken[collection]}))
        assert (response.status_code, Clock.objects.get().seq) == (409, before)
        refusals.add(response.content)
        assert caller.call("POST", f"/api/v1/{collection}", encoded(said)).status_code == 201
    assert len(refusals) == 1 and caller.column in STRANGERS
    assert (Inspection.objects.count(), QuickHazard.objects.count())[collection == "quick_hazards"] == 3

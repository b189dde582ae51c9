"""What nobody could take in is listed for those who look after its author, opened with care, and dealt with once."""

from datetime import timedelta

import msgspec
import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from safety.ids import new_id
from safety.models import Change
from sync.jobs import drain_deferred
from tests.makers import make_checklist, make_person, make_token
from tests.sync.phone import Phone
from tests.sync.test_push import photo, start, tell
from tests.taint.hooks import leaking

pytestmark = pytest.mark.django_db


def says(person):
    _, secret = make_token(person=person)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def listed(person, **query):
    return says(person).get("/api/v1/sync/orphans", query).json()["items"]


def opened(person, about):
    return says(person).get(f"/api/v1/sync/orphans/{about}")


def refuse(town, *, visit=None, note="补记", by=None):
    """An operation of the colleague on a visit in which they take no part: kept and refused."""
    other = Phone(by or town.colleague)
    said = {"answers": {"ST-11": {"note": note}}}
    other.op("inspections", "patch", said, doc_id=visit or a_visit(town), base_rev=1)
    return other.send()[0]


def a_visit(town, **more):
    phone = Phone(town.inspector)
    visit = start(phone, town, **more)
    phone.send()
    return visit


def test_refused_operation_is_listed_with_who_when_and_why(town):
    result = refuse(town)
    (row,) = listed(town.administrator)
    assert (row["id"], row["person"]["name"], row["said"]) == (result["op_id"], "督学乙", "填写检查")
    assert (row["code"], row["reason"]) == ("not-a-participant", result["problem"]["detail"])
    assert (row["why"], row["handled"]) == ("refused", None)
    assert listed(town.administrator, code="not-found") == []


def test_each_kind_has_its_list(town):
    phone = Phone(town.inspector)
    tell(phone, town)
    phone.outbox[-1]["after"] = [new_id()]
    phone.op("photos", "create", photo(new_id()))
    phone.send()
    drain_deferred(timezone.now() + timedelta(days=5, minutes=1))
    said = {"ops": [{"op": {"op_id": str(new_id())}, "reason": "五次不成"}]}
    _, secret = make_token(person=town.inspector)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    client.post("/api/v1/sync/quarantine-report", msgspec.json.encode(said), content_type="application/json")
    kinds = {why: listed(town.approver, why=why) for why in ("refused", "out-of-order", "set-aside")}
    assert {why: [row["said"] for row in rows] for why, rows in kinds.items()} == {
        "refused": ["新建照片"],
        "out-of-order": ["新建随手拍"],
        "set-aside": ["读不懂的操作"],
    }
    for rows in kinds.values():
        assert opened(town.approver, rows[0]["id"]).status_code == 200


@pytest.mark.parametrize("who", ["inspector", "colleague", "safety", "officer", "principal"])
def test_others_are_refused_the_list_and_know_none_of_it(town, who):
    about = refuse(town)["op_id"]
    assert says(getattr(town, who)).get("/api/v1/sync/orphans").status_code == 403
    known, unknown = opened(getattr(town, who), about), opened(getattr(town, who), new_id())
    assert (known.status_code, known.content) == (404, unknown.content)


def test_keepers_of_another_district_see_none_of_it(town):
    about = refuse(town)["op_id"]
    foreign = make_person(role="administrator", at=town.elsewhere)
    assert listed(foreign) == []
    assert opened(foreign, about).content == opened(foreign, new_id()).content
    answer = says(foreign).post(f"/api/v1/sync/orphans/{about}/handle", {"note": "x"}, format="json")
    assert answer.status_code == 404


def test_administrator_reads_the_content_of_what_lies_in_sight(town):
    about = refuse(town, note="漏记的温度")["op_id"]
    assert "漏记的温度" in opened(town.administrator, about).json()["content"]


def test_content_about_what_is_unknown_or_out_of_sight_is_closed_to_the_administrator_alike(town):
    """The visit never came: nothing shows that it is not one that only named persons read."""
    here = Phone(town.inspector)
    foreign = Phone(make_person(role="inspector", at=town.foreign))
    version = make_checklist()
    said = {"site_id": town.foreign.sites.first().id, "template_version_id": version.id}
    hidden = foreign.op("inspections", "create", said | {"started_at": timezone.now()})
    assert foreign.send()[0]["status"] == "applied"
    for visit in (new_id(), hidden):
        here.op("inspections", "patch", {"answers": {"ST-11": {"note": "说了什么"}}}, doc_id=visit, base_rev=1)
    ids = [result["op_id"] for result in here.send()]
    drain_deferred(timezone.now() + timedelta(days=5, minutes=1))
    with leaking() as seen:  # which document was meant stands in the inspector's own words
        assert [opened(town.administrator, about).json()["content"] for about in ids] == [None, None]
        assert all("说了什么" in opened(town.approver, about).json()["content"] for about in ids)
    assert all(f"of document {hidden}" in each for each in seen)


def test_words_on_an_item_of_which_named_persons_alone_read_are_closed_to_the_administrator(town):
    other = Phone(town.colleague)
    said = {"answers": {"WS-04": {"note": "某生发热"}}}
    other.op("inspections", "patch", said, doc_id=a_visit(town), base_rev=1)
    about = other.send()[0]["op_id"]
    assert opened(town.administrator, about).json()["content"] is None
    assert "某生发热" in opened(town.approver, about).json()["content"]


def test_restricted_visit_is_closed_to_an_approver_whom_it_does_not_name(town):
    version = make_checklist(audience="restricted", named=(town.inspector, town.colleague))
    phone, other = Phone(town.inspector), Phone(town.colleague)
    said = {"site_id": town.canteen.id, "template_version_id": version.id, "started_at": timezone.now()}
    phone.op("inspections", "create", said)
    other.op("quick_hazards", "create", said | {"text": "私下的话"})
    assert (phone.send()[0]["status"], result := other.send()[0])[0] == "applied"
    assert result["status"] == "rejected"
    assert opened(town.administrator, result["op_id"]).json()["content"] is None
    assert opened(town.approver, result["op_id"]).json()["content"] is None


def test_handling_is_recorded_with_who_when_and_how_and_the_first_word_stands(town):
    about = refuse(town)["op_id"]
    address = f"/api/v1/sync/orphans/{about}/handle"
    first = says(town.administrator).post(address, {"note": "已请本人补报"}, format="json").json()["handled"]
    again = says(town.approver).post(address, {"note": "另一种说法"}, format="json").json()["handled"]
    assert first == again
    assert (first["note"], first["handled_by"]["name"]) == ("已请本人补报", "管理员")
    change = Change.objects.get(kind="operation.handled")
    assert (change.actor_id, change.chain_id) == (town.administrator.id, town.school.id)
    assert listed(town.administrator) == []
    assert [row["id"] for row in listed(town.administrator, handled="true")] == [about]


def test_handling_wants_words(town):
    about = refuse(town)["op_id"]
    answer = says(town.administrator).post(f"/api/v1/sync/orphans/{about}/handle", {"note": ""}, format="json")
    assert answer.status_code == 422


def test_list_goes_on_from_page_to_page(town):
    visit = a_visit(town)
    ids = [refuse(town, visit=visit)["op_id"] for _ in range(3)]
    client = says(town.administrator)
    first = client.get("/api/v1/sync/orphans", {"limit": 2}).json()
    second = client.get("/api/v1/sync/orphans", {"limit": 2, "after": first["next"]}).json()
    assert [row["id"] for row in first["items"] + second["items"]] == ids[::-1]
    assert second["next"] is None

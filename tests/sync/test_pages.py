"""The pages about phones, through the browser's door: what each sees, and what their forms do."""

import re
from datetime import timedelta
from uuid import UUID

import pytest
from django.test import Client
from django.utils import timezone

from safety.ids import new_id
from safety.models import Change
from sync.contacts import Heard, note_contact
from sync.jobs import drain_deferred
from sync.models import Review
from tests.sessions import signed_in
from tests.sync.phone import Phone
from tests.sync.test_imports import exported
from tests.sync.test_orphans import refuse
from tests.sync.test_push import photo, start, tell

pytestmark = pytest.mark.django_db


def shown(person, address):
    response = signed_in(person).get(address)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


def page_of(phone):
    return f"/phones/{phone.device.id}/"


@pytest.fixture
def late(town):
    phone = Phone(town.inspector)
    oldest = timezone.now() - timedelta(hours=50)
    note_contact(phone.device.id, Heard(12, 30, oldest, 600_000, "1.4.2"), now=timezone.now())
    return phone


def test_pages_want_a_sign_in(town, late):
    for address in ("/phones/", page_of(late), "/phones/left/", "/phones/import/"):
        response = Client().get(address)
        assert (response.status_code, response["Location"]) == (302, f"/login/?next={address}")


def test_owner_of_a_phone_that_never_tells_what_lies_on_it_is_not_told_that_all_is_here(town):
    phone = Phone(town.inspector)
    note_contact(phone.device.id, Heard(app_version="1.0"), now=timezone.now())
    listed, single = shown(town.inspector, "/phones/"), shown(town.inspector, page_of(phone))
    assert "没有报告还有多少没上传" in listed and "都已送到" not in listed
    assert "不知道：这台手机没有报告过" in single


def test_bureau_is_told_whose_phone_holds_what_since_when(town, late):
    words = shown(town.officer, "/phones/")
    for told in ("督学甲", "12 条记录、30 张照片没有上传", "2 天 2 小时", "手机时钟快 10 分钟", "版本 1.4.2"):
        assert told in words
    assert "其中 1 台超过 48 小时" in words


def test_waits_and_missing_photos_are_told_with_the_phone(town, late):
    visit = start(late, town)
    late.op("photos", "create", photo(visit))
    late.op("photos", "create", photo(new_id()))
    late.send()
    words = shown(town.safety, "/phones/")
    assert "1 张照片还在督学甲的手机上" in words and "等候所属的检查：还没有送到，或不在本人范围内" in words


@pytest.mark.parametrize("who", ["inspector", "principal", "approver"])
def test_others_see_their_own_phones_alone(town, late, who):
    other = Phone(town.colleague)
    words = shown(getattr(town, who), "/phones/")
    assert "我的手机" in words and str(other.device.id) not in words
    assert (str(late.device.id) in words) == (who == "inspector")


@pytest.mark.parametrize("who", ["colleague", "principal", "approver", "stranger"])
def test_page_of_anothers_phone_is_unknown_to_strangers(town, late, who):
    client = signed_in(getattr(town, who))
    known, unknown = client.get(page_of(late)), client.get(f"/phones/{new_id()}/")
    assert (known.status_code, known.content) == (404, unknown.content)
    assert client.post(page_of(late), {"do": "lose"}).status_code == 404
    late.device.refresh_from_db()
    assert late.device.revoked_at is None


def test_owner_reports_the_own_phone_lost_and_gets_the_list(town, late):
    start(late, town)
    late.send()
    client = signed_in(town.inspector)
    words = client.post(page_of(late), {"do": "lose"}, follow=True).content.decode()
    for told in ("已挂失：这台手机立即失效", "未提交的检查", town.canteen.name, "30 张照片"):
        assert told in words
    assert 'value="lose"' not in words and 'value="wipe"' not in words
    assert Change.objects.get(kind="device.lost").actor_id == town.inspector.id


def test_administrator_orders_the_wipe_and_changes_the_way_of_it(town, late):
    client = signed_in(town.administrator)
    assert "七天内" in client.post(page_of(late), {"do": "rescue"}, follow=True).content.decode()
    words = client.get(page_of(late)).content.decode()
    assert "改为直接清除" in words and "可先补传到" in words
    client.post(page_of(late), {"do": "wipe"})
    late.device.refresh_from_db()
    assert late.device.wipe_ordered_at and late.device.rescue_until is None


def test_owner_and_officer_may_not_order_a_wipe(town, late):
    assert signed_in(town.inspector).post(page_of(late), {"do": "wipe"}).status_code == 403
    assert signed_in(town.officer).post(page_of(late), {"do": "wipe"}).status_code == 404
    assert signed_in(town.inspector).post(page_of(late), {"do": "something"}).status_code == 404


def test_forms_want_their_token(town, late):
    client = signed_in(town.administrator, enforce_csrf_checks=True)
    assert client.post(page_of(late), {"do": "lose"}).status_code == 403


def test_what_nobody_took_in_is_listed_opened_and_marked(town):
    about = refuse(town, note="漏记的温度")["op_id"]
    client = signed_in(town.administrator)
    assert "督学乙" in client.get("/phones/left/").content.decode()
    address = f"/phones/left/{about}/"
    assert "漏记的温度" in client.get(address).content.decode()
    assert "请写一句怎样处理的" in client.post(address, {"note": " "}).content.decode()
    words = client.post(address, {"note": "已请本人补报"}, follow=True).content.decode()
    assert "已标为处理完毕" in words and "督学乙" not in words
    assert "已请本人补报" in client.get("/phones/left/?handled=1").content.decode()
    assert Review.objects.get().handled_by == town.administrator.id


def test_step_that_was_applied_out_of_order_stands_in_its_list(town):
    phone = Phone(town.inspector)
    tell(phone, town)
    phone.outbox[-1]["after"] = [new_id()]
    phone.send()
    drain_deferred(timezone.now() + timedelta(days=5, minutes=1))
    words = shown(town.approver, "/phones/left/?why=out-of-order")
    assert "督学甲" in words and "核对前后是否一致" in words


@pytest.mark.parametrize(
    "address", ["/phones/left/?why=nothing", "/phones/left/?after=x", f"/phones/left/{UUID(int=7)}/"]
)
def test_page_that_is_none_is_unknown(town, address):
    assert signed_in(town.administrator).get(address).status_code == 404


@pytest.mark.parametrize("who", ["inspector", "officer", "principal"])
def test_lists_and_import_are_refused_to_others(town, who):
    client = signed_in(getattr(town, who))
    assert client.get("/phones/left/").status_code == client.get("/phones/import/").status_code == 403


def test_file_is_brought_in_and_each_verdict_told_in_plain_words(town, tmp_path):
    phone = Phone(town.inspector)
    tell(phone, town)
    phone.op("quick_hazards", "create", {"site_id": town.canteen.id})
    file = tmp_path / "outbox.zip"
    file.write_bytes(exported(phone))
    with file.open("rb") as opened:
        words = signed_in(town.administrator).post("/phones/import/", {"file": opened}).content.decode()
    assert "已办理 1 条" in words and "没有接受 1 条" in words
    assert "可能太旧" in words and "required field" not in words


def test_wrong_file_and_no_file_are_said_so(town, tmp_path):
    client = signed_in(town.administrator)
    assert "请先选择" in client.post("/phones/import/").content.decode()
    file = tmp_path / "outbox.zip"
    file.write_bytes(b"no zip")
    with file.open("rb") as opened:
        assert "没有导入任何内容" in client.post("/phones/import/", {"file": opened}).content.decode()

"""The catalogue in the tables: as the text says, once however often it is loaded, frozen when published."""

import hashlib
import shutil
from io import StringIO

import msgspec
import pytest
from django.core.management import CommandError, call_command

from inspections.catalogue import load_catalogue
from inspections.frozen import FrozenTemplate
from inspections.models import Basis, ChecklistItem, ChecklistTemplate, Citation, TemplateVersion
from inspections.models.catalogue import OWN
from inspections.seeding import plant, stored_bases, stored_items
from safety.changes import clock_now, unit
from safety.guard import lifted
from safety.ids import seeded_id
from safety.models import Change, Index
from tests.inspections import regulations
from tests.inspections.regulations import SEEDS
from tests.inspections.test_catalogue import edit, item, template

pytestmark = pytest.mark.django_db

TABLES = [Basis, ChecklistItem, Citation, ChecklistTemplate, TemplateVersion, Change, Index]


def seed(folder=SEEDS) -> str:
    said = StringIO()
    call_command("seed", folder=folder, stdout=said)
    return said.getvalue()


def everything() -> dict:
    return {model.__name__: list(model.objects.order_by("pk").values_list()) for model in TABLES} | {
        "clock": clock_now()
    }


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(SEEDS, tmp_path / "seeds")
    return tmp_path / "seeds"


def test_every_cell_of_every_row_is_in_the_tables_as_it_is_written():
    seed()
    assert regulations.differences(stored_items()) == []
    catalogue = load_catalogue(SEEDS)
    assert stored_items() == catalogue.items
    assert stored_bases() == catalogue.bases
    assert list(ChecklistItem.objects.values_list("code", flat=True)) == sorted(
        catalogue.items, key=lambda code: (code[:2], list(catalogue.items).index(code))
    )


def test_seeding_twice_changes_nothing():
    seed()
    before = everything()
    assert "新增 0,更新 0" in seed()
    assert everything() == before


def test_a_published_version_is_its_own_bytes_under_their_hash():
    seed()
    catalogue = load_catalogue(SEEDS)
    for version in TemplateVersion.objects.select_related("template"):
        content = bytes(version.content)
        frozen = msgspec.json.decode(content, type=FrozenTemplate)
        assert (version.state, version.version) == ("published", 1)
        assert version.sha256 == hashlib.sha256(content).hexdigest()
        assert content == msgspec.json.encode(frozen, order="sorted")
        expected = catalogue.items_of(catalogue.templates[version.template.code])
        assert [(each.code, each.text) for each in frozen.items] == [(each.code, each.text) for each in expected]


def test_every_item_is_in_a_published_version_that_stands_in_the_tables():
    seed()
    published = TemplateVersion.objects.filter(state="published")
    frozen = [msgspec.json.decode(bytes(version.content), type=FrozenTemplate) for version in published]
    codes = set(ChecklistItem.objects.filter(kind="item").values_list("code", flat=True))
    assert {each.code for one in frozen for each in one.items} == codes
    assert len(codes) == 344


def test_phones_learn_of_each_version_and_of_a_restricted_one_only_when_named():
    seed()
    restricted = TemplateVersion.objects.get(template__code="QX-QL")
    told = set(Index.objects.filter(collection="templates").values_list("doc_id", "audience"))
    others = TemplateVersion.objects.exclude(pk=restricted.pk).values_list("id", flat=True)
    assert told == {(version, "ref") for version in others}
    assert (restricted.audience, restricted.named) == ("restricted", [])
    assert Change.objects.filter(kind="template.published", doc_id=restricted.id, body_id__isnull=False).count() == 1


def test_a_changed_text_becomes_a_new_version_and_the_old_one_stays_frozen(folder):
    seed()
    old = {version.id: (bytes(version.content), version.rev) for version in TemplateVersion.objects.all()}
    edit(folder, "checklists/ST.json", lambda area: item("ST-18")(area).update(text="三防:防鼠板、纱网、灭蝇灯"))
    seed(folder)
    new = TemplateVersion.objects.exclude(id__in=old)
    assert {(each.template.code, each.version) for each in new} == {(code, 2) for code in ("T01", "T02", "T12", "T17")}
    assert {each.id: (bytes(each.content), each.rev) for each in TemplateVersion.objects.filter(id__in=old)} == old
    assert ChecklistItem.objects.get(code="ST-18").text == "三防:防鼠板、纱网、灭蝇灯"
    before = everything()
    seed(folder)
    assert everything() == before


def test_going_back_to_an_older_text_is_a_version_of_its_own(folder):
    seed()
    edit(folder, "templates.json", lambda all_: template("T15")(all_).update(when="汛期"))
    seed(folder)
    seed()
    versions = TemplateVersion.objects.filter(template__code="T15").order_by("version")
    assert [version.version for version in versions] == [1, 2, 3]
    assert len({version.sha256 for version in versions}) == 3


def test_a_citation_that_an_item_no_longer_makes_goes(folder):
    seed()
    edit(
        folder,
        "checklists/ST.json",
        lambda area: item("ST-02")(area).update(bases=[{"basis": "集中用餐规定"}]),
    )
    seed(folder)
    assert [str(each) for each in ChecklistItem.objects.get(code="ST-02").citations.all()] == ["集中用餐规定"]


def test_what_a_bureau_made_its_own_is_left_alone(folder):
    seed()
    ChecklistItem.objects.filter(code="ST-18").update(grade="serious", origin=OWN)
    Basis.objects.filter(short="岗位指南").update(number_confidence="", origin=OWN)
    with lifted():
        TemplateVersion.objects.filter(template__code="T01").update(origin=OWN)
    edit(folder, "checklists/ST.json", lambda area: item("ST-18")(area).update(text="三防", bases=[]))
    said = seed(folder)
    own = ChecklistItem.objects.get(code="ST-18")
    assert (own.grade, own.citations.count()) == ("serious", 2)
    assert Basis.objects.get(short="岗位指南").number_confidence == ""
    assert TemplateVersion.objects.filter(template__code="T01").count() == 1
    assert "本地自定 checklistitem ST-18" in said and "本地自定 version T01 v1" in said


def test_ids_come_from_codes_so_that_every_installation_agrees():
    catalogue = load_catalogue(SEEDS)
    with unit(actor=None, source="test") as work:
        plant(work, catalogue)
    assert str(ChecklistItem.objects.get(code="ST-01").id) == "0c62e43f-1c0b-57d4-8313-9fcb0a7abcbb"
    version = TemplateVersion.objects.get(template__code="T01")
    assert version.id == seeded_id(f"version T01 1 {version.sha256}")


def test_a_faulty_folder_loads_nothing_and_says_where(folder):
    edit(folder, "checklists/ST.json", lambda area: item("ST-01")(area)["bases"].append({"basis": "某法"}))
    with pytest.raises(CommandError) as refused:
        seed(folder)
    assert "checklists/ST.json ST-01:依据“某法”不在 bases.json" in str(refused.value)
    assert ChecklistItem.objects.count() == 0


def test_the_schema_is_printed_without_loading_anything():
    said = StringIO()
    call_command("seed", schema=True, stdout=said)
    assert '"additionalProperties": false' in said.getvalue()
    assert Basis.objects.count() == 0

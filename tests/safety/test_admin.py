"""The admin as a door: every form is one unit of work, evidence is only looked at, and sight holds there too."""

from datetime import date, timedelta
from types import SimpleNamespace

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from inspections.models import ChecklistItem, ChecklistTemplate, RectificationItem, TemplateVersion
from safety.access import today
from safety.chains import verify_chain
from safety.changes import unit
from safety.models import (
    Change,
    DutyShift,
    Exit,
    Index,
    Organisation,
    OrganisationKind,
    Person,
    Post,
    Role,
    Site,
    SiteKind,
)
from safety.unit_admin import EvidenceAdmin, Noted, SightedAdmin, UnitAdmin
from tests.inspections.test_reading import item_of, say, visit
from tests.makers import PASSWORD, make_organisation, make_person, make_school, make_shift
from tests.safety.test_reading import raise_alert
from tests.sessions import signed_in

pytestmark = pytest.mark.django_db

FORMS = {model: each for model, each in admin.site._registry.items() if isinstance(each, UnitAdmin)}


def address(model, page, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def form_in(answer):
    """The values with which a form page came, as a browser would send them back."""
    form, values = answer.context["adminform"].form, {}
    for field in form:
        value = field.value()
        if hasattr(field.field.widget, "widgets") and value is not None:
            for n, part in enumerate(field.field.widget.decompress(value)):
                values[f"{field.html_name}_{n}"] = str(part)
        elif isinstance(value, list | tuple):
            values[field.html_name] = [str(each) for each in value]
        elif value not in (None, False, ""):
            values[field.html_name] = "on" if value is True else str(getattr(value, "pk", value))
    return values


def save(client, url, **said):
    """Opens a form and sends it back with what is said; gives the answer."""
    page = client.get(url)
    assert page.status_code == 200, page
    return client.post(url, form_in(page) | said)


def saved(answer):
    if answer.status_code != 302:
        form = answer.context["adminform"].form
        raise AssertionError(form.errors.as_text())
    assert answer["Location"] != answer.request["PATH_INFO"], "refused by the database"
    return answer


def when(moment):
    local = timezone.localtime(moment)
    return f"{local:%Y-%m-%d}", f"{local:%H:%M:%S}"


def soon(hours):
    return timezone.now() + timedelta(hours=hours)


@pytest.fixture
def office(town):
    draft = TemplateVersion.objects.get(pk=town.checklist.pk)
    return SimpleNamespace(town=town, client=signed_in(town.administrator), template=draft.template)


def said_new(model, office):
    """What a person types into the form for something new."""
    town = office.town
    if model is Organisation:
        return {
            "kind": "school",
            "parent": str(town.district.pk),
            "code": "new1",
            "name": "新校",
            "legal_mode": "internal",
        }
    if model is Site:
        return {
            "unit": str(town.school.pk),
            "kind": "dormitory",
            "name": "1号宿舍楼",
            "serves": [str(town.neighbour.pk)],
        }
    if model is Person:
        return {
            "username": "newcomer",
            "name": "新人",
            "new_password": "a-long-enough-secret",
            "role": "principal",
            "node": str(town.neighbour.pk),
            "from_on": str(today(timezone.now())),
            "is_active": "on",
        }
    if model is Post:
        return {
            "person": str(town.inspector.pk),
            "role": "inspector",
            "node": str(town.neighbour.pk),
            "from_on": str(today(timezone.now())),
        }
    if model is DutyShift:
        (starts_on, starts), (ends_on, ends) = when(soon(24)), when(soon(36))
        return {
            "node": str(town.district.pk),
            "person": str(town.officer.pk),
            "seat": "1",
            "starts_at_0": starts_on,
            "starts_at_1": starts,
            "ends_at_0": ends_on,
            "ends_at_1": ends,
        }
    if model is ChecklistTemplate:
        return {"code": "B01", "name": "本区食堂检查", "kind": "fixed"}
    if model is TemplateVersion:
        return {"template": str(office.template.pk), "codes": "ST-01 ST-02"}
    raise AssertionError(f"no values for {model.__name__}: every form is saved by this test")


def standing(model, office):
    """A row to change, and what is changed in it."""
    town = office.town
    if model is Organisation:
        return town.school, {"name": "甲校(新名)"}
    if model is Site:
        return town.canteen, {"name": "学生食堂"}
    if model is Person:
        return town.principal, {"name": "王校长"}
    if model is Post:
        return town.principal.posts.get(), {"to_on": str(today(timezone.now()))}
    if model is DutyShift:
        on, at = when(soon(2))
        return town.officer.shifts.get(), {"ends_at_0": on, "ends_at_1": at}
    if model is ChecklistTemplate:
        return office.template, {"name": "改过的名称"}
    if model is TemplateVersion:
        saved(save(office.client, address(TemplateVersion, "add"), **said_new(TemplateVersion, office)))
        return TemplateVersion.objects.get(state="draft"), {"codes": "ST-02", "publish": "on"}
    raise AssertionError(f"no row for {model.__name__}: every form is saved by this test")


@pytest.fixture
def catalogue():
    """Enough of the catalogue to draft a checklist of."""
    for position, code in enumerate(("ST-01", "ST-02", "QL-01"), 1):
        ChecklistItem.objects.create(
            code=code,
            area=code[:2],
            position=position,
            kind="item",
            text="证照齐全",
            grade="general",
            photo="optional",
            disposition="rectify",
            confidence="certain",
        )


@pytest.mark.parametrize("model", FORMS, ids=lambda model: model.__name__)
def test_every_form_writes_a_change_when_something_new_is_saved(office, catalogue, model):
    before = Change.objects.count()
    saved(save(office.client, address(model, "add"), **said_new(model, office)))
    changes = Change.objects.order_by("seq")[before:]
    assert [change.actor_id for change in changes] == [office.town.administrator.pk] * len(changes) and len(changes)


@pytest.mark.parametrize("model", FORMS, ids=lambda model: model.__name__)
def test_every_form_writes_a_change_when_something_is_changed(office, catalogue, model):
    row, said = standing(model, office)
    before = Change.objects.count()
    saved(save(office.client, address(model, "change", row.pk), **said))
    changes = Change.objects.order_by("seq")[before:]
    assert [change.actor_id for change in changes] == [office.town.administrator.pk] * len(changes) and len(changes)


def test_every_registered_model_is_sighted_and_nothing_is_edited_in_a_list_or_deleted_in_bulk():
    for model, each in admin.site._registry.items():
        assert isinstance(each, SightedAdmin), model
        assert (each.actions, tuple(each.list_editable)) == (None, ()), model
    assert set(FORMS) == {Organisation, Site, Person, Post, DutyShift, ChecklistTemplate, TemplateVersion}


def test_evidence_is_shown_and_never_touched(office):
    town = office.town
    item = item_of(town)
    say(town.safety, "notices", rectification_id=item.id)
    raise_alert(town)
    counted = Change.objects.count()
    for model, each in admin.site._registry.items():
        if not isinstance(each, EvidenceAdmin):
            continue
        assert office.client.get(address(model, "changelist")).status_code == 200, model
        assert office.client.get(address(model, "add")).status_code == 403, model
        row = model._default_manager.first()
        if row is None or model._meta.label == "inspections.TemplateVersion":
            continue
        page = address(model, "change", row.pk)
        assert office.client.get(page).status_code in (200, 302), model
        assert office.client.post(page, {}).status_code in (403, 302), model
        assert office.client.post(address(model, "delete", row.pk), {"post": "yes"}).status_code in (403, 302), model
    shown = office.client.get(address(RectificationItem, "change", item.pk))
    assert item.number in shown.content.decode()
    assert office.client.post(address(RectificationItem, "change", item.pk), {"state": "closed"}).status_code == 403
    assert Change.objects.count() == counted


@pytest.mark.parametrize("who", ["officer", "safety", "inspector", "principal", "approver"])
def test_admin_is_closed_to_everybody_but_administrators(town, who):
    client = signed_in(getattr(town, who))
    answer = client.get("/admin/")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/login/?next=/admin/")
    assert client.post(address(Organisation, "add"), {"name": "x"}).status_code == 302


def test_administrator_whose_post_has_ended_is_shown_out(town):
    client = signed_in(town.administrator)
    assert client.get("/admin/").status_code == 200
    town.administrator.posts.update(to_on=today(timezone.now()) - timedelta(days=1))
    assert client.get("/admin/").status_code == 302


def test_administrator_of_another_district_sees_and_changes_nothing_of_this_one(town):
    item = item_of(town)
    alert = raise_alert(town)
    client = signed_in(make_person(role=Role.ADMINISTRATOR, at=town.elsewhere))
    for row in (item, alert, town.canteen, town.principal, town.principal.posts.get(), town.officer.shifts.get()):
        model = type(row)
        assert str(row.pk) not in client.get(address(model, "changelist")).content.decode(), model
        known = client.get(address(model, "change", row.pk))
        unknown = client.get(address(model, "change", "0" * 8 + "-0000-0000-0000-" + "0" * 12))
        assert (known.status_code, known["Location"]) == (302, unknown["Location"]), model
    school = client.get(address(Organisation, "change", town.school.pk))
    assert school.status_code == 302
    offered = client.get(address(Site, "add")).context["adminform"].form.fields["unit"].queryset
    assert set(offered) == {town.elsewhere, town.foreign}


def test_administrator_looks_at_a_bureau_above_and_does_not_change_it(office):
    city = office.town.district.parent
    page = address(Organisation, "change", city.pk)
    assert office.client.get(page).status_code == 200
    assert office.client.post(page, {"name": "我的市"}).status_code == 403


def test_invalid_form_says_nothing(office):
    before = Change.objects.count()
    answer = save(office.client, address(Organisation, "add"), **said_new(Organisation, office) | {"code": "a/b"})
    assert answer.status_code == 200
    assert "code" in answer.context["adminform"].form.errors
    assert Change.objects.count() == before


def test_new_school_stands_in_the_tree_with_a_site_for_the_whole_of_it(office):
    saved(save(office.client, address(Organisation, "add"), **said_new(Organisation, office)))
    school = Organisation.objects.get(code="new1")
    assert school.path == f"{office.town.district.path}new1/"
    assert Site.objects.get(unit=school).kind == SiteKind.WHOLE
    assert {row.key for row in Index.objects.filter(doc_id=school.pk)} == {school.pk}
    assert verify_chain(school.pk).first_bad is None


def test_renamed_school_is_said_anew_in_its_chain(office):
    school = office.town.school
    saved(save(office.client, address(Organisation, "change", school.pk), name="甲校(新名)"))
    assert b"\xe7\x94\xb2" in bytes(Index.objects.get(collection="organisations", doc_id=school.pk).wire)
    assert Change.objects.filter(doc_id=school.pk).last().kind == "organisation.changed"
    assert verify_chain(school.pk).first_bad is None


def test_moved_node_takes_its_subtree_along(town):
    city = town.district.parent
    mine = make_person(role=Role.ADMINISTRATOR, at=city)
    other = make_organisation(kind=OrganisationKind.DISTRICT, parent=city, name="新区教育局")
    client = signed_in(mine)
    saved(save(client, address(Organisation, "change", town.school.pk), parent=str(other.pk)))
    town.school.refresh_from_db()
    assert town.school.path.startswith(other.path)
    saved(save(client, address(Organisation, "change", other.pk), parent=str(town.district.pk)))
    town.school.refresh_from_db()
    assert town.school.path.startswith(town.district.path)
    assert Change.objects.filter(doc_id=town.school.pk).last().kind == "scope.moved"
    back = save(client, address(Organisation, "change", town.district.pk), parent=str(other.pk))
    assert "parent" in back.context["adminform"].form.errors
    assert verify_chain(town.school.pk).first_bad is None


def test_site_that_no_longer_serves_a_school_leaves_its_readers(office):
    town = office.town
    saved(save(office.client, address(Site, "add"), **said_new(Site, office)))
    site = Site.objects.get(name="1号宿舍楼")
    assert set(site.serves.all()) == {town.neighbour}
    assert {row.key for row in Index.objects.filter(doc_id=site.pk)} == {town.school.pk, town.neighbour.pk}
    saved(save(office.client, address(Site, "change", site.pk), serves=[]))
    assert [gone.key for gone in Exit.objects.filter(doc_id=site.pk)] == [town.neighbour.pk]
    assert not site.serves.exists()


def test_new_person_comes_with_a_post_and_can_sign_in(office):
    saved(save(office.client, address(Person, "add"), **said_new(Person, office)))
    person = Person.objects.get(username="newcomer")
    assert person.check_password("a-long-enough-secret")
    assert person.posts.get().role == Role.PRINCIPAL
    assert {(row.audience, row.key) for row in Index.objects.filter(doc_id=person.pk)} == {
        ("shared", office.town.neighbour.pk)
    }


def test_password_is_changed_and_kept_nowhere_in_words(office):
    page = address(Person, "change", office.town.principal.pk)
    saved(save(office.client, page, new_password="another-long-secret"))
    office.town.principal.refresh_from_db()
    assert office.town.principal.check_password("another-long-secret")
    saved(save(office.client, page, name="王校长"))
    office.town.principal.refresh_from_db()
    assert office.town.principal.check_password("another-long-secret")
    for entry in admin.models.LogEntry.objects.all():
        assert "another" not in entry.change_message
    weak = save(office.client, page, new_password="12345")
    assert "new_password" in weak.context["adminform"].form.errors


def test_administrator_stays_signed_in_after_changing_the_own_password(office):
    page = address(Person, "change", office.town.administrator.pk)
    saved(save(office.client, page, new_password="another-long-secret"))
    assert office.client.get("/admin/").status_code == 200


def test_post_given_and_ended_moves_the_persons_readers(office):
    town = office.town
    saved(save(office.client, address(Post, "add"), **said_new(Post, office)))
    keys = {row.key for row in Index.objects.filter(doc_id=town.inspector.pk)}
    assert keys == {town.school.pk, town.neighbour.pk}
    assert Change.objects.filter(doc_id=town.inspector.pk).last().kind == "person.posted"
    post = town.inspector.posts.get(node=town.neighbour)
    saved(save(office.client, address(Post, "change", post.pk), to_on=str(today(timezone.now()))))
    Post.objects.filter(pk=post.pk).update(from_on=date(2026, 1, 1), to_on=today(timezone.now()) - timedelta(days=1))
    saved(save(office.client, address(Post, "change", town.inspector.posts.get(node=town.school).pk), to_on=""))
    assert {row.key for row in Index.objects.filter(doc_id=town.inspector.pk)} == {town.school.pk}


def test_post_is_refused_where_its_role_does_not_fit(office):
    wrong = said_new(Post, office) | {"role": "principal", "node": str(office.town.district.pk)}
    assert "node" in save(office.client, address(Post, "add"), **wrong).context["adminform"].form.errors
    wrong = said_new(Post, office) | {"role": "administrator"}
    assert "node" in save(office.client, address(Post, "add"), **wrong).context["adminform"].form.errors


def test_shift_of_somebody_without_a_post_there_is_refused(office):
    wrong = said_new(DutyShift, office) | {"person": str(office.town.principal.pk)}
    answer = save(office.client, address(DutyShift, "add"), **wrong)
    assert "person" in answer.context["adminform"].form.errors


def test_shift_that_is_over_stays_and_one_that_is_planned_may_be_dropped(office):
    town = office.town
    over = make_shift(person=town.officer, node=town.district, hours=0.5)
    DutyShift.objects.filter(pk=over.pk).update(starts_at=soon(-30), ends_at=soon(-20))
    assert office.client.post(address(DutyShift, "change", over.pk), {}).status_code == 403
    assert office.client.post(address(DutyShift, "delete", over.pk), {"post": "yes"}).status_code == 403
    running = town.officer.shifts.exclude(pk=over.pk).get()
    assert office.client.post(address(DutyShift, "delete", running.pk), {"post": "yes"}).status_code == 403
    saved(save(office.client, address(DutyShift, "add"), **said_new(DutyShift, office)))
    planned = DutyShift.objects.get(starts_at__gt=timezone.now())
    assert office.client.post(address(DutyShift, "delete", planned.pk), {"post": "yes"}).status_code == 302
    assert not DutyShift.objects.filter(pk=planned.pk).exists()
    assert Change.objects.last().kind == "shift.dropped"
    assert verify_chain(town.district.pk).first_bad is None


def test_draft_is_on_no_phone_until_it_is_published_and_then_never_changes(office, catalogue):
    client = office.client
    saved(save(client, address(TemplateVersion, "add"), **said_new(TemplateVersion, office)))
    draft = TemplateVersion.objects.get(state="draft")
    assert not Index.objects.filter(doc_id=draft.pk).exists()
    page = address(TemplateVersion, "change", draft.pk)
    saved(save(client, page, codes="ST-02,ST-01", publish="on"))
    draft.refresh_from_db()
    assert (draft.state, draft.version) == ("published", 2)
    assert Index.objects.get(doc_id=draft.pk).audience == "ref"
    assert client.get(page).status_code == 200
    assert client.post(page, {"codes": "ST-01"}).status_code == 403
    kinds = Change.objects.filter(doc_id=draft.pk).order_by("seq").values_list("kind", flat=True)
    assert list(kinds) == ["template.drafted", "template.published"]


@pytest.mark.parametrize("codes", ["ST-99", "QL-01", "SJ-01"])
def test_draft_with_an_item_that_cannot_be_in_it_is_refused(office, catalogue, codes):
    said = said_new(TemplateVersion, office) | {"codes": codes}
    answer = save(office.client, address(TemplateVersion, "add"), **said)
    assert "codes" in answer.context["adminform"].form.errors


def test_second_draft_of_a_checklist_is_refused(office, catalogue):
    saved(save(office.client, address(TemplateVersion, "add"), **said_new(TemplateVersion, office)))
    answer = save(office.client, address(TemplateVersion, "add"), **said_new(TemplateVersion, office))
    assert "template" in answer.context["adminform"].form.errors


def test_renamed_checklist_is_said_anew_with_every_published_version(office):
    saved(save(office.client, address(ChecklistTemplate, "change", office.template.pk), name="改过的名称"))
    wire = bytes(Index.objects.get(doc_id=office.town.checklist.pk).wire).decode()
    assert "改过的名称" in wire


def test_pages_are_in_chinese_and_marked_when_the_district_is_a_demonstration(office):
    page = office.client.get("/admin/").content.decode()
    assert "校安巡检 管理" in page and "演示数据" not in page
    make_school(district=office.town.district, demo=True)
    assert "演示数据" in office.client.get("/admin/").content.decode()
    assert "演示数据" in Client().get("/admin/login/").content.decode()


def test_administrator_signs_in_at_the_admin_and_no_row_of_the_person_is_written(town):
    before = Change.objects.count()
    client = Client()
    said = {"username": town.administrator.username, "password": PASSWORD, "next": "/admin/"}
    assert client.post("/admin/login/", said)["Location"] == "/admin/"
    assert Change.objects.count() == before


def test_administrator_changes_the_own_password_through_a_unit_and_stays_signed_in(office):
    before = Change.objects.count()
    said = {"old_password": PASSWORD, "new_password1": "another-long-secret", "new_password2": "another-long-secret"}
    assert office.client.post("/admin/password_change/", said)["Location"] == "/admin/password_change/done/"
    assert office.client.get("/admin/").status_code == 200
    assert [change.kind for change in Change.objects.order_by("seq")[before:]] == ["person.changed"]
    assert Person.objects.get(pk=office.town.administrator.pk).check_password("another-long-secret")


def test_restricted_visit_is_not_shown_to_an_administrator(town):
    seen = visit(town)
    with unit(actor=None, source="test") as work:
        work.lock({seen.unit_id})
        seen.audience, seen.named = "restricted", [str(town.inspector.pk)]
        work.say(seen, "inspection.narrowed", body=work.body(b"{}"), urgency=None)
    client = signed_in(town.administrator)
    assert str(seen.pk) not in client.get(address(type(seen), "changelist")).content.decode()
    assert client.get(address(type(seen), "change", seen.pk)).status_code == 302


def test_history_of_an_object_is_told_from_the_log_in_words(office):
    saved(save(office.client, address(Site, "change", office.town.canteen.pk), name="新食堂"))
    page = office.client.get(address(Site, "history", office.town.canteen.pk)).content.decode()
    assert page.index("修改") < page.index("新建") and office.town.administrator.name in page


def test_history_leaves_out_what_another_unit_said_of_the_same_id(office):
    with unit(actor=None, source="test") as work:
        work.lock({office.town.elsewhere.pk})
        noted = Noted("shifts", office.town.canteen.pk, office.town.elsewhere.pk)
        work.say(noted, "shift.dropped", body=work.body(b"{}"), urgency=None)
    page = office.client.get(address(Site, "history", office.town.canteen.pk)).content.decode()
    assert "新建" in page and "撤下" not in page


def test_log_is_listed_in_words_and_found_by_what_it_is_about(office):
    listed = address(Change, "changelist")
    page = office.client.get(listed).content.decode()
    assert "organisation.created" not in page and "新建" in page
    assert office.client.get(listed, {"collection": "sites"}).content.decode().count(str(office.town.canteen.pk)) == 1
    assert str(office.town.canteen.pk) not in office.client.get(listed, {"collection": "people"}).content.decode()


def test_person_without_the_post_is_told_why_the_admin_stays_closed(town):
    page = signed_in(town.officer).get("/admin/login/?next=/admin/").content.decode()
    assert "没有系统管理员任职" in page and "回到首页" in page

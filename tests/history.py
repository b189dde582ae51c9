"""A day at one school as phones tell it: a visit by two, a hazard that wakes the officer, notice, report, two revisits."""

import json
from types import SimpleNamespace

from django.utils import timezone

from inspections.models import RectificationItem
from safety.models import Alert
from tests.sync.phone import Phone


def answer(value, *, note="", **result):
    return {"result": {"value": value, **result}, "note": note}


def start(phone, town, **more):
    said = {"site_id": town.canteen.id, "template_version_id": town.checklist.id, "started_at": timezone.now()}
    return phone.op("inspections", "create", {**said, **more})


def submit(phone, visit, answers, *, participants):
    said = {"snapshot": json.dumps({"answers": answers}, ensure_ascii=False), "participants": participants}
    phone.op("inspections", "submit", {**said, "finished_at": timezone.now()}, doc_id=visit)


def heard(phone):
    """Sends what is queued; every operation must have had its effect."""
    results = phone.send()
    assert {result["status"] for result in results} <= {"applied", "merged"}, results
    return results


def make_history(town, *, word="灶间漏气"):
    """Tells the day; `word` is the note of the hazard. Gives the phones, the visit, its item, and the ids of what was said."""
    inspector, colleague = Phone(town.inspector), Phone(town.colleague)
    office, school = Phone(town.safety), Phone(town.principal)
    visit = start(inspector, town, participants=[town.colleague.id])
    heard(inspector)
    hazard = {"ST-21": answer("fail", note=word, place="灶间")}
    inspector.op("inspections", "patch", {"answers": hazard}, doc_id=visit, base_rev=1)
    colleague.op("inspections", "patch", {"answers": {"ST-11": answer("ok", note="4 度")}}, doc_id=visit, base_rev=1)
    heard(inspector), heard(colleague)
    both = [town.inspector.id, town.colleague.id]
    submit(inspector, visit, {**hazard, "ST-11": answer("ok", note="4 度")}, participants=both)
    signature = {
        "inspection_id": visit,
        "capacity": "unit",
        "opinion": "objection",
        "text": "已通知维修",
        "signer": "校长",
    }
    school.op("signatures", "create", signature)
    heard(inspector), heard(school)
    item, alert = RectificationItem.objects.get(site=town.canteen), Alert.objects.get(organisation=town.school)
    told = SimpleNamespace(inspector=inspector, colleague=colleague, office=office, school=school, visit=visit)
    desk = Phone(town.officer)
    desk.op("alerts", "acknowledge", {}, doc_id=alert.id)
    heard(desk)
    told.notice = office.op("notices", "create", {"rectification_id": item.id, "text": "请立即停用"})
    heard(office)
    told.report = _report(school, item, round=1, text="已换减压阀")
    told.failed = _revisit(inspector, item, passed=False, reason="仍有异味")
    _report(school, item, round=2, text="已换软管")
    told.passed = _revisit(inspector, item, passed=True)
    item.refresh_from_db()
    told.item, told.alert = item, alert
    return told


def _report(school, item, **said):
    report = school.op("reports", "create", {"rectification_id": item.id, **said})
    heard(school)
    return report


def _revisit(inspector, item, **said):
    item.refresh_from_db()
    judged = {"rectification_id": item.id, "round": item.round, "evidence_hash": item.evidence_hash}
    revisit = inspector.op("revisits", "create", {**judged, **said})
    heard(inspector)
    return revisit

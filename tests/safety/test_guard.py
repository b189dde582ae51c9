"""The guard: a synced table is written inside a unit of work and nowhere else."""

import threading

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from inspections.models import Inspection, Statement
from safety import rows
from safety.changes import unit
from safety.guard import WriteOutsideUnit, guarded_tables, lifted, require_unit
from safety.ids import new_id
from safety.models import Alert, Body, Change, Index, Organisation, Person, Site
from tests.makers import make_district, make_person

pytestmark = pytest.mark.django_db


def test_guard_keeps_the_documents_and_the_log():
    assert guarded_tables() == {
        "safety_organisation",
        "safety_site",
        "safety_person",
        "safety_alert",
        "safety_delivery",
        "inspections_templateversion",
        "inspections_task",
        "inspections_inspection",
        "inspections_submission",
        "inspections_quickhazard",
        "inspections_conflict",
        "inspections_photo",
        "inspections_rectificationitem",
        "inspections_statement",
        "safety_change",
        "safety_index",
        "safety_exit",
        "safety_body",
        "safety_chainhead",
    }


def test_orm_is_refused_when_it_updates_outside_a_unit():
    district = make_district(name="甲区")
    with pytest.raises(WriteOutsideUnit, match="safety_organisation"), transaction.atomic():
        Organisation.objects.filter(pk=district.pk).update(name="乙区")
    assert Organisation.objects.get(pk=district.pk).name == "甲区"


def test_orm_is_refused_when_it_saves_or_creates_outside_a_unit():
    district = make_district()
    with pytest.raises(WriteOutsideUnit):
        district.save()
    with pytest.raises(WriteOutsideUnit):
        Person.objects.create(username="someone", name="某人")
    with pytest.raises(WriteOutsideUnit):
        Site.objects.bulk_create([Site(unit=district, name="场所", kind="other")])


def test_log_is_refused_to_whoever_would_rewrite_it():
    make_district()
    for model in (Change, Index, Body):
        with pytest.raises(WriteOutsideUnit):
            model.objects.all().delete()
    with pytest.raises(WriteOutsideUnit):
        Change.objects.update(kind="rectification.closed")


def test_bulk_writer_is_refused_outside_a_unit_on_either_engine():
    with pytest.raises(WriteOutsideUnit):
        rows.insert(Organisation, [Organisation(kind="school", code="x", path="x/", name="某校")])
    with pytest.raises(WriteOutsideUnit):
        rows.upsert(Organisation, [Organisation(kind="school", code="x", path="x/", name="某校")])


def test_raw_statement_is_refused_outside_a_unit():
    with pytest.raises(WriteOutsideUnit), connection.cursor() as cursor:
        cursor.execute('DELETE FROM "safety_change"')
    with pytest.raises(WriteOutsideUnit), connection.cursor() as cursor:
        cursor.executemany('INSERT INTO "safety_exit" (seq) VALUES (%s)', [[1]])


def test_unit_writes_what_it_likes_and_closes_behind_itself():
    district = make_district(name="甲区")
    with unit(actor=None, source="test") as work:
        work.lock({district.id})
        district.name = "乙区"
        work.say(district, "organisation.renamed", body=work.body(b"{}"), urgency=None)
    assert Organisation.objects.get(pk=district.pk).name == "乙区"
    with pytest.raises(WriteOutsideUnit):
        district.save()


def test_unit_of_one_thread_opens_nothing_for_another():
    refused = []

    def write():
        try:
            Organisation.objects.update(name="乙区")
        except WriteOutsideUnit as refusal:
            refused.append(refusal)
        finally:
            connection.close()

    with unit(actor=None, source="test"):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert len(refused) == 1


def test_received_bytes_are_kept_before_any_unit():
    rows.insert(Body, [(new_id(), b"salt", b"said", b"hash", None)])
    with pytest.raises(WriteOutsideUnit):
        Body.objects.update(bytes=b"other")


def test_reading_and_side_rows_are_nobodys_business():
    assert list(Inspection.objects.all()) == list(Statement.objects.all()) == list(Alert.objects.all()) == []
    person = make_person()
    person.devices.create(name="手机", registered_at=timezone.now())
    assert person.devices.get().name == "手机"


def test_test_that_tampers_says_so():
    district = make_district()
    with lifted():
        Organisation.objects.update(name="改过")
    assert Organisation.objects.get(pk=district.pk).name == "改过"


@pytest.mark.parametrize(
    "statement",
    [
        'UPDATE "safety_change" SET kind = 1',
        "update safety_change set kind = 1",
        'INSERT OR IGNORE INTO "safety_change" VALUES (1)',
        'TRUNCATE TABLE "safety_device", "x"; DELETE FROM safety_change',
        'WITH gone AS (DELETE FROM ONLY "safety_change" RETURNING seq) SELECT * FROM gone',
        'COPY "safety_change" (seq) FROM STDIN',
    ],
)
def test_statement_that_writes_is_known_by_its_words(statement):
    with pytest.raises(WriteOutsideUnit):
        require_unit(statement)


@pytest.mark.parametrize(
    "statement",
    [
        'SELECT * FROM "safety_chainhead" ORDER BY 1 FOR UPDATE',
        'UPDATE "safety_device" SET name = (SELECT kind FROM "safety_change")',
        "UPDATE safety_clock SET seq = seq + 1",
        'CREATE TABLE "safety_change" (seq bigint)',
    ],
)
def test_statement_that_only_reads_a_guarded_table_passes(statement):
    require_unit(statement)


@pytest.mark.django_db(transaction=True)
def test_flush_empties_the_guarded_tables():
    make_district()
    call_command("flush", interactive=False, verbosity=0)
    assert not Organisation.objects.exists()

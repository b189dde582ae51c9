"""The unit of work: numbers without gaps, a chain per organisation, an index that says who reads what."""

import pytest

from safety.changes import unit
from safety.models import Change, Clock, Exit, Index
from tests.makers import make_district, make_school

pytestmark = pytest.mark.django_db


def test_clock_counts_one_number_for_each_change():
    district = make_district()
    make_school(district=district)
    assert list(Change.objects.order_by("seq").values_list("seq", flat=True)) == list(
        range(1, Clock.objects.get().seq + 1)
    )


def test_document_leaves_a_reader_by_an_exit_when_its_keys_change():
    district = make_district()
    school, other = make_school(district=district), make_school(district=district)
    with unit(actor=None, source="test") as work:
        school.keys = [str(other.id)]
        work.say(school, "scope.moved", body=None, urgency=None)
    row = Index.objects.get(collection="organisations", doc_id=school.id)
    left = Exit.objects.get()
    assert (row.key, left.key, left.seq) == (other.id, school.id, row.seq)


def test_unit_refuses_a_second_unit_inside():
    with pytest.raises(RuntimeError), unit(actor=None, source="test"), unit(actor=None, source="test"):
        pass


def test_unit_writes_nothing_when_it_fails():
    district = make_district()
    before = Clock.objects.get().seq
    with pytest.raises(ZeroDivisionError), unit(actor=None, source="test") as work:
        work.lock({district.id})
        work.say(district, "organisation.renamed", body=work.body(b"{}"), urgency=None)
        raise ZeroDivisionError
    assert (Clock.objects.get().seq, Change.objects.filter(kind="organisation.renamed").exists()) == (before, False)


def test_change_is_refused_when_its_chain_is_not_locked():
    district = make_district()
    with pytest.raises(RuntimeError), unit(actor=None, source="test") as work:
        work.say(district, "organisation.renamed", body=work.body(b"{}"), urgency=None)

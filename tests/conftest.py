"""What every test may ask for: the clock's row, and a district with the people of one school."""

from types import SimpleNamespace

import pytest
from django.conf import settings

from safety.models import Clock
from tests.makers import make_checklist, make_district, make_person, make_school, make_shift, make_site

settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # a person a test, not a second a person


@pytest.fixture(autouse=True)
def clock(request):
    """Flushing tests empties the clock's table: the one row is put back."""
    marker = request.node.get_closest_marker("django_db")
    if marker is None:
        return
    request.getfixturevalue("transactional_db" if marker.kwargs.get("transaction") else "db")
    Clock.objects.get_or_create(id=1, defaults={"seq": 0, "epoch": "e-test"})


@pytest.fixture
def town(clock):
    """A district with two schools and everybody who works there, a second district, and a published checklist."""
    district, elsewhere = make_district(name="甲区教育局"), make_district(name="乙区教育局")
    school, neighbour = make_school(district=district, name="甲校"), make_school(district=district, name="邻校")
    foreign = make_school(district=elsewhere, name="乙校")
    officer = make_person(role="duty_officer", at=district, name="值班员")
    make_shift(person=officer, node=district)
    return SimpleNamespace(
        district=district,
        elsewhere=elsewhere,
        school=school,
        neighbour=neighbour,
        foreign=foreign,
        canteen=make_site(unit=school),
        checklist=make_checklist(),
        inspector=make_person(role="inspector", at=school, name="督学甲"),
        colleague=make_person(role="inspector", at=school, name="督学乙"),
        safety=make_person(role="safety_officer", at=district, name="安全科"),
        approver=make_person(role="approver", at=district, name="审批人"),
        administrator=make_person(role="administrator", at=district, name="管理员"),
        officer=officer,
        principal=make_person(role="principal", at=school, name="校长"),
        neighbour_principal=make_person(role="principal", at=neighbour, name="邻校校长"),
        stranger=make_person(role="safety_officer", at=elsewhere, name="外区安全科"),
    )

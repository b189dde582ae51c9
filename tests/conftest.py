"""What every test may ask for."""

import pytest

from safety.models import Clock


@pytest.fixture(autouse=True)
def clock(request):
    """Flushing tests empties the clock's table: the one row is put back."""
    if request.node.get_closest_marker("django_db") is None:
        return
    request.getfixturevalue(
        "transactional_db" if request.node.get_closest_marker("django_db").kwargs.get("transaction") else "db"
    )
    Clock.objects.get_or_create(id=1, defaults={"seq": 0, "epoch": "e-test"})

"""Whatever happens, in whatever order: the invariants of sync.md §7.1 hold (tests/model/invariants.py).

The ordinary profile is the same histories each time. A campaign draws others: `MODEL_LONG=1 MODEL_EXAMPLES=2000
.venv/bin/pytest tests/model/test_model.py`; what it meets is printed as the steps that led there.
"""

import pytest

from tests.makers import make_token
from tests.model import uploads
from tests.model.campaign import run
from tests.model.world import build
from tests.sync.tus import Phone

pytestmark = pytest.mark.django_db

MUST_BE_MET = """
    applied merged superseded rejected snapshot transition delta exit epoch conflict.found conflict.resolved
    device.revoked device.lost device.wipe_ordered device.wiped not-found
    inspection.created inspection.patched inspection.submitted inspection.deleted photo.declared photo.stored quick_hazard.told
    rectification.registered rectification.notified notice.said revisit.said person.posted
"""


def test_invariants_hold_whatever_happens(db):
    met = run(build()).met
    missing = {name for name in MUST_BE_MET.split() if not met[name]}
    assert not missing, "the machine idles: it would not see a fault either"


@pytest.mark.django_db(transaction=True)
def test_photos_arrive_whole_whatever_happens_on_the_road(town, settings, tmp_path):
    settings.BLOBS = tmp_path
    heard = uploads.run(Phone(make_token(person=town.inspector)[1]))
    assert {("HEAD", 200), ("HEAD", 502), ("PATCH", 0), ("PATCH", 204), ("POST", 0), ("POST", 201)} <= heard.keys()

"""A district that waits for its phones: schools, inspectors with a phone each, a duty officer, a checklist.

    python -m bench.coming_back.district CAST.json --phones 200

makes it in the database that the settings choose and writes down who may sign in with what.
"""

import argparse
import json
from pathlib import Path

import django

django.setup()

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402  (models need the set-up above)
from django.core.management import call_command  # noqa: E402

from tests.makers import (  # noqa: E402
    make_checklist,
    make_district,
    make_person,
    make_school,
    make_shift,
    make_site,
    make_token,
)

PHONES_A_SCHOOL = 4
GRADES = ["general"] * 28 + ["serious", "major_candidate"]


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("cast", type=Path)
    options.add_argument("--phones", type=int, required=True)
    wanted = options.parse_args()
    call_command("migrate", verbosity=0)
    district = make_district(name="甲区教育局")
    codes = [f"ST-{n:02d}" for n in range(1, 31)]
    checklist = make_checklist(
        items=tuple(
            {"code": c, "text": f"检查项 {c}", "grade": g, "photo": "on_fail"}
            for c, g in zip(codes, GRADES, strict=True)
        )
    )
    officer = make_person(role="duty_officer", at=district, name="值班员")
    make_shift(person=officer, node=district)
    phones = []
    for n in range(wanted.phones):
        if n % PHONES_A_SCHOOL == 0:
            school = make_school(district=district)
            site = make_site(unit=school)
        inspector = make_person(role="inspector", at=school)
        device, token = make_token(person=inspector)
        phones.append({"token": token, "device": str(device.id), "person": str(inspector.id), "site": str(site.id)})
    cast = {
        "phones": phones,
        "checklist": str(checklist.id),
        "codes": codes,
        "desk": make_token(person=officer)[1],
        "session": session_of(make_person(role="safety_officer", at=district, name="安全科")),
    }
    wanted.cast.write_text(json.dumps(cast))


def session_of(person) -> str:
    """The key of a browser's session that is signed in."""
    session = SessionStore()
    session[SESSION_KEY] = str(person.pk)
    session[BACKEND_SESSION_KEY] = "safety.access.PostBackend"
    session[HASH_SESSION_KEY] = person.get_session_auth_hash()
    session.create()
    return session.session_key


if __name__ == "__main__":
    main()

"""The door of uploads, which stands beside Django, by everybody: anybody may bring bytes, an upload is its bringer's alone."""

import pytest

from tests.doors.people import make_town
from tests.doors.table import granted, read, status
from tests.inspections.photographs import turned
from tests.makers import make_token
from tests.sync.tus import FILES, Phone

pytestmark = pytest.mark.django_db(transaction=True)

# Another phone of the inspector, too, may go on with what the first one began.
FILES_OF = read("""
                                   督学 同事 安全 审批 管理 值班 带班 校长 校安 受托 外督 外安 外局 外校 无
OPTIONS files                       ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓
POST files                          ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓    ✓   401
HEAD files of the inspector         ✓   404  404  404  404  404  404  404  404  404  404  404  404  404  401
PATCH files of the inspector        ✓   404  404  404  404  404  404  404  404  404  404  404  404  404  401
POST files of parts of the inspector ✓  404  404  404  404  404  404  404  404  404  404  404  404  404  401
DELETE files of the inspector       ✓   404  404  404  404  404  404  404  404  404  404  404  404  404  401
GET files of the inspector         405  405  405  405  405  405  405  405  405  405  405  405  405  405  401
""")
DOORS_OPEN = 33
PICTURE, NONE = turned(1), f"{FILES}/00000000-0000-7000-8000-000000000000"


class Uploads:
    """An upload and a part of the inspector's, anew for each who tries."""

    def __init__(self, town):
        self.inspector = Phone(make_token(person=town.one("督学"))[1])

    def begin(self, **more) -> str:
        return self.inspector.create(PICTURE, **more).path

    def part(self) -> str:
        path = self.begin(Upload_Concat="partial", Upload_Metadata=None)
        self.inspector.patch(path, PICTURE, at=0)
        return path

    def doors(self):
        final = lambda path: {"Upload_Length": None, "Upload_Concat": f"final;{path}"}  # noqa: E731
        return {
            "OPTIONS files": lambda phone: phone.call("OPTIONS"),
            "POST files": lambda phone: phone.create(turned(3)),
            "HEAD files of the inspector": lambda phone: alike(phone.head, self.begin()),
            "PATCH files of the inspector": lambda phone: alike(
                lambda path: phone.patch(path, PICTURE[:9], at=0), self.begin()
            ),
            "POST files of parts of the inspector": lambda phone: alike(
                lambda path: phone.create(PICTURE, **final(path)), self.part()
            ),
            "DELETE files of the inspector": lambda phone: alike(lambda path: phone.call("DELETE", path), self.begin()),
            "GET files of the inspector": lambda phone: alike(lambda path: phone.call("GET", path), self.begin()),
        }


def alike(act, path):
    """The answer; a 404 must be that of an unknown address, to the byte."""
    answer = act(path)
    if answer.status == 404:
        unknown = act(NONE)
        assert (answer.headers, answer.body) == (unknown.headers, unknown.body)
    return answer


def test_table_is_tried_whole_and_each_door_knows_who_is_there(settings, tmp_path):
    settings.BLOBS = tmp_path
    town = make_town()
    uploads = Uploads(town)
    assert set(uploads.doors()) == set(FILES_OF) and granted(FILES_OF) == DOORS_OPEN
    differ = []
    for row, door in uploads.doors().items():
        for caller in town.callers:
            got, cell = status(door(Phone(caller.secret)).status), FILES_OF[row][caller.column]
            if got != cell:
                differ.append((row, str(caller), got, cell))
    assert differ == []

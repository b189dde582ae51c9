"""The chain of a school from its first row: it holds after a day of pushes, and whatever is done to its rows is found."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from safety.chains import every_chain, log_faults, verify_chain
from safety.guard import lifted
from safety.models import Body, ChainHead, Change, Clock, Index
from tests.history import make_history

pytestmark = pytest.mark.django_db


@pytest.fixture
def links(town):
    """The changes in the chain of the school, first row first, after a day of pushes."""
    make_history(town)
    return list(Change.objects.filter(chain_id=town.school.id).order_by("n"))


def tamper(statement, *values):
    """Raw SQL, as somebody with the database's password would."""
    with lifted(), connection.cursor() as cursor:
        cursor.execute(statement, [connection.ops.adapt_unknown_value(value) for value in values])
        assert cursor.rowcount == 1


def key(value):
    """An id as the engine keeps it."""
    return value.hex if connection.vendor == "sqlite" else value


def first_of(links, body_id):
    """The first link that a body stands behind: one thing said may move several documents."""
    return next(link.n for link in links if link.body_id == body_id)


def broken(town):
    """Where the chain of the school does not hold."""
    return verify_chain(town.school.id).first_bad


def test_chain_of_a_school_holds_from_the_first_row_after_a_day_of_pushes(town, links):
    verified = verify_chain(town.school.id)
    assert (verified.first_bad, verified.count) == (None, len(links))
    assert [link.n for link in links] == list(range(1, len(links) + 1))
    said = {"inspection.submitted", "rectification.registered", "alert.raised", "alert.acknowledged", "report.said"}
    assert said <= {link.kind for link in links} and len(links) > 15
    assert log_faults() == []


def test_every_chain_holds(town, links):
    chains = every_chain()
    assert town.school.id in chains and town.checklist.chain_id in chains
    assert [verify_chain(chain).first_bad for chain in chains] == [None] * len(chains)


@pytest.mark.parametrize("column", ["collection", "kind"])
def test_changed_word_is_found_where_it_stands(town, links, column):
    tamper(f"UPDATE safety_change SET {column} = %s WHERE seq = %s", "other", links[4].seq)
    assert broken(town) == 5


@pytest.mark.parametrize("column", ["doc_id", "actor_id", "device_id"])
def test_changed_identity_is_found_where_it_stands(town, links, column):
    link = next(link for link in links if link.device_id)
    tamper(f"UPDATE safety_change SET {column} = %s WHERE seq = %s", key(town.stranger.id), link.seq)
    assert broken(town) == link.n


@pytest.mark.parametrize("column", ["said_at", "received_at"])
def test_changed_time_is_found_where_it_stands(town, links, column):
    tamper(f"UPDATE safety_change SET {column} = %s WHERE seq = %s", "2020-01-01 00:00:00+00:00", links[4].seq)
    assert broken(town) == 5


def test_row_that_was_changed_with_its_own_hash_is_found_at_the_next(town, links):
    tamper("UPDATE safety_change SET prev = %s, hash = %s WHERE seq = %s", b"x" * 32, b"y" * 32, links[4].seq)
    assert broken(town) == 5


def test_removed_row_is_found_where_it_stood(town, links):
    tamper("DELETE FROM safety_change WHERE seq = %s", links[4].seq)
    assert broken(town) == 5


def test_removed_row_is_found_though_the_others_close_up(town, links):
    tamper("DELETE FROM safety_change WHERE seq = %s", links[-2].seq)
    tamper("UPDATE safety_change SET n = %s WHERE seq = %s", links[-2].n, links[-1].seq)
    assert broken(town) == links[-2].n


def test_row_that_left_for_another_chain_is_found_in_both(town, links):
    tamper("UPDATE safety_change SET chain_id = %s WHERE seq = %s", key(town.neighbour.id), links[4].seq)
    assert broken(town) == 5
    assert verify_chain(town.neighbour.id).first_bad is not None


def test_rows_that_changed_places_are_found(town, links):
    fourth, fifth = links[3], links[4]
    tamper("UPDATE safety_change SET n = %s WHERE seq = %s", fifth.n, fourth.seq)
    tamper("UPDATE safety_change SET n = %s WHERE seq = %s", fourth.n, fifth.seq)
    assert broken(town) == 4


def test_body_that_was_changed_is_found(town, links):
    tamper("UPDATE safety_body SET bytes = %s WHERE id = %s", b'{"passed": true}', key(links[4].body_id))
    assert broken(town) == first_of(links, links[4].body_id)


def test_body_that_was_changed_with_its_hash_is_found(town, links):
    body = Body.objects.get(pk=links[-1].body_id)
    tamper("UPDATE safety_body SET bytes = %s, hash = %s WHERE id = %s", b"{}", b"h" * 32, key(body.id))
    assert broken(town) == first_of(links, body.id)


def test_body_that_was_removed_or_emptied_in_silence_is_found(town, links):
    body_id = links[-1].body_id
    tamper("UPDATE safety_body SET bytes = NULL, salt = NULL WHERE id = %s", key(body_id))
    assert broken(town) == first_of(links, body_id)
    tamper("DELETE FROM safety_body WHERE id = %s", key(body_id))
    assert broken(town) == first_of(links, body_id)


def test_erased_body_leaves_the_chain_whole(town, links):
    with lifted():
        Body.objects.filter(pk=links[4].body_id).update(bytes=None, salt=None, erased_at=timezone.now())
    assert broken(town) is None


@pytest.mark.parametrize(("column", "value"), [("hash", b"x" * 32), ("n", 3)])
def test_head_that_was_tampered_with_is_found(town, links, column, value):
    tamper(f"UPDATE safety_chainhead SET {column} = %s WHERE organisation_id = %s", value, key(town.school.id))
    assert broken(town) == len(links) + 1


def test_head_that_was_removed_is_found(town, links):
    tamper("DELETE FROM safety_chainhead WHERE organisation_id = %s", key(town.school.id))
    assert broken(town) == len(links) + 1
    assert town.school.id in every_chain()


def test_end_that_was_cut_off_with_its_head_shows_in_the_numbers(town, links):
    last = links[-1]
    tamper("DELETE FROM safety_change WHERE seq = %s", last.seq)
    with lifted():
        ChainHead.objects.filter(pk=town.school.id).update(n=last.n - 1, hash=last.prev)
    assert broken(town) is None
    assert log_faults() != []


def test_gap_in_the_numbers_is_found(town, links):
    assert log_faults() == []
    tamper("DELETE FROM safety_change WHERE seq = %s", links[4].seq)
    assert log_faults() == [f"第 {links[4].seq - 1} 号之后缺少变更，接着是第 {links[4].seq + 1} 号。"]


def test_clock_that_was_set_back_and_what_stands_beyond_it_are_found(town, links):
    clock = Clock.objects.get().seq
    tamper("UPDATE safety_clock SET seq = %s", clock - 1)
    beyond = Index.objects.filter(seq=clock).count()
    assert log_faults() == [f"时钟是 {clock - 1},最后一条变更是第 {clock} 号。"] + (
        [f"索引有 {beyond} 行的编号超过时钟 {clock - 1}。"] if beyond else []
    )
    tamper("UPDATE safety_clock SET seq = %s", 3)
    assert any(fault.startswith("索引有") for fault in log_faults())


def test_command_says_what_it_looked_at_when_all_is_whole(town, links):
    said = StringIO()
    call_command("verify", stdout=said)
    assert (
        said.getvalue() == f"核对通过:{len(every_chain())} 条链,{Change.objects.filter(n__isnull=False).count()} 环。\n"
    )


def test_command_names_the_school_and_ends_in_failure_when_a_chain_is_broken(town, links):
    tamper("UPDATE safety_change SET kind = %s WHERE seq = %s", "other", links[4].seq)
    said = StringIO()
    with pytest.raises(CommandError, match="1 处"):
        call_command("verify", stderr=said)
    assert "甲校" in said.getvalue() and "第 5 环" in said.getvalue()


def test_command_looks_at_one_organisation_alone(town, links):
    tamper("UPDATE safety_change SET kind = %s WHERE seq = %s", "other", links[4].seq)
    call_command("verify", organisation=town.neighbour.code, stdout=StringIO())
    call_command("verify", organisation=str(town.neighbour.id), stdout=StringIO())
    with pytest.raises(CommandError):
        call_command("verify", organisation=town.school.code, stderr=StringIO())
    with pytest.raises(CommandError, match="没有代码"):
        call_command("verify", organisation="nobody")

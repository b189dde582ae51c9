"""Only what is imported is locked; the locks name no host, and every entry has its hashes."""

import ast
import json
import re
from importlib.metadata import packages_distributions

import pytest

from dev import CLIENTS, CLIENTS_LOCK, NODE_LOCK, ROOT, RUN_LOCK, TEST_LOCK

PRODUCT = ("safety", "inspections", "sync")
STAND_IN = {
    "psycopg": "named by Django: the engine django.db.backends.postgresql imports it",
    "uvicorn": "the server: dev.py and deployments start it by name",
    "websockets": "uvicorn's WebSocket protocol imports it",
}
COMES_WITH = {
    "asgiref": "Django's own companion, at the version that Django asks for",
    "botocore": "what boto3 is made of; we name only its errors and its configuration",
    "redis": "the client of channels-redis; we name only the errors that it raises",
}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def direct(listed: str) -> set[str]:
    """Names of the requirements of one .in list."""
    lines = (ROOT / listed).read_text(encoding="utf-8").splitlines()
    return {normal(re.match(r"[\w.-]+", line)[0]) for line in lines if line[:1].isalnum()}


def locked(lock: str) -> dict[str, tuple[str, list[str]]]:
    """Name and marker → (version, hashes) of each entry of a lock."""
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    entries = {}
    for line in (line for line in text.splitlines() if line[:1].isalnum()):
        wanted, *hashes = line.split("--hash=")
        name, version, marker = re.match(r"([\w.-]+)(?:\[.*?\])?==([^\s;]+)\s*(.*)", wanted).groups()
        entries[normal(name) + marker.strip()] = (version, [each.strip() for each in hashes])
    return entries


def modules_named() -> set[str]:
    """Top-level modules that the product imports, or names in a dotted string of its settings."""
    files = [ROOT / "manage.py", *(file for folder in PRODUCT for file in (ROOT / folder).rglob("*.py"))]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    settings = ast.parse((ROOT / "safety" / "settings.py").read_text(encoding="utf-8"))
    texts = [
        node.value for node in ast.walk(settings) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    names += [text for text in texts if re.fullmatch(r"[a-z_]\w*(\.\w+)*", text)]
    return {name.split(".")[0] for name in names}


def distributions_used() -> set[str]:
    known = packages_distributions()
    return {normal(distribution) for module in modules_named() for distribution in known.get(module, [])}


def test_every_direct_requirement_is_imported_or_stands_in_for_a_reason():
    assert direct("requirements.in") - distributions_used() - set(STAND_IN) == set()


def test_the_product_imports_nothing_that_it_does_not_require_by_its_own_hand():
    assert distributions_used() - direct("requirements.in") - set(COMES_WITH) == set()


def test_no_exception_is_kept_beyond_its_need():
    assert set(STAND_IN) <= direct("requirements.in")


@pytest.mark.parametrize(
    ("listed", "lock"),
    [("requirements.in", RUN_LOCK), ("requirements-test.in", TEST_LOCK), ("requirements-node.in", NODE_LOCK)],
)
def test_every_direct_requirement_is_in_its_lock(listed, lock):
    assert direct(listed) <= {re.split(r"[;\s]", name)[0] for name in locked(lock)}


@pytest.mark.parametrize("lock", [RUN_LOCK, TEST_LOCK, NODE_LOCK])
def test_a_lock_names_no_host(lock):
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "http" not in re.sub(r"\b(httpx|httpcore|httptools|http-ece|aiohttp)\b", "", text)
    assert not re.search(r"://|^--?(index|extra|find|trusted)", text, re.MULTILINE)


@pytest.mark.parametrize(("lock", "fewest"), [(RUN_LOCK, 30), (TEST_LOCK, 30), (NODE_LOCK, 1)])
def test_every_entry_of_a_lock_has_its_hashes(lock, fewest):
    entries = locked(lock)
    assert len(entries) >= fewest
    unsure = [name for name, (_, hashes) in entries.items() if not hashes or not all(map(is_sha256, hashes))]
    assert unsure == []


def is_sha256(text: str) -> bool:
    return re.fullmatch(r"sha256:[0-9a-f]{64}( +#.*)?", text) is not None


def test_what_is_tested_is_what_is_served():
    served, tested = locked(RUN_LOCK), locked(TEST_LOCK)
    assert {name: tested.get(name, ("", []))[0] for name in served} == {
        name: version for name, (version, _) in served.items()
    }


def test_lock_of_the_strangers_names_no_host_and_has_the_hash_of_each_package():
    """npm writes where it fetched a package from into `resolved`, unless .npmrc tells it not to."""
    packages = json.loads((CLIENTS / CLIENTS_LOCK).read_text(encoding="utf-8"))["packages"]
    installed = {path: each for path, each in packages.items() if path}
    assert len(installed) > 30
    assert [path for path, each in installed.items() if "resolved" in each or not each.get("integrity")] == []


def test_strangers_are_locked_as_they_are_asked_for():
    wanted = json.loads((CLIENTS / "package.json").read_text(encoding="utf-8"))["dependencies"]
    packages = json.loads((CLIENTS / CLIENTS_LOCK).read_text(encoding="utf-8"))["packages"]
    assert wanted == {name: packages[f"node_modules/{name}"]["version"] for name in wanted}

"""The line sync → inspections → safety and the habits of the house, read off the syntax trees of the product.

A rule takes one source and gives its complaints. Each rule is held against the whole product, and against a snippet
that breaks it: a rule that finds nothing there would prove nothing.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("safety", "inspections", "sync")


class Source(NamedTuple):
    """One file of the product: its path from the root with slashes, and its tree."""

    path: str
    tree: ast.Module

    @property
    def room(self) -> str:
        return self.path.split("/")[0]


Rule = Callable[[Source], Iterator[str]]


def source(path: str, text: str) -> Source:
    return Source(path, ast.parse(text, filename=path))


PRODUCT = [
    source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    for room in ROOMS
    for path in sorted((ROOT / room).rglob("*.py"))
]


def at(source: Source, node: ast.AST, words: str) -> str:
    return f"{source.path}:{node.lineno} {words}"


# --- Arrows ----------------------------------------------------------------------------------------------------------

MAY_IMPORT = {  # room → what it may import of the rooms; a name covers what lies under it
    "safety": ("safety",),
    "inspections": ("safety", "inspections"),
    "sync": ("safety", "sync", "inspections.verbs", "inspections.photos"),
}
COMPOSITION = ("safety.settings", "safety.urls", "safety.asgi")  # they name everybody, nobody imports them
NOT_OURS_TO_IMPORT = ("tests", "bench", "dev", "manage")


def imports_of(source: Source) -> Iterator[tuple[ast.stmt, list[str]]]:
    """Each import with the full names that it may mean: `from a import b` means a.b, and a."""
    package = source.path.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, [alias.name]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node, [f"{module}.{alias.name}", module]


def is_under(name: str, roots: tuple[str, ...]) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def imports_follow_the_line(source: Source) -> Iterator[str]:
    for node, names in imports_of(source):
        if is_under(names[0], ROOMS) and not any(is_under(name, MAY_IMPORT[source.room]) for name in names):
            yield at(source, node, f"imports {names[0]} against the line")
        if is_under(names[0], NOT_OURS_TO_IMPORT):
            yield at(source, node, f"imports {names[0]}: the product stands without it")


def composition_is_imported_by_nobody(source: Source) -> Iterator[str]:
    for node, names in imports_of(source):
        if any(name in COMPOSITION for name in names):
            yield at(source, node, f"imports {names[0]}, which composes and is named by string alone")


def rooms_above_are_not_reached_by_name(source: Source) -> Iterator[str]:
    """`import_module("inspections.…")` and `apps.get_model("sync", …)` are imports as well."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call) or name_of(node.func) not in ("import_module", "import_string", "get_model"):
            continue
        named = [each.value for each in node.args[:1] if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        if "/migrations/" not in source.path and any(not is_under(name, MAY_IMPORT[source.room]) for name in named):
            yield at(source, node, f"reaches {named[0]} by its name")


def imports_stand_at_the_top(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    yield at(source, inner, f"hides an import in {node.name}()")
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            yield at(source, node, "imports *")


def serializers_know_shapes_only(source: Source) -> Iterator[str]:
    if not source.path.endswith("serializers.py"):
        return
    for node, names in imports_of(source):
        if is_under(names[0], ROOMS) and {"models", "rules", "access"} & set(names[0].split(".")):
            yield at(source, node, f"a serializer imports {names[0]}")


# --- Habits ----------------------------------------------------------------------------------------------------------

MAY_LISTEN = {  # file → the signals that it may hear or send
    "safety/guard.py": ("django.db.backends.signals",),  # a new connection, the only place to guard each thread's
    "safety/views.py": ("django.contrib.auth.signals",),  # sends, hears none: the login throttle listens
}
MAY_CATCH_ALL = {"sync/push.py": 1}  # the push loop: our fault must not block the operations after it
DOORS = {  # the files that may open a unit of work
    "safety/admin_site.py",
    "safety/devices.py",
    "safety/erasure.py",
    "safety/horizon.py",  # it takes rows out of the log, which only a unit may
    "safety/hub.py",
    "safety/jobs.py",
    "safety/scopes.py",  # the scope is told before the read snapshot of a pull
    "safety/unit_admin.py",
    "inspections/demo_history.py",
    "inspections/jobs.py",
    "inspections/management/commands/demo.py",
    "inspections/management/commands/seed.py",
    "inspections/photos.py",
    "inspections/views.py",
    "sync/alarms.py",
    "sync/imports.py",
    "sync/jobs.py",
    "sync/orphans.py",
    "sync/push.py",
    "sync/reminders.py",
}


def name_of(node: ast.expr) -> str:
    """The last name of `name` or `some.where.name`."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def nobody_listens_to_signals(source: Source) -> Iterator[str]:
    for node, names in imports_of(source):
        heard = [name for name in names if name == "django.dispatch" or name.endswith(".signals")]
        if heard and heard[0] not in MAY_LISTEN.get(source.path, ()):
            yield at(source, node, f"imports {heard[0]}")


def rows_are_saved_as_django_saves_them(source: Source) -> Iterator[str]:
    """A view's `delete(self, request, …)` is the HTTP method."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                saves = isinstance(inner, ast.FunctionDef) and inner.name in ("save", "asave", "save_base", "delete")
                if saves and [each.arg for each in inner.args.args[1:2]] != ["request"]:
                    yield at(source, inner, f"{node.name} overrides {inner.name}()")


def failures_are_caught_by_name(source: Source) -> Iterator[str]:
    allowed = MAY_CATCH_ALL.get(source.path, 0)
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        if any(each is None or name_of(each) in ("Exception", "BaseException") for each in caught):
            allowed -= 1
            if allowed < 0:
                yield at(source, node, "catches everything")


def environment_is_read_in_one_place(source: Source) -> Iterator[str]:
    """`os.environ.setdefault` hands Django its settings and reads nothing."""
    if source.path == "safety/env.py":
        return
    handing_on = {
        id(node.func.value)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setdefault"
    }
    for node in ast.walk(source.tree):
        reads = isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "putenv")
        if reads and name_of(node.value) == "os" and id(node) not in handing_on:
            yield at(source, node, f"touches os.{node.attr}")
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            for alias in node.names:
                if alias.name in ("environ", "environb", "getenv"):
                    yield at(source, node, f"imports os.{alias.name}")


def files_say_what_they_hold(source: Source) -> Iterator[str]:
    if Path(source.path).stem in ("util", "utils", "helper", "helpers", "misc", "common"):
        yield f"{source.path} says nothing of what lies in it"


def only_doors_open_units(source: Source) -> Iterator[str]:
    if source.path in DOORS:
        return
    for node, names in imports_of(source):
        if names[0] == "safety.changes.unit":
            yield at(source, node, "opens a unit of work, but is no door")
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and node.attr == "unit" and name_of(node.value) == "changes":
            yield at(source, node, "opens a unit of work, but is no door")


# Each rule with a snippet that breaks it once, at a path where it holds.
BROKEN: list[tuple[Rule, str, str]] = [
    (imports_follow_the_line, "safety/alerts.py", "from inspections.models import Finding"),
    (imports_follow_the_line, "safety/alerts.py", "import sync.push"),
    (imports_follow_the_line, "inspections/rules.py", "from sync import push"),
    (imports_follow_the_line, "sync/pull.py", "from inspections.models import Photo"),
    (imports_follow_the_line, "sync/pull.py", "from inspections import loading"),
    (imports_follow_the_line, "inspections/actions/visits.py", "from ...sync import push"),
    (imports_follow_the_line, "inspections/seeding.py", "from tests.makers import make_school"),
    (composition_is_imported_by_nobody, "sync/views.py", "from safety.settings import BLOBS"),
    (composition_is_imported_by_nobody, "inspections/views.py", "from safety import urls"),
    (rooms_above_are_not_reached_by_name, "safety/worker.py", "job = import_string('sync.jobs.drain_deferred')"),
    (rooms_above_are_not_reached_by_name, "safety/worker.py", "Photo = apps.get_model('inspections', 'Photo')"),
    (imports_stand_at_the_top, "inspections/rules.py", "def due():\n    import datetime"),
    (
        imports_stand_at_the_top,
        "inspections/rules.py",
        "class A:\n    async def due(self):\n        from os import path",
    ),
    (imports_stand_at_the_top, "inspections/rules.py", "from inspections.fold import *"),
    (serializers_know_shapes_only, "inspections/serializers.py", "from inspections.models import Photo"),
    (serializers_know_shapes_only, "safety/serializers.py", "from safety import access"),
    (serializers_know_shapes_only, "inspections/serializers.py", "from inspections.rules import due_on"),
    (nobody_listens_to_signals, "safety/alerts.py", "from django.db.models.signals import post_save"),
    (nobody_listens_to_signals, "safety/alerts.py", "from django.db.models import signals"),
    (nobody_listens_to_signals, "safety/alerts.py", "from django.dispatch import receiver"),
    (nobody_listens_to_signals, "safety/guard.py", "from django.db.models.signals import post_save"),
    (rows_are_saved_as_django_saves_them, "safety/models/alert.py", "class Alert:\n    def save(self): pass"),
    (rows_are_saved_as_django_saves_them, "safety/models/alert.py", "class Alert:\n    def delete(self): pass"),
    (failures_are_caught_by_name, "safety/worker.py", "try: pass\nexcept Exception: pass"),
    (failures_are_caught_by_name, "safety/worker.py", "try: pass\nexcept: pass"),
    (failures_are_caught_by_name, "safety/worker.py", "try: pass\nexcept (ValueError, BaseException): pass"),
    (
        failures_are_caught_by_name,
        "sync/push.py",
        "try: pass\nexcept Exception: pass\ntry: pass\nexcept Exception: pass",
    ),
    (environment_is_read_in_one_place, "safety/settings.py", "import os\nDEBUG = os.environ.get('DEBUG')"),
    (environment_is_read_in_one_place, "safety/settings.py", "import os\nDEBUG = os.getenv('DEBUG')"),
    (environment_is_read_in_one_place, "safety/settings.py", "from os import environ"),
    (files_say_what_they_hold, "inspections/utils.py", ""),
    (only_doors_open_units, "inspections/actions/visits.py", "from safety.changes import Work, unit"),
    (only_doors_open_units, "inspections/loading.py", "from safety import changes\nwith changes.unit(): pass"),
]
RULES = list(dict.fromkeys(rule for rule, _, _ in BROKEN))

# What looks like a breach and is none.
KEPT: list[tuple[Rule, str, str]] = [
    (imports_follow_the_line, "sync/push.py", "from inspections.verbs import VERBS\nfrom inspections import photos"),
    (imports_follow_the_line, "inspections/actions/visits.py", "from ..rules import due_on"),
    (nobody_listens_to_signals, "safety/guard.py", "from django.db.backends.signals import connection_created"),
    (rooms_above_are_not_reached_by_name, "safety/worker.py", "job = import_string(name)"),
    (rows_are_saved_as_django_saves_them, "inspections/views.py", "class View:\n    def delete(self, request): pass"),
    (environment_is_read_in_one_place, "safety/asgi.py", "import os\nos.environ.setdefault('A', 'b')"),
    (failures_are_caught_by_name, "sync/push.py", "try: pass\nexcept Exception: pass"),
    (only_doors_open_units, "inspections/views.py", "from safety.changes import unit"),
]


def label(value) -> str:
    return value.__name__ if callable(value) else value if "/" in value else ""


@pytest.mark.parametrize("rule", RULES, ids=label)
def test_product_keeps_the_rule(rule):
    assert [complaint for each in PRODUCT for complaint in rule(each)] == []


@pytest.mark.parametrize(("rule", "path", "snippet"), BROKEN, ids=label)
def test_rule_complains_of_a_breach(rule, path, snippet):
    assert len(list(rule(source(path, snippet)))) == 1


@pytest.mark.parametrize(("rule", "path", "snippet"), KEPT, ids=label)
def test_rule_lets_pass_what_is_allowed(rule, path, snippet):
    assert list(rule(source(path, snippet))) == []


def test_every_rule_of_this_file_is_held_against_the_product():
    written = {
        name
        for name, value in globals().items()
        if getattr(value, "__annotations__", {}).get("return") == Iterator[str]
    }
    assert {rule.__name__ for rule in RULES} == written


def test_every_door_of_the_list_opens_units():
    opening = {each.path for each in PRODUCT if any(names[0] == "safety.changes.unit" for _, names in imports_of(each))}
    assert opening == DOORS


def test_product_is_what_lies_in_the_rooms():
    assert {each.room for each in PRODUCT} == set(ROOMS)
    assert {"safety/changes.py", "inspections/actions/visits.py", "sync/push.py"} <= {each.path for each in PRODUCT}
    assert set(MAY_CATCH_ALL) | set(MAY_LISTEN) <= {each.path for each in PRODUCT}

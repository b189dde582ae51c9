"""Schemas of the wire form: which a phone is served, and the steps down from ours to one that it knows.

A removed or retyped field is a new schema, an added one is not. Pull serves the newest three; push takes all there ever
were. A step is a pure function from a document of one schema to the same document of the one before.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from safety.changes import SCHEMA
from safety.errors import Problem

SERVED = 3
Step = Callable[[dict], dict]


class ClientTooOld(Problem):
    """Pull alone says this: work must never be trapped in an app that cannot be updated."""

    code, status = "client-too-old", 426
    message = "手机上的应用太旧,不能再下载新内容,请更新应用。未上传的内容仍可照常上传。"


@dataclass(frozen=True, slots=True)
class Schemas:
    """The newest schema, and `steps[n][collection]` from schema n + 1 down to n; none where nothing changed."""

    newest: int
    steps: Mapping[int, Mapping[str, Step]] = field(default_factory=dict)

    def served(self, known: int | None) -> int:
        """The schema in which a client is answered that knows this one, or did not say. Raises ClientTooOld."""
        if known is None or known > self.newest:
            return self.newest
        oldest = max(1, self.newest - SERVED + 1)
        if known < oldest:
            raise ClientTooOld(oldest_schema=oldest, action="upgrade")
        return known

    def cast(self, collection: str, wire: bytes, *, rendered: int, to: int) -> bytes:
        """A wire form that was rendered in one schema, in an older one; the very bytes where nothing differs."""
        if rendered == to:
            return wire
        ways = (self.steps.get(n, {}).get(collection) for n in range(rendered - 1, to - 1, -1))
        steps = [step for step in ways if step is not None]
        if not steps:
            return wire
        document = msgspec.json.decode(wire)
        for step in steps:
            document = step(document)
        return msgspec.json.encode(document)


SCHEMAS = Schemas(SCHEMA)

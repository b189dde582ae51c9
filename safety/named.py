"""How somebody or something is told when the name is all that is told of it; its shape is `NamedShape`."""

from typing import Any


def named(thing: Any) -> dict:
    """{id, name} of a person, a phone, an organisation."""
    return {"id": thing.id, "name": thing.name}

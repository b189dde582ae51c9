"""The only reader of the environment."""

import os
from typing import TypeVar

T = TypeVar("T", str, int, float, bool)


def env(name: str, default: T) -> T:
    """SAFETY_<name> in the type of its one embedded default; a boolean is 0 or 1, anything else stops the start."""
    raw = os.environ.get(f"SAFETY_{name}")
    if raw is None:
        return default
    if isinstance(default, bool):
        if raw not in ("0", "1"):
            raise SystemExit(f"SAFETY_{name} 只能是 0 或 1,现在是 {raw!r}")
        return raw == "1"
    try:
        return type(default)(raw)
    except ValueError as wrong:
        raise SystemExit(f"SAFETY_{name} 应当是 {type(default).__name__},现在是 {raw!r}") from wrong


def server_processes() -> int:
    """How many processes uvicorn and gunicorn are asked for by the one variable of theirs that both read."""
    raw = os.environ.get("WEB_CONCURRENCY", "")
    return int(raw) if raw.isdigit() else 1


def environment_of_child(**more: str) -> dict[str, str]:
    """Our own environment with these beside it, for a program that we start."""
    return {**os.environ, **more}

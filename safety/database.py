"""SAFETY_DATABASE_URL to Django's DATABASES entry, with the options that each engine needs not to lose anything."""

from urllib.parse import parse_qsl, unquote, urlsplit

SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",  # a read that later writes would fail at once under DEFERRED, whatever the timeout
    "timeout": 20,
    "init_command": (
        "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size=134217728; "
        "PRAGMA journal_size_limit=27103364; PRAGMA cache_size=-20000; PRAGMA wal_autocheckpoint=16000;"
    ),
}
# synchronous_commit=on: phones delete what the server acknowledged, so an answer must survive a power cut.
POSTGRES_SESSION = "-c synchronous_commit=on -c lock_timeout=5s -c idle_in_transaction_session_timeout=30s"


def database_from_url(url: str) -> dict:
    """`sqlite:////absolute`, `sqlite:///relative` or `postgresql://user:password@host:port/name?host=/socket/dir`.

    Raises ValueError for any other.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        name = unquote(parts.path)[1:]  # without the slash that ends the (empty) host
        # an in-memory test database is one connection: threads would see "table is locked"
        test = {"NAME": f"{name}.test"}
        return {"ENGINE": "safety.sqlite", "NAME": name, "OPTIONS": dict(SQLITE_OPTIONS), "TEST": test}
    if parts.scheme in ("postgres", "postgresql"):
        query = dict(parse_qsl(parts.query))
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path.lstrip("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": query.get("host") or parts.hostname or "",
            "PORT": str(parts.port or ""),
            "CONN_MAX_AGE": 0,  # ASGI gives each request its own thread; the pool keeps the connections
            "OPTIONS": {
                "options": POSTGRES_SESSION,
                "pool": {"min_size": 1, "max_size": 16, "timeout": 10},
                "prepare_threshold": 2,  # for what `safety.rows` asks; Django's own cursors write values into the text
            },
        }
    raise ValueError(f"SAFETY_DATABASE_URL: 不认识 {parts.scheme!r},请用 sqlite 或 postgresql")

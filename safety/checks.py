"""System checks of ours. Django runs them before its commands; the server runs them in its lifespan."""

from collections.abc import Iterable

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.db import DatabaseError, connection
from django.utils.module_loading import import_string

from safety.env import server_processes

TAG = "safety"
SYNCHRONOUS_FULL = 2  # of SQLite's PRAGMA synchronous; 1 is NORMAL, which may lose the last commits
LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")


def beyond_loopback() -> list[str]:
    """Names under which the server answers that are not this machine's own."""
    return [host for host in settings.ALLOWED_HOSTS if host not in LOOPBACK and not host.endswith(".localhost")]


def secret_key(app_configs, **kwargs) -> Iterable[CheckMessage]:
    """The key that comes with the source serves this machine only."""
    hosts = beyond_loopback()
    if settings.SECRET_KEY != settings.LOCAL_SECRET or not hosts:
        return []
    return [
        Error(
            f"SAFETY_ALLOWED_HOSTS 含有本机以外的地址({'、'.join(hosts)}),而密钥还是源码自带的,任何人都能伪造登录。",
            hint="请设置 SAFETY_SECRET_KEY 为一串随机字符(至少 50 个)。",
            id="safety.E001",
        )
    ]


def demo_district(app_configs, databases=None, **kwargs) -> Iterable[CheckMessage]:
    """Demonstration data beyond loopback must be wanted."""
    hosts = beyond_loopback()
    if settings.DEMO or not hosts or not databases:
        return []
    try:
        demo = apps.get_model("safety", "Organisation").objects.filter(demo=True).exists()
    except DatabaseError:
        return []  # no tables yet: there is nothing to serve either
    if not demo:
        return []
    return [
        Error(
            f"数据库里是演示数据,而 SAFETY_ALLOWED_HOSTS 含有本机以外的地址({'、'.join(hosts)})。",
            hint="确实要对外演示,请设置 SAFETY_DEMO=1;正式使用请换一个空的数据库。",
            id="safety.E002",
        )
    ]


def one_process(app_configs, **kwargs) -> Iterable[CheckMessage]:
    """Several processes hear one ring only through Redis."""
    processes = server_processes()
    if settings.REDIS_URL or processes <= 1:
        return []
    return [
        Error(
            f"WEB_CONCURRENCY={processes} 要启动多个进程,但没有 Redis:预警到不了别的进程里的值班台。",
            hint="请去掉 WEB_CONCURRENCY,或设置 SAFETY_REDIS_URL。",
            id="safety.E003",
        )
    ]


def durable_commits(app_configs, databases=None, **kwargs) -> Iterable[CheckMessage]:
    """What is answered to a phone survives a power cut: the phone deletes its copy on our word.

    Asked of the connection as it is: a pooler or the server's own settings may have undone what ours ask for.
    """
    if not databases:
        return []
    try:
        with connection.cursor() as cursor:
            return list(_postgresql_faults(cursor) if connection.vendor == "postgresql" else _sqlite_faults(cursor))
    except DatabaseError:
        return []  # no database yet: the lifespan's own member says so


def _postgresql_faults(cursor) -> Iterable[CheckMessage]:
    names = ("synchronous_commit", "fsync", "full_page_writes")
    cursor.execute("SELECT " + ", ".join(f"current_setting('{name}')" for name in names))
    found = dict(zip(names, cursor.fetchone(), strict=True))
    if found["synchronous_commit"] == "off":
        yield Error(
            "PostgreSQL 的 synchronous_commit 是 off:断电会丢失已经答复手机“收到”的内容,而手机已删掉自己那一份。",
            hint="请去掉连接池或角色上的 synchronous_commit=off(ALTER ROLE … RESET synchronous_commit)。",
            id="safety.E005",
        )
    off = [name for name in names[1:] if found[name] == "off"]
    if off:
        grave = Error if beyond_loopback() else Warning
        yield grave(
            f"PostgreSQL 的 {'、'.join(off)} 是 off:断电会损坏整个数据库。只有用后即弃的测试库才可以这样。",
            hint="请在 postgresql.conf 中改为 on,然后重启 PostgreSQL。",
            id="safety.E006" if grave is Error else "safety.W006",
        )


def _sqlite_faults(cursor) -> Iterable[CheckMessage]:
    synchronous = cursor.execute("PRAGMA synchronous").fetchone()[0]
    if synchronous < SYNCHRONOUS_FULL:
        yield Error(
            f"SQLite 的 synchronous 是 {synchronous},不是 FULL:断电会丢失已经答复手机“收到”的内容。",
            hint="请使用 safety.database.database_from_url 给出的连接选项。",
            id="safety.E005",
        )
    journal = cursor.execute("PRAGMA journal_mode").fetchone()[0]
    if journal != "wal":
        yield Error(
            f"SQLite 的日志方式是 {journal},不是 WAL:数据库文件所在的磁盘(例如网络盘)可能不支持,并发读写会互相阻塞。",
            hint="请把 SAFETY_VAR 放在本机磁盘上,或改用 PostgreSQL(SAFETY_DATABASE_URL)。",
            id="safety.E006",
        )


def names_in_settings(app_configs, **kwargs) -> Iterable[CheckMessage]:
    """Jobs, members of the lifespan and doors are named as strings: a name without a thing must not wait until it is needed."""
    for setting, names in (
        ("JOBS", settings.JOBS),
        ("LIFESPAN", settings.LIFESPAN),
        ("BESIDE_DJANGO", settings.BESIDE_DJANGO.values()),
    ):
        for name in names:
            try:
                import_string(name)
            except ImportError as missing:
                yield Error(f"settings.{setting} 里的 {name} 找不到:{missing}", id="safety.E004")

"""System checks of ours. Django runs them before its commands; the server runs them in its lifespan."""

from collections.abc import Iterable

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.db import DatabaseError
from django.utils.module_loading import import_string

from safety.env import server_processes

TAG = "safety"
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

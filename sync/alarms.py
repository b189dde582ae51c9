"""What the road tells administrators: that the server has lost commits which a phone has seen."""

import logging
from datetime import datetime
from uuid import UUID

import msgspec

from safety import alerts
from safety.access import paths_up, today
from safety.changes import clock_now, unit
from safety.models import Organisation, Post

log = logging.getLogger(__name__)

SENTENCE = (
    "有手机的数据比服务器还新:服务器可能丢失了最近的内容。请立即检查数据库;若刚恢复过备份,请运行 manage.py restored。"
)


def tell_cursor_ahead(person_id: UUID, device_id: UUID, *, cursor_seq: int, now: datetime) -> bool:
    """An alert to the administrators over the phone's person, one while it is open; whether it was raised now.

    It means that acknowledged work is gone: commits that did not reach the disk, a replica that lagged and took over,
    or a backup that was restored and never announced.
    """
    clock, epoch = clock_now()
    log.error("pull.cursor_ahead person=%s device=%s cursor=%d clock=%d", person_id, device_id, cursor_seq, clock)
    node = _bureau_over(person_id, now)
    if node is None or alerts.is_told("cursor-ahead", node, at=now):
        return False
    with unit(actor=None, source="pull", now=now) as work:
        work.lock({node.id})
        if alerts.is_told("cursor-ahead", node, at=now):
            return False
        seen = {"rule": "pull.cursor_ahead", "device": device_id, "cursor": cursor_seq, "clock": clock, "epoch": epoch}
        body = work.body(msgspec.json.encode(seen, order="deterministic"))
        alerts.raise_system(work, "cursor-ahead", node, sentence=SENTENCE, body=body)
    return True


def _bureau_over(person_id: UUID, now: datetime) -> Organisation | None:
    posts = Post.objects.on(today(now)).filter(person_id=person_id).order_by("node__path")
    path = posts.values_list("node__path", flat=True).first()
    if path is None:
        return None
    above = Organisation.objects.filter(path__in=paths_up(path))
    return max((node for node in above if node.is_bureau), key=lambda node: len(node.path), default=None)

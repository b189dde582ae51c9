"""`manage.py erase`: takes back what was once said, by the number of its change or the id of its operation."""

from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from safety.access import today
from safety.erasure import body_of_change, erase
from safety.errors import Problem
from safety.models import Person, Post
from sync.models import Operation


class Command(BaseCommand):
    help = "删除一条变更所说的全部文字(原文、各处摘录和手机上的副本)。哈希、结果和证据链保留。不能恢复。"

    def add_arguments(self, parser):
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--change", type=int, metavar="编号", help="变更编号")
        what.add_argument("--operation", type=UUID, metavar="编号", help="没有形成变更的终端操作的编号")
        parser.add_argument("--by", required=True, metavar="账号", help="管理这个单位的系统管理员")
        parser.add_argument("--reason", required=True, metavar="理由", help="写入证据链,请不要重复要删除的内容")

    def handle(self, *args, change: int | None, operation: UUID | None, by: str, reason: str, **options):
        person = Person.objects.filter(username=by, is_active=True).first()
        if person is None:
            raise CommandError(f"没有账号“{by}”,或已停用。")
        if not reason.strip():
            raise CommandError("请写明理由。")
        try:
            if change is not None:
                done = erase(body_of_change(change), by=person, reason=reason, organisations=(), tag=str(change))
            else:
                body_id, organisations = _said_by(operation)
                done = erase(body_id, by=person, reason=reason, organisations=organisations)
        except Problem as problem:
            raise CommandError(problem.detail) from problem
        self.stdout.write(f"已删除:原文 {done['bodies']} 份,涉及文档 {done['documents']} 份。证据链照常可核对。")
        self.stdout.write("数据库的空闲页、预写日志和旧备份里可能还有副本,请按 docs/erasure.md 处理。")


def _said_by(op_id: UUID):
    """The body of an operation, and the organisations of its author: who administers one of them may erase it."""
    operation = Operation.objects.filter(pk=op_id).first()
    if operation is None:
        raise CommandError(f"没有编号为 {op_id} 的终端操作。")
    posts = Post.objects.on(today(timezone.now())).filter(person_id=operation.person_id)
    return operation.body_id, set(posts.values_list("node_id", flat=True))

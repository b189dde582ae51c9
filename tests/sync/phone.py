"""A phone of the tests: it keeps operations, sends them as one batch, and knows its own device."""

import msgspec
from django.utils import timezone

from safety.ids import new_id
from safety.models import Device
from sync.push import push
from tests.taint.watch import seen


def operation(collection, kind, said, *, doc_id=None, **more):
    """An operation as a phone writes it; kinds beside create, patch, delete are actions."""
    action = kind not in ("create", "patch", "delete")
    return {
        "op_id": more.pop("op_id", None) or new_id(),
        "collection": collection,
        "id": doc_id or new_id(),
        "kind": "action" if action else kind,
        "action": kind if action else "",
        "args" if action else "set": said,
        "at": more.pop("at", None) or timezone.now(),
        **more,
    }


class Phone:
    def __init__(self, person):
        self.person = person
        self.device = Device.objects.create(person=person, name="手机", registered_at=timezone.now())
        self.outbox = []

    def op(self, collection, kind, said, *, doc_id=None, **more):
        """Queues an operation and gives its document's id."""
        self.outbox.append(operation(collection, kind, said, doc_id=doc_id, **more))
        return self.outbox[-1]["id"]

    def send(self, operations=None, **envelope):
        """Sends what is queued (or these operations) and gives the results; the outbox is then empty."""
        operations = self.outbox if operations is None else operations
        body = msgspec.json.encode(
            {"protocol": 1, "schema": 1, "device_id": self.device.id, "ops": operations, **envelope}
        )
        answer = push(body, person=self.person.id, device=self.device.id, now=timezone.now())
        self.outbox = []
        told = msgspec.json.encode(answer)
        seen("push", told, reader=self.person.id, known=body)
        return msgspec.json.decode(told)["results"]

"""Who is on duty at a moment, and what a person may know then. Reads only: who must be told is decided in alerts.py.

A roster outlives people. A shift counts only while its person is active and holds a post that covers the node, so an
alert never goes to somebody who has left, and a desk goes silent the moment the post ends.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from safety.access import DESK, paths_up, today
from safety.models import Alert, Delivery, DeliveryState, DutyShift, Organisation, Post, Role


@dataclass(frozen=True, slots=True)
class Watch:
    """What one person may know of alerts at one moment."""

    person_id: UUID
    posts: tuple[Post, ...]  # of today, with their nodes; none when the person is not active
    shifts: tuple[DutyShift, ...]  # that run now and count, with their nodes
    owed: frozenset[UUID]  # alerts of which a delivery stands in this person's name

    @property
    def opens_desk(self) -> bool:
        """Whether the desk is theirs at all: a role of the desk, or a bureau's shift that runs now."""
        return any(post.role in DESK for post in self.posts) or any(shift.node.is_bureau for shift in self.shifts)

    def knows(self, alert: Alert) -> bool:
        """On duty over the alert's unit, or owed it; either way under a post of today that covers the unit."""
        path = alert.organisation.path
        if not any(path.startswith(post.node.path) for post in self.posts):
            return False
        return alert.id in self.owed or any(path.startswith(shift.node.path) for shift in self.shifts)


def on_duty(nodes: Collection[UUID], *, at: datetime) -> dict[UUID, list[DutyShift]]:
    """Shifts that run at a moment and count, by node, lowest seat first. Two queries."""
    shifts = list(_running(at).filter(node_id__in=nodes))
    found = defaultdict(list)
    for shift in _that_count(shifts, posts_of({shift.person_id for shift in shifts}, at=at)):
        found[shift.node_id].append(shift)
    return found


def watches(persons: Collection[UUID], *, at: datetime, alerts: Collection[UUID] | None = None) -> dict[UUID, Watch]:
    """The watch of each person; what is owed is looked up among `alerts`, or is all that is not over. Three queries."""
    posts = posts_of(persons, at=at)
    shifts = defaultdict(list)
    for shift in _that_count(_running(at).filter(person_id__in=persons), posts):
        shifts[shift.person_id].append(shift)
    owed = defaultdict(set)
    deliveries = Delivery.objects.filter(person_id__in=persons, subject_collection=Alert.collection)
    if alerts is None:
        deliveries = deliveries.exclude(state=DeliveryState.OVER)
    else:
        deliveries = deliveries.filter(subject_id__in=alerts)
    for person_id, alert_id in deliveries.values_list("person_id", "subject_id"):
        owed[person_id].add(alert_id)
    return {
        person: Watch(person, tuple(posts[person]), tuple(shifts[person]), frozenset(owed[person]))
        for person in persons
    }


def posts_of(persons: Collection[UUID], *, at: datetime) -> dict[UUID, list[Post]]:
    """Posts of today, with their nodes, of those persons who are active."""
    found = defaultdict(list)
    today_s = Post.objects.on(today(at)).filter(person_id__in=persons, person__is_active=True)
    for post in today_s.select_related("node"):
        found[post.person_id].append(post)
    return found


def administrators_of(node: Organisation, *, at: datetime) -> list[UUID]:
    """Administrators of a node, or of the nearest one above that has any."""
    return nearest_of(node, Role.ADMINISTRATOR, at=at)


def nearest_of(node: Organisation, role: str, *, at: datetime) -> list[UUID]:
    """Who holds a role today at a node, or at the nearest one above where anybody does."""
    found = defaultdict(list)
    posts = Post.objects.on(today(at)).filter(role=role, node__path__in=paths_up(node.path), person__is_active=True)
    for path, person_id in posts.order_by("person_id").values_list("node__path", "person_id"):
        found[path].append(person_id)
    return found[max(found, key=len)] if found else []


def _running(at: datetime):
    return DutyShift.objects.at(at).select_related("node").order_by("seat", "id")


def _that_count(shifts: Iterable[DutyShift], posts: dict[UUID, list[Post]]) -> Iterable[DutyShift]:
    return [shift for shift in shifts if any(_covers(post, shift.node) for post in posts[shift.person_id])]


def _covers(post: Post, node: Organisation) -> bool:
    return node.path.startswith(post.node.path) and (post.side == "bureau" or not node.is_bureau)

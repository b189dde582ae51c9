"""The gate: what a person sees and which verbs they may say where. Both follow from today's posts."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property, lru_cache
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib.auth.backends import ModelBackend
from django.db import connection

from safety import rows
from safety.errors import NotAllowed
from safety.ids import REF, parsed
from safety.models import UNIT_SIDE, Audience, Organisation, Person, Post, Role

SHANGHAI = ZoneInfo("Asia/Shanghai")

FIELD = frozenset({Role.INSPECTOR.value, Role.SAFETY_OFFICER.value})
OFFICE = frozenset({Role.SAFETY_OFFICER.value, Role.APPROVER.value})
DESK = frozenset(
    {
        Role.DUTY_OFFICER.value,
        Role.SHIFT_LEADER.value,
        Role.SAFETY_OFFICER.value,
        Role.APPROVER.value,
        Role.ADMINISTRATOR.value,
    }
)
APPROVERS = frozenset({Role.APPROVER.value})
EVERYBODY = frozenset(Role.values)

# verb → roles that may say it at the organisations of its document (design §5, regulations §2.2–§2.4)
GRANTS: dict[str, frozenset[str]] = {
    "inspections.create": FIELD,
    "inspections.patch": FIELD,
    "inspections.submit": FIELD,
    "inspections.join": FIELD,
    "inspections.void": FIELD,
    "inspections.delete": FIELD,
    "submissions.create": FIELD,
    "photos.create": FIELD | OFFICE | UNIT_SIDE | {Role.DUTY_OFFICER.value},  # whoever may say what it belongs to
    "quick_hazards.create": FIELD | {Role.DUTY_OFFICER.value},
    "notices.create": OFFICE,
    "receipts.create": UNIT_SIDE,
    "reports.create": UNIT_SIDE,
    "revisits.create": FIELD,
    "extensions.create": UNIT_SIDE,
    "judgements.create": APPROVERS,
    "closures.create": APPROVERS,
    "withdrawals.create": FIELD,
    "decisions.create": APPROVERS,
    "transfers.create": OFFICE | FIELD,
    "transfer_replies.create": OFFICE,
    "signatures.create": FIELD | UNIT_SIDE,
    "comments.create": EVERYBODY,
    "conflicts.resolve": FIELD,
    "alerts.acknowledge": DESK,
    "alerts.take": DESK,
    "alerts.resolve": DESK,
    "alerts.dismiss": DESK,
    "alerts_mine.open": EVERYBODY,
}


@dataclass(frozen=True)
class Sight:
    """What one person sees on one day: reader pairs, and the roles that cover each organisation."""

    person_id: UUID
    posts: tuple[Post, ...]
    pairs: frozenset[tuple[str, UUID]]
    roles: dict[UUID, frozenset[str]]

    def sees(self, readers: Iterable[tuple[str, UUID]]) -> bool:
        return not self.pairs.isdisjoint(readers)

    @property
    def overseen(self) -> frozenset[UUID]:
        """Organisations over which a post on the bureau's side is held."""
        return frozenset(key for audience, key in self.pairs if audience == Audience.BUREAU)

    def roles_at(self, keys: Iterable[str | UUID]) -> frozenset[str]:
        """Roles held over any of these organisations."""
        return frozenset().union(*(self.roles.get(parsed(str(key)), frozenset()) for key in keys))

    def require(self, verb: str, keys: Iterable[str | UUID]) -> None:
        """Raises NotAllowed unless a post of today's grants the verb at one of these organisations."""
        if self.roles_at(keys).isdisjoint(GRANTS[verb]):
            raise NotAllowed(verb=verb)

    def holds(self, roles: Iterable[str]) -> bool:
        """Whether any of these roles is held anywhere."""
        return not self.held.isdisjoint(roles)

    @cached_property
    def held(self) -> frozenset[str]:
        """Roles held anywhere."""
        return frozenset(post.role for post in self.posts)


@lru_cache(maxsize=4096)
def today(now: datetime) -> date:
    """The school's local date."""
    return now.astimezone(SHANGHAI).date()


def sight_of(person: Person | UUID, *, on: date) -> Sight:
    """The sight that the posts of a day give (both ends inclusive). Three queries, whatever the size of the tree."""
    person_id = person if isinstance(person, UUID) else person.id
    posts = _posts_on(on, person_id)
    roles = defaultdict(set)
    pairs = {(Audience.REF.value, REF), (Audience.PERSON.value, person_id), (Audience.RESTRICTED.value, person_id)}
    over = defaultdict(set)
    for post in posts:
        if post.side == "bureau":
            over[post.node.path].add(post.role)
    for organisation_id, path in _subtrees({post.node_id for post in posts if post.side == "bureau"}):
        pairs |= {(Audience.SHARED.value, organisation_id), (Audience.BUREAU.value, organisation_id)}
        roles[organisation_id].update(*(over[above] for above in paths_up(path) if above in over))
    for post in posts:
        if post.side == "unit":
            pairs.add((Audience.SHARED.value, post.node_id))
            roles[post.node_id].add(post.role)
    return Sight(person_id, posts, frozenset(pairs), {each: frozenset(held) for each, held in roles.items()})


def _posts_on(day: date, person_id: UUID) -> tuple[Post, ...]:
    held = [post for post in rows.find(Post, person_id=person_id) if post.from_on <= day <= (post.to_on or day)]
    nodes = {node.id: node for node in rows.find(Organisation, id={post.node_id for post in held})}
    for post in held:
        post.node = nodes[post.node_id]
    return tuple(sorted(held, key=lambda post: (post.from_on, post.id)))


def readers_among(persons: Mapping[UUID, Sequence[Post]], pairs: Collection[tuple[str, UUID]]) -> set[UUID]:
    """Which of these persons, by the posts given, read any of these pairs: `sight_of` asked from the other side."""
    keys = {audience: {key for each, key in pairs if each == audience} for audience in Audience.values}
    if keys[Audience.REF]:
        return set(persons)
    of_organisations = keys[Audience.SHARED] | keys[Audience.BUREAU]
    paths = Organisation.objects.filter(id__in=of_organisations).values_list("path", flat=True)
    found = (keys[Audience.PERSON] | keys[Audience.RESTRICTED]) & persons.keys()
    for person_id, posts in persons.items():
        if any(_reads(post, paths, keys[Audience.SHARED]) for post in posts):
            found.add(person_id)
    return found


def _reads(post: Post, paths: Iterable[str], shared: set[UUID]) -> bool:
    if post.side == "unit":
        return post.node_id in shared
    return any(path.startswith(post.node.path) for path in paths)


# from node to node by the index on the parent: every path would be compared with that of every post
SUBTREES = """
    WITH RECURSIVE under(id, path) AS (
        SELECT id, path FROM safety_organisation WHERE id {among}
        UNION SELECT o.id, o.path FROM under u JOIN safety_organisation o ON o.parent_id = u.id
    ) SELECT id, path FROM under
"""


def _subtrees(nodes: Collection[UUID]) -> Iterable[tuple[UUID, str]]:
    """Ids and paths of these organisations and of all below, each once."""
    if not nodes:
        return []
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(SUBTREES.format(among="= ANY(%s)"), [list(nodes)])
            return cursor.fetchall()
        among = "IN (SELECT value FROM json_each(%s))"
        cursor.execute(SUBTREES.format(among=among), [json.dumps([node.hex for node in nodes])])
        return [(parsed(key), path) for key, path in cursor.fetchall()]


def paths_up(path: str) -> list[str]:
    """The paths of a node's ancestors and its own, from the root."""
    codes = path.rstrip("/").split("/")
    return ["/".join(codes[: n + 1]) + "/" for n in range(len(codes))]


class PostBackend(ModelBackend):
    """Signs in by account and password; permissions come from posts, so Django's own are not asked."""

    def get_user_permissions(self, user_obj, obj=None):
        return set()

    get_group_permissions = get_all_permissions = get_user_permissions

    def has_perm(self, user_obj, perm, obj=None):
        return may_administer(user_obj)

    def has_module_perms(self, user_obj, app_label):
        return may_administer(user_obj)


def may_administer(person: Person, *, on: date | None = None) -> bool:
    """Whether a person may open the admin: an administrator's post in force today."""
    if not person.is_active:
        return False
    day = on or date.today()
    return Post.objects.on(day).filter(person_id=person.pk, role=Role.ADMINISTRATOR).exists()

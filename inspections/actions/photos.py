"""What a photo document does: it names its subject and the SHA-256 of its bytes, which may come before it or after."""

from datetime import datetime
from uuid import UUID

from inspections.actions.findings import supplement
from inspections.actions.hazards import named_item
from inspections.actions.sharing import named_on_incidents
from inspections.checklist import items_of
from inspections.frozen import FrozenItem
from inspections.loading import cure_of
from inspections.models import ChecklistItem, Derivation, Inspection, Photo, PhotoState, QuickHazard, Statement
from safety import rows
from safety.errors import IdTaken, NotAllowed, Problem
from safety.models import Audience
from safety.verbs import Outcome, Saying, Wait, World

Subject = Inspection | QuickHazard | Statement

STATEMENTS = ("reports", "revisits", "notices", "signatures")
BAN, COVER_ONLY, INCIDENT = "ban", "cover_only", "incident"


class PhotoBanned(Problem):
    """The item forbids pictures of people and personal data; the verdict keeps the hash, the bytes go."""

    code, status = "photo-banned", 422
    message = "“{item}”这一项涉及个人信息,不能拍照。照片不会保存,请改为记录数量或只拍封面。"


def decide_photo(world: World, saying: Saying) -> Outcome:
    """`photos.create`. Raises Wait while the subject is unknown or unseen, IdTaken, NotAllowed.

    Refused as `photo-banned` where the checklist forbids the camera; bytes that are here already are then sealed.
    """
    said = saying.input
    existing = world.get("photos", saying.doc_id)
    if existing is not None:
        same = (existing.author_id, existing.sha256, existing.subject_id) == (
            world.work.actor,
            said.sha256,
            said.subject_id,
        )
        if not same:
            raise IdTaken()
        return Outcome("applied", doc=existing)
    subject = _subject(world, saying)
    _require_own(world, saying, subject)
    item = _item(world, saying, subject)
    if item is not None and item.photo == BAN and item.ban_mode != COVER_ONLY:
        _seal(world, said.sha256)
        return Outcome("rejected", problem=PhotoBanned(item=item.code, sha256=said.sha256), kept=True)
    for other in cure_of(world).photos_of[said.subject_id]:
        if (other.sha256, other.item_code, other.rendition) == (said.sha256, said.item_code, said.rendition):
            return Outcome("applied", doc=other)
    photo = rows.new(
        Photo,
        id=saying.doc_id,
        subject_collection=said.subject_collection,
        subject_id=said.subject_id,
        unit_id=subject.unit_id,
        site_id=_site_of(world, subject),
        item_code=said.item_code,
        rendition=said.rendition,
        original_id=said.original_id,
        sha256=said.sha256,
        size_bytes=said.size_bytes,
        mode=said.mode,
        moment=said.moment,
        taken_at=said.taken_at,
        corrected_at=corrected(said.taken_at, saying),
        latitude=said.latitude,
        longitude=said.longitude,
        accuracy_m=said.accuracy_m,
        datum=said.datum or ("WGS84" if said.latitude is not None else ""),
        cover_only=item is not None and item.photo == BAN,
        author_id=world.work.actor,
        audience=subject.audience,
        keys=subject.keys,
        named=subject.named,
    )
    if photo.cover_only and photo.audience == Audience.SHARED:
        photo.audience = Audience.BUREAU
    if item is not None and item.grade == INCIDENT and isinstance(subject, Inspection):
        photo.audience, photo.named = Audience.RESTRICTED, named_on_incidents(world, subject)
    if said.sha256 in cure_of(world).held:
        store(world.work, photo)
    world.put("photos", photo)
    cure_of(world).photos_of[said.subject_id].append(photo)
    entry = world.say(photo, "photo.declared", saying, urgency=None)
    _supplement(world, saying, subject)
    return Outcome("applied", doc=photo, entry=entry)


def _supplement(world: World, saying: Saying, subject: Subject) -> None:
    """Records and findings that lacked this photo lack it no more."""
    if isinstance(subject, Inspection):
        world.store.setdefault("supplemented", {})[subject.id] = saying
        fixed = [finding for finding in cure_of(world).of_visit[subject.id] if finding.fixed_on_spot]
        supplement(world, saying, [finding.item_id for finding in fixed])
    elif isinstance(subject, QuickHazard) and subject.fixed:
        supplement(world, saying, [subject.item_id])


def store(work, photo: Photo) -> None:
    """The bytes are here: the photo says so, and shown copies are wanted."""
    photo.state = PhotoState.STORED
    work.insert(Derivation(photo_id=photo.id, wanted_at=work.now))


def corrected(taken_at: datetime | None, saying: Saying) -> datetime | None:
    """The phone's time of taking, set right by the same skew as the saying itself."""
    return taken_at + saying.skew if taken_at is not None else None


def _subject(world: World, saying: Saying) -> Subject:
    said = saying.input
    if said.subject_collection not in STATEMENTS:
        return world.seen(said.subject_collection, said.subject_id, saying)
    statement = world.seen("statements", said.subject_id, saying, collection=said.subject_collection)
    if statement.collection != said.subject_collection:
        raise Wait((said.subject_collection, said.subject_id))
    return statement


def _site_of(world: World, subject: Subject) -> UUID:
    if not isinstance(subject, Statement):
        return subject.site_id
    if subject.item_id is not None:
        return world.get("rectifications", subject.item_id).site_id
    return world.get("inspections", subject.inspection_id).site_id


def _require_own(world: World, saying: Saying, subject: Subject) -> None:
    """A picture joins what its author takes part in, or said. Raises NotAllowed."""
    world.require_held(subject, saying)
    if isinstance(subject, Inspection):
        allowed = str(world.work.actor) in subject.participants
    else:
        allowed = subject.author_id == world.work.actor
    if not allowed:
        raise NotAllowed("not-a-participant", "只有参加这次检查(或提交这份材料)的人才能添加照片。")


def _item(world: World, saying: Saying, subject: Subject) -> FrozenItem | ChecklistItem | None:
    """The checklist item that a picture shows; what a school reports of its cure is under no such rule."""
    code = saying.input.item_code
    if isinstance(subject, Inspection):
        return items_of(world, subject).get(code)
    if isinstance(subject, QuickHazard):
        return named_item(world, world.get("inspections", subject.inspection_id), code or subject.item_code)
    return None


def _seal(world: World, sha256: str) -> None:
    blob = cure_of(world).sealable.get(sha256)
    if blob is not None and blob.sealed_at is None:
        blob.sealed_at = world.work.now
        world.work.update(blob)


def photo_needs(doc_id: UUID, said) -> list:
    kind = "statements" if said.subject_collection in STATEMENTS else said.subject_collection
    named = (
        [("hazard_items", said.subject_id), ("catalogue", said.item_code or None)] if kind == "quick_hazards" else []
    )
    return [("photos", doc_id), (kind, said.subject_id), ("blobs", said.sha256), *named]

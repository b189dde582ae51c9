"""What a photo document does: it names its subject and the SHA-256 of its bytes, which may come before it or after."""

from datetime import datetime
from uuid import UUID

from inspections.checklist import items_in
from inspections.loading import cure_of
from inspections.models import Derivation, Inspection, Photo, PhotoState, Statement
from safety.errors import IdTaken, NotAllowed, Problem
from safety.models import Audience
from safety.verbs import Outcome, Saying, Wait, World

STATEMENTS = ("reports", "revisits", "notices", "signatures")


class PhotoBanned(Problem):
    """The item forbids pictures of people and personal data; the verdict keeps the hash, the bytes go."""

    code, status = "photo-banned", 422
    message = "“{item}”这一项涉及个人信息,不能拍照。照片不会保存,请改为记录数量或只拍封面。"


def decide_photo(world: World, saying: Saying) -> Outcome:
    """`photos.create`. Raises Wait while the subject is unknown or unseen, IdTaken, NotAllowed, PhotoBanned."""
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
    cover_only = _check_ban(world, saying, subject)
    for other in cure_of(world).photos_of[said.subject_id]:
        if (other.sha256, other.item_code, other.rendition) == (said.sha256, said.item_code, said.rendition):
            return Outcome("applied", doc=other)
    photo = Photo(
        id=saying.doc_id,
        subject_collection=said.subject_collection,
        subject_id=said.subject_id,
        unit_id=subject.unit_id,
        site_id=getattr(subject, "site_id", None) or subject.item.site_id,
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
        cover_only=cover_only,
        author_id=world.work.actor,
        audience=Audience.BUREAU if cover_only and subject.audience == Audience.SHARED else subject.audience,
        keys=subject.keys,
        named=subject.named,
    )
    if said.sha256 in cure_of(world).held:
        store(world.work, photo)
    world.put("photos", photo)
    cure_of(world).photos_of[said.subject_id].append(photo)
    if isinstance(subject, Inspection):
        world.store.setdefault("supplemented", {})[subject.id] = saying
    return Outcome("applied", doc=photo, entry=world.say(photo, "photo.declared", saying, urgency=None))


def store(work, photo: Photo) -> None:
    """The bytes are here: the photo says so, and shown copies are wanted."""
    photo.state = PhotoState.STORED
    work.insert(Derivation(photo_id=photo.id, wanted_at=work.now))


def corrected(taken_at: datetime | None, saying: Saying) -> datetime | None:
    """The phone's time of taking, set right by the same skew as the saying itself."""
    return taken_at + saying.skew if taken_at is not None else None


def _subject(world: World, saying: Saying):
    said = saying.input
    if said.subject_collection not in STATEMENTS:
        return world.seen(said.subject_collection, said.subject_id, saying)
    statement = world.seen("statements", said.subject_id, saying, collection=said.subject_collection)
    if statement.collection != said.subject_collection or statement.item is None:
        raise Wait((said.subject_collection, said.subject_id))
    return statement


def _require_own(world: World, saying: Saying, subject) -> None:
    """A picture joins what its author takes part in, or said. Raises NotAllowed."""
    world.require_held(subject, saying)
    if isinstance(subject, Inspection):
        allowed = str(world.work.actor) in subject.participants
    else:
        allowed = subject.author_id == world.work.actor
    if not allowed:
        raise NotAllowed("not-a-participant", "只有参加这次检查(或提交这份材料)的人才能添加照片。")


def _check_ban(world: World, saying: Saying, subject) -> bool:
    """Whether the picture may only show a cover. Raises PhotoBanned; bytes that are here already are sealed."""
    if isinstance(subject, Statement) or not saying.input.item_code:
        return False
    version = world.get("versions", getattr(subject, "version_id", None))
    item = items_in(version).get(saying.input.item_code) if version is not None else None
    if item is None or item.photo != "ban":
        return False
    if item.ban_mode == "cover_only":
        return True
    _seal(world, saying.input.sha256)
    raise PhotoBanned(item=item.code, sha256=saying.input.sha256)


def _seal(world: World, sha256: str) -> None:
    blob = cure_of(world).sealable.get(sha256)
    if blob is not None and blob.sealed_at is None:
        blob.sealed_at = world.work.now
        world.work.update(blob)


def photo_needs(doc_id: UUID, said) -> list:
    kind = "statements" if said.subject_collection in STATEMENTS else said.subject_collection
    return [("photos", doc_id), (kind, said.subject_id), ("blobs", said.sha256)]

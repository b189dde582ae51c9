"""The bug bank of sync.md §7.3: faults that others have shipped, each put into the real code for one test.

A bug takes pytest's `monkeypatch`; what it breaks is the product's own code, or the engine's, as the client that a
hurried colleague would write. `CAUGHT_BY_THE_MODEL` says which invariant must see it; those that need real concurrency, a
socket or another program stand in `elsewhere.py`.
"""

from dataclasses import dataclass, replace

import msgspec

from inspections import loading, rules
from inspections.actions import photos, visits
from inspections.inputs import CreatePhoto
from inspections.models import Blob
from safety import changes, rows
from safety.ids import REF
from safety.verbs import Outcome, Wait
from sync import feed, pull, push, uploads
from tests.model.engine import Engine
from tests.model.road import Road
from tests.model.uploads import Uploader
from tests.sync.papers import Paper

# On the server


def no_exit_rows(patch):
    """A document that leaves a reader goes from the index, and nobody is told."""

    def write_exits(exits):
        kept, changes.Exit.objects = changes.Exit.objects, Nowhere()
        try:
            real(exits)
        finally:
            changes.Exit.objects = kept

    real = changes._write_exits
    patch.setattr(changes, "_write_exits", write_exits)


class Nowhere:
    """A table that keeps nothing."""

    def bulk_create(self, made):
        list(made)


def add_stage_without_the_delta(patch):
    """After a change of scope the cursor jumps to the clock: what moved meanwhile in the old scope is never told."""

    def add(self, before):
        done = real(self, before)
        if done:
            self.cursor = replace_cursor(self.cursor, seq=self.clock)
        return done

    real, replace_cursor = pull._Pull._add, msgspec.structs.replace
    patch.setattr(pull._Pull, "_add", add)


def page_off_by_one(patch):
    """The next page begins one after the one that should come next."""

    def take(self, *walks, **more):
        last, done = real(self, *walks, **more)
        return (last if done or last is None else last + 1), done

    real = pull.Page.take
    patch.setattr(pull.Page, "take", take)


def verdict_outside_the_effect(patch):
    """The verdict is written in a transaction after that of the effect: a server that dies in between forgets it."""
    late = []

    def write(work, outcomes, **more):
        real_write(work, outcomes, **more)
        make = work.after.pop()
        work.also(lambda first: late.append(make(first)) or [])

    def hear(batch, **more):
        late.clear()
        real_hear(batch, **more)
        if not Road.dying:
            for [(model, new)] in late:
                rows.insert(model, new)

    real_write, real_hear = push._write_verdicts, push._hear_together
    patch.setattr(push, "_write_verdicts", write)
    patch.setattr(push, "_hear_together", hear)


def replay_returns_the_stored_document(patch):
    """What is asked again is answered with the document as it stood the first time."""
    stored = {}

    def answers(batch, **more):
        results = real(batch, **more)
        for result in results:
            if result["doc"] is not None:
                result["doc"] = stored.setdefault(result["op_id"], result["doc"])
        return results

    real = push.answers
    patch.setattr(push, "answers", answers)


def default_scope_for_orphans(patch):
    """A photo whose visit is not here yet is taken all the same, and shown to everybody until it is."""

    def decide(world, saying):
        try:
            return real(world, saying)
        except Wait:
            orphan = Orphan({("ref", REF)}, collection="photos", id=saying.doc_id, said=saying.input)
            return Outcome("applied", entry=world.say(orphan, "photo.declared", saying, urgency=None))

    real = photos.decide_photo
    patch.setitem(push.VERBS, "photos.create", push.VERBS["photos.create"]._replace(decide=decide))


@dataclass
class Orphan(Paper):
    """A photo without the visit that would say who may see it."""

    said: CreatePhoto | None = None

    def wire(self) -> bytes:
        return msgspec.json.encode({"id": self.id, "rev": self.rev, **msgspec.to_builtins(self.said)})


def updated_at_from_the_phone(patch):
    """The later clock of a phone wins, and what lost is gone."""

    def merge(name, *, current, meta, incoming, mine, base_rev, default=rules.Grade.NONE):
        if meta is not None and meta.hlc > mine.hlc:
            return rules.Merged(current, meta)
        return rules.Merged(incoming, mine)

    patch.setattr(rules, "merge_group", merge)


def delete_beats_edit(patch):
    """A draft is deleted whatever a colleague has filled in, and an edit does not take it up again."""
    patch.setattr(visits, "_moved_unseen", lambda world, saying, visit: False)
    patch.setattr(visits, "_revive", lambda visit: False)


def dedupe_across_users(patch):
    """Bytes that anybody has brought count as everybody's: a hash becomes a right to read."""

    def load(world, hashes):
        loading.cure_of(world).held.update(Blob.objects.filter(sha256__in=hashes).values_list("sha256", flat=True))
        return real(world, hashes)

    real = loading._load_blobs
    patch.setitem(loading.LOADERS, "blobs", loading.LOADERS["blobs"]._replace(load=load))


def digest_over_the_wrong_filter(patch):
    """What a phone is told that it must hold is counted over everything, whatever it asked for."""

    def digest(pairs, *, collections=()):
        return real(pairs)

    real = feed.digest
    patch.setattr(feed, "digest", digest)


def second_chunk_opens_the_file_anew(patch):
    """The part file is opened with `wb` for every chunk: the second one empties it."""

    def hold(upload, **more):
        path = uploads.part_path(upload.id)
        if path.exists():
            path.write_bytes(b"")
        return real(upload, **more)

    real = uploads.hold
    patch.setattr(uploads, "hold", hold)


# On the phone


def failing_head_begins_anew(patch):
    """A 502 to the question where the upload stands is taken for "it is not here"."""

    def stand(self, answer):
        if answer and answer.status >= 500:
            self.path, self.offset = "", 0
        real(self, answer)

    real = Uploader.stand
    patch.setattr(Uploader, "stand", stand)


def cursor_saved_before_data(patch):
    """Cursor and page are two transactions, the cursor first."""

    def keep(self):
        self.disk.commit(cursor=self.cursor, seq=self.seq, epoch=self.epoch)
        self.disk.commit(docs=self.docs)

    patch.setattr(Engine, "_keep_mirror", keep)


def sign_in_that_empties_the_outbox(patch):
    """Whoever signs in finds a clean phone."""

    def sign_in(self):
        real(self)
        self.outbox = []
        self._keep_outbox()

    real = Engine.sign_in
    patch.setattr(Engine, "sign_in", sign_in)


def outbox_purged_at_the_answer(patch):
    """What is acknowledged is deleted, whether any backup holds it or not."""
    patch.setattr(Engine, "_purge", lambda self, durable_seq: self.journal.clear())


def coalescing_what_was_sent(patch):
    """A patch joins the one before it, under its id, although that has left the phone already."""

    def coalesce(self, last, op):
        kept = replace(real(self, last, op | {"op_id": last.op_id}), sent=last.sent)
        self.outbox = [kept if each.op_id == kept.op_id else each for each in self.outbox]
        return kept

    real = Engine._coalesce
    patch.setattr(Engine, "_may_coalesce", lambda self, last: last.said["kind"] == "patch")
    patch.setattr(Engine, "_coalesce", coalesce)


CAUGHT_BY_THE_MODEL = {
    no_exit_rows: ("I9",),
    add_stage_without_the_delta: ("I3", "I6"),
    page_off_by_one: ("I3", "I6"),
    digest_over_the_wrong_filter: ("I3",),
    verdict_outside_the_effect: ("I2",),
    replay_returns_the_stored_document: ("I5",),
    default_scope_for_orphans: ("I8",),
    updated_at_from_the_phone: ("I10",),
    delete_beats_edit: ("I10",),
    dedupe_across_users: ("I8",),
    cursor_saved_before_data: ("I3", "I6"),
    sign_in_that_empties_the_outbox: ("I10",),
    outbox_purged_at_the_answer: ("I10",),
    coalescing_what_was_sent: ("I1", "I10"),
}
CAUGHT_AT_UPLOADS = {second_chunk_opens_the_file_anew: ("I14",), failing_head_begins_anew: ("I14",)}

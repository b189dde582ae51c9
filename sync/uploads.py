"""Uploads that may break off and go on: whose they are stands in rows, how far they are is the length of a file.

Nothing here knows HTTP or tus: another protocol of resuming would stand on the same functions (sync/tus.py speaks tus).
A part file lies on the store's filesystem and is appended to by one writer at a time, who holds its lock; the lock goes
with the process that holds it. A file that is not there has no bytes yet. Once complete it is handed to the store
(`inspections.photos.keep`), the same that the simple door hands its bytes to.
"""

import errno
import fcntl
import hashlib
import logging
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from django.conf import settings

from inspections import photos
from safety import rows
from safety.changes import Work
from safety.errors import Busy, Malformed, NotFound, Problem
from safety.ids import new_id
from sync.models import Upload

log = logging.getLogger(__name__)

LIFETIME = timedelta(days=14)  # of what is unfinished, from its last byte
SPARE_BYTES = 200_000_000  # left on the disk for the database: a photo waits on its phone, an operation must not
PIECE = 1 << 20
PARTIAL = "partial"
CHECKSUMS = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}


class UploadLocked(Problem):
    code, status, retryable = "upload-locked", 423, True
    message = "这张照片正由另一个连接上传,请过几秒再试。"


class OffsetDiffers(Problem):
    code, status, retryable = "offset-differs", 409, True
    message = "续传的位置不对:服务器上已有 {offset} 字节,请从那里接着传。"


class ChunkDiffers(Problem):
    code, status, retryable = "chunk-differs", 460, True
    message = "这一段在路上损坏了,没有保存。请重传这一段。"


class FileDiffers(Problem):
    code, status, retryable = "file-differs", 460, True
    message = "照片收齐了,但内容与指纹不一致,可能在路上损坏了。照片仍在手机上,请从头重传。"


class ChunkTooLong(Problem):
    code, status = "chunk-too-long", 413
    message = "发来的内容超出了这张照片说好的大小({length} 字节)。"


class PartsUnfinished(Problem):
    code, status, retryable = "parts-unfinished", 409, True
    message = "分段还没有全部传完,不能合并。"


class FinalIsClosed(Problem):
    code, status = "final-upload", 403
    message = "这是由分段合并成的照片,不能再往里写。"


def part_path(upload_id: UUID) -> Path:
    """Where the bytes of an unfinished upload lie; on the filesystem of the store, which they are linked into."""
    return Path(settings.BLOBS) / "parts" / upload_id.hex


def find(upload_id: UUID, person: UUID) -> Upload:
    """An upload of this person's. Raises NotFound for an unknown one and for another's alike."""
    upload = next(iter(rows.find(Upload, id=upload_id, person_id=person)), None)
    if upload is None:
        raise NotFound()
    return upload


def begun(person: UUID, device: UUID | None, *, sha256: str, length_bytes: int) -> Upload | None:
    """The upload of the same bytes that this phone has begun already and lost the address of."""
    for upload in rows.find(Upload, person_id=person, sha256=sha256, finished_at=None):
        if (upload.device_id, upload.length_bytes, upload.concat) == (device, length_bytes, ""):
            return upload
    return None


def offset_of(upload: Upload) -> int:
    """How many of its bytes are here."""
    if upload.finished_at is not None:
        return upload.length_bytes
    try:
        return min(part_path(upload.id).stat().st_size, upload.length_bytes)
    except FileNotFoundError:
        return 0


def expires_at(upload: Upload) -> datetime | None:
    """When an unfinished upload may be swept: fourteen days after its last byte. None for a finished one."""
    if upload.finished_at is not None:
        return None
    try:
        written_at = datetime.fromtimestamp(part_path(upload.id).stat().st_mtime, tz=UTC)
    except FileNotFoundError:
        written_at = upload.created_at
    return max(written_at, upload.created_at) + LIFETIME


def require_room(size_bytes: int) -> None:
    """Raises StorageFull when the disk would be left with less than the database needs."""
    folder = Path(settings.BLOBS)
    folder.mkdir(parents=True, exist_ok=True)
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize - size_bytes < SPARE_BYTES:
        raise photos.StorageFull()


class Checksum:
    """What a chunk must hash to. Raises Malformed for an algorithm that is not offered."""

    def __init__(self, algorithm: str, digest: bytes):
        if algorithm not in CHECKSUMS:
            raise Malformed(reason=f"不支持的校验算法 {algorithm},可用:{'、'.join(CHECKSUMS)}")
        self.hash, self.digest = CHECKSUMS[algorithm](usedforsecurity=False), digest

    def holds(self) -> bool:
        return self.hash.digest() == self.digest


class Part:
    """The part file of one upload in the hands of its one writer, from `hold` to `close`.

    Methods block and are called in threads; `close` may come while another is under way and waits for it. A chunk with a
    checksum is collected beside the file and appended once it holds; any other is appended as it comes.
    """

    def __init__(self, upload: Upload, fd: int, checksum: Checksum | None = None):
        self.upload, self.path = upload, part_path(upload.id)
        self.fd, self.checksum = fd, checksum
        self.offset = min(os.fstat(fd).st_size, upload.length_bytes)
        self.is_new = self.offset == 0
        self.aside = self.path.with_suffix(".chunk") if checksum else None
        self.target = os.open(self.aside, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600) if self.aside else fd
        self.written = 0
        self.lock, self.is_closed = threading.Lock(), False

    @property
    def is_whole(self) -> bool:
        return self.offset == self.upload.length_bytes

    def write(self, data: bytes) -> None:
        """Takes the next bytes. Raises ChunkTooLong and StorageFull; what was taken before stays."""
        with self.lock:
            if self.is_closed:
                return
            room = self.upload.length_bytes - self.offset - (self.written if self.aside else 0)
            _write(self.target, data[:room])
            self.written += len(data[:room])
            if self.checksum is not None:
                self.checksum.hash.update(data)
            else:
                self.offset += len(data[:room])
            if len(data) > room:
                raise ChunkTooLong(length=self.upload.length_bytes)

    def settle(self, *, is_complete: bool) -> None:
        """Ends the chunk: what was taken is on disk from here on. A chunk with a checksum counts only when complete.

        Raises ChunkDiffers and StorageFull.
        """
        with self.lock:
            if self.is_closed:
                return
            if self.checksum is not None:
                if not is_complete:
                    return
                if not self.checksum.holds():
                    raise ChunkDiffers(offset=self.offset)
                _append(self.target, self.fd)
                self.offset += self.written
            with photos.disk_room():
                os.fsync(self.fd)
            if self.is_new and not self.is_whole:
                photos.sync_folder(self.path.parent)

    def discard(self) -> None:
        """The bytes go. Removed, not truncated: the store may know them under their other name."""
        self.path.unlink(missing_ok=True)
        self.offset = 0

    def close(self) -> None:
        with self.lock:
            if self.is_closed:
                return
            self.is_closed = True
            if self.aside is not None:
                os.close(self.target)
                self.aside.unlink(missing_ok=True)
            os.close(self.fd)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    with photos.disk_room():
        while view:
            view = view[os.write(fd, view) :]


def _append(source: int, fd: int) -> None:
    os.lseek(source, 0, os.SEEK_SET)
    while piece := os.read(source, PIECE):
        _write(fd, piece)


def hold(upload: Upload, *, checksum: Checksum | None = None) -> Part:
    """Opens the part file for its one writer. Raises UploadLocked while another holds it, and Busy."""
    path = part_path(upload.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as fault:
        if fault.errno in (errno.EMFILE, errno.ENFILE):  # so many uploads at once: a little later there are fewer
            raise Busy() from fault
        raise
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_ino != os.stat(path).st_ino:
            raise FileNotFoundError(path)
        return Part(upload, fd, checksum)
    except (BlockingIOError, FileNotFoundError) as other:  # another has it, or had it and has just finished
        os.close(fd)
        raise UploadLocked() from other
    except OSError:
        os.close(fd)
        raise


def finish(part: Part, *, device: UUID | None) -> None:
    """Hands a whole file to the store and notes that in the same unit; the upload's row may not be written yet.

    Raises FileDiffers (the bytes are discarded, the upload begins again at 0), Busy (it may be finished later) and
    `photos.REFUSALS`, after which the upload is gone.
    """
    upload, is_new = part.upload, part.upload._state.adding

    def note(work: Work) -> None:
        upload.finished_at = work.now
        (work.insert if is_new else work.update)(upload)

    is_kept = False
    try:
        photos.keep(
            part.path,
            sha256=upload.sha256,
            claimed=upload.media_type or None,
            person=upload.person_id,
            device=device,
            also=note,
        )
        is_kept = True
    except photos.HashDiffers as differs:
        part.discard()
        raise FileDiffers(offset=0) from differs
    except photos.REFUSALS:
        forget(upload)
        raise
    finally:
        if not is_kept:  # a unit that was rolled back has written nothing
            upload.finished_at, upload._state.adding = None, is_new
    part.discard()
    log.info("upload.finished upload=%s person=%s bytes=%d", upload.id, upload.person_id, upload.length_bytes)


def forget(upload: Upload) -> None:
    """The upload and what came of it go; what the store has taken stays."""
    Upload.objects.filter(pk=upload.pk).delete()
    part_path(upload.id).unlink(missing_ok=True)


def terminate(upload: Upload) -> None:
    """The uploader's own end of it. Raises UploadLocked while somebody writes."""
    if upload.finished_at is None:
        part = hold(upload)
        try:
            forget(upload)
        finally:
            part.close()
    else:
        forget(upload)


def concatenate(upload: Upload, parts: Sequence[Upload], *, device: UUID | None) -> None:
    """Makes the bytes of an upload from whole parts, in their order, and finishes it; the parts are gone then.

    Raises UploadLocked, PartsUnfinished, StorageFull and what `finish` raises; then the parts are as they were.
    """
    if any(offset_of(each) < each.length_bytes for each in parts):
        raise PartsUnfinished()
    whole = hold(upload)
    try:
        for each in parts:
            fd = os.open(part_path(each.id), os.O_RDONLY)
            try:
                _append(fd, whole.fd)
            finally:
                os.close(fd)
        with photos.disk_room():
            os.fsync(whole.fd)
        finish(whole, device=device)
    finally:
        whole.discard()
        whole.close()
    for each in parts:
        forget(each)


def sweep(now: datetime) -> int:
    """Forgets unfinished uploads that brought no byte for fourteen days, and file names of those finished as long ago."""
    old = Upload.objects.filter(created_at__lte=now - LIFETIME)
    gone = [each for each in old.filter(finished_at__isnull=True) if expires_at(each) <= now]
    for each in gone:
        with suppress(UploadLocked):
            terminate(each)
            log.info("upload.expired upload=%s person=%s", each.id, each.person_id)
    old.filter(finished_at__lte=now - LIFETIME).exclude(metadata="").update(metadata="")
    return len(gone) + _sweep_files(now)


def _sweep_files(now: datetime) -> int:
    """Part files that a killed process left without an upload that wants them."""
    old = photos.left_behind(part_path(new_id()).parent, until=now - LIFETIME)
    wanted = Upload.objects.filter(id__in=[path.stem for path in old], finished_at__isnull=True)
    kept = {each.hex for each in wanted.values_list("id", flat=True)}
    for path in old:
        if path.name not in kept:
            path.unlink(missing_ok=True)
    return len([path for path in old if path.name not in kept])


def new(person: UUID, device: UUID | None, *, length_bytes: int, now: datetime, **more) -> Upload:
    """An upload, not written yet."""
    return Upload(id=new_id(), person_id=person, device_id=device, length_bytes=length_bytes, created_at=now, **more)

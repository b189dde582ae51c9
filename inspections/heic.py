"""How a HEIC file is laid out (ISO/IEC 23008-12 on ISO/IEC 14496-12 boxes): the walk of containers.py for boxes and items.

Three things here are worth knowing. The orientation of HEIC is said by the boxes irot and imir, and decoders apply it; the
EXIF orientation beside it is a copy and must be ignored. libheif draws a picture with missing or damaged tiles without a
word, so that the data of every tile is looked at here. And a small declared size may hide large tiles.
"""

import struct
from collections.abc import Iterator

import msgspec

from inspections.containers import DAMAGED, MAX_PARTS, UNSUPPORTED, Outline
from inspections.photo_problems import PhotoTruncated, PhotoUnreadable

BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis"))
"Brands that promise a still picture in HEVC."

MAJORS = BRANDS | {b"mif1", b"msf1", b"hevc", b"hevx"}
"What may stand first: mif1 promises any codec, and a burst names its sequence first."

MAX_META_BYTES = 1_000_000
"A phone's item table has some kilobytes, 192 tiles included."

MAX_TILES, MAX_UNITS, MAX_EXTENTS = 1024, 1024, 1024
"What a picture may be cut into: tiles of a grid, HEVC units of a tile (600 slices at most), pieces of an item."


class Item(msgspec.Struct):
    """One thing in the file: a picture, a tile, a block of EXIF."""

    kind: bytes = b""
    in_idat: bool = False
    extents: list[tuple[int, int]] = msgspec.field(default_factory=list)
    properties: list[tuple[bytes, memoryview]] = msgspec.field(default_factory=list)
    tiles: list[int] = msgspec.field(default_factory=list)
    describes: list[int] = msgspec.field(default_factory=list)


class Meta(msgspec.Struct):
    """The item table."""

    data: bytes
    idat: memoryview = memoryview(b"")
    primary: int = 0
    largest: int = 0
    "Pixels of the largest picture of any kind in the file."
    items: dict[int, Item] = msgspec.field(default_factory=dict)

    def item(self, number: int) -> Item:
        return self.items.setdefault(number, Item())

    def bytes_of(self, item: Item) -> memoryview:
        """The item's data in one piece. Raises PhotoTruncated if the file ends before it."""
        source = self.idat if item.in_idat else memoryview(self.data)
        if any(start + length > len(source) for start, length in item.extents):
            raise PhotoUnreadable(reason=DAMAGED) if item.in_idat else PhotoTruncated()
        if len(item.extents) == 1:
            start, length = item.extents[0]
            return source[start : start + length]
        if sum(length for _, length in item.extents) > len(source):
            raise PhotoUnreadable(reason=DAMAGED)
        return memoryview(b"".join(source[start : start + length] for start, length in item.extents))


def is_heic(head: bytes) -> bool:
    """Whether the file type box promises a still picture in HEVC. `head` is the first few hundred bytes."""
    brands = brands_of(head)
    return bool(brands) and brands[0] in MAJORS and not BRANDS.isdisjoint(brands)


def brands_of(head: bytes) -> list[bytes]:
    """Major brand first, then the compatible ones; empty if this is no ISO media file."""
    if head[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(head[:4]), len(head))
    return [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]


def outline_heic(data: bytes) -> Outline:
    """Walk the boxes, find the primary picture, and see that every byte of it and of its tiles is there."""
    try:
        return _outline(data)
    except (struct.error, IndexError) as wrong:  # a table that ends before its entries
        raise PhotoUnreadable(reason=DAMAGED) from wrong


def _outline(data: bytes) -> Outline:
    meta, end = None, 0
    for kind, start, stop in _boxes(data, 0, len(data), outermost=True):
        end = stop
        if kind == b"meta" and not meta:
            meta = _read_meta(data, start + 4, stop)
    if not meta:
        raise PhotoTruncated()
    if meta.primary not in meta.items:
        raise PhotoUnreadable(reason=DAMAGED)
    primary = meta.items[meta.primary]
    width, height = _size(primary)
    coded = _check_pictures(meta, primary, (width, height))
    brand = data[8:12]
    return Outline(
        format="heic",
        media_type="image/heic" if brand in BRANDS else "image/heif",
        width=_cropped(primary, width, 0),
        height=_cropped(primary, height, 8),
        orientation=_orientation(primary),
        exif=_exif(meta),
        end=end,
        coded_pixels=max(coded, meta.largest),
    )


def _boxes(data: bytes, start: int, stop: int, *, outermost: bool = False) -> Iterator[tuple[bytes, int, int]]:
    """(type, start of body, end) of each box. Outermost, what is no whole box and none of the picture's own ends the walk."""
    for _ in range(MAX_PARTS):
        if start + 8 > stop:
            return
        length, kind = struct.unpack_from(">I4s", data, start)
        header = 8
        if length == 1:
            length, header = int.from_bytes(data[start + 8 : start + 16]), 16
        elif length == 0:
            length = stop - start
        if outermost and kind not in OWN and not (kind.isalnum() and header <= length <= stop - start):
            return
        if length < header:
            raise PhotoUnreadable(reason=DAMAGED)
        if start + length > stop:
            raise PhotoTruncated() if outermost else PhotoUnreadable(reason=DAMAGED)
        yield kind, start + header, start + length
        start += length
    raise PhotoUnreadable(reason=DAMAGED)


OWN = frozenset((b"ftyp", b"meta", b"mdat"))
"Boxes that the picture lies in; others hold videos and what makers add."


def _read_meta(data: bytes, start: int, stop: int) -> Meta:
    if stop - start > MAX_META_BYTES:
        raise PhotoUnreadable(reason=DAMAGED)
    meta = Meta(data)
    for kind, at, end in _boxes(data, start, stop):
        if kind == b"pitm":
            meta.primary = _number(data, at + 4, 4 if data[at] else 2)
        elif kind == b"idat":
            meta.idat = memoryview(data)[at:end]
        elif reader := READERS.get(kind):
            reader(meta, data, at, end)
    return meta


def _read_kinds(meta: Meta, data: bytes, at: int, end: int) -> None:
    """iinf: what each item is."""
    for kind, body, _ in _boxes(data, at + (8 if data[at] else 6), end):
        version = data[body]
        if kind == b"infe" and version >= 2:
            width = 2 if version == 2 else 4
            number = _number(data, body + 4, width)
            meta.item(number).kind = data[body + 6 + width : body + 10 + width]


def _read_places(meta: Meta, data: bytes, at: int, end: int) -> None:
    """iloc: where the bytes of each item lie."""
    version, sizes = data[at], data[at + 4 : at + 6]
    offset_size, length_size = sizes[0] >> 4, sizes[0] & 15
    base_size, index_size = sizes[1] >> 4, sizes[1] & 15 if version else 0
    wide = 4 if version == 2 else 2
    if not length_size:  # an item that runs to the end of the file; then nobody could tell a cut file from a whole one
        raise PhotoUnreadable(reason=UNSUPPORTED)
    count, at = _number(data, at + 6, wide), at + 6 + wide
    for _ in range(count):
        item, at = meta.item(_number(data, at, wide)), at + wide
        if version:
            method, at = data[at + 1] & 15, at + 2
            if method > 1:
                raise PhotoUnreadable(reason=UNSUPPORTED)
            item.in_idat = method == 1
        base, at = _number(data, at + 2, base_size), at + 2 + base_size
        extents, at = _number(data, at, 2), at + 2
        if extents > MAX_EXTENTS:
            raise PhotoUnreadable(reason=UNSUPPORTED)
        for _ in range(extents):
            at += index_size
            offset, length = _number(data, at, offset_size), _number(data, at + offset_size, length_size)
            item.extents.append((base + offset, length))
            at += offset_size + length_size
        if at > end:
            raise PhotoUnreadable(reason=DAMAGED)


def _read_references(meta: Meta, data: bytes, at: int, end: int) -> None:
    """iref: which tiles make a grid, and what a block of metadata describes."""
    wide = 4 if data[at] else 2
    for kind, body, stop in _boxes(data, at + 4, end):
        count = _number(data, body + wide, 2)
        if body + wide + 2 + count * wide > stop:
            raise PhotoUnreadable(reason=DAMAGED)
        targets = [_number(data, body + wide + 2 + n * wide, wide) for n in range(count)]
        item = meta.item(_number(data, body, wide))
        if kind == b"dimg":
            item.tiles = targets
        elif kind == b"cdsc":
            item.describes = targets


def _read_properties(meta: Meta, data: bytes, at: int, end: int) -> None:
    """iprp: the list of properties, and which of them each item has, in the order in which they are applied."""
    properties: list[tuple[bytes, memoryview]] = []
    for kind, body, stop in _boxes(data, at, end):
        if kind == b"ipco":
            properties = [(name, memoryview(data)[a:b]) for name, a, b in _boxes(data, body, stop)]
            areas = (_area(value) for name, value in properties if name == b"ispe")
            meta.largest = max(areas, default=0)
        elif kind == b"ipma":
            _associate(meta, properties, data[body:stop])


def _associate(meta: Meta, properties: list[tuple[bytes, memoryview]], table: bytes) -> None:
    wide, index_size = 4 if table[0] else 2, 2 if table[3] & 1 else 1
    mask = 0x7FFF if index_size == 2 else 0x7F
    count, at = _number(table, 4, 4), 8
    for _ in range(count):
        item, at = meta.item(_number(table, at, wide)), at + wide
        associations, at = table[at], at + 1
        for _ in range(associations):
            index, at = _number(table, at, index_size) & mask, at + index_size
            if index:
                item.properties.append(properties[index - 1])


READERS = {b"iinf": _read_kinds, b"iloc": _read_places, b"iref": _read_references, b"iprp": _read_properties}


def _number(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise PhotoUnreadable(reason=DAMAGED)
    return int.from_bytes(data[at : at + size])


def _property(item: Item, kind: bytes) -> memoryview | None:
    return next((body for name, body in item.properties if name == kind), None)


def _size(item: Item) -> tuple[int, int]:
    """Width and height of an item as coded."""
    body = _property(item, b"ispe")
    if body is None:
        raise PhotoUnreadable(reason=DAMAGED)
    width, height = struct.unpack_from(">II", body, 4)
    if not (width and height):
        raise PhotoUnreadable(reason=DAMAGED)
    return width, height


def _area(body: memoryview) -> int:
    width, height = struct.unpack_from(">II", body, 4)
    return width * height


def _cropped(item: Item, side: int, at: int) -> int:
    """A side after the clean aperture, which encoders use to cut off what filled the last block."""
    body = _property(item, b"clap")
    if body is None:
        return side
    over, under = struct.unpack_from(">II", body, at)
    return min(side, over // under) if under and over >= under else side


def _check_pictures(meta: Meta, primary: Item, size: tuple[int, int]) -> int:
    """See that the coded data of the primary picture are whole; returns the pixels that decoding goes through.

    Tiles stand over the right and lower edge, so that up to twice the picture is in order and counts once.
    """
    if primary.kind == b"hvc1":
        _check_coded(primary, meta.bytes_of(primary))
        return 0
    if primary.kind != b"grid":
        raise PhotoUnreadable(reason=UNSUPPORTED)
    if _grid_size(meta.bytes_of(primary)) != size:
        raise PhotoUnreadable(reason=DAMAGED)
    tiles = [meta.items[number] for number in dict.fromkeys(primary.tiles) if number in meta.items]
    if not 0 < len(tiles) == len(primary.tiles) <= MAX_TILES:
        raise PhotoUnreadable(reason=DAMAGED)
    bodies = [meta.bytes_of(tile) for tile in tiles]
    if sum(map(len, bodies)) > len(meta.data):
        raise PhotoUnreadable(reason=DAMAGED)
    for tile, body in zip(tiles, bodies, strict=True):
        _check_coded(tile, body)
    return sum(width * height for width, height in map(_size, tiles)) // 2


def _grid_size(body: memoryview) -> tuple[int, int]:
    return struct.unpack_from(">II" if body[1] & 1 else ">HH", body, 4)


def _check_coded(item: Item, body: memoryview) -> None:
    """HEVC data are units with their length in front; zeroed or cut data do not add up."""
    settings = _property(item, b"hvcC")
    if item.kind != b"hvc1" or settings is None or len(body) == 0:
        raise PhotoUnreadable(reason=DAMAGED)
    wide, at = (settings[21] & 3) + 1, 0
    for _ in range(MAX_UNITS):
        length = int.from_bytes(body[at : at + wide])
        at += wide + length
        if length < 2 or at > len(body):
            break
        if at == len(body):
            return
    raise PhotoUnreadable(reason=DAMAGED)


def _orientation(item: Item) -> int:
    """EXIF's number for the turns and mirrorings of the primary picture, in the order in which they are applied."""
    quarters, mirrored = 0, False  # mirrored left to right first, then turned clockwise
    for kind, body in item.properties:
        if kind == b"irot":
            quarters -= body[0] & 3
        elif kind == b"imir":
            mirrored, quarters = not mirrored, -quarters + (0 if body[0] & 1 else 2)
    return {False: (1, 6, 3, 8), True: (2, 7, 4, 5)}[mirrored][quarters % 4]


def _exif(meta: Meta) -> bytes:
    """The TIFF structure that describes the primary picture; empty if there is none."""
    for item in meta.items.values():
        if item.kind == b"Exif" and (meta.primary in item.describes or not item.describes):
            body = meta.bytes_of(item)
            skip = int.from_bytes(body[:4])  # up to the TIFF header, past "Exif\0\0" where it is written
            return bytes(body[4 + skip :])
    return b""

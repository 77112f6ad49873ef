"""How a HEIF picture (HEIC, AVIF) is to be turned, as its own container says.

The decoder turns the pixels and keeps quiet about it, and the EXIF tag beside them is only a hint that may be missing.
Facts: ISO/IEC 23008-12 (HEIF), boxes `pitm`, `ipma`, `ipco`, `irot`, `imir`; ISO/IEC 14496-12 for boxes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_AVIF_BRANDS = {b"avif", b"avis"}
_OPEN_BRANDS = {b"mif1", b"msf1"}


def heif_kind(head: bytes) -> str | None:
    """`"HEIC"`, `"AVIF"` or None for what the first bytes of a file (64 are enough) say it is."""
    if head[4:8] != b"ftyp":
        return None
    major, others = head[8:12], {head[k : k + 4] for k in range(16, min(len(head), _size(head)) - 3, 4)}
    if major in _AVIF_BRANDS or (major in _OPEN_BRANDS and others & _AVIF_BRANDS):
        return "AVIF"
    if major in _HEIC_BRANDS or major in _OPEN_BRANDS:
        return "HEIC"
    return None


def heif_turn(content: bytes) -> tuple[int, bool]:
    """Quarters clockwise and mirroring that the primary item asks for: mirrored left-right first, turned after.

    `(0, False)` where the file asks for nothing, or its boxes make no sense.
    """
    turned, mirrored = 0, False
    try:
        for kind, body in _properties_of_primary(content):
            if kind == b"irot":
                turned = (turned - (body[0] & 3)) % 4  # counted anticlockwise
            elif kind == b"imir":
                # A mirror after a turn by q is one before it, with the turn reversed; top-bottom is left-right
                # with a half turn.
                turned, mirrored = (-turned + (0 if body[0] & 1 else 2)) % 4, not mirrored
    except (struct.error, IndexError, KeyError):
        return 0, False
    return turned, mirrored


def _properties_of_primary(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the primary item's properties, in the order in which they are to be applied."""
    meta = dict(_boxes(dict(_boxes(content))[b"meta"][4:]))
    item = struct.unpack_from(">I" if meta[b"pitm"][0] else ">H", meta[b"pitm"], 4)[0]
    about = list(_boxes(meta[b"iprp"]))
    properties = list(_boxes(dict(about)[b"ipco"]))
    for kind, body in about:
        if kind == b"ipma":
            for index in _associations(body).get(item, ()):
                if 0 < index <= len(properties):
                    yield properties[index - 1]


def _associations(body: bytes) -> dict[int, list[int]]:
    """Numbers (from 1) of the properties of each item."""
    wide_item, wide_index = body[0] >= 1, bool(body[3] & 1)
    (count,), offset = struct.unpack_from(">I", body, 4), 8
    found: dict[int, list[int]] = {}
    for _ in range(min(count, len(body))):
        (item,) = struct.unpack_from(">I" if wide_item else ">H", body, offset)
        offset += 4 if wide_item else 2
        number, step = body[offset], 2 if wide_index else 1
        raw = body[offset + 1 : offset + 1 + number * step]
        offset += 1 + number * step
        found[item] = [
            int.from_bytes(raw[k : k + step], "big") & (0x7FFF if wide_index else 0x7F)
            for k in range(0, len(raw), step)
        ]
    return found


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the boxes that follow each other in `content`; ends where a length makes no sense."""
    offset = 0
    while offset + 8 <= len(content):
        size, header = _size(content[offset : offset + 8]), 8
        if size == 1:
            size, header = struct.unpack_from(">Q", content, offset + 8)[0], 16
        elif size == 0:
            size = len(content) - offset
        if size < header:
            return
        yield content[offset + 4 : offset + 8], content[offset + header : offset + size]
        offset += size


def _size(box: bytes) -> int:
    return struct.unpack_from(">I", box)[0]

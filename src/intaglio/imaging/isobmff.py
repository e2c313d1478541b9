"""A record inside an MP4 or MOV: in a `uuid` box of our own behind everything that is found by its place in the file.

It is the last box, or the last before `mfra`, which players look for at the very end. So no chunk offset changes, in
fragmented files either. The format is ISO/IEC 14496-12.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from intaglio.core.errors import InvalidImage
from intaglio.imaging.carried import CREDENTIAL, names_credential, only, packed, unpacked

OURS = UUID("4e093c97-f701-4ea6-af58-65f9f323c926").bytes
_C2PA = UUID("d8fec3d6-1b0e-483c-9297-5828877ec481").bytes
_XMP = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac").bytes
_MOST_BOXES = 200_000
_MOST_FRAMES = 2**31
_VIDE = int.from_bytes(b"vide", "big")
_HEAD, _LARGE_HEAD, _ID = 8, 16, 16


@dataclass(frozen=True)
class Measured:
    """What the header of a video says of its first video track; 0 for what it does not say."""

    width: int = 0
    height: int = 0
    frames: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class _Box:
    """A box; `id` is a `uuid` box's type, `open` whether it just goes on to the end of what it is in."""

    type: bytes
    start: int
    body: int
    end: int
    id: bytes
    open: bool


def obstacle(data: bytes) -> str:
    """Why no box may be added to a video, in words; "" when one may."""
    try:
        boxes = list(_boxes(data))
    except InvalidImage as error:
        return str(error)
    if any(box.id == _C2PA for box in boxes):
        return CREDENTIAL
    if any(names_credential(data[box.body : box.end]) for box in boxes if box.id == _XMP or box.type == b"moov"):
        return CREDENTIAL
    if boxes[-1].open:
        return "its last part has no stated end, so nothing can follow it"
    if all(box.type != b"moov" for box in boxes):
        return "it has no header"
    return ""


def attach(data: bytes, body: bytes) -> bytes:
    """The video `data` with the record `body` in it; one that was there goes. Raises InvalidImage."""
    data = without(data)
    last = list(_boxes(data))[-1]
    at = last.start if last.type == b"mfra" else last.end
    held = OURS + packed(body)
    return data[:at] + (_HEAD + len(held)).to_bytes(4, "big") + b"uuid" + held + data[at:]


def read(data: bytes) -> bytes | None:
    """The record in a video, None for none. Raises InvalidImage, InvalidRecord."""
    found = only([data[box.body : box.end] for box in _boxes(data) if box.id == OURS])
    return None if found is None else unpacked(found)


def without(data: bytes) -> bytes:
    """The video `data` without our box; every other byte stays. Raises InvalidImage."""
    kept, at = [], 0
    for box in _boxes(data):
        if box.id == OURS:
            kept.append(data[at : box.start])
            at = box.end
    return b"".join([*kept, data[at:]]) if kept else data


def measured(data: bytes) -> Measured:
    """The size, frames and length of the video in an MP4 or MOV, from its header alone: nothing is decoded."""
    try:
        for moov in _named(data, b"moov", 0, len(data)):
            for track in _named(data, b"trak", moov.body, moov.end):
                for media in _named(data, b"mdia", track.body, track.end):
                    if any(_field(data, box, 8, 4) == _VIDE for box in _named(data, b"hdlr", media.body, media.end)):
                        return _track(data, media)
    except InvalidImage:
        pass
    return Measured()


def _track(data: bytes, media: _Box) -> Measured:
    clock = next(iter(_named(data, b"mdhd", media.body, media.end)), None)
    tables = {
        box.type: box
        for minf in _named(data, b"minf", media.body, media.end)
        for stbl in _named(data, b"stbl", minf.body, minf.end)
        for box in _boxes(data, stbl.body, stbl.end)
    }
    picture, times = tables.get(b"stsd"), tables.get(b"stts")
    frames = ticks = 0
    if times is not None:
        for count, lasts in struct.iter_unpack(">II", _whole(data[times.body + 8 : times.end])):
            frames, ticks = frames + count, ticks + count * lasts
    scale = 0 if clock is None else _field(data, clock, 20 if data[clock.body : clock.body + 1] == b"\1" else 12, 4)
    if not scale or not 0 < frames <= _MOST_FRAMES:
        frames = ticks = 0
    width, height = (0, 0) if picture is None else (_field(data, picture, at, 2) for at in (40, 42))
    return Measured(width, height, frames, ticks / scale if scale else 0.0)


def _whole(entries: bytes) -> bytes:
    return entries[: len(entries) // 8 * 8]


def _named(data: bytes, kind: bytes, start: int, end: int) -> list[_Box]:
    return [box for box in _boxes(data, start, end) if box.type == kind]


def _field(data: bytes, box: _Box, at: int, size: int) -> int:
    """A number in a box, 0 when it is too short."""
    field = data[box.body + at : min(box.body + at + size, box.end)]
    return int.from_bytes(field, "big") if len(field) == size else 0


def _boxes(data: bytes, start: int = 0, stop: int | None = None) -> Iterator[_Box]:
    """Every box at file level, or in a part of the file. Raises InvalidImage when they do not fill it."""
    stop, count = len(data) if stop is None else stop, 0
    while start < stop:
        size, kind, body = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8], start + _HEAD
        if size == 1:
            size, body = int.from_bytes(data[start + 8 : start + 16], "big"), start + _LARGE_HEAD
        end = stop if size == 0 else start + size
        if count == _MOST_BOXES or end < body or len(kind) < 4:
            raise InvalidImage(f"the video is damaged at byte {start}")
        if end > stop:
            raise InvalidImage(f"the video is cut off: {stop} of its {end} bytes are there")
        identity = data[body : min(body + _ID, end)] if kind == b"uuid" else b""
        yield _Box(kind, start, min(body + len(identity), end), end, identity, size == 0)
        start, count = end, count + 1

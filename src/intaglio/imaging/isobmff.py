"""A record inside an MP4 or MOV: in a `uuid` box of our own behind everything that is found by its place in the file.

It is the last box, or the last before `mfra`, which players look for at the very end. So no chunk offset changes, in
fragmented files either. The format is ISO/IEC 14496-12.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from intaglio.core.errors import InvalidImage
from intaglio.imaging.carried import CREDENTIAL, names_credential, only, packed, unpacked

OURS = UUID("4e093c97-f701-4ea6-af58-65f9f323c926").bytes
_C2PA = UUID("d8fec3d6-1b0e-483c-9297-5828877ec481").bytes
_XMP = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac").bytes
_MOST_BOXES = 200_000
_HEAD, _LARGE_HEAD, _ID = 8, 16, 16


@dataclass(frozen=True)
class _Box:
    """A box at file level; `id` is a `uuid` box's type, `open` whether it just goes on to the end of the file."""

    type: bytes
    start: int
    body: int
    end: int
    id: bytes
    open: bool


def media_type(data: bytes) -> str:
    """The media type of an MP4 or MOV file."""
    return "video/quicktime" if data[8:12] == b"qt  " else "video/mp4"


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


def _boxes(data: bytes) -> Iterator[_Box]:
    """Every box at file level. Raises InvalidImage when they do not fill the file."""
    start = count = 0
    while start < len(data):
        size, kind, body = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8], start + _HEAD
        if size == 1:
            size, body = int.from_bytes(data[start + 8 : start + 16], "big"), start + _LARGE_HEAD
        end = len(data) if size == 0 else start + size
        if count == _MOST_BOXES or end < body or len(kind) < 4:
            raise InvalidImage(f"the video is damaged at byte {start}")
        if end > len(data):
            raise InvalidImage(f"the video is cut off: {len(data)} of its {end} bytes are there")
        identity = data[body : body + _ID] if kind == b"uuid" else b""
        yield _Box(kind, start, min(body + len(identity), end), end, identity, size == 0)
        start, count = end, count + 1

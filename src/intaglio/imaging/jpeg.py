"""A record inside a JPEG: in APP10 segments named "intaglio", behind the APP0 and APP1 that must stand first.

After the name stand the number of the segment, from 1, and of how many, 16 bits each, big-endian; then its part of the
packed record. The format is ITU-T T.81, annex B.
"""

from __future__ import annotations

import struct

from intaglio.core.errors import InvalidImage, InvalidRecord
from intaglio.imaging.carried import CREDENTIAL, names_credential, packed, unpacked
from intaglio.imaging.headers import jpeg_segments

_NAME = b"intaglio\0"
_APP0, _APP1, _APP2, _OURS, _APP11 = 0xE0, 0xE1, 0xE2, 0xEA, 0xEB
_PLACE = struct.Struct(">HH")
_PART = 0xFFFF - 2 - len(_NAME) - _PLACE.size
_XMP = (b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0")


def obstacle(data: bytes) -> str:
    """Why no segment may be added to a JPEG, in words; "" when one may."""
    try:
        segments = [(marker, data[start + 4 : end]) for marker, start, end in jpeg_segments(data)]
    except InvalidImage as error:
        return str(error)
    if any(marker == _APP11 and body.startswith(b"JP") for marker, body in segments):
        return CREDENTIAL  # or JUMBF of another kind, such as a signature: then too, better nothing is touched
    if names_credential(b"".join(body for marker, body in segments if marker == _APP1 and body.startswith(_XMP))):
        return CREDENTIAL
    if any(marker == _APP2 and body.startswith(b"MPF\0") for marker, body in segments):
        return "it holds several pictures, and says at which byte each of them is"
    return ""


def attach(data: bytes, body: bytes) -> bytes:
    """The JPEG `data` with the record `body` in it; one that was there goes. Raises InvalidImage."""
    data = without(data)
    pressed = packed(body)
    parts = [pressed[start : start + _PART] for start in range(0, len(pressed), _PART)]
    added = b"".join(_segment(number, len(parts), part) for number, part in enumerate(parts, 1))
    at = _after_first(data)
    return data[:at] + added + data[at:]


def read(data: bytes) -> bytes | None:
    """The record in a JPEG, None for none. Raises InvalidImage, InvalidRecord (it is not whole)."""
    parts = [data[start + 4 + len(_NAME) : end] for start, end in _ours(data)]
    if not parts:
        return None
    places = [_PLACE.unpack(part[: _PLACE.size]) if len(part) >= _PLACE.size else () for part in parts]
    if places != [(number, len(parts)) for number in range(1, len(parts) + 1)]:
        raise InvalidRecord("the record inside is not whole: some of its segments are gone, or are there twice")
    return unpacked(b"".join(part[_PLACE.size :] for part in parts))


def without(data: bytes) -> bytes:
    """The JPEG `data` without our segments; every other byte stays. Raises InvalidImage."""
    kept, at = [], 0
    for start, end in _ours(data):
        kept.append(data[at:start])
        at = end
    return b"".join([*kept, data[at:]])


def _ours(data: bytes) -> list[tuple[int, int]]:
    return [
        (start, end)
        for marker, start, end in jpeg_segments(data)
        if marker == _OURS and data[start + 4 : end].startswith(_NAME)
    ]


def _segment(number: int, count: int, part: bytes) -> bytes:
    body = _NAME + _PLACE.pack(number, count) + part
    return bytes([0xFF, _OURS]) + (2 + len(body)).to_bytes(2, "big") + body


def _after_first(data: bytes) -> int:
    """Where the APP0 and APP1 segments that a JPEG begins with end."""
    at = 2
    for marker, start, end in jpeg_segments(data):
        if marker not in (_APP0, _APP1) or start != at:
            break
        at = end
    return at

"""A record inside a WebP: in a chunk "intg" at the end of the RIFF container.

Chunks that a reader does not know are allowed only in the extended format, so a picture in the simple one is given the
VP8X header it lacks; its pixels stay. The first byte of our chunk says whether that was done (1), so that it can be
taken back; the packed record follows. The format is RFC 9649.
"""

from __future__ import annotations

import struct
from itertools import pairwise

from intaglio.core.errors import InvalidImage
from intaglio.imaging.carried import CREDENTIAL, names_credential, only, packed, unpacked
from intaglio.imaging.headers import cut_off, inspect

_OURS, _EXTENDED = b"intg", b"VP8X"
_SIMPLE = (b"VP8 ", b"VP8L")
_HEAD = 12
_ALPHA, _ANIMATED = 0x10, 0x02
_SAYS_ALPHA = 0x10  # in the fifth byte of a VP8L chunk's body
_LARGEST = 2**32 - 10


def obstacle(data: bytes) -> str:
    """Why no chunk may be added to a WebP, in words; "" when one may."""
    try:
        names = [name for name, _ in _chunks(data)]
        inspect(data)
    except InvalidImage as error:
        return str(error)
    xmp = b"".join(chunk[8:] for name, chunk in _chunks(data) if name == b"XMP ")
    if b"C2PA" in names or names_credential(xmp):
        return CREDENTIAL
    if names[0] != _EXTENDED and len(names) > 1:
        return "it has parts that its format does not allow for"
    return ""


def attach(data: bytes, body: bytes) -> bytes:
    """The WebP `data` with the record `body` in it; one that was there goes. Raises InvalidImage."""
    chunks = _chunks(without(data))
    simple = chunks[0][0] in _SIMPLE
    if simple:
        chunks.insert(0, (_EXTENDED, _header(data, chunks[0][1])))
    chunks.append((_OURS, _chunk(_OURS, bytes([simple]) + packed(body))))
    return _file(data, chunks)


def read(data: bytes) -> bytes | None:
    """The record in a WebP, None for none. Raises InvalidImage, InvalidRecord."""
    bodies = [chunk[8 : 8 + _length(chunk)] for name, chunk in _chunks(data) if name == _OURS]
    found = only(bodies)
    return None if found is None else unpacked(found[1:])


def without(data: bytes) -> bytes:
    """The WebP `data` without our chunk and what it took to add it. Raises InvalidImage."""
    chunks = _chunks(data)
    kept = [(name, chunk) for name, chunk in chunks if name != _OURS]
    if len(kept) == len(chunks):
        return data
    converted = any(name == _OURS and chunk[8:9] == b"\1" for name, chunk in chunks)
    names = [name for name, _ in kept]
    if converted and names[:1] == [_EXTENDED] and len(names) == 2 and names[1] in _SIMPLE:
        kept = kept[1:]
    return _file(data, kept)


def animated(data: bytes) -> bool:
    """Whether a WebP has several frames."""
    return data[12:16] == _EXTENDED and len(data) > 20 and bool(data[20] & _ANIMATED)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """The name and all bytes of each chunk; they fill the container exactly, or InvalidImage is raised."""
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise cut_off(data)
    edges = [_HEAD]
    while edges[-1] < end:
        size = int.from_bytes(data[edges[-1] + 4 : edges[-1] + 8], "little")
        edges.append(edges[-1] + 8 + size + size % 2)
    if edges[-1] != end or end == _HEAD:
        raise InvalidImage("the WebP file is damaged: its parts do not fit into it")
    return [(data[start : start + 4], data[start:stop]) for start, stop in pairwise(edges)]


def _file(data: bytes, chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A container of `chunks`, followed by what followed that of `data`."""
    body = b"WEBP" + b"".join(chunk for _, chunk in chunks)
    if len(body) > _LARGEST:
        raise InvalidImage("the WebP file would be larger than its format allows")
    after = 8 + int.from_bytes(data[4:8], "little")
    return b"RIFF" + len(body).to_bytes(4, "little") + body + data[after:]


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)


def _length(chunk: bytes) -> int:
    return int.from_bytes(chunk[4:8], "little")


def _header(data: bytes, picture: bytes) -> bytes:
    """The VP8X chunk that says of a simple file what its picture says."""
    info = inspect(data)
    alpha = picture.startswith(b"VP8L") and picture[12] & _SAYS_ALPHA
    sides = b"".join((side - 1).to_bytes(3, "little") for side in (info.width, info.height))
    return _chunk(_EXTENDED, struct.pack("<I", _ALPHA if alpha else 0) + sides)

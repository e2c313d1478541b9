"""PNG, chunk by chunk: reading without trusting, writing reproducibly, text that leaves the pixels alone.

The format is W3C "Portable Network Graphics (PNG) Specification (Third Edition)".
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from intaglio.core.errors import InvalidImage
from intaglio.core.image import Image
from intaglio.imaging.arrays import Pixels, to_array

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXT_LIMIT = 8 * 1024 * 1024

_FRAME = 12  # a chunk's length, type and CRC
_TEXT_TYPES = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_COLOUR_TYPES = {"L": 0, "RGB": 2, "RGBA": 6}
_LONGEST_KEYWORD = 79
_UP_FILTER = 2


@dataclass(frozen=True)
class Chunk:
    """One chunk: `offset` is where its length field begins, `crc_ok` whether its checksum holds."""

    type: bytes
    offset: int
    data: bytes
    crc_ok: bool

    @property
    def end(self) -> int:
        """The offset of the first byte after this chunk."""
        return self.offset + _FRAME + len(self.data)


def read_chunks(data: bytes) -> Iterator[Chunk]:
    """Every chunk up to and including IEND, lazily; what follows IEND is not looked at.

    A wrong checksum is reported, not refused. Raises InvalidImage when `data` is no PNG or ends before IEND.
    """
    if not data.startswith(SIGNATURE):
        if data and SIGNATURE.startswith(data):
            raise InvalidImage(f"the picture is cut off after {len(data)} bytes")
        raise InvalidImage("this is not a PNG file")
    offset = len(SIGNATURE)
    while True:
        size = int.from_bytes(data[offset : offset + 4], "big")
        end = offset + _FRAME + size
        if end > len(data):
            raise InvalidImage(f"the picture is cut off after {len(data)} bytes")
        kind = data[offset + 4 : offset + 8]
        if not kind.isalpha():
            raise InvalidImage(f"the PNG file is damaged at byte {offset}: {kind!r} is no chunk type")
        body = data[offset + 8 : end - 4]
        stored = int.from_bytes(data[end - 4 : end], "big")
        yield Chunk(kind, offset, body, zlib.crc32(body, zlib.crc32(kind)) == stored)
        if kind == b"IEND":
            return
        offset = end


def build_chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk as bytes: length, type, body, CRC."""
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(body, zlib.crc32(kind)).to_bytes(4, "big")


def encode(image: Image, *, level: int = 1) -> bytes:
    """`image` as a PNG file without metadata; the same bytes every time for one zlib.

    `level` is zlib's, 0 to 9. The default, 1, filters every row by the one above and looks only for runs: for
    pictures with any texture that is as small as Pillow's default and several times faster. Higher levels search for
    repetitions, which pays for flat artwork. Raises ValueError for another level.
    """
    # Not through Pillow: its choice of a filter per row alone costs more than this whole function.
    strategy = zlib.Z_RLE if level == 1 else zlib.Z_DEFAULT_STRATEGY
    try:
        packer = zlib.compressobj(level, zlib.DEFLATED, zlib.MAX_WBITS, 9, strategy)
    except ValueError as error:
        raise ValueError(f"a compression level is 0 to 9, not {level}") from error
    packed = packer.compress(_filtered(to_array(image)).tobytes()) + packer.flush()
    size = image.width.to_bytes(4, "big") + image.height.to_bytes(4, "big")
    header = size + bytes([8, _COLOUR_TYPES[image.mode], 0, 0, 0])
    return SIGNATURE + build_chunk(b"IHDR", header) + build_chunk(b"IDAT", packed) + build_chunk(b"IEND", b"")


def _filtered(pixels: Pixels) -> Pixels:
    rows = pixels.reshape(pixels.shape[0], -1)
    result = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    result[:, 0] = _UP_FILTER
    result[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=result[1:, 1:])
    return result


def attach_text(png: bytes, keyword: str, text: str, *, deflated: bool = False) -> bytes:
    """`png` with `text` under `keyword` in one iTXt chunk right after IHDR.

    Earlier text under that keyword goes; every other byte stays as it was, damaged checksums and what follows IEND
    included. Raises InvalidImage when `png` is not a whole PNG, ValueError for a keyword or text PNG cannot hold.
    """
    name = _keyword_bytes(keyword)
    body = text.encode()
    if b"\0" in body:
        raise ValueError("text in a PNG cannot contain a zero byte")
    chunks = list(read_chunks(png))
    if chunks[0].type != b"IHDR":
        raise InvalidImage("the PNG file does not begin with its header")
    kept = [png[c.offset : c.end] for c in chunks[1:] if not (c.type in _TEXT_TYPES and _named(c, name))]
    head, body = (b"\0\1\0\0\0", zlib.compress(body, 9)) if deflated else (b"\0\0\0\0\0", body)
    added = build_chunk(b"iTXt", name + head + body)
    return b"".join([png[: chunks[0].end], added, *kept, png[chunks[-1].end :]])


def without_text(png: bytes, keyword: str) -> bytes:
    """`png` without its text chunks under `keyword`; every other byte stays. Raises InvalidImage for no whole PNG."""
    name = _keyword_bytes(keyword)
    chunks = list(read_chunks(png))
    kept = [png[c.offset : c.end] for c in chunks if not (c.type in _TEXT_TYPES and _named(c, name))]
    return b"".join([png[: chunks[0].offset], *kept, png[chunks[-1].end :]])


def read_text(png: bytes, keyword: str, limit: int = TEXT_LIMIT) -> str | None:
    """The first text under `keyword` (tEXt, zTXt or iTXt, inflated to at most `limit` bytes), or None.

    Text is read even when its checksum is wrong. Raises InvalidImage when the PNG is cut off before the text is
    found, or the text is larger than `limit` or cannot be read.
    """
    name = _keyword_bytes(keyword)
    for chunk in read_chunks(png):
        if chunk.type in _TEXT_TYPES and _named(chunk, name):
            encoding = "utf-8" if chunk.type == b"iTXt" else "latin-1"
            try:
                return _text_bytes(chunk, chunk.data[len(name) + 1 :], limit).decode(encoding)
            except _TooLarge:
                raise InvalidImage(f"the text {keyword!r} in the picture is larger than {limit} bytes") from None
            except (zlib.error, ValueError) as error:
                raise InvalidImage(f"the text {keyword!r} in the picture cannot be read: {error}") from error
    return None


class _TooLarge(Exception):
    pass


def _keyword_bytes(keyword: str) -> bytes:
    name = keyword.encode("latin-1")
    if not 1 <= len(name) <= _LONGEST_KEYWORD or keyword != keyword.strip() or not keyword.isprintable():
        raise ValueError(f"{keyword!r} is no PNG keyword: 1 to 79 printable Latin-1 characters are")
    return name


def _named(chunk: Chunk, name: bytes) -> bool:
    return chunk.data.startswith(name + b"\0")


def _text_bytes(chunk: Chunk, rest: bytes, limit: int) -> bytes:
    compressed = chunk.type == b"zTXt"
    if compressed:
        rest = rest[1:]
    elif chunk.type == b"iTXt":
        compressed = rest[:1] == b"\1"
        _language, _translated, rest = rest[2:].split(b"\0", 2)
    if compressed:
        unpacker = zlib.decompressobj()
        rest = unpacker.decompress(rest, limit + 1)
        if len(rest) <= limit and not unpacker.eof:
            raise ValueError("its compressed data is cut off")
    if len(rest) > limit:
        raise _TooLarge
    return rest

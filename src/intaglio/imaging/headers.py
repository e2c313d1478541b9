"""What a picture file says about itself, read from its first bytes without decoding."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from intaglio.core.errors import InvalidImage
from intaglio.imaging import png

PNG, JPEG, WEBP, GIF = "image/png", "image/jpeg", "image/webp", "image/gif"

_JPEG_START = b"\xff\xd8\xff"
_JPEG_SCAN = 0xDA
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PNG_HEADER = 13
_WEBP_SIDE = 0x3FFF
_ORIENTATION, _SHORT = 0x0112, 3


@dataclass(frozen=True)
class MediaInfo:
    """A picture's media type, size in pixels as stored (before any EXIF turning) and bits per channel."""

    media_type: str
    width: int
    height: int
    bit_depth: int


def inspect(data: bytes) -> MediaInfo:
    """Type, size and depth of a PNG, JPEG, WebP or GIF, from its header alone.

    Says nothing about whether the rest of the file is whole. `bit_depth` is the file's: 16 means that `decode` keeps
    only the upper 8. Raises InvalidImage when `data` is none of these, or its header is cut off or impossible.
    """
    media_type, read = _reader(data)
    try:
        width, height, depth = read(data)
    except (struct.error, IndexError):
        raise cut_off(data) from None
    if width < 1 or height < 1:
        raise InvalidImage(f"a picture of {width} x {height} pixels is none")
    return MediaInfo(media_type, width, height, depth)


def cut_off(data: bytes) -> InvalidImage:
    """The error for a file that ends too early."""
    return InvalidImage(f"the picture is cut off after {len(data)} bytes")


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The marker, start and end of each JPEG segment up to and including the first start of scan.

    `start` is where 0xFF stands. Raises InvalidImage when the file ends, or stops being a JPEG, before that.
    """
    offset, marker = 2, 0
    while marker != _JPEG_SCAN:
        if offset + 4 > len(data):
            raise cut_off(data)
        start, marker = offset, data[offset + 1]
        if data[start] != 0xFF or marker == 0:
            raise InvalidImage(f"the JPEG file is damaged at byte {start}")
        if marker == 0xFF:
            offset += 1
            continue
        offset += 2 if marker in _JPEG_BARE else 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if offset > len(data):
            raise cut_off(data)
        yield marker, start, offset


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The name, start and end of each chunk's body in a WebP file, as far as the file goes."""
    offset = 12
    while offset + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, offset)
        yield name, offset + 8, offset + 8 + size
        offset += 8 + size + size % 2


def exif_orientation(exif: bytes) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) when `exif` does not say or cannot be read."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", exif, entry)
            if (tag, kind) == (_ORIENTATION, _SHORT):
                return value if value in range(1, 9) else 1
    except struct.error:
        pass
    return 1


def _reader(data: bytes) -> tuple[str, Callable[[bytes], tuple[int, int, int]]]:
    if data.startswith(png.SIGNATURE):
        return PNG, _read_png
    if data.startswith(_JPEG_START):
        return JPEG, _read_jpeg
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return WEBP, _read_webp
    if data.startswith((b"GIF87a", b"GIF89a")):
        return GIF, _read_gif
    raise InvalidImage("this is not a PNG, JPEG, WebP or GIF picture" if data else "the file is empty")


def _read_png(data: bytes) -> tuple[int, int, int]:
    header = next(png.read_chunks(data))
    if header.type != b"IHDR" or len(header.data) != _PNG_HEADER or not header.crc_ok:
        raise InvalidImage("the PNG header is damaged")
    width, height, depth, colour, packing, filtering, interlace = struct.unpack(">IIBBBBB", header.data)
    if depth not in _PNG_DEPTHS.get(colour, ()) or packing or filtering or interlace > 1:
        raise InvalidImage("the PNG header is none the format allows")
    return width, height, depth


def _read_jpeg(data: bytes) -> tuple[int, int, int]:
    for marker, start, _ in jpeg_segments(data):
        if marker in _JPEG_FRAMES:
            depth, height, width = struct.unpack_from(">BHH", data, start + 4)
            return width, height, depth
    raise InvalidImage("the JPEG file has no frame before its pixels")


def _read_webp(data: bytes) -> tuple[int, int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", data, 24)
        return low_width + (high_width << 16) + 1, low_height + (high_height << 16) + 1, 8
    if kind == b"VP8L":
        (sides,) = struct.unpack_from("<I", data, 21)
        return (sides & _WEBP_SIDE) + 1, (sides >> 14 & _WEBP_SIDE) + 1, 8
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & _WEBP_SIDE, height & _WEBP_SIDE, 8
    raise cut_off(data) if len(kind) < len(b"VP8X") else InvalidImage("the WebP file begins with no picture")


def _read_gif(data: bytes) -> tuple[int, int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height, 8

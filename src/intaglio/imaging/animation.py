"""Animated pictures (GIF, APNG, WebP), frame by frame."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

from intaglio.core.errors import InvalidImage
from intaglio.core.image import Image
from intaglio.imaging import headers, png
from intaglio.imaging.decode import PLUGINS, check_png_pixels, check_size, converted, plain_errors
from intaglio.imaging.headers import MediaInfo

_APNG = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"})
_GIF_IMAGE, _GIF_EXTENSION, _GIF_END = 0x2C, 0x21, 0x3B


def is_animated(data: bytes, info: MediaInfo) -> bool:
    """Whether a picture's file says that it holds several frames. Raises InvalidImage where it is cut off."""
    if info.media_type == headers.PNG:
        kinds = (chunk.type for chunk in png.read_chunks(data))
        return next(kind for kind in kinds if kind in (b"acTL", b"IDAT", b"IEND")) == b"acTL"
    if info.media_type == headers.GIF:
        return _gif_images(data) > 1
    if info.media_type == headers.WEBP:
        return any(name == b"ANIM" for name, _, _ in headers.webp_chunks(data))
    return False


def frames_of(data: bytes, info: MediaInfo) -> Iterator[tuple[float, Image]]:
    """Every frame of an animated picture as it is shown, with the second it begins at; one in memory at a time.

    A still picture for programs that know no animations, which some APNG files begin with, is left out. Raises
    InvalidImage for what is damaged or cut off.
    """
    with plain_errors(data):
        opened = PLUGINS[info.media_type](io.BytesIO(_checked(data, info)))
    with opened:
        number, seconds = (1 if getattr(opened, "default_image", False) else 0), 0.0
        while True:
            with plain_errors(data):
                try:
                    opened.seek(number)
                except EOFError:
                    return
                check_size(opened, info)
                opened.load()
                image = converted(opened, transparent=opened.has_transparency_data)
                lasts = float(opened.info.get("duration", 0)) / 1000
            yield seconds, image
            number, seconds = number + 1, seconds + lasts


def _checked(data: bytes, info: MediaInfo) -> bytes:
    """What a decoder needs of a file, which is whole as far as its own structure tells."""
    if info.media_type == headers.WEBP and int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise headers.cut_off(data)
    if info.media_type != headers.PNG:
        return data
    kept, header, packed = [png.SIGNATURE], data[16:29], list[bytes]()
    for chunk in png.read_chunks(data):
        if chunk.type not in _APNG:
            continue
        if not chunk.crc_ok:
            raise InvalidImage(f"the picture is damaged: wrong checksum at byte {chunk.offset}")
        kept.append(data[chunk.offset : chunk.end])
        if chunk.type in (b"IDAT", b"fdAT"):
            packed.append(chunk.data[4:] if chunk.type == b"fdAT" else chunk.data)
        elif chunk.type in (b"fcTL", b"IEND"):
            if packed:
                check_png_pixels(header, packed)
            # A frame has a size of its own, and everything else in common with the picture.
            header, packed = chunk.data[4:12] + header[8:], []
    return b"".join(kept)


def _gif_images(data: bytes) -> int:
    """How many pictures a GIF file holds. A missing end mark is forgiven, an end inside a block is not."""
    offset, count = 13 + _gif_palette(data, 10), 0
    try:
        while offset < len(data) and data[offset] != _GIF_END:
            if data[offset] == _GIF_IMAGE:
                offset += 11 + _gif_palette(data, offset + 9)
                count += 1
            elif data[offset] == _GIF_EXTENSION:
                offset += 2
            else:
                raise InvalidImage(f"the GIF file is damaged at byte {offset}")
            while size := data[offset]:
                offset += 1 + size
            offset += 1
    except (IndexError, struct.error):
        raise headers.cut_off(data) from None
    return count


def _gif_palette(data: bytes, flags: int) -> int:
    """The bytes of the palette whose flags stand at an offset."""
    return 3 << (data[flags] & 7) + 1 if data[flags] & 0x80 else 0

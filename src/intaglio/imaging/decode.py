"""From the bytes of a file to pixels: bounded, whole or refused, and nothing converted unsaid.

Pillow gets only the parts of a file that bear pixels. It refuses pictures for a wrong checksum or a large text chunk
beside the pixels, warns about damaged EXIF, and accepts a PNG whose pixel data ends early; so those are ours to judge.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image as Pillow
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from intaglio.core.errors import InvalidImage
from intaglio.core.image import Image
from intaglio.imaging import headers, png
from intaglio.imaging.arrays import from_array
from intaglio.imaging.headers import MediaInfo, inspect

__all__ = ["MAX_PIXELS", "MediaInfo", "decode", "inspect"]

MAX_PIXELS = 100_000_000

_PNG_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_PALETTE = 3
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PIECE = 16 * 1024  # of deflated input at a time: at most 17 MB come out of it
_JPEG_EXIF = 0xE1
_JPEG_SIDE = frozenset({*range(0xE1, 0xEE), 0xEF, 0xFE})  # all APPn but JFIF and Adobe (which names the colour space)
_TURNS = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
# Its classes directly: Image.open would add a limit and warnings of its own.
PLUGINS: dict[str, Callable[[io.BytesIO], ImageFile]] = {
    headers.PNG: PngImageFile,
    headers.JPEG: JpegImageFile,
    headers.WEBP: WebPImageFile,
    headers.GIF: GifImageFile,
}


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image:
    """The pixels of a PNG, JPEG, WebP or GIF file (of an animation, its first frame), turned as its EXIF says.

    Grey and 1-bit become L, colours, palettes and CMYK become RGB, anything with transparency becomes RGBA. Of 16-bit
    channels the upper 8 bits are kept (`inspect` tells), and a key colour given in 16 bits is not applied. Colour
    profiles and gamma are not applied. Raises InvalidImage for what is no picture, is cut off or damaged, or has more
    than `max_pixels` pixels; that is known from its header, before anything is inflated.
    """
    info = inspect(data)
    if info.width * info.height > max_pixels:
        limit = f"the limit of {max_pixels / 1e6:g} megapixels"
        raise InvalidImage(f"{info.width} x {info.height} pixels is more than {limit}")
    payload, orientation = _PARTS[info.media_type](data)
    with plain_errors(data), PLUGINS[info.media_type](io.BytesIO(payload)) as opened:
        check_size(opened, info)
        opened.load()
        upright = opened.transpose(_TURNS[orientation]) if orientation in _TURNS else opened
        return converted(upright, transparent=opened.has_transparency_data)


@contextmanager
def plain_errors(data: bytes) -> Iterator[None]:
    """Turn whatever a decoder raises over `data` into InvalidImage."""
    try:
        yield
    except InvalidImage:
        raise
    except Exception as error:  # damaged input makes decoders raise almost anything
        if "truncated" in str(error).lower():
            raise headers.cut_off(data) from error
        raise InvalidImage(f"the picture cannot be decoded: {error or type(error).__name__}") from error


def check_size(opened: Pillow.Image, info: MediaInfo) -> None:
    """Raise InvalidImage unless an opened picture has the size its header says."""
    if opened.size != (info.width, info.height):
        raise InvalidImage("the picture's parts disagree about its size")


def converted(picture: Pillow.Image, *, transparent: bool) -> Image:
    """A loaded Pillow picture as an L, RGB or RGBA image."""
    if picture.mode.startswith("I"):
        # Pillow's own conversion clips: nearly every 16-bit grey would turn white.
        return from_array((np.asarray(picture) >> 8).astype(np.uint8))
    opaque = "L" if picture.mode in ("1", "L") else "RGB"
    result = picture.convert("RGBA" if transparent else opaque)
    return Image(result.mode, result.width, result.height, result.tobytes())


def _png_parts(data: bytes) -> tuple[bytes, int]:
    kept, kinds, packed, orientation = [png.SIGNATURE], set(), [], 1
    for chunk in png.read_chunks(data):
        if chunk.type in _PNG_PIXELS:
            if not chunk.crc_ok:
                raise InvalidImage(f"the picture is damaged: wrong checksum at byte {chunk.offset}")
            kept.append(data[chunk.offset : chunk.end])
            kinds.add(chunk.type)
        elif chunk.type[:1].isupper():
            raise InvalidImage(f"the PNG file needs {chunk.type.decode()}, which no standard decoder knows")
        if chunk.type == b"IDAT":
            packed.append(chunk.data)
        elif chunk.type == b"eXIf" and chunk.crc_ok:
            orientation = headers.exif_orientation(chunk.data)
    header = data[16:29]
    if header[9] == _PNG_PALETTE and b"PLTE" not in kinds:
        raise InvalidImage("the picture's palette is missing")
    check_png_pixels(header, packed)
    return b"".join(kept), orientation


def check_png_pixels(header: bytes, packed: list[bytes]) -> None:
    """Raise InvalidImage unless `packed`, the bodies of IDAT chunks, holds all pixels that the IHDR body announces.

    Inflates piece by piece and counts: Pillow leaves the rows that are missing black, without a word.
    """
    expected, count, unpacker = _inflated_size(header), 0, zlib.decompressobj()
    try:
        for part in packed:
            for start in range(0, len(part), _PIECE):
                count += len(unpacker.decompress(part[start : start + _PIECE]))
                if count >= expected:
                    return
    except zlib.error as error:
        raise InvalidImage(f"the picture's pixels are damaged: {error}") from error
    raise InvalidImage(f"the picture is cut off: {count} of its {expected} bytes of pixels are there")


def _inflated_size(header: bytes) -> int:
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * _PNG_SAMPLES[colour]
    total = 0
    for x, y, step_x, step_y in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -((x - width) // step_x), -((y - height) // step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total


def _jpeg_parts(data: bytes) -> tuple[bytes, int]:
    kept, end, orientation = [data[:2]], 2, 1
    for marker, start, end in headers.jpeg_segments(data):
        body = data[start + 4 : end]
        if marker == _JPEG_EXIF and body.startswith(b"Exif\0\0"):
            orientation = headers.exif_orientation(body)
        if marker not in _JPEG_SIDE:
            kept.append(data[start:end])
    if data.find(b"\xff\xd9", end) < 0:
        raise headers.cut_off(data)
    return b"".join([*kept, data[end:]]), orientation


def _webp_parts(data: bytes) -> tuple[bytes, int]:
    if int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise headers.cut_off(data)
    exif = next((data[start:end] for name, start, end in headers.webp_chunks(data) if name == b"EXIF"), b"")
    return data, headers.exif_orientation(exif)


def _gif_parts(data: bytes) -> tuple[bytes, int]:
    return data, 1


_PARTS: dict[str, Callable[[bytes], tuple[bytes, int]]] = {
    headers.PNG: _png_parts,
    headers.JPEG: _jpeg_parts,
    headers.WEBP: _webp_parts,
    headers.GIF: _gif_parts,
}

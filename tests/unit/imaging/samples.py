"""Small pictures and hand-made PNG files for the tests."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image as Pillow

from intaglio.core.image import Image
from intaglio.imaging.arrays import from_array
from intaglio.imaging.png import SIGNATURE, build_chunk


def ramp(mode: str = "RGB", width: int = 24, height: int = 16) -> Image:
    """Every channel a different slope, without any random numbers."""
    y, x = np.mgrid[:height, :width]
    planes = [x * 255 // width, y * 255 // height, (7 * x + 13 * y) % 256, 255 - x * 255 // width]
    chosen = {"L": planes[:1], "RGB": planes[:3], "RGBA": planes}[mode]
    return from_array(np.stack(chosen, axis=2).astype(np.uint8))


def flat(level: int, mode: str = "L", width: int = 8, height: int = 8) -> Image:
    """One level in all channels."""
    return from_array(np.full((height, width, {"L": 1, "RGB": 3, "RGBA": 4}[mode]), level, np.uint8))


def raw_png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG from unfiltered rows (each with its filter byte); `extra` chunks stand before IDAT."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [SIGNATURE, build_chunk(b"IHDR", header), *extra, build_chunk(b"IDAT", zlib.compress(rows))]
    return b"".join([*parts, build_chunk(b"IEND", b"")])


def insert(png: bytes, chunk: bytes) -> bytes:
    """`chunk` right after IHDR."""
    return png[:33] + chunk + png[33:]


def saved(picture: Pillow.Image, kind: str, **options: object) -> bytes:
    """`picture` as Pillow writes it."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def pillow(image: Image) -> Pillow.Image:
    """`image` as a Pillow picture."""
    return Pillow.frombytes(image.mode, (image.width, image.height), image.data)

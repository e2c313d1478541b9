"""Small clips for the tests, written by the tools that write them elsewhere."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import av
import numpy as np
from PIL import Image as Pillow

from intaglio.core.image import Image
from intaglio.imaging.arrays import from_array, to_array

from .samples import pillow

RATE = 10


def moving(count: int = 6, width: int = 64, height: int = 48) -> list[Image]:
    """A square that crosses a picture, a few pixels a frame."""
    y, x = np.mgrid[:height, :width]
    still = np.stack([x * 255 // width, y * 255 // height, (x // 8 + y // 8) % 2 * 120], axis=2).astype(np.uint8)
    result = []
    for number in range(count):
        pixels = still.copy()
        pixels[10:26, 6 * number : 6 * number + 16] = (250, 240, 60)
        result.append(from_array(pixels))
    return result


def changed(images: Sequence[Image], index: int, level: int = 255) -> list[Image]:
    """The same frames, with a block of one of them set to a level."""
    result = list(images)
    pixels = to_array(result[index]).copy()
    pixels[30:40, 20:40] = level
    result[index] = from_array(pixels)
    return result


def animated(images: Sequence[Image], kind: str, lasts: int = 100, **options: Any) -> bytes:
    """An animation; `lasts` in milliseconds a frame. Lossless where the format can."""
    buffer = io.BytesIO()
    first, *others = (pillow(image) for image in images)
    if kind == "WEBP":
        options = {"lossless": True, **options}
    first.save(buffer, kind, save_all=True, append_images=others, duration=lasts, **options)
    return buffer.getvalue()


def filmed(images: Sequence[Image], container: str, codec: str, pixels: str, **options: str) -> bytes:
    """A video of ten frames a second."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=RATE, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = images[0].width, images[0].height, pixels
        for image in images:
            frame = av.VideoFrame.from_ndarray(to_array(image), format="rgba" if image.mode == "RGBA" else "rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def exact(images: Sequence[Image]) -> bytes:
    """A video that keeps every pixel: FFV1 in Matroska."""
    return filmed(images, "matroska", "ffv1", "bgr0", level="3")


def h264(images: Sequence[Image], **options: str) -> bytes:
    """A video as most tools write it: H.264 in MP4, its index first."""
    return filmed(images, "mp4", "libx264", "yuv420p", **options)


def vp9(images: Sequence[Image]) -> bytes:
    """A video for the web: VP9 in WebM."""
    return filmed(images, "webm", "libvpx-vp9", "yuv420p")


def still(image: Image) -> bytes:
    """One picture as a PNG by Pillow."""
    buffer = io.BytesIO()
    Pillow.frombytes(image.mode, (image.width, image.height), image.data).save(buffer, "PNG")
    return buffer.getvalue()

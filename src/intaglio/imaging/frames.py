"""Any picture or clip as a row of frames, one in memory at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from intaglio.core.errors import InvalidImage
from intaglio.core.image import Image
from intaglio.imaging import animation, video
from intaglio.imaging.decode import MAX_PIXELS, decode, inspect

_HEAD = 64
_ONE_FRAME = 0.04  # the length of a lone frame that does not say how long it lasts, in seconds
_CUT = "Cut the clip shorter, or scale it down."


@dataclass(frozen=True)
class Limits:
    """What is read of one file; more is refused."""

    file_bytes: int = 2**30
    still_pixels: int = MAX_PIXELS
    frame_pixels: int = 40_000_000
    frames: int = 20_000
    seconds: float = 3600.0
    pixels: int = 20_000_000_000  # of all frames together: a small file can hold years of work


LIMITS = Limits()


@dataclass(frozen=True)
class Frame:
    """One picture of a clip: its place, the second it begins at, and the bits of a channel in the file.

    `image` has 8 bits a channel, whatever the file has. A still picture is frame 0 at second 0.
    """

    index: int
    seconds: float
    image: Image
    bit_depth: int


@dataclass(frozen=True)
class ClipInfo:
    """What a video is: media type, size of its first frame in pixels as it is shown, frames, the second it ends at."""

    media_type: str
    width: int
    height: int
    frames: int
    seconds: float


def frames(file: BinaryIO, *, limits: Limits = LIMITS) -> Iterator[Frame]:
    """Every frame of a picture (PNG, JPEG, WebP, GIF), an animation (APNG, WebP, GIF) or a video (MP4, WebM, MKV).

    What a file is, is told by its first bytes. Of videos the first video stream is read; they need PyAV (extra
    "video"). No more than the frame at hand is kept in memory, besides the bytes of a picture's file. Raises
    InvalidImage for what is none of these, is damaged or cut off, or goes beyond `limits`; BackendMissing without PyAV.
    """
    size = file.seek(0, io.SEEK_END)
    if size > limits.file_bytes:
        raise InvalidImage(f"the file is larger than {limits.file_bytes // 2**20} MiB", hint=_CUT)
    file.seek(0)
    kind = video.format_of(file.read(_HEAD))
    file.seek(0)
    read = _video(file, kind, limits) if kind else _picture(file.read(), limits)
    total = 0
    for frame in read:
        total += frame.image.width * frame.image.height
        _check(frame.index, frame.seconds, total, limits)
        yield frame


def clip_info(file: BinaryIO, *, limits: Limits = LIMITS) -> ClipInfo:
    """What a video is, every frame of it decoded. Raises as `frames`; InvalidImage for what is no video."""
    file.seek(0)
    head = file.read(_HEAD)
    kind, media_type = video.format_of(head), video.media_type(head)
    if not kind:
        raise video.refused("this is not an MP4, WebM or MKV video")
    count = total = width = height = 0
    end = step = before = 0.0
    for seconds, lasts, *size in video.sizes_of(file, kind, limits.frame_pixels):
        if not count:
            width, height = size
        # A file need not say how long a frame lasts; then the last one does as long as the one before it.
        step, before = lasts or seconds - before or step, seconds
        total += size[0] * size[1]
        _check(count, seconds, total, limits)
        count, end = count + 1, max(end, seconds + step)
    if not count:
        raise video.refused("the video has no frames")
    return ClipInfo(media_type, width, height, count, end or _ONE_FRAME)


def _check(index: int, seconds: float, total: int, limits: Limits) -> None:
    if index >= limits.frames:
        raise InvalidImage(f"the clip has more than {limits.frames} frames", hint=_CUT)
    if seconds > limits.seconds:
        raise InvalidImage(f"the clip is longer than {limits.seconds:g} seconds", hint=_CUT)
    if total > max(limits.pixels, limits.still_pixels):
        raise InvalidImage(f"the clip has more than {limits.pixels / 1e9:g} gigapixels in all", hint=_CUT)


def _video(file: BinaryIO, kind: str, limits: Limits) -> Iterator[Frame]:
    shown = -1
    for shown, (seconds, image, bits) in enumerate(video.frames_of(file, kind, limits.frame_pixels)):
        yield Frame(shown, seconds, image, bits)
    if shown < 0:
        raise video.refused("the video has no frames")


def _picture(data: bytes, limits: Limits) -> Iterator[Frame]:
    try:
        info = inspect(data)
    except InvalidImage as error:
        if str(error).startswith("this is not"):
            raise InvalidImage("this is not a PNG, JPEG, WebP or GIF picture, nor an MP4, WebM or MKV video") from error
        raise
    if not animation.is_animated(data, info):
        yield Frame(0, 0.0, decode(data, max_pixels=limits.still_pixels), info.bit_depth)
        return
    if info.width * info.height > limits.frame_pixels:
        most = f"the limit of {limits.frame_pixels / 1e6:g} megapixels for an animation"
        raise InvalidImage(f"{info.width} x {info.height} pixels is more than {most}", hint=_CUT)
    for index, (seconds, image) in enumerate(animation.frames_of(data, info)):
        yield Frame(index, seconds, image, info.bit_depth)

"""Videos (MP4, WebM, MKV), frame by frame, through PyAV, which is FFmpeg in this process.

FFmpeg is told what the file is and opens nothing but the stream it is given; only decoders of well-known formats are
used. It shows fewer frames of a file that is cut off, without a word, so that the files' own structure is checked
first. Damage within the pixels it seldom reports: then frames look different, which is what comparing them is for.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, TypeVar

import numpy as np

from intaglio.core import video as types
from intaglio.core.errors import BackendMissing, InvalidImage
from intaglio.core.image import Image
from intaglio.imaging.arrays import from_array

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

T = TypeVar("T")

MP4, MATROSKA = "mov", "matroska"  # FFmpeg's names; WebM is a Matroska file

_DECODERS = frozenset(
    {
        *("h264", "hevc", "vvc", "mpeg4", "vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d"),
        *("ffv1", "prores", "mjpeg", "png", "rawvideo", "utvideo", "huffyuv", "ffvhuff", "magicyuv"),
    }
)
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_STILL_BRANDS = frozenset({b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1"})
_BOX, _LARGE_BOX, _MOST_BOXES = 8, 16, 200_000


def format_of(head: bytes) -> str:
    """Which kind of video a file that begins like this is; "" for none."""
    if head.startswith(_EBML):
        return MATROSKA
    return MP4 if head[4:8] == b"ftyp" and head[8:12] not in _STILL_BRANDS else ""


def frames_of(file: BinaryIO, kind: str, max_pixels: int) -> Iterator[tuple[float, Image, int]]:
    """Every frame of the first video stream, in the order they are shown: its second, its picture, its bits.

    Frames become 8-bit RGB, or RGBA where the stream has transparency, and are turned as the file says; `bits` is a
    channel's in the file. Sound and subtitles are not looked at. Raises InvalidImage for what is damaged, cut off or of
    more than `max_pixels` pixels a frame, BackendMissing without PyAV.
    """
    return _each(file, kind, max_pixels, lambda frame: _shown(frame, max_pixels))


def sizes_of(file: BinaryIO, kind: str, max_pixels: int) -> Iterator[tuple[float, float, int, int]]:
    """Of every frame, decoded but not converted: the second it is shown at, how long it lasts (0.0 where the file does
    not say), and its width and height as it is shown. Raises as `frames_of`."""
    return _each(file, kind, max_pixels, lambda frame: _size(frame, max_pixels))


def refused(message: str) -> InvalidImage:
    """The error for a video that is not read."""
    return InvalidImage(message, hint="Use a whole MP4, MOV, WebM or MKV video.")


def media_type(head: bytes) -> str:
    """The media type of a video that begins like this; "" for what is none."""
    kind = format_of(head)
    if kind == MP4:
        return types.QUICKTIME if head[8:12] == b"qt  " else types.MP4
    return "" if not kind else types.WEBM if b"\x42\x82\x84webm" in head else types.MATROSKA


def _each(file: BinaryIO, kind: str, max_pixels: int, take: Callable[[VideoFrame], T]) -> Iterator[T]:
    """What `take` makes of every frame."""
    try:
        import av
    except ImportError as error:
        raise BackendMissing(
            "reading a video needs PyAV, which is not installed", hint="Install it with: pip install 'intaglio[video]'"
        ) from error
    _check_whole(file, kind)
    file.seek(0)
    options = {"max_pixels": str(max_pixels)}
    with _plain_errors():
        container = av.open(file, format=kind, options=options, metadata_errors="replace", mode="r", io_open=_refuse)
    with container:
        decoded = container.decode(_stream(container, max_pixels))
        while True:
            with _plain_errors():
                frame = next(decoded, None)
                if frame is None:
                    return
                taken = take(frame)
            yield taken


def _stream(container: InputContainer, max_pixels: int) -> VideoStream:
    """The first video stream, if it is one to decode."""
    if not container.streams.video:
        raise refused("there is no video in the file")
    stream = container.streams.video[0]
    decoder = stream.codec_context
    name = "unknown" if decoder is None else decoder.name
    if name not in _DECODERS:
        raise refused(f"a video of kind {name!r} is not read")
    _check_size(decoder.width, decoder.height, max_pixels)
    return stream


def _check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise InvalidImage for too many pixels; for none too, as FFmpeg gives no size to what it finds too large."""
    if not 0 < width * height <= max_pixels:
        size = f"a frame of {width} x {height} pixels is" if width * height else "its frames are of no size, or of"
        raise refused(f"{size} more than the limit of {max_pixels / 1e6:g} megapixels for a video")


def _shown(frame: VideoFrame, max_pixels: int) -> tuple[float, Image, int]:
    if frame.is_corrupt:
        raise refused("the video is damaged")
    _check_size(frame.width, frame.height, max_pixels)
    parts: Any = frame.format.components
    pixels: Any = frame.to_ndarray(format="rgba" if any(part.is_alpha for part in parts) else "rgb24")
    upright = np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))
    return frame.time or 0.0, from_array(upright), max(part.bits for part in parts)


def _size(frame: VideoFrame, max_pixels: int) -> tuple[float, float, int, int]:
    if frame.is_corrupt:
        raise refused("the video is damaged")
    _check_size(frame.width, frame.height, max_pixels)
    lasts = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
    turned = round(frame.rotation / 90) % 2
    width, height = (frame.height, frame.width) if turned else (frame.width, frame.height)
    return frame.time or 0.0, lasts, width, height


def _refuse(url: str, flags: int, options: dict[str, Any]) -> NoReturn:
    raise refused("the video refers to another file")


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn whatever the decoders raise into InvalidImage."""
    try:
        yield
    except InvalidImage:
        raise
    except MemoryError as error:
        raise refused("the video needs more memory than there is") from error
    except Exception as error:  # damaged input makes FFmpeg and PyAV raise almost anything
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise refused(f"the video cannot be decoded: {said[:1].lower()}{said[1:]}") from error


def _check_whole(file: BinaryIO, kind: str) -> None:
    """Raise InvalidImage when the file ends before the parts it says it has: FFmpeg just shows fewer frames."""
    size = file.seek(0, io.SEEK_END)
    end = _mp4_end(file, size) if kind == MP4 else _matroska_end(file)
    if end > size:
        raise refused(f"the video is cut off: {size} of its {end} bytes are there")


def _mp4_end(file: BinaryIO, size: int) -> int:
    """Where the last of the boxes that a file is made of ends."""
    offset = count = 0
    while offset + _BOX <= size:
        count += 1
        if count > _MOST_BOXES:
            raise refused(f"the video is in more than {_MOST_BOXES} pieces")
        file.seek(offset)
        head = file.read(_LARGE_BOX)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length == 0:  # to the end of the file
            return size
        if length < _BOX:
            raise refused(f"the video is damaged at byte {offset}")
        offset += length
    return offset


def _matroska_end(file: BinaryIO) -> int:
    """Where the file's segment, which is all but its header, ends; 0 when it does not say."""
    file.seek(0)
    head = file.read(4096)
    length, start = _vint(head, len(_EBML))
    start += length
    if head[start : start + 4] != _SEGMENT:
        return 0
    length, start = _vint(head, start + 4)
    return 0 if length < 0 else start + length


def _vint(data: bytes, offset: int) -> tuple[int, int]:
    """A Matroska length at an offset, and where what it measures begins; -1 for an unknown one."""
    first = data[offset] if offset < len(data) else 0
    if not first:
        raise refused("the video's header is damaged")
    width = 9 - first.bit_length()
    value = int.from_bytes(data[offset : offset + width], "big") & (1 << 7 * width) - 1
    return (-1 if value == (1 << 7 * width) - 1 else value), offset + width

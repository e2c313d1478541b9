"""Pictures to a video (H.264 in MP4) through PyAV, byte for byte the same every time.

Everything that could differ from run to run or from machine to machine is fixed: colours are converted here, in whole
numbers, and not by a library with a routine for each processor; the encoder runs in one thread, chooses nothing by the
processor it finds (`cpu-independent`), and writes no time, no name of a program and nothing random (`bitexact`). What
is left is which encoder it is, and `encoder_facts` says that.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from intaglio.core.errors import BackendMissing, Invalid
from intaglio.core.image import Image
from intaglio.core.video import MP4, Video
from intaglio.imaging.arrays import Pixels, to_array
from intaglio.imaging.frames import LIMITS

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

LOSSLESS = "h264-lossless"
_ENCODERS = {"h264": "libx264", LOSSLESS: "libx264rgb"}
_FIXED = "threads=1:lookahead-threads=1:sync-lookahead=0:cpu-independent=1"
_LIBRARIES = ("libavcodec", "libavformat", "libavutil")
_X264 = re.compile(rb"x264 - core ([0-9]+[ -~]{0,40}?) - H\.264")
# How a decoder is told what the numbers mean: BT.709 in the studio range, or RGB as it is. The curve is that of sRGB.
_BT709, _RGB, _STUDIO_RANGE, _FULL_RANGE, _SRGB_CURVE = 1, 0, 1, 2, 13
_OPAQUE = 255
_SLOWEST_CLOCK = 10_000  # ticks a second

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class VideoSettings:
    """How to encode. `crf` is the quality, 0 (best) to 51; `preset` how long to search for a smaller file;
    `pixel_format` "yuv420p" (colours at half the size, which every player shows) or "yuv444p". All three say nothing
    to the codec "h264-lossless" but the preset."""

    fps: Fraction
    codec: str
    crf: int
    preset: str
    pixel_format: str


def encode_video(
    frames: Sequence[Image],
    settings: VideoSettings,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    check: Callable[[], None] = lambda: None,
) -> Video:
    """The pictures as a video, each shown for 1/fps of a second. `check` may raise, before each picture.

    Raises Invalid for pictures of several sizes, transparent ones, an odd size that the pixel format does not take, or
    more than can be read back; BackendMissing without PyAV or its H.264 encoder.
    """
    check_encoder(settings.codec)
    width, height = _size(frames, settings)
    import av
    from av.codec.context import Flags

    buffer, tick = io.BytesIO(), 1 / settings.fps
    with av.open(buffer, "w", format="mp4", options=_container(settings.fps)) as container:
        added = container.add_stream(_ENCODERS[settings.codec], rate=settings.fps, options=_options(settings))
        stream = cast("VideoStream", added)
        stream.width, stream.height = width, height
        stream.codec_context.thread_count = 1
        stream.codec_context.flags |= Flags.bitexact
        stream.codec_context.time_base = tick
        _say_colours(stream, settings)
        for index, image in enumerate(frames):
            check()
            frame = _frame(_opaque(image, index), settings)
            frame.pts, frame.time_base, frame.duration = index, tick, 1
            container.mux(stream.encode(frame))
            progress(index + 1, len(frames))
        container.mux(stream.encode(None))
    return Video(buffer.getvalue(), MP4, len(frames), float(len(frames) * tick), width, height)


def check_encoder(codec: str) -> None:
    """Raise BackendMissing when there is no PyAV here, or one without the encoder of this codec."""
    try:
        import av
    except ImportError as error:
        raise BackendMissing(
            "making a video needs PyAV, which is not installed", hint="Install it with: pip install 'intaglio[video]'"
        ) from error
    if _ENCODERS[codec] not in av.codecs_available:
        raise BackendMissing(
            f"this PyAV was built without {_ENCODERS[codec]}, which makes {codec} videos",
            hint="Install one with it: pip install --force-reinstall --only-binary av av",
        )


@cache
def encoder_facts() -> dict[str, str]:
    """Versions of what makes videos: PyAV ("av"), and the libraries it brings ("av:libx264"); "" for a missing one."""
    missing = {"av": "", **{f"av:{name}": "" for name in (*_LIBRARIES, "libx264")}}
    try:
        import av

        check_encoder("h264")
    except (ImportError, BackendMissing):
        return missing
    versions = {f"av:{name}": ".".join(map(str, av.library_versions[name])) for name in _LIBRARIES}
    # FFmpeg does not say which libx264 it calls; libx264 does, in every file it makes.
    settings = VideoSettings(Fraction(1), "h264", 51, "ultrafast", "yuv420p")
    said = _X264.search(encode_video([Image("L", 16, 16, bytes(256))], settings).data)
    return {"av": av.__version__, **versions, "av:libx264": said.group(1).decode() if said else "unknown"}


def _container(fps: Fraction) -> dict[str, str]:
    """One clock for the film and its track, in which every picture lasts a whole number of ticks: with the usual
    milliseconds a film of 12 pictures at 30000/1001 would end before its last picture does."""
    clock = fps.numerator
    while clock < _SLOWEST_CLOCK:
        clock *= 2
    return {"fflags": "+bitexact", "movie_timescale": str(clock), "video_track_timescale": str(clock)}


def _options(settings: VideoSettings) -> dict[str, str]:
    quality = {"qp": "0"} if settings.codec == LOSSLESS else {"crf": str(settings.crf)}
    return {"preset": settings.preset, "x264-params": _FIXED, **quality}


def _say_colours(stream: VideoStream, settings: VideoSettings) -> None:
    lossless = settings.codec == LOSSLESS
    context: Any = stream.codec_context
    context.pix_fmt = "rgb24" if lossless else settings.pixel_format
    context.colorspace = _RGB if lossless else _BT709
    context.color_range = _FULL_RANGE if lossless else _STUDIO_RANGE
    context.color_primaries, context.color_trc = _BT709, _SRGB_CURVE


def _size(frames: Sequence[Image], settings: VideoSettings) -> tuple[int, int]:
    """The one size of the pictures. Raises Invalid."""
    if not frames:
        raise Invalid("there are no pictures to make a video of", hint="Name a node that makes pictures.")
    width, height = frames[0].width, frames[0].height
    for index, image in enumerate(frames):
        if (image.width, image.height) != (width, height):
            size = f"picture {index} is {image.width} x {image.height}"
            raise Invalid(
                f"{size}, and picture 0 is {width} x {height}", hint="Bring all to one size with resize or crop."
            )
    if settings.codec != LOSSLESS and settings.pixel_format == "yuv420p" and (width % 2 or height % 2):
        raise Invalid(
            f"yuv420p holds even sizes only, and the pictures are {width} x {height}",
            hint=f"Crop or resize them to {width + width % 2} x {height + height % 2}, or give pixel_format: yuv444p "
            "(which fewer players show).",
        )
    _check_limits(len(frames), width * height, settings.fps)
    return width, height


def _check_limits(count: int, pixels: int, fps: Fraction) -> None:
    """Refuse what nobody could read back, and so not compare either. Raises Invalid."""
    limits = {
        f"{count} frames": count <= LIMITS.frames,
        f"{float(count / fps):g} seconds": count / fps <= LIMITS.seconds,
        f"{pixels / 1e6:g} megapixels a frame": pixels <= LIMITS.frame_pixels,
        f"{count * pixels / 1e9:g} gigapixels in all": count * pixels <= LIMITS.pixels,
    }
    for what, fits in limits.items():
        if not fits:
            raise Invalid(f"a video of {what} is more than is read back", hint="Make it shorter, or scale it down.")


def _opaque(image: Image, index: int) -> Pixels:
    """The colours of a picture (height, width, 3). Raises Invalid for one with transparency."""
    pixels = to_array(image)
    if image.mode == "RGBA":
        if (pixels[..., 3] != _OPAQUE).any():
            raise Invalid(
                f"picture {index} is transparent in places, and a video cannot be",
                hint="Lay the pictures on a ground with composite first.",
            )
        return pixels[..., :3]
    return np.repeat(pixels, 3, axis=2) if image.mode == "L" else pixels


def _frame(pixels: Pixels, settings: VideoSettings) -> VideoFrame:
    import av

    if settings.codec == LOSSLESS:
        return av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    luma, *chroma = (_component(pixels, weights) for weights in _WEIGHTS)
    planes = [_rounded(luma, 16, 1)]
    if settings.pixel_format == "yuv444p":
        planes += [_rounded(plane, 128, 1) for plane in chroma]
        return av.VideoFrame.from_ndarray(np.stack(planes), format="yuv444p")
    planes += [_rounded(_halved(plane), 128, 8) for plane in chroma]
    rows = [
        plane.reshape(-1, pixels.shape[1]) for plane in (planes[0], *(plane.reshape(1, -1) for plane in planes[1:]))
    ]
    return av.VideoFrame.from_ndarray(np.concatenate(rows), format="yuv420p")


_ONE = 1 << 16


def _bt709() -> tuple[tuple[int, int, int], ...]:
    """The weights of red, green and blue in Y, Cb and Cr of the studio range, times 2^16. Those of a grey are exact:
    in Y they add up to 219/255, in Cb and Cr to nothing."""
    red, blue = Fraction("0.2126"), Fraction("0.0722")
    luma, chroma = Fraction(219, 255) * _ONE, Fraction(224, 255) * _ONE / 2
    y = (round(luma * red), round(luma) - round(luma * red) - round(luma * blue), round(luma * blue))
    half = round(chroma)
    cb_red, cr_blue = -round(chroma * red / (1 - blue)), -round(chroma * blue / (1 - red))
    return y, (cb_red, -half - cb_red, half), (half, -half - cr_blue, cr_blue)


_WEIGHTS = _bt709()


def _component(pixels: Pixels, weights: tuple[int, int, int]) -> Integers:
    wide = pixels.astype(np.int64)
    return wide[..., 0] * weights[0] + wide[..., 1] * weights[1] + wide[..., 2] * weights[2]


def _halved(plane: Integers) -> Integers:
    """A plane at half the size, times 8. Samples lie where H.264 puts them: on every other column, and between rows."""
    edges = np.pad(plane, ((0, 0), (1, 1)), mode="edge")
    columns = edges[:, :-2:2] + 2 * edges[:, 1:-1:2] + edges[:, 2::2]
    return columns[::2] + columns[1::2]


def _rounded(plane: Integers, offset: int, scale: int) -> Pixels:
    one = _ONE * scale
    return np.clip((plane + offset * one + one // 2) // one, 0, 255).astype(np.uint8)

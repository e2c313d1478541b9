"""Pictures that move."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from intaglio.core.context import Context
from intaglio.core.image import Image
from intaglio.core.nodetype import Interval, Settle, node_type
from intaglio.core.video import Video
from intaglio.imaging.encode_video import LOSSLESS, VideoSettings, encode_video


@node_type("frames-to-video", version=1, encodes_video=True)
def frames_to_video(
    ctx: Context,
    frames: tuple[Image, ...],
    *,
    fps: Annotated[Fraction, Interval(ge=1, le=120), 'Pictures a second: 24, 12.5, "30000/1001".'] = Fraction(24),
    codec: Annotated[
        Literal["h264", "h264-lossless"],
        Settle("codec"),
        "h264 plays everywhere; h264-lossless keeps every pixel, for players built on FFmpeg (VLC, mpv).",
    ] = "h264",
    crf: Annotated[
        int, Interval(ge=0, le=51), "Quality of h264: 0 is best and largest; 18 looks like the pictures."
    ] = 18,
    preset: Annotated[
        Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"],
        "How long to search for a smaller file.",
    ] = "medium",
    pixel_format: Annotated[
        Literal["yuv420p", "yuv444p"],
        "Of h264: yuv420p holds colours at half the size and plays everywhere; yuv444p holds them in full.",
    ] = "yuv420p",
) -> Video:
    """Make an MP4 video of pictures of one size, in the order they come."""
    settings = VideoSettings(fps=fps, codec=codec, crf=crf, preset=preset, pixel_format=pixel_format)
    if codec == LOSSLESS:
        ctx.hooks.note("lossless: crf and pixel_format say nothing to it")
    return encode_video(frames, settings, progress=ctx.hooks.progress, check=ctx.hooks.check)

from __future__ import annotations

import io
import struct
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intaglio.core.errors import BackendMissing, InvalidImage
from intaglio.core.image import Image
from intaglio.imaging.arrays import to_array
from intaglio.imaging.frames import LIMITS, ClipInfo, Frame, Limits, clip_info, frames
from intaglio.imaging.metrics import compare, same_mode
from intaglio.imaging.png import SIGNATURE, build_chunk, encode, read_chunks

from .clips import RATE, animated, exact, filmed, h264, moving, still, vp9
from .samples import flat, pillow, ramp, raw_png, saved

ALL = moving()
LOSSLESS: dict[str, Callable[[], bytes]] = {
    "apng": lambda: animated(ALL, "PNG"),
    "webp": lambda: animated(ALL, "WEBP"),
    "mkv": lambda: exact(ALL),
}
LOSSY: dict[str, Callable[[], bytes]] = {
    "gif": lambda: animated(ALL, "GIF"),
    "mp4": lambda: h264(ALL),
    "webm": lambda: vp9(ALL),
}
EVERY = LOSSLESS | LOSSY


def read(data: bytes, limits: Limits = LIMITS) -> list[Frame]:
    return list(frames(io.BytesIO(data), limits=limits))


@pytest.mark.parametrize("kind", LOSSLESS)
def test_every_frame_comes_back_exactly_with_its_time(kind: str) -> None:
    found = read(LOSSLESS[kind]())
    assert [frame.index for frame in found] == list(range(6))
    assert [frame.seconds for frame in found] == pytest.approx([number / 10 for number in range(6)], abs=0.001)
    assert [same_mode(frame.image, image)[0] for frame, image in zip(found, ALL, strict=True)] == ALL
    assert {frame.bit_depth for frame in found} == {8}


@pytest.mark.parametrize("kind", LOSSY)
def test_every_frame_of_a_lossy_clip_is_near(kind: str) -> None:
    found = read(LOSSY[kind]())
    assert [frame.seconds for frame in found] == pytest.approx([number / 10 for number in range(6)], abs=0.001)
    for frame, image in zip(found, ALL, strict=True):
        assert compare(*same_mode(frame.image, image), flip=False).ssim > 0.8


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_still_picture_is_one_frame(kind: str) -> None:
    (only,) = read(saved(pillow(ramp()), kind))
    assert (only.index, only.seconds, only.image.width, only.image.height) == (0, 0.0, 24, 16)


def test_deep_colour_is_told() -> None:
    deep = filmed(ALL, "mp4", "libx264", "yuv420p10le")
    assert {frame.bit_depth for frame in read(deep)} == {10}
    assert read(raw_png(1, 1, 16, 0, b"\0\1\2"))[0].bit_depth == 16


def test_transparency_of_a_video_is_kept() -> None:
    frame = read(filmed([ramp("RGBA", 32, 16)], "matroska", "ffv1", "bgra", level="3"))[0]
    assert frame.image == ramp("RGBA", 32, 16)


def test_a_video_is_turned_as_it_says() -> None:
    video = bytearray(h264(ALL))
    # The matrix in the track's header, from upright to a quarter turn clockwise.
    upright = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    place = video.index(upright, video.index(b"tkhd"))
    video[place : place + 36] = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 48 << 16, 0, 1 << 30)
    for turned, plain in zip(read(bytes(video)), read(h264(ALL)), strict=True):
        assert np.array_equal(to_array(turned.image), np.rot90(to_array(plain.image), -1))


def test_the_still_picture_before_an_animation_is_not_part_of_it() -> None:
    found = read(animated([flat(255, "RGB", 64, 48), *ALL], "PNG", default_image=True))
    assert [frame.image for frame in found] == ALL


def test_only_the_frame_at_hand_is_in_memory() -> None:
    clip = animated([flat(number % 256, "RGB", 400, 400) for number in range(60)], "PNG")
    tracemalloc.start()
    count = sum(1 for _ in frames(io.BytesIO(clip)))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (count, most < 10 * 400 * 400 * 3) == (60, True), most


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"frames": 5}, "more than 5 frames"),
        ({"seconds": 0.35}, "longer than 0.35 seconds"),
        ({"frame_pixels": 64 * 48 - 1}, "more than"),
        ({"pixels": 64 * 48 * 5, "still_pixels": 1}, "in all"),
        ({"file_bytes": 100}, "larger than"),
    ],
)
def test_what_is_too_much_is_refused(kind: str, limit: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidImage, match=words):
        read(EVERY[kind](), replace(LIMITS, **limit))


def test_a_clip_of_just_the_limits_is_read() -> None:
    limits = Limits(frames=6, seconds=0.5, frame_pixels=64 * 48, pixels=64 * 48 * 6, still_pixels=1)
    assert len(read(exact(ALL), limits)) == 6


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_clip_that_is_cut_off_is_refused(kind: str, share: float) -> None:
    data = EVERY[kind]()
    with pytest.raises(InvalidImage):
        read(data[: int(len(data) * share)])


@pytest.mark.parametrize("kind", EVERY)
def test_a_clip_without_its_last_byte_is_refused_or_whole(kind: str) -> None:
    data = EVERY[kind]()
    if kind == "gif":  # its last byte is a mark that players do without
        assert len(read(data[:-1])) == 6
        return
    with pytest.raises(InvalidImage):
        read(data[:-1])


@settings(max_examples=60)
@given(kind=st.sampled_from(sorted(EVERY)), place=st.floats(0, 0.999), bits=st.binary(min_size=1, max_size=12))
def test_damage_raises_nothing_but_what_it_should(kind: str, place: float, bits: bytes) -> None:
    data = bytearray(EVERY[kind]())
    start = int(len(data) * place)
    for offset, value in enumerate(bits):
        data[min(start + offset, len(data) - 1)] ^= value
    try:
        found = read(bytes(data), Limits(frames=200, frame_pixels=10**6, still_pixels=10**6))
    except InvalidImage:
        return
    assert all(frame.image.width * frame.image.height <= 10**6 for frame in found)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"just words, no picture", "not a PNG, JPEG, WebP or GIF picture, nor an MP4, WebM or MKV video"),
        (b"#EXTM3U\nfile:///etc/passwd\n", "not a PNG"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "not a PNG"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2", "cannot be decoded"),
        (b"\x00\x00\x00\x03ftypisom" + bytes(40), "damaged at byte 0"),
        (b"\x1a\x45\xdf\xa3" + bytes(60), "header is damaged"),
        (b"\x1a\x45\xdf\xa3\x9f" + bytes(90), "cannot be decoded"),
    ],
)
def test_what_is_no_clip_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(InvalidImage, match=words):
        read(data)


def test_a_video_without_pictures_is_refused() -> None:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        stream = file.add_stream("aac", rate=8000)
        assert isinstance(stream, av.AudioStream)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        file.mux(stream.encode(sound))
        file.mux(stream.encode(None))
    with pytest.raises(InvalidImage, match="no video in the file"):
        read(buffer.getvalue())


def test_a_format_nobody_uses_is_not_handed_to_its_decoder() -> None:
    with pytest.raises(InvalidImage, match="'mpeg1video' is not read"):
        read(filmed(ALL, "matroska", "mpeg1video", "yuv420p", strict="unofficial"))


def test_a_frame_of_an_animation_that_lacks_pixels_is_refused() -> None:
    whole = animated(ALL, "PNG")
    parts = [SIGNATURE]
    for chunk in read_chunks(whole):
        body = chunk.data[: len(chunk.data) // 2] if chunk.type == b"fdAT" else chunk.data
        parts.append(build_chunk(chunk.type, body))
    with pytest.raises(InvalidImage, match="cut off"):
        read(b"".join(parts))


def test_a_picture_bomb_is_refused_before_it_is_inflated() -> None:
    bomb = raw_png(60_000, 60_000, 8, 2, b"")
    with pytest.raises(InvalidImage, match="60000 x 60000 pixels is more than the limit of 100 megapixels"):
        read(bomb)
    animation = bytearray(animated(ALL, "GIF"))
    animation[6:10] = struct.pack("<HH", 60_000, 60_000)
    with pytest.raises(InvalidImage, match="60000 x 60000 pixels is more than the limit of 40 megapixels"):
        read(bytes(animation))


def test_without_pyav_pictures_are_read_and_videos_name_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    video = h264(ALL)
    monkeypatch.setitem(sys.modules, "av", None)
    assert read(encode(ramp()))[0].image == ramp()
    with pytest.raises(BackendMissing) as raised:
        read(video)
    assert "intaglio[video]" in raised.value.hint


def test_the_first_frame_alone_costs_nothing_more() -> None:
    first: Image = next(frames(io.BytesIO(exact(ALL)))).image
    assert first == ALL[0]


# -- what a video is, without its pixels ---------------------------------------------------------------------------


def info(data: bytes, **limits: Any) -> ClipInfo:
    """What a file is."""
    return clip_info(io.BytesIO(data), limits=Limits(**limits))


@pytest.mark.parametrize(
    ("write", "media_type"),
    [(h264, "video/mp4"), (exact, "video/x-matroska"), (vp9, "video/webm")],
    ids=["mp4", "mkv", "webm"],
)
@pytest.mark.parametrize("count", [1, 2, 6])
def test_a_video_says_its_frames_its_length_and_its_size(write: Any, media_type: str, count: int) -> None:
    found = info(write(moving(count)))
    assert (found.media_type, found.width, found.height, found.frames) == (media_type, 64, 48, count)
    assert found.seconds == pytest.approx(count / RATE, abs=0.002)


def test_a_quicktime_file_is_called_one() -> None:
    assert info(filmed(moving(2), "mov", "libx264", "yuv420p")).media_type == "video/quicktime"


def test_what_is_no_video_damaged_or_too_much_is_refused() -> None:
    whole = h264(moving(6))
    with pytest.raises(InvalidImage, match="not an MP4, WebM or MKV video"):
        info(still(moving(1)[0]))
    with pytest.raises(InvalidImage, match="cut off"):
        info(whole[:-40])
    with pytest.raises(InvalidImage, match="more than 5 frames"):
        info(whole, frames=5)
    with pytest.raises(InvalidImage, match=r"longer than 0\.3 seconds"):
        info(whole, seconds=0.3)
    with pytest.raises(InvalidImage, match="megapixels for a video"):
        info(whole, frame_pixels=100)
    with pytest.raises(InvalidImage, match="gigapixels in all"):
        info(whole, pixels=64 * 48 * 5, still_pixels=0)


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_a_spoilt_video_is_described_or_refused_and_nothing_else(data: st.DataObject) -> None:
    whole = bytearray(h264(moving(3)))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = info(bytes(whole))
    except InvalidImage:
        return
    assert found.frames >= 1 and found.seconds > 0 and found.width * found.height > 0

from __future__ import annotations

import dataclasses
import hashlib
import io
import platform
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intaglio.core.errors import BackendMissing, Cancelled, Invalid
from intaglio.core.image import Image
from intaglio.core.video import MP4
from intaglio.imaging import encode_video as encoding
from intaglio.imaging.arrays import from_array, to_array
from intaglio.imaging.clips import compare_clips
from intaglio.imaging.encode_video import VideoSettings, encode_video, encoder_facts
from intaglio.imaging.frames import Frame, frames

PLAIN = VideoSettings(Fraction(24), "h264", 18, "medium", "yuv420p")
LOSSLESS = dataclasses.replace(PLAIN, codec="h264-lossless")


def shots(count: int = 12, width: int = 96, height: int = 64) -> list[Image]:
    """A texture that moves over a slope of colours: enough for the encoder to decide something."""
    y, x = np.mgrid[0:height, 0:width]
    texture = np.random.default_rng(3).integers(0, 60, (height, width + 3 * count, 3))
    made = []
    for number in range(count):
        slope = np.stack([(x * 255 // width + number * 5) % 256, y * 255 // height, (x + y + number) % 256], -1) // 2
        made.append(from_array((slope + texture[:, 3 * number : 3 * number + width]).astype(np.uint8)))
    return made


def read(data: bytes) -> list[Frame]:
    """The frames of a file."""
    return list(frames(io.BytesIO(data)))


def as_frames(images: list[Image], fps: Fraction) -> list[Frame]:
    """What a perfect video of these pictures would be."""
    return [Frame(place, float(place / fps), image, 8) for place, image in enumerate(images)]


ONCE_MORE = """
import sys
from fractions import Fraction
from unit.imaging.test_encode_video import LOSSLESS, PLAIN, encode_video, shots
for how in (PLAIN, LOSSLESS):
    sys.stdout.buffer.write(encode_video(shots(), how).data)
"""


def test_20_new_processes_write_the_same_bytes() -> None:
    command = [sys.executable, "-c", ONCE_MORE]
    folder = str(Path(__file__).parents[2])
    begun = [
        subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": folder, "PYTHONHASHSEED": str(seed)})
        for seed in range(20)
    ]
    digests = {hashlib.sha256(process.communicate()[0]).hexdigest() for process in begun}
    here = encode_video(shots(), PLAIN).data + encode_video(shots(), LOSSLESS).data
    assert digests == {hashlib.sha256(here).hexdigest()}
    assert all(process.returncode == 0 for process in begun)


@pytest.mark.parametrize(
    "changed", [{}, {"pixel_format": "yuv444p"}, {"codec": "h264-lossless"}, {"preset": "slower", "crf": 30}], ids=str
)
def test_the_processors_instructions_make_no_difference(changed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    how = dataclasses.replace(PLAIN, **changed)
    made = encode_video(shots(), how).data
    for instructions in ("0", "SSE2", "SSSE3", "AVX2"):
        with monkeypatch.context() as patch:
            patch.setattr(encoding, "_FIXED", f"{encoding._FIXED}:asm={instructions}")
            assert encode_video(shots(), how).data == made, instructions


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the instructions named are those of x86")
def test_without_that_setting_they_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: it is `cpu-independent` that makes it hold."""
    fixed = encoding._FIXED.replace(":cpu-independent=1", "")
    made = []
    for instructions in ("SSE2", "AVX2"):
        monkeypatch.setattr(encoding, "_FIXED", f"{fixed}:asm={instructions}")
        made.append(encode_video(shots(24, 256, 192), PLAIN).data)
    assert made[0] != made[1]


@given(
    count=st.integers(1, 9),
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    fps=st.fractions(1, 120, max_denominator=1001),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=30)
def test_lossless_brings_everything_back(count: int, width: int, height: int, fps: Fraction, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    images = [from_array(picture) for picture in noise]
    made = encode_video(images, dataclasses.replace(LOSSLESS, fps=fps))
    found = compare_clips(as_frames(images, fps), read(made.data), flip=False).numbers
    assert found.same_pixels
    assert (made.frames, made.width, made.height, made.media_type) == (count, width, height, MP4)
    assert made.seconds == float(count / fps)


@pytest.mark.parametrize("fps", [Fraction(24), Fraction(30000, 1001), Fraction(1), Fraction(120), Fraction(2997, 100)])
@pytest.mark.parametrize("count", [1, 2, 12])
def test_frames_stand_where_their_rate_says(fps: Fraction, count: int) -> None:
    made = encode_video(shots(count), dataclasses.replace(PLAIN, fps=fps))
    times = [frame.seconds for frame in read(made.data)]
    assert times == pytest.approx([float(place / fps) for place in range(count)], abs=1e-6)
    with av.open(io.BytesIO(made.data)) as container:
        stream = container.streams.video[0]
        assert stream.duration is not None and stream.time_base is not None
        assert float(stream.duration * stream.time_base) == pytest.approx(made.seconds, rel=1e-9)
        assert (stream.average_rate, stream.frames) == (fps, count)


COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128), (200, 30, 90)]


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p"])
@pytest.mark.parametrize("colour", COLOURS, ids=str)
def test_colours_come_back_as_they_were(colour: tuple[int, int, int], pixel_format: str) -> None:
    flat = from_array(np.full((32, 32, 3), colour, np.uint8))
    made = encode_video([flat], dataclasses.replace(PLAIN, crf=1, pixel_format=pixel_format))
    shown = to_array(read(made.data)[0].image).astype(int)
    assert abs(shown - np.array(colour)).max() <= 2


def test_a_player_is_told_what_the_numbers_mean() -> None:
    for how, expected in ((PLAIN, ("yuv420p", 1, 1)), (LOSSLESS, ("gbrp", 0, 2))):
        with av.open(io.BytesIO(encode_video(shots(1), how).data)) as container:
            context: Any = container.streams.video[0].codec_context
            assert (context.pix_fmt, context.colorspace, context.color_range) == expected
            assert (context.color_primaries, context.color_trc) == (1, 13)


def test_colours_at_half_the_size_stay_where_they_are() -> None:
    """An edge of colour that lies between two samples of it moves to neither side."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, :32] = (200, 40, 40)
    pixels[:, 32:] = (40, 40, 200)
    made = encode_video([from_array(pixels)], dataclasses.replace(PLAIN, crf=0))
    red = to_array(read(made.data)[0].image)[32, 24:40, 0].astype(int)
    assert (np.diff(red) <= 3).all() and red[0] > 190 and red[-1] < 50


def test_samples_of_colour_lie_on_every_other_column_and_between_rows() -> None:
    y, x = np.mgrid[0:6, 0:12]
    halved = encoding._halved((100 * x + 7 * y).astype(np.int64))
    assert halved.shape == (3, 6)
    meant = 8 * (100 * x[::2, ::2] + 7 * y[::2, ::2]) + 4 * 7
    assert (halved[:, 1:] == meant[:, 1:]).all(), "on the left edge there is no column before"
    assert (halved[:, 0] == meant[:, 0] + 2 * 100).all()


def test_grey_pictures_and_opaque_ones_are_colours() -> None:
    grey = Image("L", 8, 8, bytes(range(64)))
    colours = Image("RGB", 8, 8, bytes(value for level in range(64) for value in (level,) * 3))
    opaque = Image("RGBA", 8, 8, bytes(value for level in range(64) for value in (level, level, level, 255)))
    assert len({encode_video([image], LOSSLESS).data for image in (grey, colours, opaque)}) == 1


SMALL = Image("RGB", 8, 8, bytes(192))
WRONG: dict[str, tuple[list[Image], VideoSettings, str, str]] = {
    "nothing": ([], PLAIN, "no pictures", "Name a node"),
    "two sizes": (
        [SMALL, Image("RGB", 8, 6, bytes(144))],
        PLAIN,
        "picture 1 is 8 x 6, and picture 0 is 8 x 8",
        "resize or crop",
    ),
    "an odd size": ([Image("RGB", 7, 4, bytes(84))], PLAIN, "even sizes only, and the pictures are 7 x 4", "to 8 x 4"),
    "transparent": ([SMALL, Image("RGBA", 8, 8, bytes(256))], PLAIN, "picture 1 is transparent", "composite"),
    "too long": ([SMALL] * 20_001, PLAIN, "20001 frames is more than is read back", "shorter"),
    "too slow": ([SMALL] * 3601, dataclasses.replace(PLAIN, fps=Fraction(1)), "3601 seconds is more", "shorter"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_a_video_is_refused_in_plain_words(case: str) -> None:
    images, how, message, hint = WRONG[case]
    with pytest.raises(Invalid, match=message) as caught:
        encode_video(images, how)
    assert hint in caught.value.hint


@pytest.mark.parametrize("how", [dataclasses.replace(PLAIN, pixel_format="yuv444p"), LOSSLESS], ids=["yuv444p", "rgb"])
def test_odd_sizes_are_taken_where_colours_have_the_full_size(how: VideoSettings) -> None:
    made = encode_video([Image("RGB", 7, 5, bytes(105))] * 2, how)
    assert (made.width, made.height) == (7, 5)
    assert [(frame.image.width, frame.image.height) for frame in read(made.data)] == [(7, 5)] * 2


def test_it_tells_how_far_it_is_and_stops_when_asked() -> None:
    done: list[tuple[int, int]] = []

    def check() -> None:
        if len(done) == 3:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        encode_video(shots(6), PLAIN, progress=lambda *now: done.append(now), check=check)
    assert done == [(1, 6), (2, 6), (3, 6)]


def test_nothing_in_the_file_says_when_or_by_which_program() -> None:
    data = encode_video(shots(2), PLAIN).data
    assert b"Lavf" not in data and b"Lavc" not in data
    with av.open(io.BytesIO(data)) as container:
        assert not {"creation_time", "encoder"} & {*container.metadata, *container.streams.video[0].metadata}


def test_without_pyav_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(BackendMissing, match="PyAV, which is not installed") as caught:
        encode_video(shots(1), PLAIN)
    assert "intaglio[video]" in caught.value.hint
    assert set(encoder_facts.__wrapped__().values()) == {""}


def test_a_pyav_without_the_encoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", {"h264"})
    with pytest.raises(BackendMissing, match="built without libx264rgb"):
        encode_video(shots(1), LOSSLESS)
    assert encoder_facts.__wrapped__()["av"] == ""


def test_the_facts_name_the_encoder_inside_the_library() -> None:
    facts = encoder_facts()
    assert facts["av"] == av.__version__
    assert facts["av:libavcodec"] == ".".join(map(str, av.library_versions["libavcodec"]))
    assert f"core {facts['av:libx264']} - H.264".encode() in encode_video(shots(1), PLAIN).data

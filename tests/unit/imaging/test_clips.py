from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from intaglio.imaging.clips import ClipDifference, compare_clips
from intaglio.imaging.frames import Frame, frames
from intaglio.imaging.metrics import compare

from .clips import animated, changed, exact, h264, moving, still
from .samples import flat

ALL = moving()


def held(old: bytes, new: bytes) -> ClipDifference:
    return compare_clips(frames(io.BytesIO(old)), frames(io.BytesIO(new)))


def test_the_same_pixels_in_two_containers() -> None:
    found = held(exact(ALL), animated(ALL, "PNG"))
    assert found.numbers.same_pixels
    assert found.worst_pictures is None
    assert (found.numbers.compared, found.numbers.identical, found.numbers.worst) == (6, 6, None)
    assert (found.numbers.max_difference, found.numbers.psnr, found.numbers.lowest_ssim) == (0, None, 1.0)


@pytest.mark.parametrize("index", [0, 4, 5])
def test_the_worst_frame_is_named_by_its_place_and_time(index: int) -> None:
    other = changed(changed(ALL, 2, 100), index)
    found = held(exact(ALL), animated(other, "PNG"))
    worst = found.numbers.worst
    assert worst is not None
    assert worst.index == index
    assert worst.seconds == pytest.approx(index / 10, abs=0.001)
    assert worst.difference == compare(ALL[index], other[index])
    assert worst.difference.flip is not None and worst.difference.flip > 0
    assert found.worst_pictures == (ALL[index], other[index])
    assert found.numbers.identical == 4
    assert not found.numbers.same_pixels


def test_the_summary_is_made_of_its_frames() -> None:
    other = changed(changed(ALL, 1, 90), 3)
    found = held(animated(ALL, "PNG"), animated(other, "WEBP")).numbers
    each = [compare(a, b, flip=False) for a, b in zip(ALL, other, strict=True)]
    assert found.max_difference == max(one.max_difference for one in each)
    assert found.mean_difference == pytest.approx(sum(one.mean_difference for one in each) / 6)
    assert found.changed_share == pytest.approx(sum(one.changed_share for one in each) / 6)
    assert found.psnr == min(one.psnr for one in each if one.psnr is not None)
    assert found.lowest_ssim == min(one.ssim for one in each)
    assert found.mean_ssim == pytest.approx(sum(one.ssim for one in each) / 6)
    assert found.phash_distance == max(one.phash_distance for one in each)


def test_it_is_the_same_the_other_way_round() -> None:
    one, other = h264(ALL), h264(changed(ALL, 3))
    there, back = held(one, other).numbers, held(other, one).numbers
    assert there.worst == back.worst
    assert (there.psnr, there.mean_ssim, there.changed_share) == (back.psnr, back.mean_ssim, back.changed_share)


def test_a_shorter_clip_is_never_the_same() -> None:
    found = held(exact(ALL), exact(ALL[:4])).numbers
    assert (found.old.frames, found.new.frames, found.compared, found.identical) == (6, 4, 4, 4)
    assert [found.old.last, found.new.last] == pytest.approx([0.5, 0.3])
    assert not found.same_pixels


def test_other_sizes_are_counted_and_not_measured() -> None:
    found = held(exact(ALL), exact([flat(9, "RGB", 32, 32)] * 6)).numbers
    assert ((found.old.width, found.old.height), (found.new.width, found.new.height)) == ((64, 48), (32, 32))
    assert (found.compared, found.other_sizes, found.worst, found.mean_ssim) == (0, 6, None, None)
    assert not found.same_pixels


def test_the_same_frames_at_other_times_are_not_the_same() -> None:
    found = held(animated(ALL, "PNG"), animated(ALL, "PNG", lasts=150)).numbers
    assert (found.identical, found.same_times, found.same_pixels) == (6, False, False)


def test_a_picture_is_held_against_the_first_frame() -> None:
    found = held(still(ALL[0]), exact(ALL)).numbers
    assert (found.old.frames, found.new.frames, found.compared, found.identical) == (1, 6, 1, 1)


def test_no_more_than_a_few_frames_are_held_at_a_time() -> None:
    alive: list[int] = []

    def watched() -> Iterator[Frame]:
        for number in range(40):
            alive.append(number)
            yield Frame(number, number / 10, flat(number, "RGB", 16, 16), 8)

    def other() -> Iterator[Frame]:
        for number in range(40):
            assert len(alive) == number + 1, "the two are read in step"
            yield Frame(number, number / 10, flat(number, "RGB", 16, 16), 8)

    assert compare_clips(watched(), other()).numbers.same_pixels


def test_a_clip_without_frames_is_none() -> None:
    with pytest.raises(ValueError, match="one frame"):
        compare_clips(iter(()), frames(io.BytesIO(still(ALL[0]))))

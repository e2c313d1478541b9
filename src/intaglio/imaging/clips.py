"""How far two clips are apart, frame by frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import zip_longest

from intaglio.core.image import Image
from intaglio.imaging.frames import Frame
from intaglio.imaging.metrics import Difference, compare, same_mode

# Containers round the times of frames: Matroska to whole milliseconds.
_SAME_TIME = 0.002


@dataclass(frozen=True)
class ClipFacts:
    """What a clip turned out to be: frames, size of the first one in pixels, the second its last frame begins at."""

    frames: int
    width: int
    height: int
    last: float
    bit_depth: int


@dataclass(frozen=True)
class WorstFrame:
    """The pair of frames that differ most (the lowest SSIM, the first of equals), and by how much."""

    index: int
    seconds: float
    difference: Difference


@dataclass(frozen=True)
class ClipNumbers:
    """How two clips differ. Frames are held against each other by their place, as 8-bit RGB or RGBA.

    `compared` pairs are of one size and were measured, `identical` of them are equal in every pixel, `other_sizes`
    pairs are of two sizes and could not be. Over the pairs compared: `max_difference` is the largest, `psnr` (None: all
    identical), `lowest_ssim` and `phash_distance` those of the worst frame for each, `mean_difference`, `changed_share`
    and `mean_ssim` their mean. `same_times` says whether the frames begin at the same seconds, to 2 ms. `worst` is None
    when nothing differs or nothing was compared; FLIP is measured for that frame alone.
    """

    old: ClipFacts
    new: ClipFacts
    compared: int
    identical: int
    other_sizes: int
    same_times: bool
    max_difference: int | None
    mean_difference: float | None
    changed_share: float | None
    psnr: float | None
    lowest_ssim: float | None
    mean_ssim: float | None
    phash_distance: int | None
    worst: WorstFrame | None

    @property
    def same_pixels(self) -> bool:
        """Whether every frame is there in both, equal in every pixel, at the same time."""
        alike = self.compared == self.identical == self.old.frames == self.new.frames
        return alike and self.same_times


@dataclass(frozen=True)
class ClipDifference:
    """How two clips differ, and the pictures of the worst pair of frames, in one mode (None where there is none)."""

    numbers: ClipNumbers
    worst_pictures: tuple[Image, Image] | None


def compare_clips(old: Iterable[Frame], new: Iterable[Frame], *, flip: bool = True) -> ClipDifference:
    """Measure the difference between two clips, or a clip and a picture, given as `imaging.frames.frames` reads them.

    Two frames are in memory at a time, and the worst two so far. Raises ValueError for a clip without frames, and
    whatever reading the frames raises.
    """
    sums = _Sums()
    facts: tuple[ClipFacts | None, ClipFacts | None] = (None, None)
    for a, b in zip_longest(old, new):
        facts = (_seen(facts[0], a), _seen(facts[1], b))
        if a is not None and b is not None:
            sums.add(a, b)
    first, second = facts
    if first is None or second is None:
        raise ValueError("a clip has one frame at least")
    worst = sums.worst
    if worst is not None and sums.pictures is not None and flip:
        worst = replace(worst, difference=compare(*sums.pictures))
    numbers = ClipNumbers(
        old=first,
        new=second,
        compared=sums.compared,
        identical=sums.identical,
        other_sizes=sums.other_sizes,
        same_times=sums.same_times,
        max_difference=sums.max_difference if sums.compared else None,
        mean_difference=sums.mean_difference / sums.compared if sums.compared else None,
        changed_share=sums.changed_share / sums.compared if sums.compared else None,
        psnr=sums.psnr,
        lowest_ssim=sums.lowest_ssim if sums.compared else None,
        mean_ssim=sums.ssim / sums.compared if sums.compared else None,
        phash_distance=sums.phash_distance if sums.compared else None,
        worst=worst,
    )
    return ClipDifference(numbers, sums.pictures)


def _seen(known: ClipFacts | None, frame: Frame | None) -> ClipFacts | None:
    if frame is None:
        return known
    if known is None:
        return ClipFacts(1, frame.image.width, frame.image.height, frame.seconds, frame.bit_depth)
    return replace(known, frames=frame.index + 1, last=frame.seconds, bit_depth=max(known.bit_depth, frame.bit_depth))


@dataclass
class _Sums:
    """What is added up over the pairs of frames."""

    compared: int = 0
    identical: int = 0
    other_sizes: int = 0
    same_times: bool = True
    max_difference: int = 0
    mean_difference: float = 0.0
    changed_share: float = 0.0
    psnr: float | None = None
    lowest_ssim: float = 1.0
    ssim: float = 0.0
    phash_distance: int = 0
    worst: WorstFrame | None = None
    pictures: tuple[Image, Image] | None = None

    def add(self, a: Frame, b: Frame) -> None:
        self.same_times = self.same_times and abs(a.seconds - b.seconds) <= _SAME_TIME
        if (a.image.width, a.image.height) != (b.image.width, b.image.height):
            self.other_sizes += 1
            return
        old, new = same_mode(a.image, b.image)
        found = compare(old, new, flip=False)
        self.compared += 1
        self.identical += found.max_difference == 0
        self.max_difference = max(self.max_difference, found.max_difference)
        self.mean_difference += found.mean_difference
        self.changed_share += found.changed_share
        self.ssim += found.ssim
        self.lowest_ssim = min(self.lowest_ssim, found.ssim)
        self.phash_distance = max(self.phash_distance, found.phash_distance)
        if found.psnr is not None:
            self.psnr = found.psnr if self.psnr is None else min(self.psnr, found.psnr)
            if self.worst is None or found.ssim < self.worst.difference.ssim:
                self.worst, self.pictures = WorstFrame(a.index, a.seconds, found), (old, new)

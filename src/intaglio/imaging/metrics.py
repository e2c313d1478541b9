"""How far two pictures are apart, in numbers and as a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from intaglio.core.image import Image
from intaglio.imaging.arrays import Pixels, from_array, to_array

_WINDOW = 7
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_HEAT = ((15, (72, 24, 150)), (63, (190, 35, 125)), (127, (245, 90, 50)), (191, (255, 190, 40)), (255, (255, 255, 255)))


@dataclass(frozen=True)
class Difference:
    """How two pictures differ, over all channels, alpha included.

    `max_difference` and `mean_difference` are in levels (0 to 255), `changed_share` is the share (0 to 1) of pixels
    with any channel changed, `psnr` is in decibels (None: infinite, the pictures are identical), `ssim` is at most 1.
    """

    max_difference: int
    mean_difference: float
    changed_share: float
    psnr: float | None
    ssim: float


def compare(a: Image, b: Image) -> Difference:
    """Measure the difference between two pictures of one size and mode. Raises ValueError for others.

    SSIM is that of Wang et al., "Image quality assessment: from error visibility to structural similarity" (IEEE
    Transactions on Image Processing 13(4), 2004), with scikit-image's defaults: a uniform 7x7 window wholly inside
    the picture, sample covariance, K1 = 0.01, K2 = 0.03, the mean over windows and channels. In a picture narrower or
    lower than the window, the window shrinks to fit.
    """
    first, second = _pair(a, b)
    gaps = _gaps(first, second)
    mean_square = int(np.sum(np.square(gaps, dtype=np.uint16), dtype=np.int64)) / gaps.size
    return Difference(
        max_difference=int(gaps.max()),
        mean_difference=int(gaps.sum(dtype=np.int64)) / gaps.size,
        changed_share=int(np.count_nonzero(gaps.any(axis=2))) / (a.width * a.height),
        psnr=10 * math.log10(255 * 255 / mean_square) if mean_square else None,
        ssim=sum(_ssim(first[..., c], second[..., c]) for c in range(first.shape[2])) / first.shape[2],
    )


def difference_picture(a: Image, b: Image) -> Image:
    """An RGB heat map of |a - b|, the largest of the channels per pixel. Raises ValueError unless size and mode agree.

    Black is equal. From there the colour climbs with the square root of the difference, so that small ones show: 1
    level is indigo, 16 magenta, 64 orange, 144 yellow, 255 white.
    """
    return from_array(_heat_colours()[_gaps(*_pair(a, b)).max(axis=2)])


def _pair(a: Image, b: Image) -> tuple[Pixels, Pixels]:
    if (a.mode, a.width, a.height) != (b.mode, b.width, b.height):
        words = (f"{image.mode} {image.width} x {image.height}" for image in (a, b))
        raise ValueError(f"only pictures of one size and mode can be compared, not {' and '.join(words)}")
    return to_array(a), to_array(b)


def _gaps(a: Pixels, b: Pixels) -> Pixels:
    return np.maximum(a, b) - np.minimum(a, b)


def _ssim(a: Pixels, b: Pixels) -> float:
    rows, columns = min(_WINDOW, a.shape[0]), min(_WINDOW, a.shape[1])
    x, y, n = a.astype(np.int64), b.astype(np.int64), rows * columns
    sum_x, sum_y, sum_xx, sum_yy, sum_xy = (
        _window_sums(values, rows, columns) for values in (x, y, x * x, y * y, x * y)
    )
    pairs = max(n * (n - 1), 1)  # a window of one pixel has no variance
    covariance = (n * sum_xy - sum_x * sum_y) / pairs
    variances = (n * sum_xx - sum_x * sum_x + n * sum_yy - sum_y * sum_y) / pairs
    mean_product, mean_squares = sum_x * sum_y / n**2, (sum_x * sum_x + sum_y * sum_y) / n**2
    likeness = (2 * mean_product + _C1) * (2 * covariance + _C2)
    return float(np.mean(likeness / ((mean_squares + _C1) * (variances + _C2))))


def _window_sums(values: npt.NDArray[np.int64], rows: int, columns: int) -> npt.NDArray[np.int64]:
    total = np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    strips: npt.NDArray[np.int64] = total[rows:] - total[:-rows]
    return strips[:, columns:] - strips[:, :-columns]


@lru_cache(maxsize=1)
def _heat_colours() -> Pixels:
    table = np.zeros((256, 3), np.uint8)
    for level in range(1, 256):
        place = math.isqrt(level * 255)
        upper = next(i for i, (at, _) in enumerate(_HEAT) if i and place <= at)
        (start, low), (end, high) = _HEAT[upper - 1], _HEAT[upper]
        table[level] = [lo + (hi - lo) * (place - start) // (end - start) for lo, hi in zip(low, high, strict=True)]
    return table

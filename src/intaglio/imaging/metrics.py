"""How far two pictures are apart, in numbers and as a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from intaglio.core.image import Image
from intaglio.imaging.arrays import Pixels, from_array, to_array
from intaglio.imaging.flip import flip as flip_error
from intaglio.imaging.heat import heat_colours
from intaglio.imaging.phash import distance, phash

_WINDOW = 7
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_STRIP = 2**19  # pixels measured at a time, so that a large picture needs no more memory than a small one
_LEVELS = np.arange(256, dtype=np.int64)


@dataclass(frozen=True)
class Difference:
    """How two pictures differ. The same whichever comes first.

    Over all channels, alpha included: `max_difference` and `mean_difference` in levels (0 to 255), `changed_share` the
    share (0 to 1) of pixels with any channel changed, `psnr` in decibels (None: infinite, the pictures are identical),
    `ssim` at most 1. To the eye: `phash_distance`, bits of the perceptual hashes that differ (0 to 64; from about 6
    on, another picture), and `flip`, the mean FLIP error (0 to 1; None: not measured).
    """

    max_difference: int
    mean_difference: float
    changed_share: float
    psnr: float | None
    ssim: float
    phash_distance: int
    flip: float | None


def compare(old: Image, new: Image, *, flip: bool = True) -> Difference:
    """Measure the difference between two pictures of one size and mode. Raises ValueError for others.

    SSIM is that of Wang et al., "Image quality assessment: from error visibility to structural similarity" (IEEE
    Transactions on Image Processing 13(4), 2004), with scikit-image's defaults: a uniform 7x7 window wholly inside
    the picture, sample covariance, K1 = 0.01, K2 = 0.03, the mean over windows and channels. In a picture narrower or
    lower than the window, the window shrinks to fit.

    FLIP is `imaging.flip.flip`. It takes longer than all the rest (2.5 seconds a megapixel); `flip=False` leaves it
    out.
    """
    first, second = _pair(old, new)
    if old.data == new.data:
        return Difference(0, 0.0, 0.0, None, 1.0, 0, 0.0 if flip else None)
    counts, changed = np.zeros(256, np.int64), 0
    for rows in _strips(first.shape[0], first.shape[1], overlap=0):
        gaps = _gaps(first[rows], second[rows])
        counts += np.bincount(gaps.ravel(), minlength=256)
        changed += int(np.count_nonzero(gaps.any(axis=2)))
    mean_square = int(counts @ (_LEVELS * _LEVELS)) / first.size
    return Difference(
        max_difference=int(np.flatnonzero(counts)[-1]),
        mean_difference=int(counts @ _LEVELS) / first.size,
        changed_share=changed / (old.width * old.height),
        psnr=10 * math.log10(255 * 255 / mean_square),
        ssim=sum(_ssim(first[..., c], second[..., c]) for c in range(first.shape[2])) / first.shape[2],
        phash_distance=distance(phash(old), phash(new)),
        flip=flip_error(first, second) if flip else None,
    )


def difference_picture(old: Image, new: Image) -> Image:
    """An RGB heat map of |old - new|, the largest of the channels per pixel. Raises ValueError unless size and mode
    agree.

    Black is equal; from there the colour climbs with the logarithm of the difference (`imaging.heat`): 1 level is
    violet, 6 magenta, 40 orange, 255 pale yellow. Any one pixel that changed shows.
    """
    return from_array(heat_colours()[_gaps(*_pair(old, new)).max(axis=2)])


def same_mode(old: Image, new: Image) -> tuple[Image, Image]:
    """Two pictures in one mode, where every pixel looks as before.

    Where their modes differ, grey becomes colours; opaque colours become RGBA if the other picture is transparent
    anywhere, and lose their alpha if not.
    """
    if old.mode == new.mode:
        return old, new
    channels = max(_channels_needed(to_array(image)) for image in (old, new))
    return _with_channels(old, channels), _with_channels(new, channels)


def _channels_needed(pixels: Pixels) -> int:
    opaque = pixels.shape[2] == 4 and bool((pixels[..., 3] == 255).all())
    return 3 if opaque else pixels.shape[2]


def _with_channels(image: Image, channels: int) -> Image:
    pixels = to_array(image)
    if pixels.shape[2] == channels:
        return image
    if pixels.shape[2] > channels:
        return from_array(pixels[..., :channels])
    colours = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    if channels == 4:
        colours = np.concatenate([colours, np.full((*pixels.shape[:2], 1), 255, np.uint8)], axis=2)
    return from_array(colours)


def _pair(a: Image, b: Image) -> tuple[Pixels, Pixels]:
    if (a.mode, a.width, a.height) != (b.mode, b.width, b.height):
        words = (f"{image.mode} {image.width} x {image.height}" for image in (a, b))
        raise ValueError(f"only pictures of one size and mode can be compared, not {' and '.join(words)}")
    return to_array(a), to_array(b)


def _gaps(a: Pixels, b: Pixels) -> Pixels:
    return np.maximum(a, b) - np.minimum(a, b)


def _strips(height: int, width: int, *, overlap: int) -> Iterator[slice]:
    """The rows of a picture in strips; each begins `overlap` rows before the last one's end."""
    step = max(1, _STRIP // width)
    for top in range(0, height - overlap, step):
        yield slice(top, min(top + step + overlap, height))


def _ssim(a: Pixels, b: Pixels) -> float:
    """The mean over all windows of one channel (height, width)."""
    window = (min(_WINDOW, a.shape[0]), min(_WINDOW, a.shape[1]))
    strips = _strips(a.shape[0], a.shape[1], overlap=window[0] - 1)
    total: float = sum(_ssim_sum(a[rows], b[rows], *window) for rows in strips)
    windows: int = (a.shape[0] - window[0] + 1) * (a.shape[1] - window[1] + 1)
    return total / windows


def _ssim_sum(a: Pixels, b: Pixels, rows: int, columns: int) -> float:
    x, y, n = a.astype(np.int64), b.astype(np.int64), rows * columns
    sum_x, sum_y, sum_xx, sum_yy, sum_xy = (
        _window_sums(values, rows, columns) for values in (x, y, x * x, y * y, x * y)
    )
    pairs = max(n * (n - 1), 1)  # a window of one pixel has no variance
    covariance = (n * sum_xy - sum_x * sum_y) / pairs
    variances = (n * sum_xx - sum_x * sum_x + n * sum_yy - sum_y * sum_y) / pairs
    mean_product, mean_squares = sum_x * sum_y / n**2, (sum_x * sum_x + sum_y * sum_y) / n**2
    likeness = (2 * mean_product + _C1) * (2 * covariance + _C2)
    return float(np.sum(likeness / ((mean_squares + _C1) * (variances + _C2))))


def _window_sums(values: npt.NDArray[np.int64], rows: int, columns: int) -> npt.NDArray[np.int64]:
    total = np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    strips: npt.NDArray[np.int64] = total[rows:] - total[:-rows]
    return strips[:, columns:] - strips[:, :-columns]

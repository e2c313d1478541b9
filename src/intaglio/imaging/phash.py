"""A perceptual hash: 64 bits that stay nearly the same when a picture is recompressed or resized.

In whole numbers throughout, so that it is the same on every machine:

1. Each pixel's grey is 299 R + 587 G + 114 B; a transparent picture is laid on mid-grey (128) first.
2. The picture is shared into 32 x 32 equal cells; a cell is the mean grey of its area (a pixel across a border counts
   in each cell by the share of it that lies inside), in 1/256 of a level, rounded down.
3. The cells go through a two-dimensional cosine transform (DCT-II), its cosines times 2^14 and rounded.
4. The 64 coefficients of frequency 1 to 8 down and 1 to 8 across are read row by row; a bit is 1 where a coefficient
   is above the 32nd smallest of them, else 0. The first bit is the highest of the number, written in 16 hex digits.

That is the method of the pHash library (Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions",
2010) with another way to shrink; its hashes are close to these, not equal. Two hashes are as far apart as they have
bits that differ (Hamming), 0 to 64. A picture that is flat, or changes in one direction only, has none of those
frequencies: its hash is 0, and that of one that nearly does is noise.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from intaglio.core.image import Image
from intaglio.imaging.arrays import Pixels, to_array

Ints = npt.NDArray[np.int64]

_CELLS, _LOW = 32, 8
_BACKDROP = 128
_WEIGHTS = np.array([299, 587, 114], np.int64)
_SCALE = 1000 * 255  # of a grey: the sum of the weights, times the largest alpha


def phash(image: Image) -> str:
    """The perceptual hash of a picture, as 16 hexadecimal digits."""
    pixels = to_array(image)
    rows = np.stack([_grey(pixels[first:last]).T @ weights for first, last, weights in _spans(image.height)])
    cells = np.stack([rows[:, first:last] @ weights for first, last, weights in _spans(image.width)], axis=1)
    cells = cells * 256 // (image.width * image.height * _SCALE)
    low = (_cosines() @ cells @ _cosines().T).ravel()
    bits = low > np.sort(low)[low.size // 2 - 1]
    return f"{int(''.join('1' if bit else '0' for bit in bits), 2):016x}"


def distance(a: str, b: str) -> int:
    """How many bits of two hashes differ: 0 to 64."""
    return (int(a, 16) ^ int(b, 16)).bit_count()


def _grey(pixels: Pixels) -> Ints:
    """The grey of each pixel (rows, columns), 0 to 255 times `_SCALE`."""
    values = pixels.astype(np.int64)
    colours = values[..., :3] @ _WEIGHTS if values.shape[2] > 1 else values[..., 0] * 1000
    if values.shape[2] < 4:
        return colours * 255
    alpha = values[..., 3]
    return colours * alpha + _BACKDROP * 1000 * (255 - alpha)


def _spans(length: int) -> list[tuple[int, int, Ints]]:
    """Where each of the cells lies on `length` pixels: the first pixel, the one after the last, and each one's share.

    The shares are in 1/32 of a pixel and sum to `length`.
    """
    spans = []
    for cell in range(_CELLS):
        start, end = length * cell, length * (cell + 1)
        first, last = start // _CELLS, -(-end // _CELLS)
        edges = np.arange(first, last + 1, dtype=np.int64) * _CELLS
        spans.append((first, last, np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)))
    return spans


@lru_cache(maxsize=1)
def _cosines() -> Ints:
    table = [
        [round(2**14 * math.cos(math.pi * frequency * (2 * cell + 1) / (2 * _CELLS))) for cell in range(_CELLS)]
        for frequency in range(1, _LOW + 1)
    ]
    return np.array(table, np.int64)

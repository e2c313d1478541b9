"""The colours of a difference picture."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from intaglio.imaging.arrays import Pixels

# The upper three quarters of "magma", by Nathaniel J. Smith and Stefan van der Walt, dedicated to the public domain
# (CC0): every eighth part of the map, between which colours are mixed. Its lightness rises evenly.
_MAGMA = (
    (81, 18, 124),
    (130, 38, 129),
    (182, 54, 121),
    (230, 81, 100),
    (251, 136, 97),
    (254, 194, 135),
    (252, 253, 191),
)


@lru_cache(maxsize=1)
def heat_colours() -> Pixels:
    """The colour of each difference, 0 to 255 levels, as uint8 (256, 3).

    0 is black. From 1 on the scale is logarithmic: a difference twice as large is one step brighter, from violet (1)
    over magenta (6) and orange (40) to pale yellow (255). So a single level stands out from black, and a large
    difference from a small one.
    """
    table = np.zeros((256, 3), np.uint8)
    for level in range(1, 256):
        place = math.log(level) / math.log(255) * (len(_MAGMA) - 1)
        lower = min(int(place), len(_MAGMA) - 2)
        share = place - lower
        table[level] = [
            round(start + (end - start) * share) for start, end in zip(_MAGMA[lower], _MAGMA[lower + 1], strict=True)
        ]
    table.setflags(write=False)
    return table

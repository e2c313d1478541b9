"""Pictures side by side, as frames lie on a film."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intaglio.core.image import Image
from intaglio.imaging.arrays import from_array, to_array

_GAP, _PAPER, _OPAQUE = 4, 250, 255
_GREY, _COLOURS = 1, 3


def strip(images: Sequence[Image]) -> Image:
    """The pictures from left to right, with a gap between, each in the middle of the height of the highest.

    RGBA, and transparent where nothing is, when any of them is; else RGB. Raises ValueError without pictures.
    """
    if not images:
        raise ValueError("a strip needs pictures")
    transparent = any(image.mode == "RGBA" for image in images)
    width = sum(image.width for image in images) + _GAP * (len(images) - 1)
    height = max(image.height for image in images)
    ground = (0, 0, 0, 0) if transparent else (_PAPER,) * _COLOURS
    film = np.full((height, width, len(ground)), ground, np.uint8)
    left = 0
    for image in images:
        pixels = to_array(image)
        if pixels.shape[2] == _GREY:
            pixels = np.repeat(pixels, _COLOURS, axis=2)
        top = (height - image.height) // 2
        place = film[top : top + image.height, left : left + image.width]
        place[..., : pixels.shape[2]] = pixels
        if transparent and pixels.shape[2] == _COLOURS:
            place[..., _COLOURS] = _OPAQUE
        left += image.width + _GAP
    return from_array(film)

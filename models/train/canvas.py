"""A 64x64 colour canvas with the few shapes that scenes are drawn from."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from train.palette import Colour

SIZE: Final = 64
_ROWS, _COLUMNS = np.mgrid[0:SIZE, 0:SIZE]
Y: Final[NDArray[np.float32]] = _ROWS.astype(np.float32)
X: Final[NDArray[np.float32]] = _COLUMNS.astype(np.float32)

Mask = NDArray[np.bool_]


class Canvas:
    """Pixels, drawn over in order, without smoothing."""

    def __init__(self) -> None:
        self.pixels: NDArray[np.float32] = np.zeros((SIZE, SIZE, 3), np.float32)

    def fill(self, where: Mask, colour: Colour) -> None:
        """Paint every pixel of the mask."""
        self.pixels[where] = colour

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Paint whole pixels from the rounded top left up to the rounded bottom right."""
        x0, y0, x1, y1 = (max(round(float(v)), 0) for v in (left, top, right, bottom))
        self.pixels[y0:y1, x0:x1] = colour

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        """Paint the ellipse with that middle and those radii."""
        self.fill(((X + 0.5 - x) / rx) ** 2 + ((Y + 0.5 - y) / ry) ** 2 <= 1, colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Paint a round disc."""
        self.ellipse(x, y, radius, radius, colour)

    def triangle(self, x: float, top: float, base: float, half_width: float, colour: Colour) -> None:
        """Paint an upright triangle whose tip is at (x, top)."""
        slope = (Y - top + 1) / (base - top)
        self.fill((top <= Y) & (base > Y) & (np.abs(X + 0.5 - x) <= slope * half_width), colour)

    def image(self) -> NDArray[np.uint8]:
        """The picture as bytes, rows by columns by red, green, blue."""
        return np.clip(self.pixels, 0, 255).astype(np.uint8)

"""Other looks of a picture, computed from its pixels: what the styles are trained on.

Each takes and gives bytes, rows by columns by red, green, blue, and draws no random
numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]

PAPER: Final = np.array([243, 234, 212], np.float32)
INK: Final = np.array([38, 36, 46], np.float32)
# How much ink is on the paper, from the darkest fifth of brightness to the lightest.
WASHES: Final = np.array([0.92, 0.62, 0.32, 0.12, 0.0], np.float32)
OUTLINE: Final = 0.35
EDGE: Final = 62.0
SHADOW: Final = np.array([62, 22, 84], np.float32)
LIGHT: Final = np.array([255, 196, 112], np.float32)
_BRIGHTNESS: Final = np.array([0.299, 0.587, 0.114], np.float32)


def brightness(picture: Picture) -> Floats:
    """How bright each pixel is, from 0 to 255."""
    seen: Floats = picture.astype(np.float32) @ _BRIGHTNESS
    return seen


def edges(picture: Picture) -> NDArray[np.bool_]:
    """Where a pixel differs clearly in colour from the one to its right or below it."""
    colours = picture.astype(np.float32)
    found = np.zeros(picture.shape[:2], bool)
    found[:, :-1] |= np.abs(colours[:, 1:] - colours[:, :-1]).max(2) > EDGE
    found[:-1] |= np.abs(colours[1:] - colours[:-1]).max(2) > EDGE
    return found


def ink(picture: Picture) -> Picture:
    """Five washes of ink on paper, a little darker along edges."""
    fifth = (brightness(picture) / 256 * len(WASHES)).astype(int)
    strength = np.clip(WASHES[fifth] + OUTLINE * edges(picture), 0, 1)[..., None]
    drawn: Picture = (PAPER * (1 - strength) + INK * strength).astype(np.uint8)
    return drawn


def dusk(picture: Picture) -> Picture:
    """Purple shadows and orange light, with some of the old colours left."""
    share = (brightness(picture) / 255)[..., None]
    light = SHADOW * (1 - share) + LIGHT * share
    lit: Picture = np.clip(0.3 * picture + 0.7 * light, 0, 255).astype(np.uint8)
    return lit


def blurred(picture: Floats) -> Floats:
    """Every pixel mixed with its neighbours, weights 1, 2, 1 across and down."""
    padded = np.pad(picture, ((1, 1), (1, 1), (0, 0)), mode="edge")
    across = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return ((across[:-2] + 2 * across[1:-1] + across[2:]) / 4).astype(np.float32)


def soft(picture: Picture) -> Picture:
    """An old photograph: blurred, browned, with pale blacks."""
    brown = brightness(picture)[..., None] * np.array([1.0, 0.86, 0.66], np.float32)
    mixed = 0.4 * picture.astype(np.float32) + 0.6 * brown
    faded: Picture = np.clip(34 + 0.86 * blurred(blurred(mixed)), 0, 255).astype(np.uint8)
    return faded


STYLES: Final[dict[str, Callable[[Picture], Picture]]] = {"ink": ink, "dusk": dusk, "soft": soft}

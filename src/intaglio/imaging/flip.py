"""FLIP: how different two pictures look to a person who flips between them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from intaglio.imaging.arrays import Pixels

# 4K and a little more. The library needs 160 bytes and 2.5 microseconds a pixel (on one core): 1.3 GB, 20 seconds.
MAX_PIXELS = 2**23
_BLACK, _WHITE = 0, 255


def flip(a: Pixels, b: Pixels) -> float | None:
    """The mean LDR-FLIP error of two arrays (height, width, channels) of one shape, 0 to 1; the same either way round.

    Andersson et al., "FLIP: A Difference Evaluator for Alternating Images" (HPG 2020), by NVIDIA's own library, as it
    comes: sRGB, seen at 67 pixels per degree. Grey is shown as colours. Transparent pictures are shown on black and on
    white, and the larger error counts, because there is no saying what they will be laid on. None when the library
    (extra "metrics") is not installed, or the picture has more than `MAX_PIXELS` pixels.
    """
    try:
        from flip_evaluator import evaluate  # type: ignore[import-untyped]
    except ImportError:
        return None
    if a.shape[0] * a.shape[1] > MAX_PIXELS:
        return None
    errors = []
    for backdrop in (_BLACK,) if _opaque(a) and _opaque(b) else (_BLACK, _WHITE):
        shown = (_shown(a, backdrop), _shown(b, backdrop))
        found, _, _ = evaluate(*shown, "LDR", applyMagma=False, computeMeanError=False)
        errors.append(float(np.mean(found, dtype=np.float64)))
    return max(errors)


def _opaque(pixels: Pixels) -> bool:
    return pixels.shape[2] < 4 or bool((pixels[..., 3] == 255).all())


def _shown(pixels: Pixels, backdrop: int) -> npt.NDArray[np.float32]:
    """The colours (height, width, 3), 0 to 1, as they are seen on a backdrop."""
    colours = pixels[..., :3].astype(np.float32) / np.float32(255)
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:].astype(np.float32) / np.float32(255)
        colours = colours * alpha + np.float32(backdrop / 255) * (1 - alpha)
    return np.array(np.broadcast_to(colours, (*pixels.shape[:2], 3)), order="C")

from __future__ import annotations

import sys

import numpy as np
import pytest

from intaglio.imaging import flip as module
from intaglio.imaging.adjust import film_grain
from intaglio.imaging.arrays import Pixels, to_array
from intaglio.imaging.flip import flip
from intaglio.imaging.metrics import compare

from .samples import flat, ramp


def test_black_and_white_are_as_far_apart_as_can_be() -> None:
    black, white = (to_array(flat(level, "RGB", 32, 32)) for level in (0, 255))
    assert flip(black, white) == pytest.approx(0.968, abs=0.005)
    assert flip(black, black) == 0


def test_more_grain_looks_more_different() -> None:
    clean = ramp(width=64, height=64)
    errors = [flip(to_array(clean), to_array(film_grain(clean, amount=amount, seed=1))) for amount in (0.05, 0.2, 0.8)]
    assert all(error is not None for error in errors)
    assert errors == sorted(errors, key=lambda error: error or 0) and len(set(errors)) == 3


def test_grey_is_what_the_same_colours_are() -> None:
    grey, colours = ([to_array(flat(level, mode, 9, 9)) for level in (60, 90)] for mode in ("L", "RGB"))
    assert flip(*grey) == flip(*colours) != 0


def clear(level: int) -> Pixels:
    """Invisible pixels of some colour."""
    pixels = to_array(flat(level, "RGBA", 16, 16)).copy()
    pixels[..., 3] = 0
    return pixels


def test_what_is_transparent_is_seen_on_black_and_on_white_and_the_larger_error_counts() -> None:
    invisible = clear(0)
    assert flip(invisible, clear(200)) == 0, "nobody sees the colour of an invisible pixel"
    black, white = (to_array(flat(level, "RGBA", 16, 16)).copy() for level in (0, 255))
    black[..., 3] = white[..., 3] = 255
    assert flip(invisible, black) == flip(invisible, white) == flip(black, white)
    assert flip(black, white) == flip(black[..., :3], white[..., :3]), "opaque is as without alpha"


def test_it_is_left_out_when_its_library_is_missing_or_the_picture_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    small = np.zeros((4, 4, 3), np.uint8)
    monkeypatch.setattr(module, "MAX_PIXELS", 15)
    assert flip(small, small) is None
    monkeypatch.undo()
    assert flip(small, small) == 0
    monkeypatch.setitem(sys.modules, "flip_evaluator", None)
    assert compare(flat(1), flat(2)).flip is None
    assert compare(flat(1), flat(2)).max_difference == 1

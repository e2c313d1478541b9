from __future__ import annotations

import itertools

import numpy as np
import pytest

from intaglio.core.image import Image
from intaglio.imaging.arrays import to_array
from intaglio.imaging.grid import Line, Place, grid_sheet, thumbnail

RED, BLUE = (Image("RGB", 16, 16, bytes(colour) * 256) for colour in ((255, 0, 0), (0, 0, 255)))


def squares(sheet: Image, colour: tuple[int, int, int]) -> int:
    """How many pixels of that colour there are."""
    return int((to_array(sheet) == np.array(colour)).all(axis=2).sum())


def test_every_picture_is_there_enlarged_by_a_whole_factor() -> None:
    lines = [Line("arm A", [Place(RED), Place(RED)]), Line("arm B", [Place(BLUE), Place(None, "", "failed")])]
    sheet = grid_sheet(lines, heads=["1", "2"], cell=64, title="test", subtitle="only x differs")
    assert squares(sheet, (255, 0, 0)) == 2 * 64 * 64
    assert squares(sheet, (0, 0, 255)) == 64 * 64


def test_heads_captions_and_titles_are_drawn() -> None:
    plain = grid_sheet([Line("", [Place(RED)])], cell=64)
    for more in (
        grid_sheet([Line("arm", [Place(RED)])], cell=64),
        grid_sheet([Line("", [Place(RED)])], heads=["x=1"], cell=64),
        grid_sheet([Line("", [Place(RED, "x=1")])], cell=64),
        grid_sheet([Line("", [Place(RED)])], cell=64, title="t"),
        grid_sheet([Line("", [Place(RED)])], cell=64, subtitle="t"),
    ):
        assert more.width * more.height > plain.width * plain.height
        assert to_array(more).min() < 100, "there is ink"


def test_long_rows_go_on_below_all_rows_together() -> None:
    lines = [Line(name, [Place(picture)] * 5) for name, picture in (("A", RED), ("B", BLUE))]
    sheet = grid_sheet(lines, heads=[str(place) for place in range(5)], cell=32, wrap=2)
    wide = grid_sheet(lines, heads=[str(place) for place in range(5)], cell=32, wrap=5)
    assert squares(sheet, (255, 0, 0)) == squares(wide, (255, 0, 0)) == 5 * 32 * 32
    assert sheet.width < wide.width and sheet.height > wide.height
    rows = [bool((row == (255, 0, 0)).all(axis=1).any()) for row in to_array(sheet)]
    assert sum(1 for a, b in itertools.pairwise(rows) if b and not a) == 3, "three blocks, each with an A"


def test_what_cannot_be_a_sheet_is_refused() -> None:
    with pytest.raises(ValueError, match="needs pictures"):
        grid_sheet([Line("", [])], cell=64)
    with pytest.raises(ValueError, match="too large"):
        grid_sheet([Line("", [Place(RED)] * 4000)], cell=256, wrap=60)


def test_a_thumbnail_is_no_larger_than_it_is_shown() -> None:
    assert thumbnail(RED, 64) is RED
    assert thumbnail(Image("L", 200, 100, bytes(20000)), 50).width == 50

from __future__ import annotations

import numpy as np
import pytest

from intaglio.imaging.arrays import from_array, to_array
from intaglio.imaging.metrics import difference_picture
from intaglio.imaging.png import encode
from intaglio.imaging.sheet import contact_sheet, side_by_side

from .samples import flat, ramp


def test_pictures_stand_in_rows_enlarged_pixel_for_pixel() -> None:
    colours = [10, 20, 30]
    sheet = contact_sheet([(f"seed {c}", flat(c, "RGB")) for c in colours], columns=2, cell=64)
    assert (sheet.mode, sheet.width, sheet.height) == ("RGB", 36 + 64 + 24 + 64 + 36, 36 + 2 * (64 + 34) + 24 + 36)
    pixels = to_array(sheet)
    for (row, column), colour in zip([(0, 0), (0, 1), (1, 0)], colours, strict=True):
        top, left = 36 + row * (64 + 34 + 24), 36 + column * (64 + 24)
        assert np.all(pixels[top : top + 64, left : left + 64] == colour)


def test_letters_are_drawn_under_the_picture_and_in_the_title() -> None:
    plain, labelled = (contact_sheet([(label, flat(0))], columns=1, cell=64) for label in ("", "seed 1"))
    changed = np.argwhere((to_array(plain) != to_array(labelled)).any(axis=2))
    assert changed.size
    assert changed[:, 0].min() >= 36 + 64
    assert contact_sheet([("", flat(0))], columns=1, cell=64, title="A").height == plain.height + 58


def test_a_long_label_stays_in_its_column() -> None:
    pictures = [("m" * 200, flat(0)), ("", flat(0))]
    short = contact_sheet([("", flat(0)), ("", flat(0))], columns=2, cell=64)
    changed = (to_array(contact_sheet(pictures, columns=2, cell=64)) != to_array(short)).any(axis=(0, 2))
    assert np.flatnonzero(changed).max() < 36 + 64


def test_letters_the_font_lacks_are_written_plainly() -> None:
    special, plain = ("caf\xe9 2\xd73 \u65e5", "cafe 2x3 ?")
    assert contact_sheet([(special, flat(0))], columns=1) == contact_sheet([(plain, flat(0))], columns=1)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (300, 2), (2, 300), (90, 70)])
def test_every_mode_and_shape_fits(mode: str, size: tuple[int, int]) -> None:
    sheet = contact_sheet([("x", ramp(mode, *size))], columns=5, cell=64)
    assert (sheet.mode, sheet.width) == ("RGB", 64 + 72)


def test_transparency_shows_a_checkerboard() -> None:
    pixels = to_array(contact_sheet([("", flat(0, "RGBA", 64, 64))], columns=1, cell=64))
    assert (pixels[36, 36, 0], pixels[36, 36 + 8, 0]) == (255, 224)


@pytest.mark.parametrize(("count", "columns", "cell"), [(0, 1, 64), (1, 0, 64), (1, 1, 31), (1, 1, 20_000)])
def test_an_impossible_sheet_is_refused(count: int, columns: int, cell: int) -> None:
    with pytest.raises(ValueError, match="contact sheet"):
        contact_sheet([("", flat(0))] * count, columns=columns, cell=cell)


def test_two_pictures_stand_beside_their_difference_with_its_scale() -> None:
    old, new = flat(10, "RGB", 64, 48), flat(11, "RGB", 64, 48)
    pixels = to_array(side_by_side(old, new, difference_picture(old, new)))
    assert pixels.shape == (36 + 384 + 84 + 24, 36 + 3 * (512 + 24) - 24 + 36, 3), "enlarged eight times"
    for left, colour in ((36, [10] * 3), (572, [11] * 3), (1108, [81, 18, 124])):
        assert np.all(pixels[36 : 36 + 384, left : left + 512] == colour)
    scale = pixels[36 + 384 + 38 + 5, 1108 : 1108 + 512]
    assert scale[0].tolist() == [0, 0, 0]
    assert (scale[28].tolist(), scale[-1].tolist()) == ([81, 18, 124], [252, 253, 191])


def test_one_changed_pixel_of_a_large_picture_is_seen() -> None:
    old = flat(0, "RGB", 1500, 1000)
    changed = to_array(old).copy()
    changed[417, 1033] = 1
    new = from_array(changed)
    pixels = to_array(side_by_side(old, new, difference_picture(old, new)))
    cell = pixels[36 : 36 + 341, 1108 : 1108 + 512]
    assert np.argwhere(cell.any(axis=2)).tolist() == [[417 * 341 // 1000, 1033 * 512 // 1500]]


def test_pictures_of_other_sizes_stand_side_by_side_without_one() -> None:
    sheet = side_by_side(flat(0, width=600, height=20), ramp("RGBA", 3, 300), None, title="other sizes")
    assert (sheet.width, sheet.height) == (36 + 512 + 24 + 512 + 36, 36 + 58 + 300 + 34 + 24)


def test_captions_and_title_are_drawn_and_the_same_each_time() -> None:
    old, new = ramp(), flat(3, "RGB", 24, 16)
    sheets = [
        side_by_side(old, new, difference_picture(old, new), captions=captions, title="v1")
        for captions in (("recorded", "again", "difference"), ("recorded", "again", "difference"), ("a", "b", "c"))
    ]
    assert encode(sheets[0]) == encode(sheets[1]) != encode(sheets[2])

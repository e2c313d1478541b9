from __future__ import annotations

import pytest

from intaglio.core.image import Image
from intaglio.imaging.arrays import to_array
from intaglio.imaging.strip import strip

RED = Image("RGB", 2, 4, bytes((200, 0, 0) * 8))
GREY = Image("L", 3, 2, bytes([90] * 6))
GLASS = Image("RGBA", 1, 1, bytes((0, 9, 0, 50)))


def test_pictures_lie_side_by_side_in_the_middle() -> None:
    film = to_array(strip([RED, GREY]))
    assert film.shape == (4, 2 + 4 + 3, 3)
    assert (film[:, :2] == (200, 0, 0)).all()
    assert (film[:, 2:6] == 250).all()
    assert (film[1:3, 6:] == 90).all() and (film[[0, 3], 6:] == 250).all()


def test_transparency_is_kept_and_the_rest_is_opaque() -> None:
    film = to_array(strip([RED, GLASS]))
    assert film.shape == (4, 7, 4)
    assert (film[:, :2] == (200, 0, 0, 255)).all()
    assert tuple(film[1, 6]) == (0, 9, 0, 50)
    assert not film[:, 2:6].any()


def test_nothing_is_no_strip() -> None:
    with pytest.raises(ValueError, match="needs pictures"):
        strip([])

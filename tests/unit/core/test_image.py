from __future__ import annotations

import pytest

from intaglio.core.image import Image


def test_the_pixel_digest_is_pinned_and_depends_on_mode_and_size() -> None:
    pixels = bytes(range(12))
    pictures = [
        Image("RGB", 2, 2, pixels),
        Image("RGB", 4, 1, pixels),
        Image("RGB", 1, 4, pixels),
        Image("L", 4, 3, pixels),
        Image("RGBA", 3, 1, pixels),
        Image("RGB", 2, 2, pixels[::-1]),
    ]
    assert len({picture.digest for picture in pictures}) == len(pictures)
    assert pictures[0].digest == "blake3:42042ce69867b2df068da0cb1f0e824b094c25763d10df3b41095f1ce12aabf9"


@pytest.mark.parametrize(("width", "height", "size"), [(2, 2, 11), (2, 2, 13), (0, 4, 0), (-1, -4, 12)])
def test_sizes_that_contradict_each_other_are_refused(width: int, height: int, size: int) -> None:
    with pytest.raises(ValueError, match="needs"):
        Image("RGB", width, height, bytes(size))


def test_a_mode_nobody_knows_is_refused() -> None:
    with pytest.raises(KeyError):
        Image("CMYK", 1, 1, bytes(4))

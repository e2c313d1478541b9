from __future__ import annotations

import numpy as np
import pytest

from intaglio.imaging.arrays import from_array, to_array

from .samples import ramp


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_an_image_survives_the_way_through_an_array(mode: str) -> None:
    image = ramp(mode)
    assert to_array(image).shape == (16, 24, len(mode))
    assert from_array(to_array(image)) == image


def test_the_array_shares_memory_and_is_read_only() -> None:
    image = ramp()
    array = to_array(image)
    assert np.shares_memory(array, np.frombuffer(image.data, np.uint8))
    assert not array.flags.writeable


def test_a_plane_and_a_strided_view_are_pictures() -> None:
    plane = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert from_array(plane).mode == "L"
    assert from_array(plane[:, ::-1]).data == bytes([3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8])


@pytest.mark.parametrize("shape", [(3,), (3, 4, 2), (3, 4, 5), (1, 3, 4, 3), (0, 4), (4, 0, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"picture|bytes"):
        from_array(np.zeros(shape, np.uint8))


def test_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match="float64"):
        from_array(np.zeros((2, 2)))  # type: ignore[arg-type]

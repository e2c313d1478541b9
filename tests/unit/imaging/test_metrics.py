from __future__ import annotations

import math

import numpy as np
import pytest

from intaglio.imaging.adjust import crop, film_grain
from intaglio.imaging.arrays import from_array, to_array
from intaglio.imaging.metrics import Difference, compare, difference_picture

from .samples import flat, ramp

C1, C2 = 6.5025, 58.5225


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_identical_pictures(mode: str) -> None:
    assert compare(ramp(mode), ramp(mode)) == Difference(0, 0.0, 0.0, None, 1.0)


def test_flat_pictures_by_hand() -> None:
    found = compare(flat(100), flat(110))
    assert (found.max_difference, found.mean_difference, found.changed_share) == (10, 10.0, 1.0)
    assert found.psnr == pytest.approx(28.13080361, abs=1e-8)  # 10 log10(65025 / 100)
    assert found.ssim == pytest.approx((2 * 100 * 110 + C1) / (100**2 + 110**2 + C1), abs=1e-12)


def test_one_pixel_of_one_channel() -> None:
    pixels = to_array(flat(0, "RGB")).copy()
    pixels[3, 5, 1] = 255
    found = compare(flat(0, "RGB"), from_array(pixels))
    assert (found.max_difference, found.mean_difference, found.changed_share) == (255, 255 / 192, 1 / 64)
    assert found.psnr == pytest.approx(10 * math.log10(192))


def test_one_channel_of_noise_lowers_ssim_and_order_does_not_matter() -> None:
    grainy = film_grain(ramp(), amount=0.5, seed=1)
    assert compare(ramp(), grainy) == compare(grainy, ramp())
    assert 0 < compare(ramp(), grainy).ssim < 0.9


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (7, 7), (11, 8)])
def test_ssim_is_what_its_definition_says(size: tuple[int, int]) -> None:
    a = crop(ramp("L"), x=2, y=1, width=size[0], height=size[1])
    b = film_grain(a, amount=0.4, seed=7)
    x, y = (to_array(image)[..., 0].astype(float) for image in (a, b))
    rows, columns = min(7, size[1]), min(7, size[0])
    values = []
    for top in range(size[1] - rows + 1):
        for left in range(size[0] - columns + 1):
            p, q = (plane[top : top + rows, left : left + columns].ravel() for plane in (x, y))
            (vp, cov), (_, vq) = np.cov(p, q) if p.size > 1 else ((0.0, 0.0), (0.0, 0.0))
            mp, mq = p.mean(), q.mean()
            values.append((2 * mp * mq + C1) * (2 * cov + C2) / ((mp**2 + mq**2 + C1) * (vp + vq + C2)))
    assert compare(a, b).ssim == pytest.approx(np.mean(values), abs=1e-9)


@pytest.mark.parametrize("measure", [compare, difference_picture])
def test_unlike_pictures_are_refused(measure: object) -> None:
    with pytest.raises(ValueError, match="not RGB 24 x 16 and L 8 x 8"):
        measure(ramp(), flat(1))  # type: ignore[operator]


def test_the_heat_map_is_black_where_equal_and_shows_a_single_level() -> None:
    levels = from_array(np.arange(256, dtype=np.uint8).reshape(16, 16))
    heat = to_array(difference_picture(levels, flat(0, width=16, height=16))).reshape(256, 3)
    assert [heat[level].tolist() for level in (0, 1, 16, 64, 144, 255)] == [
        [0, 0, 0],
        [72, 24, 150],
        [190, 35, 125],
        [245, 90, 50],
        [255, 190, 40],
        [255, 255, 255],
    ]
    assert len(np.unique(heat, axis=0)) > 120


def test_the_heat_map_takes_the_largest_channel() -> None:
    pixels = to_array(flat(10, "RGBA")).copy()
    pixels[0, 0] = (10, 11, 10, 74)
    assert to_array(difference_picture(flat(10, "RGBA"), from_array(pixels)))[0, 0].tolist() == [245, 90, 50]

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intaglio.core.image import Image
from intaglio.imaging import metrics
from intaglio.imaging.adjust import crop, film_grain
from intaglio.imaging.arrays import from_array, to_array
from intaglio.imaging.metrics import Difference, compare, difference_picture, same_mode

from .samples import flat, ramp

C1, C2 = 6.5025, 58.5225


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_identical_pictures(mode: str) -> None:
    assert compare(ramp(mode), ramp(mode)) == Difference(0, 0.0, 0.0, None, 1.0, 0, 0.0)
    assert compare(ramp(mode), ramp(mode), flip=False).flip is None


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Image, Image]:
    """Two small pictures of one size and mode, equal in part."""
    width, height = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    mode, channels = draw(st.sampled_from([("L", 1), ("RGB", 3), ("RGBA", 4)]))
    size = width * height * channels
    first = bytearray(draw(st.binary(min_size=size, max_size=size)))
    second = bytearray(first)
    for place, value in draw(st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, 255)), max_size=40)):
        second[place] = value
    return Image(mode, width, height, bytes(first)), Image(mode, width, height, bytes(second))


@given(pairs())
def test_the_numbers_are_symmetric_and_zero_for_the_same_picture_only(pair: tuple[Image, Image]) -> None:
    a, b = pair
    found = compare(a, b, flip=False)
    assert found == compare(b, a, flip=False)
    assert compare(a, a) == Difference(0, 0.0, 0.0, None, 1.0, 0, 0.0)
    assert (found.max_difference == 0) == (found.psnr is None) == (found.changed_share == 0) == (a == b)
    assert found.ssim <= 1.0 + 1e-12
    assert 0 <= found.phash_distance <= 64


@settings(max_examples=15)  # FLIP takes its time
@given(pairs())
def test_flip_is_symmetric_and_a_share(pair: tuple[Image, Image]) -> None:
    a, b = pair
    found = compare(a, b).flip
    assert found == compare(b, a).flip
    assert found is not None and 0 <= found <= 1


@given(pairs())
def test_the_numbers_are_those_of_their_formulas(pair: tuple[Image, Image]) -> None:
    x, y = (to_array(image).astype(float) for image in pair)
    found = compare(*pair, flip=False)
    assert found.mean_difference == pytest.approx(np.abs(x - y).mean())
    assert found.max_difference == np.abs(x - y).max()
    assert found.changed_share == pytest.approx(((x - y) ** 2).sum(axis=2).astype(bool).mean())
    if found.psnr is not None:
        assert found.psnr == pytest.approx(20 * math.log10(255 / math.sqrt(((x - y) ** 2).mean())))
    else:
        assert pair[0] == pair[1]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_large_picture_is_measured_in_strips_with_the_same_result(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    a = ramp(mode, 40, 50)
    b = film_grain(a, amount=0.3, seed=3)
    whole = compare(a, b)
    for pixels in (1, 40 * 3, 40 * 17):
        monkeypatch.setattr(metrics, "_STRIP", pixels)
        parts = compare(a, b)
        assert parts.ssim == pytest.approx(whole.ssim, abs=1e-12)
        assert (parts.max_difference, parts.mean_difference, parts.changed_share, parts.psnr) == (
            *(whole.max_difference, whole.mean_difference, whole.changed_share, whole.psnr),
        )


def test_grey_and_opaque_pictures_are_shown_in_the_mode_that_holds_both() -> None:
    grey, colours, opaque, clear = flat(7), flat(7, "RGB"), flat(255, "RGBA"), flat(3, "RGBA")
    assert same_mode(grey, colours) == (colours, colours)
    assert same_mode(opaque, grey) == (flat(255, "RGB"), colours)
    shown, kept = same_mode(grey, clear)
    assert (to_array(shown)[0, 0].tolist(), kept) == ([7, 7, 7, 255], clear)
    for image in (grey, colours, opaque, clear):
        assert same_mode(image, image) == (image, image)


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
    assert [heat[level].tolist() for level in (0, 1, 6, 16, 40, 255)] == [
        [0, 0, 0],
        [81, 18, 124],
        [179, 53, 121],
        [230, 81, 100],
        [251, 136, 97],
        [252, 253, 191],
    ]
    lightness = heat @ np.array([0.2126, 0.7152, 0.0722])
    assert lightness[1] > 25, "a difference of one level is seen"
    assert np.all(np.diff(lightness) > -1), "a larger difference is never darker, but for rounding"


def test_the_heat_map_takes_the_largest_channel() -> None:
    pixels = to_array(flat(10, "RGBA")).copy()
    pixels[0, 0] = (10, 11, 10, 26)
    assert to_array(difference_picture(flat(10, "RGBA"), from_array(pixels)))[0, 0].tolist() == [230, 81, 100]

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.image import Image
from intaglio.imaging.adjust import RESIZE_METHODS, colour_grade, composite, crop, film_grain, resize, upscale
from intaglio.imaging.arrays import from_array, to_array

from .samples import flat, ramp

SEEDS = st.integers(0, 2**64 - 1)
GOLDEN = {
    "grain": "blake3:3890468fc2d01d7edb4d854fcfb5125bc1794cf2e681d41c9669aabc76f95c91",
    "coarse colour grain": "blake3:1341c9bbcffb163c9fbafb91f199a62d1e4f22cea49af72c69eb1064f499f745",
    "grey grain": "blake3:ef5d51add28c575fbb06e95afbd9f51c7d9ff809846c000bb8adc724a467fd1d",
    "tone": "blake3:dea9f6e6e158753cc42e06e83ed1c03adc21fc41fb531af4ce05f648dad4d65d",
    "colour": "blake3:73b75aac18c215bd28d957fbfcd21efdf23b36f70f451f1ed4b9c8de5cc9c88e",
    "nearest": "blake3:68819d58fba6d1f8bddccd21fe2465c74c28912da8bde9e1ef6727237c30ff99",
    "bilinear": "blake3:7b01cfac4d84a75309d9e4be3e44c47f30dd4ec593ab99608c7554357f74cba5",
    "bicubic": "blake3:d2e7633a5f6bc781d7182c59f0d1d2948c8bc45503c578798996a534112d7424",
    "lanczos": "blake3:62b6f59108c42b11c8d16a8d3b340d3709ffcad83302e45ab61d6d92844dbb04",
    "area": "blake3:77248c9c2372e06667c439f1c1c081c39b01edec5c077e501d90d8db86ffc1a7",
    "composite": "blake3:aaea3cc5722833ef94054f32a9cbff71b8cd0e1279105cdded150b4e3d7ed915",
}


def made() -> dict[str, Image]:
    """Pictures whose digests are pinned: a change here breaks the reproduction of every record that used them."""
    return {
        "grain": film_grain(ramp(), amount=0.3, seed=42),
        "coarse colour grain": film_grain(ramp("RGBA"), amount=0.7, size=3, monochrome=False, seed=2**64 - 1),
        "grey grain": film_grain(ramp("L"), amount=1.0, size=8, seed=0),
        "tone": colour_grade(ramp(), brightness=1.05, contrast=1.2, gamma=1.8),
        "colour": colour_grade(ramp("RGBA"), saturation=1.7, temperature=-0.4),
        "nearest": resize(ramp(), width=17, height=31, method="nearest"),
        "bilinear": resize(ramp(), width=17, height=31, method="bilinear"),
        "bicubic": resize(ramp(), width=17, height=31, method="bicubic"),
        "lanczos": resize(ramp("RGBA"), width=11, height=37, method="lanczos"),
        "area": resize(ramp(), width=7, height=5, method="area"),
        "composite": composite(ramp("RGBA"), ramp("RGBA", 9, 9), x=-2, y=10, opacity=0.6),
    }


@pytest.mark.parametrize("name", list(made()))
def test_pixels_are_pinned(name: str) -> None:
    assert made()[name].digest == GOLDEN[name]


# -- grain ----------------------------------------------------------------------------------------------------------


@given(SEEDS, st.integers(1, 2**32 - 1))
def test_different_seeds_give_different_grain(seed: int, distance: int) -> None:
    image = flat(128)
    others = ((seed + distance) % 2**64, (seed + (distance << 32)) % 2**64)
    assert film_grain(image, amount=0.5, seed=seed) == film_grain(image, amount=0.5, seed=seed)
    for other in others:
        assert film_grain(image, amount=0.5, seed=seed) != film_grain(image, amount=0.5, seed=other)


@pytest.mark.parametrize("size", range(1, 9))
def test_grain_has_the_promised_strength_at_every_size(size: int) -> None:
    noise = to_array(film_grain(flat(128, width=256, height=256), amount=0.25, size=size, seed=5)).astype(float)
    assert noise.std() == pytest.approx(16, rel=0.05)
    assert noise.mean() == pytest.approx(128, abs=1)


def test_grain_is_weaker_at_the_ends_and_none_at_amount_zero() -> None:
    dark = to_array(film_grain(flat(0, width=64, height=64), amount=1, seed=5))
    assert 0 < dark.max() < 16 * 5
    assert film_grain(ramp("RGBA"), amount=0, seed=5) == ramp("RGBA")


def test_monochrome_grain_is_the_same_in_all_colours_and_alpha_stays() -> None:
    image = flat(128, "RGBA", 16, 16)
    mono, coloured = (to_array(film_grain(image, amount=0.3, monochrome=flag, seed=1)) for flag in (True, False))
    assert np.array_equal(mono[..., 0], mono[..., 1])
    assert not np.array_equal(coloured[..., 0], coloured[..., 1])
    assert np.all(mono[..., 3] == 128)
    assert np.all(coloured[..., 3] == 128)


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": -0.1},
        {"amount": 1.1},
        {"amount": float("nan")},
        {"size": 0},
        {"size": 9},
        {"seed": -1},
        {"seed": 2**64},
        {"seed": 1.5},
    ],
)
def test_wrong_grain_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        film_grain(ramp(), **{"amount": 0.5, "seed": 1, **wrong})


# -- grade ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_neutral_grade_changes_nothing(mode: str) -> None:
    assert colour_grade(ramp(mode, 256, 8)) == ramp(mode, 256, 8)
    assert colour_grade(ramp(mode), brightness=1, contrast=1, saturation=1, temperature=0, gamma=1) == ramp(mode)


@pytest.mark.parametrize(
    ("dials", "colour", "expected"),
    [
        ({"brightness": 1.25}, (100, 0, 250), (125, 0, 255)),
        ({"contrast": 2.0}, (100, 128, 250), (73, 129, 255)),  # (100 - 127.5) * 2 + 127.5 = 72.5, halves upwards
        ({"contrast": 0.0}, (0, 7, 255), (128, 128, 128)),
        ({"saturation": 0.0}, (255, 0, 0), (76, 76, 76)),  # 0.299 * 255 = 76.245
        ({"saturation": 2.0}, (100, 100, 200), (89, 89, 255)),  # grey 111
        ({"temperature": 1.0}, (100, 100, 100), (130, 100, 70)),
        ({"gamma": 2.0}, (64, 0, 255), (128, 0, 255)),  # 255 * sqrt(64 / 255) = 127.75
        ({"gamma": 0.5}, (128, 0, 255), (64, 0, 255)),  # 128^2 / 255 = 64.25
    ],
)
def test_grades_by_hand(dials: dict[str, float], colour: tuple[int, ...], expected: tuple[int, ...]) -> None:
    image = Image("RGBA", 1, 1, bytes([*colour, 33]))
    assert tuple(colour_grade(image, **dials).data) == (*expected, 33)


def test_temperature_and_saturation_leave_grey_pictures() -> None:
    assert colour_grade(ramp("L"), saturation=3, temperature=1) == ramp("L")


@pytest.mark.parametrize(
    "wrong",
    [
        {"brightness": -0.1},
        {"contrast": -1},
        {"saturation": 5},
        {"temperature": 2},
        {"gamma": 0},
        {"gamma": float("inf")},
        {"contrast": float("nan")},
    ],
)
def test_wrong_grades_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        colour_grade(ramp(), **wrong)


# -- size -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", RESIZE_METHODS)
@given(
    st.sampled_from(["L", "RGB", "RGBA"]),
    *[st.integers(1, 30) for _ in range(4)],
    st.integers(1, 255),
)
def test_a_flat_picture_stays_flat(method: str, mode: str, w: int, h: int, to_w: int, to_h: int, level: int) -> None:
    assert resize(flat(level, mode, w, h), width=to_w, height=to_h, method=method) == flat(level, mode, to_w, to_h)


@pytest.mark.parametrize("method", RESIZE_METHODS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_same_size_is_the_same_picture(method: str, mode: str) -> None:
    assert resize(ramp(mode), width=24, height=16, method=method) == ramp(mode)


def test_resizing_by_hand() -> None:
    image = Image("L", 4, 1, bytes([0, 100, 200, 40]))
    assert resize(image, width=2, height=1, method="area").data == bytes([50, 120])
    assert resize(image, width=3, height=1, method="area").data == bytes([25, 150, 80])
    assert resize(image, width=2, height=1, method="nearest").data == bytes([100, 40])
    assert resize(image, width=8, height=1, method="bilinear").data == bytes([0, 25, 75, 125, 175, 160, 80, 40])


def test_colours_of_transparent_pixels_do_not_bleed() -> None:
    image = Image("RGBA", 2, 1, bytes([255, 0, 0, 255, 0, 255, 0, 0]))
    assert resize(image, width=1, height=1, method="area").data == bytes([255, 0, 0, 128])


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, -1), (20_000, 20_000)])
def test_an_impossible_size_is_refused(width: int, height: int) -> None:
    with pytest.raises(ValueError, match="no size for a picture"):
        resize(ramp(), width=width, height=height)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="no resize method 'magic'; there are nearest, bilinear"):
        resize(ramp(), width=2, height=2, method="magic")


@given(st.integers(1, 5))
def test_upscaling_repeats_pixels(factor: int) -> None:
    large = upscale(ramp(), factor)
    assert np.array_equal(to_array(large)[::factor, ::factor], to_array(ramp()))
    assert large == resize(ramp(), width=24 * factor, height=16 * factor, method="nearest")


@pytest.mark.parametrize("factor", [0, -1, 1.5, 10_000])
def test_a_wrong_factor_is_refused(factor: Any) -> None:
    with pytest.raises(ValueError, match=r"factor|size"):
        upscale(ramp(), factor)


def test_cropping_takes_exactly_that_part() -> None:
    assert crop(ramp(), x=0, y=0, width=24, height=16) == ramp()
    assert np.array_equal(to_array(crop(ramp(), x=3, y=2, width=5, height=4)), to_array(ramp())[2:6, 3:8])


@pytest.mark.parametrize(("x", "y", "width", "height"), [(-1, 0, 5, 5), (0, 0, 25, 5), (20, 12, 5, 5), (0, 0, 0, 5)])
def test_a_part_outside_is_refused(x: int, y: int, width: int, height: int) -> None:
    with pytest.raises(ValueError, match="does not lie inside a picture of 24 x 16"):
        crop(ramp(), x=x, y=y, width=width, height=height)


# -- composite ------------------------------------------------------------------------------------------------------


@given(st.sampled_from(["RGB", "RGBA"]), st.integers(-30, 30), st.integers(-30, 30))
def test_nothing_over_something_is_something(mode: str, x: int, y: int) -> None:
    assert composite(ramp(mode), ramp("RGB"), x=x, y=y, opacity=0) == ramp(mode)
    assert composite(ramp(mode), flat(0, "RGBA"), x=x, y=y) == ramp(mode)


@given(st.integers(-30, 30), st.integers(-30, 30))
def test_an_opaque_overlay_replaces_and_is_cut_at_the_borders(x: int, y: int) -> None:
    overlay, expected = to_array(ramp("RGB", 9, 7)), to_array(ramp()).copy()
    for row in range(7):
        for column in range(9):
            if 0 <= y + row < 16 and 0 <= x + column < 24:
                expected[y + row, x + column] = overlay[row, column]
    assert composite(ramp(), from_array(overlay), x=x, y=y) == from_array(expected)


def test_blending_by_hand() -> None:
    half = Image("RGBA", 1, 1, bytes([200, 100, 0, 128]))
    assert composite(Image("RGB", 1, 1, bytes([0, 0, 255])), half).data == bytes([100, 50, 127])
    assert composite(flat(0, "L", 1, 1), flat(200, "L", 1, 1), opacity=0.5).data == bytes([100])
    # alpha: 128 + 64 * 127 / 255 = 159.87; red: (200 * 128 + 50 * 64 * 127 / 255) / 159.87 = 170.1
    assert composite(Image("RGBA", 1, 1, bytes([50, 0, 0, 64])), half).data == bytes([170, 80, 0, 160])
    assert composite(Image("RGBA", 1, 1, bytes(4)), half).data == half.data


def test_the_result_has_the_mode_of_its_base_unless_colour_comes() -> None:
    modes = {
        (base, over): composite(ramp(base), ramp(over)).mode for base in ("L", "RGB", "RGBA") for over in ("L", "RGBA")
    }
    assert modes == {
        ("L", "L"): "L",
        ("L", "RGBA"): "RGB",
        ("RGB", "L"): "RGB",
        ("RGB", "RGBA"): "RGB",
        ("RGBA", "L"): "RGBA",
        ("RGBA", "RGBA"): "RGBA",
    }


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan")])
def test_a_wrong_opacity_is_refused(opacity: float) -> None:
    with pytest.raises(ValueError, match="opacity is 0 to 1"):
        composite(ramp(), ramp(), opacity=opacity)

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from train.scenes import make

from intaglio.core.image import Image
from intaglio.imaging.adjust import resize
from intaglio.imaging.arrays import from_array, to_array
from intaglio.imaging.decode import decode
from intaglio.imaging.phash import distance, phash

from .samples import flat, pillow, ramp, saved

SHEET = Path(__file__).resolve().parents[3] / "models" / "contact_sheet.png"
LEFT, STEP, TILE = 300, 132, 128
HEX = st.integers(0, 2**64 - 1).map("{:016x}".format)


def generated() -> list[Image]:
    """The 60 pictures of the bundled model on its contact sheet: ten prompts, six seeds each."""
    sheet = Pillow.open(io.BytesIO(SHEET.read_bytes())).convert("RGB")
    places = [(LEFT + STEP * column, STEP * row) for row in range(10) for column in range(6)]
    return [from_array(np.asarray(sheet.crop((x, y, x + TILE, y + TILE)))) for x, y in places]


def drawn() -> list[Image]:
    """60 pictures of the kind the model was trained on."""
    return [resize(from_array(make(seed).image), width=TILE, height=TILE, method="nearest") for seed in range(60)]


def kept_alike(image: Image) -> list[Image]:
    """The picture recompressed as people do, and in other sizes and shapes."""
    files = [saved(pillow(image), kind, quality=quality) for kind in ("JPEG", "WEBP") for quality in (95, 75, 50, 30)]
    sizes = [(64, 64), (96, 96), (192, 192), (256, 256), (39, 39), (199, 69)]
    return [decode(data) for data in files] + [resize(image, width=w, height=h) for w, h in sizes]


@pytest.mark.parametrize("pictures", [generated, drawn])
def test_the_same_picture_is_near_and_another_far(pictures: object) -> None:
    images = pictures()  # type: ignore[operator]
    hashes = [phash(image) for image in images]
    same = [distance(phash(other), h) for image, h in zip(images, hashes, strict=True) for other in kept_alike(image)]
    different = [distance(a, b) for a, b in itertools.combinations(hashes, 2)]
    # Measured: generated 0 to 4 (mean 0.4) against 6 to 46 (mean 31); drawn 0 to 4 (0.5) against 12 to 48 (32).
    assert max(same) <= 4
    assert sum(same) / len(same) < 1
    assert min(different) >= 6
    assert np.percentile(different, 1) >= 12
    assert 28 <= sum(different) / len(different) <= 34


def test_the_hash_is_what_its_definition_says() -> None:
    image = ramp("RGB", 50, 37)
    grey = to_array(image).astype(float) @ np.array([0.299, 0.587, 0.114])
    fine = np.kron(grey, np.ones((32, 32)))
    cells = fine.reshape(32, 37, 32, 50).mean(axis=(1, 3))
    places = (2 * np.arange(32) + 1) * np.pi / 64
    waves = np.cos(np.outer(np.arange(1, 9), places))
    low = (waves @ cells @ waves.T).ravel()
    bits = "".join("1" if value > np.median(low) else "0" for value in low)
    assert phash(image) == f"{int(bits, 2):016x}"


def test_hashes_stay_what_they_are() -> None:
    assert phash(ramp("RGB", 50, 37)) == "97c2953a667247ac"
    assert phash(from_array(make(5).image)) == "e1711e1e1ec6a1e5"


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (31, 33), (64, 2)])
def test_a_flat_picture_of_any_size_has_no_bits(size: tuple[int, int]) -> None:
    assert phash(flat(77, "RGB", *size)) == "0" * 16


def test_grey_and_opaque_pictures_hash_as_their_colours() -> None:
    grey = from_array(to_array(ramp("RGB", 40, 40))[..., 2])
    colours = from_array(np.repeat(to_array(grey), 3, axis=2))
    opaque = from_array(np.concatenate([to_array(colours), np.full((40, 40, 1), 255, np.uint8)], axis=2))
    assert phash(grey) == phash(colours) == phash(opaque) != "0" * 16


def test_invisible_pixels_do_not_count() -> None:
    pixels = to_array(ramp("RGBA", 40, 40)).copy()
    pixels[..., 3] = 0
    assert phash(from_array(pixels)) == "0" * 16


@given(HEX, HEX, HEX)
def test_the_distance_is_one(a: str, b: str, c: str) -> None:
    assert distance(a, b) == distance(b, a)
    assert (distance(a, b) == 0) == (a == b)
    assert distance(a, c) <= distance(a, b) + distance(b, c) <= 128
    assert distance(a, f"{int(a, 16) ^ (2**64 - 1):016x}") == 64

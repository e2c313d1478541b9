"""The arithmetic of the node types: the same input gives the same pixels on every machine, to the last bit.

Whole numbers and 256-entry tables only; where a table needs a power, it is computed in decimal with 40 digits. Every
function returns a new image and raises ValueError, in plain words, for a parameter outside its range.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from intaglio.core.image import Image
from intaglio.imaging import resample
from intaglio.imaging.arrays import Pixels, from_array, to_array

Ints = npt.NDArray[np.int64]

MAX_PIXELS = 100_000_000
RESIZE_METHODS = ("nearest", *resample.METHODS)

_UNIT = 1 << 16
_LARGEST_SEED = 2**64 - 1
_LARGEST_GRAIN = 8
_GRAIN_LEVELS = 64  # standard deviation at amount 1 in mid-grey
_NOISE_DEVIATION = 209  # of a sum of eight bytes: the square root of 8 * (256^2 - 1) / 12
_NOISE_MEAN = 1020
_WARMTH = Decimal("0.3")


def film_grain(image: Image, *, amount: float, size: int = 1, monochrome: bool = True, seed: int) -> Image:
    """Add grain: approximately Gaussian noise, strongest in mid-tones, a quarter as strong in black and white.

    `amount` is 0 to 1 (1: a standard deviation of 64 levels in mid-grey), `size` the width of a grain in pixels, 1 to
    8, `monochrome` the same noise in all colours, `seed` 0 to 2^64 - 1. Alpha stays. The noise is Philox's raw stream,
    which NumPy promises never to change, summed eight bytes at a time (Irwin-Hall) and averaged over `size` squares.
    """
    _within("amount", amount, 0, 1)
    _whole("size", size, 1, _LARGEST_GRAIN)
    _whole("seed", seed, 0, _LARGEST_SEED)
    pixels = to_array(image)
    colours = pixels[..., :3].astype(np.int64)
    layers = 1 if monochrome else colours.shape[2]
    noise = _noise(image.height, image.width, layers, size, seed)
    grey = _luma(colours)
    strength = 255 * 255 + 12 * grey * (255 - grey)  # four times as much at mid-grey as at the ends
    divisor = 4 * 255 * 255 * _NOISE_DEVIATION * size * _UNIT
    added = _divide(noise * strength * (_GRAIN_LEVELS * round(amount * _UNIT)), divisor)
    return _with_colours(pixels, colours + added)


def colour_grade(
    image: Image,
    *,
    brightness: float = 1.0,
    contrast: float = 1.0,
    saturation: float = 1.0,
    temperature: float = 0.0,
    gamma: float = 1.0,
) -> Image:
    """Grade the colours; the defaults leave the picture bit for bit as it is, and alpha always stays.

    In this order: `temperature` (-1 to 1; at 1 red times 1.3 and blue times 0.7), `brightness` (0 to 4, times
    every colour), `contrast` (0 to 4, times the distance from mid-grey), `gamma` (0.1 to 10, above 1 lifts the
    mid-tones), `saturation` (0 to 4, times the distance from grey). Temperature and saturation do nothing to L.
    """
    _within("brightness", brightness, 0, 4)
    _within("contrast", contrast, 0, 4)
    _within("saturation", saturation, 0, 4)
    _within("temperature", temperature, -1, 1)
    _within("gamma", gamma, 0.1, 10)
    pixels = to_array(image)
    warmths = (0.0,) if image.mode == "L" else (temperature, 0.0, -temperature)
    tables = [_tone_table(float(warmth), float(brightness), float(contrast), float(gamma)) for warmth in warmths]
    toned = np.stack([table[pixels[..., c]] for c, table in enumerate(tables)], axis=2)
    grey = _luma(toned)
    return _with_colours(pixels, grey + _divide((toned - grey) * round(saturation * _UNIT), _UNIT))


def resize(image: Image, *, width: int, height: int, method: str = "lanczos") -> Image:
    """Scale to `width` x `height` pixels by one of `RESIZE_METHODS`.

    "nearest" copies pixels, "bilinear", "bicubic" and "lanczos" (three lobes) are stretched when shrinking, so nothing
    is skipped, "area" is the mean of what each output pixel covers. All but "nearest" weight colours by their alpha.
    """
    _check_size(width, height)
    pixels = to_array(image)
    if method == "nearest":
        return from_array(resample.nearest(pixels, height, width))
    if method not in resample.METHODS:
        raise ValueError(f"no resize method {method!r}; there are {', '.join(RESIZE_METHODS)}")
    return from_array(resample.filtered(pixels, height, width, method))


def upscale(image: Image, factor: int) -> Image:
    """Enlarge `factor` times, every pixel a square of `factor` x `factor` pixels."""
    _whole("factor", factor, 1, MAX_PIXELS)
    _check_size(image.width * factor, image.height * factor)
    return from_array(to_array(image).repeat(factor, axis=0).repeat(factor, axis=1))


def crop(image: Image, *, x: int, y: int, width: int, height: int) -> Image:
    """The part of `width` x `height` pixels whose left upper corner is at (`x`, `y`); it must lie inside."""
    if min(width, height) < 1 or min(x, y) < 0 or x + width > image.width or y + height > image.height:
        part = f"{width} x {height} pixels at ({x}, {y})"
        raise ValueError(f"a part of {part} does not lie inside a picture of {image.width} x {image.height}")
    return from_array(to_array(image)[y : y + height, x : x + width])


def composite(base: Image, overlay: Image, *, x: int = 0, y: int = 0, opacity: float = 1.0) -> Image:
    """`overlay` over `base` ("over" of Porter and Duff, alpha not premultiplied), its left upper corner at (`x`, `y`).

    What lies outside the base is cut away. `opacity` is 0 to 1. The result has the base's size and mode, except that
    a coloured overlay makes an L base RGB.
    """
    _within("opacity", opacity, 0, 1)
    under, over = to_array(base), to_array(overlay)
    if base.mode == "L" and overlay.mode != "L":
        under = under.repeat(3, axis=2)
    result = under.copy()
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + overlay.width, base.width), min(y + overlay.height, base.height)
    if left < right and top < bottom:
        part = over[top - y : bottom - y, left - x : right - x]
        result[top:bottom, left:right] = _blend(result[top:bottom, left:right], part, round(opacity * _UNIT))
    return from_array(result)


def _blend(under: Pixels, over: Pixels, opacity: int) -> Pixels:
    whole = 255 * _UNIT
    under_alpha = under[..., 3:].astype(np.int64) if under.shape[2] == 4 else np.int64(255)
    cover = (over[..., 3:].astype(np.int64) if over.shape[2] == 4 else np.int64(255)) * opacity
    over_share, under_share = cover * 255, under_alpha * (whole - cover)
    alpha = np.broadcast_to(over_share + under_share, (*under.shape[:2], 1))
    result = under.copy()
    colours = result[..., :3]
    mixed = over[..., :3] * over_share + colours * under_share
    colours[...] = np.where(alpha > 0, _divide(mixed, np.maximum(alpha, 1)), colours)
    if under.shape[2] == 4:
        result[..., 3:] = _divide(alpha, whole)
    return result


def _noise(height: int, width: int, layers: int, size: int, seed: int) -> Ints:
    rows, columns = height + size - 1, width + size - 1
    raw = np.random.Philox(key=seed).random_raw(layers * rows * columns)
    # Which byte of a word comes first depends on the machine; their sum does not.
    sums = raw.view(np.uint8).reshape(layers, rows, columns, 8).sum(axis=3, dtype=np.int64) - _NOISE_MEAN
    total = np.pad(sums.cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
    squares = total[:, size:, size:] - total[:, :-size, size:] - total[:, size:, :-size] + total[:, :-size, :-size]
    return np.moveaxis(squares, 0, 2)


@lru_cache(maxsize=64)
def _tone_table(warmth: float, brightness: float, contrast: float, gamma: float) -> Pixels:
    with localcontext(Context(prec=40)):
        gain, middle = (1 + _WARMTH * Decimal(warmth)) * Decimal(brightness), Decimal("127.5")
        return np.array(
            [_level((level * gain - middle) * Decimal(contrast) + middle, Decimal(gamma)) for level in range(256)],
            np.uint8,
        )


def _level(value: Decimal, gamma: Decimal) -> int:
    value = min(max(value, Decimal(0)), Decimal(255))
    if gamma != 1 and value:
        value = 255 * ((value / 255).ln() / gamma).exp()
    return int(value.to_integral_value(ROUND_HALF_UP))


def _luma(colours: npt.NDArray[np.uint8] | Ints) -> Ints:
    """ITU-R BT.601 luma, (h, w, 1), rounded to whole levels."""
    if colours.shape[2] == 1:
        return colours.astype(np.int64)
    red, green, blue = (colours[..., c : c + 1].astype(np.int64) for c in range(3))
    return _divide(299 * red + 587 * green + 114 * blue, 1000)


def _divide(numerator: Ints, divisor: int | Ints) -> Ints:
    """Rounded to the nearest whole number, halves upwards."""
    return (2 * numerator + divisor) // (2 * divisor)


def _with_colours(pixels: Pixels, colours: Ints) -> Image:
    clipped = np.clip(colours, 0, 255).astype(np.uint8)
    return from_array(np.concatenate([clipped, pixels[..., 3:]], axis=2))


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {low} to {high}, not {value}")


def _whole(name: str, value: int, low: int, high: int) -> None:
    if not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} is a whole number from {low} to {high}, not {value!r}")


def _check_size(width: int, height: int) -> None:
    if min(width, height) < 1 or width * height > MAX_PIXELS:
        limit = f"from 1 pixel to {MAX_PIXELS // 1_000_000} megapixels"
        raise ValueError(f"{width} x {height} pixels is no size for a picture: {limit}")

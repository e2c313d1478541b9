"""Resizing by weights, the same to the last bit on every machine.

Weights are whole multiples of 2^-17 and sum to exactly 1; sums of weighted pixels stay below 2^53, so float64 holds
each of them exactly and no order of additions, no BLAS and no fused multiply-add can change a result.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from intaglio.imaging.arrays import Pixels

Floats = npt.NDArray[np.float64]
Weights = tuple[npt.NDArray[np.int64], Floats]

_ONE = float(1 << 17)
_RGBA = 4


def nearest(pixels: Pixels, height: int, width: int) -> Pixels:
    """Each output pixel is the source pixel under its centre."""
    rows = (2 * np.arange(height) + 1) * pixels.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * pixels.shape[1] // (2 * width)
    result: Pixels = pixels.take(rows, axis=0).take(columns, axis=1)
    return result


def filtered(pixels: Pixels, height: int, width: int, method: str) -> Pixels:
    """Both directions by `method`, one of `METHODS`; colours are weighted by their alpha, so none bleeds in unseen."""
    rows, columns = METHODS[method](pixels.shape[0], height), METHODS[method](pixels.shape[1], width)
    source = pixels.astype(np.float64)
    if pixels.shape[2] == _RGBA:
        source[..., :3] *= source[..., 3:]
    total = _apply(_apply(source, columns, axis=1), rows, axis=0)
    if pixels.shape[2] == _RGBA:
        alpha = total[..., 3:]
        total[..., :3] = np.divide(total[..., :3], alpha, out=np.zeros_like(total[..., :3]), where=alpha > 0)
        total[..., 3:] /= _ONE * _ONE
    else:
        total /= _ONE * _ONE
    return np.clip(np.floor(total + 0.5), 0, 255).astype(np.uint8)


def _apply(source: Floats, weights: Weights, axis: int) -> Floats:
    index, factor = weights
    result: Floats | None = None
    shape = (1, -1, 1) if axis else (-1, 1, 1)
    for tap in range(index.shape[1]):
        term = np.take(source, index[:, tap], axis=axis) * factor[:, tap].reshape(shape)
        result = term if result is None else np.add(result, term, out=result)
    assert result is not None  # every output pixel has at least one tap
    return result


def _kernel_weights(source: int, target: int, support: float, kernel: Callable[[Floats], Floats]) -> Weights:
    """Sampled at pixel centres; when shrinking, the kernel is stretched to cover every source pixel."""
    scale = source / target
    stretch = max(scale, 1.0)
    centre = (np.arange(target) + 0.5) * scale
    first = np.floor(centre - support * stretch).astype(np.int64)
    index = first[:, None] + np.arange(int(np.ceil(2 * support * stretch)) + 2)
    raw = kernel((index + 0.5 - centre[:, None]) / stretch)
    return _fixed(index, np.where((index >= 0) & (index < source), raw, 0.0), source)


def _area_weights(source: int, target: int) -> Weights:
    """The share of each source pixel under the output pixel, counted in 1/target of a source pixel."""
    start = np.arange(target) * source
    index = (start // target)[:, None] + np.arange(source // target + 2)
    covered = np.minimum((index + 1) * target, start[:, None] + source) - np.maximum(index * target, start[:, None])
    return _fixed(index, np.maximum(covered, 0).astype(np.float64), source)


def _fixed(index: npt.NDArray[np.int64], raw: Floats, source: int) -> Weights:
    """Round running totals, not weights: then they sum to one, and rounding errors do not pile up on one side."""
    running = np.cumsum(raw, axis=1)  # adds one by one, unlike np.sum, whose order depends on the machine
    edges = np.floor(running / running[:, -1:] * _ONE + 0.5)
    weights = np.diff(edges, axis=1, prepend=0.0)
    used = weights.any(axis=0)
    return np.clip(index, 0, source - 1)[:, used], weights[:, used]


def _triangle(x: Floats) -> Floats:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _cubic(x: Floats) -> Floats:
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _lanczos(x: Floats) -> Floats:
    safe = np.where(x == 0.0, 1.0, x)
    value = 3.0 * _sine(x) * _sine(x / 3.0) / (np.pi * np.pi * safe * safe)
    return np.where(x == 0.0, 1.0, np.where(np.abs(x) < 3.0, value, 0.0))


def _sine(x: Floats) -> Floats:
    """sin(pi x), by additions and multiplications only: the last bit of a library's sine depends on the machine."""
    whole = np.floor(x + 0.5)
    angle = np.pi * (x - whole)
    square, term, total = angle * angle, angle.copy(), angle.copy()
    for k in range(1, 12):
        term = term * square / -(2.0 * k * (2.0 * k + 1.0))
        total = total + term
    return np.where(whole % 2.0 == 0.0, total, -total)


METHODS: dict[str, Callable[[int, int], Weights]] = {
    "bilinear": lambda source, target: _kernel_weights(source, target, 1.0, _triangle),
    "bicubic": lambda source, target: _kernel_weights(source, target, 2.0, _cubic),
    "lanczos": lambda source, target: _kernel_weights(source, target, 3.0, _lanczos),
    "area": _area_weights,
}

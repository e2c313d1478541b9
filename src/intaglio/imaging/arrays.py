"""Between the immutable `Image` and NumPy arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from intaglio.core.image import CHANNELS, Image

Pixels = npt.NDArray[np.uint8]

_MODES = {channels: mode for mode, channels in CHANNELS.items()}
_PLANE, _STACK = 2, 3


def to_array(image: Image) -> Pixels:
    """The pixels as a read-only uint8 array (height, width, channels) that shares the image's memory."""
    return np.frombuffer(image.data, dtype=np.uint8).reshape(image.height, image.width, CHANNELS[image.mode])


def from_array(array: Pixels) -> Image:
    """An image from a uint8 array: (h, w) or (h, w, 1) is L, (h, w, 3) is RGB, (h, w, 4) is RGBA.

    Raises ValueError for any other type or shape, and for an array without pixels.
    """
    if array.dtype != np.uint8:
        raise ValueError(f"pixels are uint8, not {array.dtype}")
    channels = 1 if array.ndim == _PLANE else array.shape[-1]
    if array.ndim not in (_PLANE, _STACK) or channels not in _MODES:
        raise ValueError(f"an array of shape {array.shape} is no picture: (h, w) or (h, w, 1, 3 or 4) is")
    height, width = array.shape[:2]
    return Image(_MODES[channels], width, height, array.tobytes())

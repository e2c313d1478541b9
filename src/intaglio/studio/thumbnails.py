"""Small pictures of assets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intaglio.core.asset import Asset
from intaglio.core.errors import Invalid, InvalidImage
from intaglio.studio.parts import Parts

if TYPE_CHECKING:
    from intaglio.core.image import Image

SIZES = (16, 2048)
MOST_FRAMES = 64
MOST_PIXELS = 100_000_000


def thumbnail(parts: Parts, asset: Asset, *, size: int, frames: int) -> bytes:
    """A PNG of a picture or of a clip's first frame that fits into `size` pixels; nothing is enlarged. With more
    `frames`, so many side by side, spread evenly from the first to the last, and no more than there are.

    Raises Invalid, InvalidImage, NotFound, Damaged, BackendMissing.
    """
    _check(size, frames)
    from intaglio.imaging.grid import thumbnail as shrunk
    from intaglio.imaging.png import encode
    from intaglio.imaging.strip import strip

    shown = [shrunk(image, size) for image in _spread(parts, asset.digest, frames)]
    return encode(shown[0] if len(shown) == 1 else strip(shown))


def first_frame(parts: Parts, digest: str) -> Image:
    """A picture, or a clip's first frame. Raises InvalidImage, NotFound, Damaged, BackendMissing."""
    return _spread(parts, digest, 1)[0]


def _check(size: int, frames: int) -> None:
    if not SIZES[0] <= size <= SIZES[1]:
        raise Invalid(f"a thumbnail of {size} pixels", hint=f"Give a size from {SIZES[0]} to {SIZES[1]}.")
    if not 1 <= frames <= MOST_FRAMES:
        raise Invalid(f"a thumbnail of {frames} frames", hint=f"Give 1 to {MOST_FRAMES} frames.")
    if size * size * frames > MOST_PIXELS:
        raise Invalid(f"{frames} frames of {size} pixels are too large for one picture", hint="Give a smaller size.")


def _spread(parts: Parts, digest: str, wanted: int) -> list[Image]:
    """The first frame, or as many as wanted from the first to the last."""
    from intaglio.imaging.frames import frames

    with parts.blobs.open_verified(digest) as file:
        if wanted == 1:
            return [next(iter(frames(file))).image]
        # Counted and not taken from the record, which may be another library's word.
        count = sum(1 for _ in frames(file))
        places = {round(place * (count - 1) / max(1, wanted - 1)) for place in range(wanted)}
        found = [frame.image for frame in frames(file) if frame.index in places]
    if not found:
        raise InvalidImage("the clip has no frames")
    return found

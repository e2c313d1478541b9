"""A video in memory: the bytes of its file, which are what it is, and what was measured of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from intaglio.core.canonical import digest_bytes
from intaglio.core.image import Image

MP4, QUICKTIME, WEBM, MATROSKA = "video/mp4", "video/quicktime", "video/webm", "video/x-matroska"
MEDIA_TYPES = (MP4, QUICKTIME, WEBM, MATROSKA)


@dataclass(frozen=True)
class Video:
    """An encoded clip: `frames` pictures of width by height pixels, which last `seconds` together.

    Pixels are not kept, because hundreds of pictures would not fit; `imaging.frames` reads them one by one. Raises
    ValueError for a clip of nothing, or of another media type than MEDIA_TYPES.
    """

    data: bytes
    media_type: str
    frames: int
    seconds: float
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.media_type not in MEDIA_TYPES:
            raise ValueError(f"{self.media_type!r} is no video")
        if min(self.frames, self.width, self.height) < 1 or not 0 < self.seconds < float("inf") or not self.data:
            size = f"{self.width}x{self.height}"
            raise ValueError(
                f"a video has frames, a size and a length, not {self.frames} of {size} in {self.seconds} s"
            )

    @cached_property
    def digest(self) -> str:
        """The digest of its bytes: two files of the same pixels are two videos."""
        return digest_bytes(self.data)


# What an edge can carry.
Media = Image | Video

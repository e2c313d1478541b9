"""A picture in memory: immutable pixels with their size and mode, and the digest that names them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from intaglio.core.canonical import PREFIX

CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}


@dataclass(frozen=True)
class Image:
    """8-bit pixels, row by row, channels interleaved: `data` has height * width * channels bytes.

    `mode` is "L", "RGB" or "RGBA" (Pillow's names). Raises ValueError when the sizes contradict each other.
    """

    mode: str
    width: int
    height: int
    data: bytes

    def __post_init__(self) -> None:
        expected = self.width * self.height * CHANNELS[self.mode]
        if self.width < 1 or self.height < 1 or len(self.data) != expected:
            raise ValueError(f"{self.mode} {self.width}x{self.height} needs {expected} bytes, got {len(self.data)}")

    @cached_property
    def digest(self) -> str:
        """The pixel digest: BLAKE3 over mode, size and pixels; the same for every lossless encoding."""
        from blake3 import blake3

        hasher = blake3(f"intaglio pixels {self.mode} {self.width}x{self.height}\n".encode())
        return PREFIX + hasher.update(self.data).hexdigest()

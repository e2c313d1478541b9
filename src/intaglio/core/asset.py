"""Assets: immutable bytes named by their digest."""

from __future__ import annotations

from typing import Literal

from intaglio.core.record import later, record

ADDRESS = "intaglio:asset/"


@record
class Asset:
    """Bytes with their media type; for pictures the size in pixels and the pixel digest too.

    `pixels` is "" where it is not known: for what is no picture, and for pictures of more than 8 bits a channel, whose
    pixels do not fit the 8-bit digest. A clip has `frames`, and lasts `seconds`; for anything else both are 0.
    """

    kind: Literal["asset"] = "asset"
    format: Literal[1] = 1
    digest: str
    size: int
    media_type: str
    width: int = 0
    height: int = 0
    pixels: str = ""
    frames: int = later(0)
    seconds: float = later(0.0)

    @property
    def address(self) -> str:
        """The permanent address: it names the content, wherever the library is."""
        return ADDRESS + self.digest

"""Words in addresses: any text can be asked for, also one that an address cannot hold as it is."""

from __future__ import annotations

import base64
import binascii

_MARK = "="
# What a segment of an address cannot be: none, or a step to another; "-" begins those that are no names.
_NO_SEGMENTS = frozenset({"", ".", "..", "-"})


def in_address(word: str, *, parts: bool = False) -> str:
    """A word as it stands in an address: as it is, else "=" and its base64; with `parts` it may go over several."""
    segments = word.split("/") if parts else [word]
    plain = not (_NO_SEGMENTS & set(segments) or word.startswith(_MARK) or any("/" in each for each in segments))
    return word if plain else _MARK + base64.urlsafe_b64encode(word.encode()).decode().rstrip("=")


def from_address(text: str) -> str:
    """The word that stands in an address."""
    if not text.startswith(_MARK):
        return text
    try:
        digits = text.removeprefix(_MARK)
        return base64.b64decode(digits + "=" * (-len(digits) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return text

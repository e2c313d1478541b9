"""The claim a PNG carries about itself: how it was made, bound to its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from intaglio.core.canonical import canonical, parse_json
from intaglio.core.errors import InvalidRecord, RecordMismatch
from intaglio.imaging import png
from intaglio.imaging.decode import decode

KEYWORD = "intaglio"
PIXELS = "pixels"


def attach_claim(data: bytes, claim: Mapping[str, object]) -> bytes:
    """The PNG `data` with `claim`, as canonical JSON, in a text chunk; its pixel digest is added as "pixels".

    Pixels and all other chunks stay byte for byte. Raises InvalidImage when `data` is not a whole PNG, InvalidRecord
    when the claim cannot be written exactly, RecordMismatch when it already names other pixels.
    """
    actual = decode(data).digest
    _check(claim.get(PIXELS, actual), actual)
    return png.attach_text(data, KEYWORD, canonical({**claim, PIXELS: actual}).decode())


def read_claim(data: bytes) -> dict[str, Any] | None:
    """The claim in the PNG `data`, its "pixels" checked against the picture; None when there is no claim.

    Raises InvalidImage when `data` is not a whole PNG, InvalidRecord when the claim is not one, RecordMismatch when it
    was made for other pixels. That the pixels match says nothing about whether the rest of the claim is true.
    """
    text = png.read_text(data, KEYWORD)
    if text is None:
        return None
    claim = parse_json(text)
    if not isinstance(claim, dict) or PIXELS not in claim:
        raise InvalidRecord("the record inside the picture does not name the pixels it was made for")
    _check(claim[PIXELS], decode(data).digest)
    return claim


def _check(claimed: object, actual: str) -> None:
    if claimed != actual:
        raise RecordMismatch(f"the record inside was made for other pixels ({str(claimed)[:80]}) than these ({actual})")

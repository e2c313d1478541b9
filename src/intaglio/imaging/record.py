"""The claim a file carries about itself: how it was made, bound to what it shows.

It is written by patching the container (PNG, JPEG, WebP, MP4 and MOV): pixels, and all that others wrote, stay byte
for byte. A file that cannot be patched without harm has its claim in a file beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from intaglio.core.canonical import canonical, digest_bytes, parse_json
from intaglio.core.errors import InvalidImage, InvalidRecord, NoPlaceInside, RecordMismatch
from intaglio.imaging import headers, isobmff, jpeg, png, webp
from intaglio.imaging.carried import CREDENTIAL, LIMIT, XMP_NAME, names_credential
from intaglio.imaging.decode import decode
from intaglio.imaging.video import MP4, format_of

KEYWORD = "intaglio"
PIXELS, BYTES = "pixels", "bytes"
# Of the claim as JSON. Pillow refuses to open a PNG with a larger text that is compressed.
MOST_INSIDE = 2**20 - 1


@dataclass(frozen=True)
class _Container:
    """How one format holds a claim. `obstacle` says in words why a file must not be patched, "" when it may."""

    attach: Callable[[bytes, bytes], bytes]
    read: Callable[[bytes], bytes | str | None]
    without: Callable[[bytes], bytes]
    obstacle: Callable[[bytes], str]
    moving: Callable[[bytes], bool]


def attach_claim(data: bytes, claim: Mapping[str, object]) -> bytes:
    """The file `data` with `claim`, as canonical JSON, inside; what binds it to the file is added as "bytes", "pixels".

    Every other byte stays. Raises InvalidImage when `data` is not a whole picture or video, NoPlaceInside when it
    cannot be patched without harm or the claim is too large, InvalidRecord when the claim cannot be written exactly,
    RecordMismatch when it already names other pixels.
    """
    container = _container(data)
    if container is None:
        raise NoPlaceInside("a file of its kind has no place for a record")
    held = container.without(data)
    bound = binding(held)
    for name, actual in bound.items():
        _check(claim.get(name, actual), actual, name)
    if why := container.obstacle(data):
        raise NoPlaceInside(why)
    body = canonical({**claim, **bound})
    if len(body) > MOST_INSIDE:
        raise NoPlaceInside(f"its record of {len(body) / 2**20:.1f} MiB is larger than the 1 MiB that goes inside")
    return container.attach(data, body)


def read_claim(data: bytes) -> dict[str, Any] | None:
    """The claim in the file `data`, checked against what it shows; None when there is no claim.

    Raises InvalidImage when `data` is not a whole picture or video, InvalidRecord when the claim is not one,
    RecordMismatch when it was made for other pixels. That it belongs to the file says nothing about whether the rest of
    the claim is true.
    """
    container = _container(data)
    body = container.read(data) if container else None
    if container is None or body is None:
        return None
    claim = parse_json(body)
    check_claim(container.without(data), claim)
    return dict(claim)


def check_claim(data: bytes, claim: Any, where: str = "inside") -> None:
    """Check that a claim was made for the file `data`, which is without it: for its bytes, or else for its pixels.

    `where` it stands is for the message. Raises InvalidRecord, RecordMismatch; InvalidImage when there is no whole
    picture to compare.
    """
    if not isinstance(claim, dict) or not {BYTES, PIXELS} & claim.keys():
        raise InvalidRecord(f"the record {where} does not name the pixels it was made for")
    actual = digest_bytes(data)
    if claim.get(BYTES) == actual:
        return
    if not _still(data):
        _check(claim.get(BYTES), actual, BYTES, where)
    _check(claim.get(PIXELS), decode(data).digest, PIXELS, where)


def without_claim(data: bytes) -> bytes:
    """The file `data` as it was before its claim went in; itself when there is none. Raises InvalidImage."""
    container = _container(data)
    return container.without(data) if container else data


def binding(data: bytes) -> dict[str, str]:
    """What ties a claim to the file `data`, which is without one: its digest; of a still picture its pixels' too.

    The pixels of a moving one are no name for it: other frames may differ. Raises InvalidImage.
    """
    bound = {BYTES: digest_bytes(data)}
    if _still(data):
        bound[PIXELS] = decode(data).digest
    return bound


def _still(data: bytes) -> bool:
    container = _container(data)
    return container is not None and not container.moving(data)


def _container(data: bytes) -> _Container | None:
    """The container of a picture or video; None when its format has no place. Raises InvalidImage for other files."""
    kind = format_of(data[:12])
    if kind:
        return _VIDEO if kind == MP4 else None
    return _PICTURES.get(headers.inspect(data).media_type)


def _check(claimed: object, actual: str, name: str, where: str = "inside") -> None:
    if claimed != actual:
        raise RecordMismatch(
            f"the record {where} was made for other {name} ({str(claimed)[:80]}) than these ({actual})"
        )


def _png_attach(data: bytes, body: bytes) -> bytes:
    return png.attach_text(data, KEYWORD, body.decode(), deflated=True)


def _png_obstacle(data: bytes) -> str:
    """Why no chunk may be added to a PNG; "" when one may."""
    if {b"caBX", b"dSIG"} & {chunk.type for chunk in png.read_chunks(data)}:
        return CREDENTIAL
    try:
        xmp = png.read_text(data, XMP_NAME)
    except InvalidImage:
        return ""  # not readable as XMP, for anybody
    return CREDENTIAL if xmp and names_credential(xmp.encode()) else ""


_VIDEO = _Container(isobmff.attach, isobmff.read, isobmff.without, isobmff.obstacle, lambda data: True)
_PICTURES = {
    headers.PNG: _Container(
        _png_attach,
        lambda data: png.read_text(data, KEYWORD, LIMIT),
        lambda data: png.without_text(data, KEYWORD),
        _png_obstacle,
        lambda data: any(chunk.type == b"acTL" for chunk in png.read_chunks(data)),
    ),
    headers.JPEG: _Container(jpeg.attach, jpeg.read, jpeg.without, jpeg.obstacle, lambda data: False),
    headers.WEBP: _Container(webp.attach, webp.read, webp.without, webp.obstacle, webp.animated),
}

"""Knowing a file again: by its bytes, or by its pixels once the record inside it is known to be its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from intaglio.core.asset import Asset
from intaglio.core.canonical import digest_bytes
from intaglio.core.errors import Invalid, NotFound
from intaglio.core.version import Version
from intaglio.store.filehash import hash_file
from intaglio.studio.parts import Parts

MAX_BYTES = 2**30


def recognise(parts: Parts, path: Path) -> tuple[list[Asset], dict[str, Any]]:
    """The assets that a file holds, and the claim it carries ({} for none).

    Raises RecordMismatch when the claim belongs to other pixels, InvalidImage for what is no picture, NotFound.
    """
    exact = _exact(parts, path)
    return ([exact], {}) if exact else _by_content(parts, path)


def versions_of_file(parts: Parts, path: Path) -> list[tuple[str, Version]]:
    """The versions that a file is an output of: by its bytes, without its record, or by its pixels.

    Where several are, the one that its claim names. Raises as `recognise`.
    """
    exact = _exact(parts, path)
    found = parts.versions.find(output=exact.digest) if exact else []
    if found:
        return found
    # A file that was given to the library with its record inside is an asset of its own, and no output.
    assets, claim = _by_content(parts, path)
    found = [pair for asset in assets for pair in parts.versions.find(output=asset.digest)]
    return [pair for pair in found if pair[0] == claim.get("version")] or found


def _exact(parts: Parts, path: Path) -> Asset | None:
    with suppress(NotFound):
        return parts.assets.get(hash_file(path, proofs=parts.proofs).digest)
    return None


def _by_content(parts: Parts, path: Path) -> tuple[list[Asset], dict[str, Any]]:
    from intaglio.imaging.record import read_claim, without_claim

    if path.stat().st_size > MAX_BYTES:
        raise Invalid(f"{path} is larger than {MAX_BYTES // 2**20} MiB")
    data = path.read_bytes()
    claim = read_claim(data)
    return list(assets_of(parts, without_claim(data))), claim or {}


def assets_of(parts: Parts, data: bytes) -> Iterator[Asset]:
    """The assets with these bytes, then those that look the same. Raises InvalidImage for a damaged picture."""
    from intaglio.imaging.decode import decode
    from intaglio.imaging.video import format_of

    digest = digest_bytes(data)
    with suppress(NotFound):
        yield parts.assets.get(digest)
    if not format_of(data[:12]):
        yield from (asset for asset in parts.assets.by_pixels(decode(data).digest) if asset.digest != digest)

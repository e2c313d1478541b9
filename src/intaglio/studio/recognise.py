"""Knowing a file again: by its bytes, or by its pixels once the record inside it is known to be its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from intaglio.core.asset import Asset
from intaglio.core.errors import Invalid, NotFound
from intaglio.store.filehash import hash_file
from intaglio.studio.parts import Parts

MAX_BYTES = 2**30
PNG_SIGNATURE = b"\x89PNG"


def recognise(parts: Parts, path: Path) -> tuple[list[Asset], dict[str, Any]]:
    """The assets that a file holds, and the claim it carries ({} for none).

    Raises RecordMismatch when the claim belongs to other pixels, InvalidImage for what is no picture, NotFound.
    """
    from intaglio.imaging.decode import decode
    from intaglio.imaging.record import read_claim

    try:
        return [parts.assets.get(hash_file(path, proofs=parts.proofs).digest)], {}
    except NotFound:
        pass
    if path.stat().st_size > MAX_BYTES:
        raise Invalid(f"{path} is larger than {MAX_BYTES // 2**20} MiB")
    data = path.read_bytes()
    claim = read_claim(data) if data.startswith(PNG_SIGNATURE) else None
    return parts.assets.by_pixels(decode(data).digest), claim or {}

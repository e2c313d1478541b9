"""The local blob folder keeps the contract of blob stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.blob_contract import BlobContract

from intaglio.store.blobs import LocalBlobs
from intaglio.store.proofs import Proofs


class TestLocalBlobs(BlobContract):
    """The suite, on a folder."""

    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Iterator[LocalBlobs]:
        with Proofs(tmp_path / "cache.db") as proofs:
            yield LocalBlobs(tmp_path / "library" / "blobs", proofs)

    def spoil(self, blobs: LocalBlobs, digest: str, data: bytes | None) -> None:
        name = digest.removeprefix("blake3:")
        path = blobs.root / name[:2] / name
        path.unlink(missing_ok=True)
        if data is not None:
            path.write_bytes(data)

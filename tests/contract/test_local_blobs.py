"""The local blob folder keeps the contract of blob stores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.blob_contract import BlobContract

from intaglio.core.canonical import digest_bytes
from intaglio.core.errors import Damaged, NotFound
from intaglio.store.blobs import LocalBlobs, OtherContent
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

    @pytest.mark.parametrize("size", [0, 10, 600_000])
    def test_a_file_is_taken_over_and_given_back(self, blobs: LocalBlobs, tmp_path: Path, size: int) -> None:
        data = os.urandom(size)
        mine, digest = tmp_path / "mine", digest_bytes(data)
        mine.write_bytes(data)
        mine.chmod(0o600)
        (tmp_path / "link").symlink_to(mine)
        how = blobs.take(tmp_path / "link", digest)
        assert blobs.read(digest) == mine.read_bytes() == data
        assert (mine.stat().st_mode & 0o777, mine.stat().st_nlink) == (0o600, 2 if how == "hard link" else 1)
        assert blobs.take(mine, digest, copy=True) == "copy"
        assert mine.stat().st_nlink == 1
        mine.write_bytes(b"changed")
        assert blobs.read(digest) == data, "a copy has bytes of its own"
        assert blobs.give(digest, tmp_path / "back", link=False) in ("reflink", "copy")
        (tmp_path / "back").write_bytes(b"written to")
        blobs.give(digest, tmp_path / "inside", link=True)
        assert (tmp_path / "inside").read_bytes() == blobs.read(digest) == data
        assert [each for each, _, _ in blobs.iter_digests()] == [digest]
        assert list((blobs.root / "tmp").iterdir()) == []

    def test_what_is_not_that_content_is_neither_taken_nor_given(self, blobs: LocalBlobs, tmp_path: Path) -> None:
        mine, digest = tmp_path / "mine", digest_bytes(b"right")
        mine.write_bytes(b"wrong")
        for copy in (False, True):
            with pytest.raises(OtherContent) as raised:
                blobs.take(mine, digest, copy=copy)
            assert raised.value.digest == digest_bytes(b"wrong")
        with pytest.raises(NotFound):
            blobs.take(tmp_path / "nothing", digest)
        assert list(blobs.iter_digests()) == []
        assert list((blobs.root / "tmp").iterdir()) == []
        mine.write_bytes(b"right")
        blobs.take(mine, digest, copy=True)
        self.spoil(blobs, digest, b"other")
        with pytest.raises(Damaged):
            blobs.give(digest, tmp_path / "back", link=False)
        assert not (tmp_path / "back").exists()
        blobs.take(mine, digest)
        assert blobs.read(digest) == b"right", "a whole file heals it"

    def test_a_hard_link_that_is_written_into_is_damaged_and_never_read(
        self, blobs: LocalBlobs, tmp_path: Path
    ) -> None:
        mine, digest = tmp_path / "mine", digest_bytes(b"right")
        mine.write_bytes(b"right")
        if blobs.take(mine, digest) != "hard link":
            pytest.skip("this file system shares bytes in a better way")
        mine.write_bytes(b"wrong")
        with pytest.raises(Damaged):
            blobs.read(digest)

    def test_a_link_that_was_just_taken_is_young_however_old_its_file_is(
        self, blobs: LocalBlobs, tmp_path: Path
    ) -> None:
        mine, digest = tmp_path / "mine", digest_bytes(b"old")
        mine.write_bytes(b"old")
        os.utime(mine, (1_000_000_000, 1_000_000_000))
        blobs.take(mine, digest)
        ((_, _, put_here),) = blobs.iter_digests()
        assert put_here > 1_500_000_000
        assert mine.stat().st_mtime == 1_000_000_000

"""What every blob store promises; a store's own test class gives the `blobs` fixture and `spoil`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from intaglio.core.canonical import digest_bytes
from intaglio.core.errors import Damaged, Invalid, NotFound

DATA = bytes(range(256)) * 5
NOWHERE = digest_bytes(b"never stored")


class BlobContract:
    """One suite for all blob stores."""

    def spoil(self, blobs: Any, digest: str, data: bytes | None) -> None:
        """Replace the stored bytes behind the store's back; None removes them."""
        raise NotImplementedError

    def test_what_is_put_is_read(self, blobs: Any) -> None:
        digest = blobs.put(DATA)
        assert digest == digest_bytes(DATA)
        assert blobs.read(digest) == DATA
        assert blobs.has(digest)
        assert blobs.size(digest) == len(DATA)
        with blobs.open_verified(digest) as file:
            assert file.read() == DATA
        assert blobs.path_of(digest).read_bytes() == DATA

    def test_nothing_is_a_blob_too(self, blobs: Any) -> None:
        assert blobs.read(blobs.put(b"")) == b""

    def test_put_many_keeps_order_and_repeats(self, blobs: Any) -> None:
        assert blobs.put_many([]) == []
        items = [b"b", b"a", b"b", b""]
        assert blobs.put_many(items) == [digest_bytes(item) for item in items]
        assert [blobs.read(digest_bytes(item)) for item in items] == items

    def test_put_again_changes_nothing(self, blobs: Any) -> None:
        blobs.put(DATA)
        before = list(blobs.iter_digests())
        blobs.put_many([DATA, DATA])
        assert list(blobs.iter_digests()) == before

    def test_put_file_reads_once_and_tells_progress(self, blobs: Any, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(DATA * 1_000)
        seen: list[tuple[int, int]] = []
        total = len(DATA) * 1_000
        for _ in range(2):
            digest, size = blobs.put_file(source, progress=lambda done, of: seen.append((done, of)))
            assert (digest, size) == (digest_bytes(DATA * 1_000), total)
        assert seen[-1] == (total, total)
        assert seen == sorted(seen[: len(seen) // 2]) * 2
        assert blobs.read(digest) == DATA * 1_000

    def test_put_file_refuses_what_is_no_file(self, blobs: Any, tmp_path: Path) -> None:
        with pytest.raises(NotFound):
            blobs.put_file(tmp_path / "nowhere")
        with pytest.raises(Invalid, match="is not a file"):
            blobs.put_file(tmp_path)

    def test_iter_digests_lists_all_in_order(self, blobs: Any) -> None:
        assert list(blobs.iter_digests()) == []
        items = [str(number).encode() for number in range(50)]
        blobs.put_many(items)
        found = list(blobs.iter_digests())
        assert [digest for digest, _, _ in found] == sorted(map(digest_bytes, items))
        assert sum(size for _, size, _ in found) == len(b"".join(items))

    @pytest.mark.parametrize("digest", ["", "blake3:", "blake3:../../etc/passwd", "blake3:" + "A" * 64, NOWHERE[7:]])
    def test_what_is_no_digest_is_refused(self, blobs: Any, digest: str) -> None:
        assert not blobs.has(digest)
        for use in (blobs.read, blobs.size, blobs.open_verified, blobs.path_of, blobs.quarantine):
            with pytest.raises(NotFound):
                use(digest)

    def test_missing_is_said(self, blobs: Any) -> None:
        assert not blobs.has(NOWHERE)
        for use in (blobs.read, blobs.size, blobs.open_verified, blobs.path_of):
            with pytest.raises(Damaged, match=f"{NOWHERE} is missing"):
                use(NOWHERE)

    def test_every_flipped_byte_is_refused(self, blobs: Any) -> None:
        data = b"a small blob"
        digest = blobs.put(data)
        for position in range(len(data)):
            self.spoil(blobs, digest, data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
            self.assert_refused(blobs, digest, "is damaged")

    def test_cut_off_is_said(self, blobs: Any) -> None:
        digest = blobs.put(bytes(100))
        self.spoil(blobs, digest, bytes(3))
        self.assert_refused(blobs, digest, "is cut off: 3 of 100 bytes")
        self.spoil(blobs, digest, b"")
        self.assert_refused(blobs, digest, "is cut off: 0 of 100 bytes")

    def test_deleted_and_swapped_are_refused(self, blobs: Any) -> None:
        one, two = blobs.put_many([b"one", b"two"])
        self.spoil(blobs, one, b"two")
        self.spoil(blobs, two, b"one")
        self.assert_refused(blobs, one, "is damaged")
        self.assert_refused(blobs, two, "is damaged")
        self.spoil(blobs, one, None)
        self.assert_refused(blobs, one, "is missing")

    def test_put_heals(self, blobs: Any, tmp_path: Path) -> None:
        digest = blobs.put(DATA)
        for bad in (b"", DATA[:-1], DATA + b"!", None):
            self.spoil(blobs, digest, bad)
            blobs.put(DATA)
            assert blobs.read(digest) == DATA
        source = tmp_path / "source"
        source.write_bytes(DATA)
        self.spoil(blobs, digest, b"bad")
        blobs.put_file(source)
        assert blobs.read(digest) == DATA

    def test_quarantined_comes_back_when_read(self, blobs: Any) -> None:
        digest = blobs.put(DATA)
        blobs.quarantine(digest)
        blobs.quarantine(digest)
        assert not blobs.has(digest)
        assert list(blobs.iter_digests()) == []
        assert blobs.purge_quarantine(3_600) == 0
        assert blobs.read(digest) == DATA
        assert blobs.has(digest)

    def test_damaged_does_not_come_back(self, blobs: Any) -> None:
        digest = blobs.put(DATA)
        self.spoil(blobs, digest, DATA[1:])
        blobs.quarantine(digest)
        with pytest.raises(Damaged, match="is missing"):
            blobs.read(digest)
        blobs.put(DATA)
        blobs.quarantine(digest)
        assert blobs.read(digest) == DATA

    def test_purge_deletes_all_but_the_wanted(self, blobs: Any) -> None:
        wanted, unwanted = blobs.put_many([b"wanted", b"unwanted"])
        blobs.quarantine(wanted)
        blobs.quarantine(unwanted)
        assert blobs.purge_quarantine(0, wanted={wanted}) == 1
        assert blobs.has(wanted)
        with pytest.raises(Damaged, match="is missing"):
            blobs.read(unwanted)

    def assert_refused(self, blobs: Any, digest: str, why: str) -> None:
        uses = [blobs.read, blobs.open_verified, blobs.path_of, lambda it: blobs.verify(it, full=True)]
        for use in uses:
            with pytest.raises(Damaged, match=why) as caught:
                use(digest)
            assert digest in str(caught.value)

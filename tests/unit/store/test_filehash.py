"""Identity of users' files and folders."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intaglio.core.canonical import digest_bytes, digest_value
from intaglio.core.errors import Invalid, InvalidModel, NotFound, StorageFailed, Unavailable
from intaglio.store import filehash
from intaglio.store.filehash import hash_file, hash_folder, unchanged
from intaglio.store.proofs import Proofs


@pytest.fixture
def proofs(tmp_path: Path) -> Iterator[Proofs]:
    with Proofs(tmp_path / "cache.db", clock=lambda: time.time_ns() + 10_000_000_000) as proofs:
        yield proofs


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were really read."""
    seen: list[Path] = []
    real = filehash.hash_open

    def spy(file: BinaryIO, path: Path, progress: filehash.Progress | None = None) -> tuple[str, int]:
        seen.append(path)
        return real(file, path, progress)

    monkeypatch.setattr(filehash, "hash_open", spy)
    return seen


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=100), times=st.integers(1, 20_000))
def test_the_digest_is_of_the_whole_content(tmp_path: Path, proofs: Proofs, data: bytes, times: int) -> None:
    path = write(tmp_path / "model", data * times)
    identity = hash_file(path, proofs=proofs)
    assert (identity.digest, identity.size) == (digest_bytes(data * times), len(data) * times)


def test_read_again_only_when_changed(tmp_path: Path, proofs: Proofs, hashed: list[Path]) -> None:
    path = write(tmp_path / "model", b"one")
    first = hash_file(path, proofs=proofs)
    assert hash_file(path, proofs=proofs) == first
    assert hashed == [path]
    assert hash_file(path, proofs=proofs, full=True) == first
    assert hashed == [path] * 2
    os.utime(path)
    assert hash_file(path, proofs=proofs).digest == first.digest
    assert hashed == [path] * 3


def test_changed_with_size_and_mtime_put_back_is_seen(tmp_path: Path, proofs: Proofs) -> None:
    path = write(tmp_path / "model", b"one")
    before = path.stat()
    first = hash_file(path, proofs=proofs)
    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not unchanged(path, first)
    assert hash_file(path, proofs=proofs).digest == digest_bytes(b"two")


def test_replaced_by_another_file_is_seen(tmp_path: Path, proofs: Proofs) -> None:
    path = write(tmp_path / "model", b"one")
    first = hash_file(path, proofs=proofs)
    write(tmp_path / "other", b"two").rename(path)
    assert not unchanged(path, first)
    assert hash_file(path, proofs=proofs).digest == digest_bytes(b"two")


def test_racily_clean_is_read_again(tmp_path: Path, hashed: list[Path]) -> None:
    path = write(tmp_path / "model", b"one")
    with Proofs(tmp_path / "cache.db") as proofs:
        hash_file(path, proofs=proofs)
        hash_file(path, proofs=proofs)
    assert len(hashed) == 2


def test_changed_while_read_is_tried_again_and_then_refused(tmp_path: Path, proofs: Proofs) -> None:
    path = write(tmp_path / "model", b"one")
    left = [1]

    def disturb(_done: int, _total: int) -> None:
        if left[0]:
            left[0] -= 1
            path.write_bytes(b"other")

    assert hash_file(path, proofs=proofs, progress=disturb).digest == digest_bytes(b"other")
    left[0] = 100
    with pytest.raises(Unavailable, match="model changed while it was being read"):
        hash_file(path, proofs=proofs, progress=disturb, full=True)


def test_progress_goes_up_to_the_whole(tmp_path: Path, proofs: Proofs) -> None:
    seen: list[tuple[int, int]] = []
    path = write(tmp_path / "model", bytes(1_000_000))
    hash_file(path, proofs=proofs, progress=lambda done, total: seen.append((done, total)))
    assert len(seen) > 2
    assert seen == sorted(seen)
    assert seen[-1] == (1_000_000, 1_000_000)


def test_what_is_no_file_is_refused(tmp_path: Path, proofs: Proofs) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "cache.db" / "in it"):
        write(tmp_path / "cache.db", b"")
        with pytest.raises(Invalid, match="is not a file"):
            hash_file(path, proofs=proofs)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(Invalid):
        hash_file(tmp_path / "loop", proofs=proofs)
    with pytest.raises(NotFound):
        hash_file(tmp_path / "nowhere", proofs=proofs)
    with pytest.raises(StorageFailed, match="file name too long while opening"):
        hash_file(tmp_path / ("x" * 300), proofs=proofs)


def test_a_folder_is_its_sorted_files(tmp_path: Path, proofs: Proofs) -> None:
    root = tmp_path / "model"
    contents = {"unet/b.safetensors": b"b", "a.json": b"{}", "unet-x": b"x", ".gitattributes": b"g"}
    for name, data in contents.items():
        write(root / name, data)
    for left_out in (".git/HEAD", "unet/__pycache__/x.pyc", ".cache/x", "unet/.DS_Store"):
        write(root / left_out, b"left out")
    (root / "empty").mkdir()
    identity = hash_folder(root, proofs=proofs)
    assert identity.files == tuple((name, digest_bytes(data), len(data)) for name, data in sorted(contents.items()))
    assert identity.digest == digest_value("folder", [[name, digest] for name, digest, _ in identity.files])
    assert identity.size == sum(map(len, contents.values()))
    write(root / ".git" / "index", b"changes nothing")
    assert hash_folder(root, proofs=proofs) == identity
    assert unchanged(root, identity)


@pytest.mark.parametrize("change", ["content", "added", "removed", "renamed", "gone"])
def test_a_changed_folder_is_seen(tmp_path: Path, proofs: Proofs, change: str) -> None:
    root = tmp_path / "model"
    write(root / "one", b"1")
    write(root / "two", b"2")
    identity = hash_folder(root, proofs=proofs)
    changes: dict[str, Callable[[], object]] = {
        "content": lambda: (root / "one").write_bytes(b"x"),
        "added": lambda: (root / "three").write_bytes(b"3"),
        "removed": (root / "one").unlink,
        "renamed": lambda: (root / "one").rename(root / "three"),
        "gone": lambda: root.rename(tmp_path / "away"),
    }
    changes[change]()
    assert not unchanged(root, identity)


def test_only_the_changed_files_of_a_folder_are_read_again(tmp_path: Path, proofs: Proofs, hashed: list[Path]) -> None:
    root = tmp_path / "model"
    write(root / "one", b"1")
    write(root / "two", b"2")
    hash_folder(root, proofs=proofs)
    (root / "one").write_bytes(b"x")
    hash_folder(root, proofs=proofs)
    assert hashed == [root / "one", root / "two", root / "one"]
    hash_folder(root, proofs=proofs, full=True)
    assert len(hashed) == 5


def test_file_links_are_followed_and_others_refused(tmp_path: Path, proofs: Proofs) -> None:
    root = tmp_path / "model"
    target = write(tmp_path / "hub" / "blob", b"weights")
    root.mkdir()
    (root / "weights").symlink_to(target)
    identity = hash_folder(root, proofs=proofs)
    assert identity.files == (("weights", digest_bytes(b"weights"), 7),)
    target.write_bytes(b"changed")
    assert not unchanged(root, identity)
    for kind, words in ((tmp_path / "nothing", "link to nothing"), (tmp_path / "hub", "link to a folder")):
        (root / "link").symlink_to(kind)
        with pytest.raises(InvalidModel, match=words):
            hash_folder(root, proofs=proofs)
        (root / "link").unlink()
    os.mkfifo(root / "fifo")
    with pytest.raises(InvalidModel, match="is not a file"):
        hash_folder(root, proofs=proofs)


def test_what_is_no_model_folder_is_refused(tmp_path: Path, proofs: Proofs) -> None:
    (tmp_path / "empty" / "er").mkdir(parents=True)
    with pytest.raises(InvalidModel, match="no files"):
        hash_folder(tmp_path / "empty", proofs=proofs)
    with pytest.raises(InvalidModel, match="is not a folder"):
        hash_folder(write(tmp_path / "file", b""), proofs=proofs)
    with pytest.raises(NotFound):
        hash_folder(tmp_path / "nowhere", proofs=proofs)
    write(tmp_path / "bad" / os.fsdecode(b"\xff"), b"")
    with pytest.raises(InvalidModel, match="not Unicode"):
        hash_folder(tmp_path / "bad", proofs=proofs)


def test_a_folder_that_changes_while_read_is_refused(tmp_path: Path, proofs: Proofs) -> None:
    root = tmp_path / "model"
    write(root / "one", b"1")
    write(root / "two", b"2")
    seen: list[tuple[int, int]] = []

    def disturb(done: int, total: int) -> None:
        seen.append((done, total))
        if done == total:
            (root / "one").write_bytes(b"x")

    with pytest.raises(Unavailable, match="changed while it was being read"):
        hash_folder(root, proofs=proofs, progress=disturb)
    assert seen == [(1, 2), (2, 2)]

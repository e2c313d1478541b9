"""The one door to the disk: failpoints, and what the system refuses in plain words."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from intaglio.core.errors import StorageFailed
from intaglio.store import disk


@pytest.fixture(autouse=True)
def _no_observer() -> Iterator[None]:
    yield
    disk.observe(None)


def test_every_change_has_a_failpoint_on_either_side(tmp_path: Path) -> None:
    seen: list[str] = []
    disk.observe(seen.append)
    folder = tmp_path / "folder"
    disk.make_folder(folder)
    disk.write_new(folder / "new", b"data")
    disk.sync_file(folder / "new")
    disk.rename(folder / "new", folder / "name")
    disk.sync_folder(folder)
    disk.unlink(folder / "name")
    disk.remove_folder(folder)
    os.close(disk.open_lock(tmp_path / "lock"))
    names = ["make_folder", "write", "sync_file", "rename", "sync_folder", "unlink", "remove_folder", "open_lock"]
    assert [each for each in seen if each != "chunk:before"] == [
        f"{name}:{side}" for name in names for side in ("before", "after")
    ]
    assert "chunk:before" in seen


def test_without_an_observer_a_point_does_nothing() -> None:
    disk.point("anything")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left on the disk while writing /there"),
        (errno.EDQUOT, "the disk quota is used up while writing /there"),
        (errno.EROFS, "the disk is read-only while writing /there"),
        (errno.EACCES, "no permission while writing /there"),
        (errno.EIO, "the disk reported an error while writing /there"),
        (errno.EMFILE, "too many open files while writing /there"),
    ],
)
def test_refusals_are_told_in_plain_words(number: int, words: str) -> None:
    with pytest.raises(StorageFailed) as caught, disk.plain_errors("writing", Path("/there")):
        raise OSError(number, os.strerror(number))
    assert str(caught.value) == words
    assert isinstance(caught.value.__cause__, OSError)


def test_new_files_are_read_only_and_never_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "file"
    disk.write_new(path, b"data")
    assert path.read_bytes() == b"data"
    assert path.stat().st_mode & 0o222 == 0
    with pytest.raises(StorageFailed, match="file exists while writing"):
        disk.write_new(path, b"other")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(StorageFailed):
        disk.write_new(tmp_path / "link", b"other")
    assert path.read_bytes() == b"data"
    assert not (tmp_path / "target").exists()


def test_a_link_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    assert disk.make_folder(tmp_path / "folder")
    assert not disk.make_folder(tmp_path / "folder")
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    with pytest.raises(StorageFailed, match="file exists"):
        disk.make_folder(tmp_path / "link")


def test_removing_what_is_gone_or_full_is_no_error(tmp_path: Path) -> None:
    disk.unlink(tmp_path / "nothing")
    disk.remove_folder(tmp_path / "nothing")
    disk.make_tree(tmp_path / "a" / "b")
    disk.make_tree(tmp_path / "a" / "b")
    disk.remove_folder(tmp_path / "a")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(StorageFailed, match="not a directory while removing"):
        disk.remove_folder(tmp_path / "file")

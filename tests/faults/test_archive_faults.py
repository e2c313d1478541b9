"""MODEL 3 under faults: the archive on a full disk, killed anywhere, with files that change meanwhile, and damaged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.archive_scenario import SETTINGS, content, prepare

from intaglio.core.errors import Cancelled, Conflict, Damaged, ModelUnavailable, StorageFailed
from intaglio.store import disk
from intaglio.studio.open import Studio, open_studio

SCENARIO = Path(__file__).with_name("archive_scenario.py")


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Studio]:
    """A library with a model of one small file and a folder beside it; the files are in tmp_path/mine."""
    prepare(tmp_path)
    with open_studio(tmp_path / "library", SETTINGS) as studio:
        yield studio


@pytest.fixture(autouse=True)
def unobserved() -> Iterator[None]:
    yield
    disk.observe(None)


def swept(kind: str, folder: Path, step: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SCENARIO), kind, str(folder / "sweep"), str(step)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_MODEL_3_killed_at_every_point_of_the_archive(quick_folder: Path) -> None:
    report = swept("kill", quick_folder, 1)
    assert report["failures"] == []
    assert report["points"] >= 250
    assert report["stopped"] == report["points"]


def test_MODEL_3_a_full_disk_at_any_point_of_the_archive(quick_folder: Path) -> None:
    report = swept("full", quick_folder, 2)
    assert report["failures"] == []
    assert report["stopped"] > 100


def test_MODEL_3_a_file_that_changes_while_it_is_kept_is_not_kept(small: Studio, tmp_path: Path) -> None:
    file = tmp_path / "mine" / "small.safetensors"
    right = file.read_bytes()
    for copy, point in ((False, "hard_link:after"), (True, "write:before")):
        config = small.models.find("small").config
        small.models.keep(config, copy=copy)

        def meddle(name: str, point: str = point) -> None:
            if name == point:
                file.write_bytes(right[:-1] + b"?")

        disk.observe(meddle)
        with pytest.raises(ModelUnavailable, match="not the recorded"):
            small.models.keep("small", copy=copy)
        disk.observe(None)
        assert [kept.digest for kept in small._parts.kept.list()] == [config]
        assert small.library.check().problems == ()
        file.write_bytes(right)
    assert small.models.keep("small").already is False


def test_MODEL_3_a_full_disk_leaves_nothing_half_kept_and_the_next_try_goes_on(small: Studio) -> None:
    config = small.models.find("small").config
    taken: list[str] = []

    def full(name: str) -> None:
        if name in ("hard_link:before", "reflink:before", "write:before"):
            taken.append(name)
            if len(taken) > 3:
                raise OSError(28, "No space left on device")

    disk.observe(full)
    with pytest.raises(StorageFailed, match="no space left"):
        small.models.keep(config, copy=True)
    disk.observe(None)
    assert small._parts.kept.list() == []
    first = {digest for digest, _, _ in small._parts.blobs.iter_digests()}
    assert len(first) == 3
    again: list[str] = []
    disk.observe(lambda name: again.append(name) if name == "write:before" else None)
    small.models.keep(config, copy=True)
    assert len(again) == len(small.models.find(config).files) - len(first), "what was taken is not taken again"


def test_MODEL_3_stopped_by_its_user_it_is_not_kept(small: Studio) -> None:
    def stop(done: int, total: int) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        small.models.keep("small", progress=stop)
    assert small._parts.kept.list() == []
    assert list((small.root / "blobs").glob("tmp/*")) == []
    small.models.keep("small")
    target = small.root.parent / "back" / "small.safetensors"
    with pytest.raises(Cancelled):
        small.models.restore("small", to=target, progress=stop)
    assert list(target.parent.iterdir()) == []


def test_MODEL_3_a_damaged_kept_copy_is_never_used(small: Studio, tmp_path: Path) -> None:
    model = small.models.find("small")
    right = content(tmp_path / "mine" / "config")
    small.models.keep("small", copy=True)
    blob = small._parts.blobs._path(model.digest)
    blob.chmod(0o644)
    blob.write_bytes(b"?" + blob.read_bytes()[1:])
    (tmp_path / "mine" / "small.safetensors").rename(tmp_path / "elsewhere")
    checked = small.models.check(model.digest)
    assert checked.state == "missing"
    assert "the kept copy is damaged too" in checked.found
    with pytest.raises(ModelUnavailable, match="damaged too"):
        small.models.file(model.ref)
    with pytest.raises(Damaged):
        small.models.restore("small")
    assert list((tmp_path / "mine").iterdir()) == [tmp_path / "mine" / "config"], "nothing half restored"
    (problem,) = small.library.check().problems
    assert (problem.kind, problem.id) == ("kept-model", model.digest)
    assert content(tmp_path / "mine" / "config") == right
    (tmp_path / "elsewhere").rename(tmp_path / "mine" / "small.safetensors")
    assert small.models.keep("small", copy=True).already is False, "a whole file heals it"
    assert small.library.check().problems == ()


def test_MODEL_3_a_laid_out_model_that_was_spoiled_is_laid_out_anew(small: Studio, tmp_path: Path) -> None:
    model = small.models.find("small")
    small.models.keep("small")
    right = content(tmp_path / "mine" / "config")
    shutil.rmtree(tmp_path / "mine")
    used = small.models.file(model.ref)
    assert used.config is not None
    (used.config / "model_index.json").unlink()
    used.path.unlink()
    used.path.write_bytes(b"spoiled")
    with pytest.raises(ModelUnavailable, match="while it was in use"):
        used.check()
    again = small.models.file(model.ref)
    assert again.config is not None
    again.check()
    assert content(again.config) == right


def test_MODEL_3_nothing_that_comes_in_between_is_overwritten(small: Studio, tmp_path: Path) -> None:
    small.models.keep("small")
    for name, reference in (("file", "small"), ("folder", small.models.find("small").config)):
        target = tmp_path / "back" / name

        def come(point: str, target: Path = target) -> None:
            if point == "rename_new:before":
                target.write_bytes(b"just came")

        disk.observe(come)
        with pytest.raises(Conflict, match="there already"):
            small.models.restore(reference, to=target)
        disk.observe(None)
        assert target.read_bytes() == b"just came"
        assert [path.name for path in target.parent.iterdir()] == [name]
        target.unlink()


def test_MODEL_3_a_file_that_may_not_be_linked_is_copied(
    small: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    archived = small.models.keep("small")
    assert archived.kept.how == "copy"
    shutil.rmtree(tmp_path / "mine")
    small.models.restore("small")
    assert small.models.check(archived.model.digest).state == "ok"

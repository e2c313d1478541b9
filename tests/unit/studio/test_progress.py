"""Progress: two small files beside a lock, which nobody has to trust and nothing depends on."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from intaglio.core.codec import encode
from intaglio.core.errors import Invalid
from intaglio.core.image import Image
from intaglio.core.progress import Progress
from intaglio.store.lock import TaskLock
from intaglio.studio import progress as shown
from intaglio.studio.open import init
from intaglio.studio.parts import Parts
from intaglio.studio.progress import Telling, clear, preview, read, sweep, write

TASK = "20261120-204501-7f3a9c12"
JOB = f"job-{TASK}"
SAID = Progress(task=TASK, step="base", done=3, total=15, time="2026-11-20T20:45:01.000000Z")
PNG, JPEG = b"\x89PNG\r\n\x1a\n...", b"\xff\xd8\xff\xe0..."
RED = Image("RGB", 1, 1, b"\xff\0\0")


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with init(tmp_path) as studio:
        yield studio.parts


@pytest.fixture
def lock(parts: Parts) -> Iterator[TaskLock]:
    """Somebody at work at the task."""
    with TaskLock.hold(parts.root / "locks" / f"{TASK}.lock") as held:
        yield held


def files(parts: Parts) -> set[str]:
    """What lies in the folder of locks, but for locks."""
    return {path.name for path in (parts.root / "locks").iterdir() if path.suffix != ".lock"}


def until(condition: Any, seconds: float = 10.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


# -- the files --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("lock")
def test_what_is_written_is_read_until_it_is_cleared(parts: Parts) -> None:
    assert (read(parts, TASK), preview(parts, TASK)) == (None, None)
    write(parts, SAID, PNG)
    assert read(parts, TASK) == SAID
    assert preview(parts, TASK) == (PNG, "image/png")
    write(parts, replace(SAID, done=4))
    assert read(parts, TASK) == replace(SAID, done=4)
    assert preview(parts, TASK) == (PNG, "image/png"), "the picture before stays"
    write(parts, SAID, JPEG)
    assert preview(parts, TASK) == (JPEG, "image/jpeg")
    clear(parts, TASK)
    assert (read(parts, TASK), preview(parts, TASK), files(parts)) == (None, None, set())


def test_a_job_has_its_own(parts: Parts) -> None:
    with TaskLock.hold(parts.root / "locks" / f"{JOB}.lock"), Telling(parts, JOB) as telling:
        telling.tell("cells", 1, 9, task=TASK)
        until(lambda: read(parts, JOB))
        said = read(parts, JOB)
        assert said is not None
        assert (said.job, said.task, said.step, said.done, said.total) == (JOB, TASK, "cells", 1, 9)
        assert read(parts, TASK) is None


def test_nothing_is_said_of_what_nobody_is_at(parts: Parts, lock: TaskLock) -> None:
    write(parts, SAID, PNG)
    lock.release()
    assert (read(parts, TASK), preview(parts, TASK)) == (None, None)


@pytest.mark.usefixtures("lock")
@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        encode(SAID)[:-1],
        encode(SAID) + b" " * shown.MOST_BYTES,
        encode(replace(SAID, task="20261120-204501-00000000")),
        b'{"kind":"progress","format":2}',
        b"[" * 20_000,
    ],
)
def test_whatever_lies_there_never_raises(parts: Parts, garbage: bytes) -> None:
    for ending in (".progress", ".preview"):
        (parts.root / "locks" / f"{TASK}{ending}").write_bytes(garbage)
    assert (read(parts, TASK), preview(parts, TASK)) == (None, None)


@pytest.mark.usefixtures("lock")
@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_nor_does_what_is_no_file_hold_anybody_up(parts: Parts, tmp_path: Path, kind: str) -> None:
    (tmp_path / "elsewhere").write_bytes(encode(SAID))
    path = parts.root / "locks" / f"{TASK}.progress"
    match kind:
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(tmp_path / "elsewhere")
        case "pipe":
            os.mkfifo(path)
    assert read(parts, TASK) is None
    write(parts, SAID, PNG)
    assert read(parts, TASK) == (None if kind == "folder" else SAID)
    assert (tmp_path / "elsewhere").read_bytes() == encode(SAID)


@pytest.mark.usefixtures("lock")
def test_a_picture_that_is_too_large_is_none(parts: Parts) -> None:
    write(parts, SAID, PNG + bytes(shown.MOST_PREVIEW_BYTES))
    assert preview(parts, TASK) is None


@pytest.mark.parametrize("name", ["", "..", "../library.db", f"{TASK}/..", f"{TASK}\n", f"x{TASK}", "job-", "\0", "é"])
def test_a_hostile_id_reaches_no_file(parts: Parts, name: str) -> None:
    assert (read(parts, name), preview(parts, name)) == (None, None)
    with pytest.raises(Invalid):
        write(parts, replace(SAID, task=name))
    with pytest.raises(Invalid):
        clear(parts, name)


@pytest.mark.usefixtures("lock")
def test_what_the_disk_refuses_is_left_unsaid(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    write(parts, SAID, PNG)
    assert (read(parts, TASK), preview(parts, TASK)) == (None, None)
    clear(parts, TASK)
    assert files(parts) == set()


def test_gc_sweeps_what_killed_runners_left_and_nothing_else(parts: Parts, lock: TaskLock) -> None:
    dead = "20261120-204501-0000dead"
    write(parts, SAID, PNG)
    for name in (dead, f"job-{dead}"):
        for ending in (".progress", ".preview", ".progress.new", ".preview.new"):
            (parts.root / "locks" / f"{name}{ending}").touch()
    others = {"notes.progress", f"{dead}.cancel"}
    for name in others:
        (parts.root / "locks" / name).touch()
    sweep(parts)
    assert files(parts) == {f"{TASK}.progress", f"{TASK}.preview"} | others


# -- telling ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, str, int]]:
    """When what was written."""
    found: list[tuple[float, str, int]] = []

    def noting(parts: Parts, said: Progress, picture: bytes | None) -> None:
        found.append((time.monotonic(), said.step, said.done))
        write(parts, said, picture)

    monkeypatch.setattr(shown, "write", noting)
    return found


@pytest.mark.usefixtures("lock")
def test_the_last_state_is_written_and_at_most_five_a_second(
    parts: Parts, written: list[tuple[float, str, int]]
) -> None:
    with Telling(parts, TASK) as telling:
        for done in range(1000):
            telling.tell("base", done, 1000)
            time.sleep(0.001)
        telling.tell("base", 1000, 1000)
        until(lambda: written and written[-1][1:] == ("base", 1000))
        said = read(parts, TASK)
        assert said is not None
        assert (said.task, said.step, said.done, said.total, said.preview) == (TASK, "base", 1000, 1000, "")
    assert len(written) >= 3
    moments = [moment for moment, _, _ in written]
    assert all(later - earlier >= 0.19 for earlier, later in pairwise(moments))
    assert files(parts) == set(), "and nothing once it is over"


@pytest.mark.usefixtures("lock")
def test_a_step_without_any_unit_of_work_is_shown_too(parts: Parts) -> None:
    with Telling(parts, TASK) as telling:
        telling.tell("slow", 0, 0)
        until(lambda: read(parts, TASK) is not None)


@pytest.mark.usefixtures("lock")
def test_what_is_over_at_once_is_never_written(parts: Parts, written: list[tuple[float, str, int]]) -> None:
    with Telling(parts, TASK) as telling:
        for step in ("a", "b", "c"):
            telling.tell(step, 0, 0)
            telling.tell(step, 1, 1)
    assert written == []


@pytest.mark.usefixtures("lock")
def test_what_an_attempt_that_was_killed_left_is_gone_when_the_next_begins(parts: Parts) -> None:
    write(parts, SAID, PNG)
    with Telling(parts, TASK):
        assert (read(parts, TASK), preview(parts, TASK)) == (None, None)


@pytest.mark.usefixtures("lock")
def test_numbers_that_are_none_fail_nobody(parts: Parts) -> None:
    with Telling(parts, TASK) as telling:
        for strange in (float("nan"), 10**400, "many", object()):
            telling.tell("odd", strange, 1)  # type: ignore[arg-type]  # a node may be anybody's code
            time.sleep(0.25)
        telling.tell("base", 1, 1)
        until(lambda: read(parts, TASK) is not None)


@pytest.mark.usefixtures("lock")
def test_previews_are_made_at_most_once_a_second_and_said(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[float] = []

    def make() -> Image:
        made.append(time.monotonic())
        return RED

    with Telling(parts, TASK) as telling:
        telling.tell("base", 0, 2)

        def offered() -> bool:
            telling.offer(make)
            return len(made) >= 2

        until(offered)
        until(lambda: preview(parts, TASK) is not None)
        until(lambda: (said := read(parts, TASK)) is not None and said.preview == f"{TASK}.preview")
        found = preview(parts, TASK)
        assert found is not None and found[1] == "image/png"
    assert made[1] - made[0] >= shown.PREVIEW_PAUSE_S
    assert files(parts) == set()


@pytest.mark.usefixtures("lock")
def test_slow_previews_are_made_seldom(parts: Parts) -> None:
    """Ones that take 0.3 s: not before 3 s have passed."""
    made = 0

    def make() -> None:
        nonlocal made
        made += 1
        time.sleep(0.3)

    with Telling(parts, TASK) as telling:
        began = time.monotonic()
        while time.monotonic() - began < 2.5:
            telling.offer(make)
            time.sleep(0.01)
    assert made == 1

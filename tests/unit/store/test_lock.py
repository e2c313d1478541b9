"""Locks between processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from intaglio.core.errors import StorageFailed, Unavailable
from intaglio.store.lock import TaskLock, library_lock


def start(work: Callable[[], object]) -> tuple[int, int]:
    """A child that does `work`, says so through the pipe that is returned, and then waits to be killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            kept = work()
            os.write(writer, b"!")
            signal.pause()
            del kept
        finally:
            os._exit(1)
    os.close(writer)
    return child, reader


def kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_task_lock_tells_whether_its_runner_lives(tmp_path: Path) -> None:
    path = tmp_path / "task.lock"
    assert not TaskLock.is_held(path)
    child, reader = start(lambda: TaskLock.hold(path))
    assert os.read(reader, 1) == b"!"
    os.close(reader)
    assert TaskLock.is_held(path)
    with pytest.raises(Unavailable, match="is held by another process"):
        TaskLock.hold(path, timeout_s=0)
    kill(child)
    assert path.exists()
    assert not TaskLock.is_held(path)
    with TaskLock.hold(path) as lock:
        assert TaskLock.is_held(path)
        lock.release()
        assert not TaskLock.is_held(path)
    assert not path.exists()


def test_asking_does_not_disturb_holding(tmp_path: Path) -> None:
    path = tmp_path / "task.lock"

    def ask() -> None:
        while True:
            TaskLock.is_held(path)

    child, reader = start(ask)
    try:
        for _ in range(200):
            TaskLock.hold(path).release()
    finally:
        os.close(reader)
        kill(child)


def test_only_one_holds_however_many_take_and_remove(tmp_path: Path) -> None:
    path, count = tmp_path / "task.lock", tmp_path / "count"
    count.write_text("0")

    def work() -> None:
        for _ in range(50):
            with TaskLock.hold(path, timeout_s=20):
                count.write_text(str(int(count.read_text()) + 1))

    children = []
    for _ in range(3):
        child = os.fork()
        if not child:
            status = 1
            try:
                work()
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert count.read_text() == "150"


def test_a_library_is_made_by_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "library.lock"

    def take() -> object:
        lock = library_lock(path)
        lock.__enter__()
        return lock

    child, reader = start(take)
    assert os.read(reader, 1) == b"!"
    os.close(reader)
    with pytest.raises(Unavailable, match="is held by another process"), library_lock(path, timeout_s=0.05):
        raise AssertionError
    kill(child)
    for _ in range(2):
        with library_lock(path, timeout_s=0):
            pass
    assert path.exists()


def test_where_no_lock_can_be_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for take in (TaskLock.hold, TaskLock.is_held):
        with pytest.raises(StorageFailed, match="while opening"):
            take(tmp_path / "link")

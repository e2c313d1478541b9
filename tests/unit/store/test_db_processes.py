"""Many processes on one library, and processes that are killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from unit.store.test_db_samples import (
    PLAN,
    asset,
    fork,
    in_processes,
    queued,
    snapshot,
    step,
    stores,
    version,
    workflow,
)

from intaglio.core.errors import Conflict
from intaglio.store import disk
from intaglio.store.integrity import check_rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "library.db"


def killed_at(number: int, work: Callable[[], None]) -> bool:
    """Run `work` in a process that is killed at its failpoint of that number; whether it got there."""

    def run() -> None:
        passed = count()

        def observer(_: str) -> None:
            if next(passed) == number:
                os.kill(os.getpid(), signal.SIGKILL)

        disk.observe(observer)
        work()

    status = os.waitpid(fork(run), 0)[1]
    assert status in (0, signal.SIGKILL)
    return status != 0


def test_eight_open_at_once_where_there_is_no_library(tmp_path: Path) -> None:
    for attempt in range(3):
        path = tmp_path / str(attempt) / "library.db"

        def work(place: int, path: Path = path) -> None:
            library = stores(path)
            library.assets.add(asset(str(place)))
            library.database.close()

        in_processes(8, work)
        library = stores(path, create=False)
        assert len(library.assets.digests()) == 8
        library.database.close()


def test_versions_saved_at_once_are_numbered_without_gaps(path: Path) -> None:
    library = stores(path)
    kept = library.documents.put(snapshot("t1"))
    library.database.close()

    def work(place: int) -> None:
        library = stores(path, create=False)
        for turn in range(50):
            task = f"t{place}-{turn}"
            library.tasks.add(queued(task, library.documents.put(PLAN)))
            library.versions.save("poster", lambda number: version(number, kept), task=task)

    in_processes(8, work)
    library = stores(path, create=False)
    found = library.versions.find(workflow="poster")
    assert [each.number for _, each in found] == list(range(400, 0, -1))
    assert {task.version for task in library.tasks.list(limit=1000)} == {digest for digest, _ in found}
    assert list(check_rows(library.database)) == []
    library.database.close()


def test_thirty_two_processes_lose_nothing(path: Path) -> None:
    library = stores(path)
    plan = library.documents.put(PLAN)
    library.tasks.add(queued("t1", plan))
    library.database.close()

    def work(place: int) -> None:
        library = stores(path, create=False)
        for turn in range(10):
            name = f"{place}-{turn}"
            library.counters.next("seed", 1)
            library.workflows.add(workflow(description=name))
            library.tasks.add_step(step("t1", name, name, key=name), [asset(name)], [("done", name, {})])
            library.tasks.log("t1", "more")

    in_processes(32, work)
    library = stores(path, create=False)
    assert library.counters.next("seed", 1) == 321
    assert library.workflows.get("poster")[1] == 320
    assert len(library.tasks.steps("t1")) == 320
    assert [event.number for event in library.tasks.events("t1")] == list(range(1, 641))
    assert list(check_rows(library.database)) == []
    library.database.close()


def test_one_of_many_takes_a_task(path: Path, tmp_path: Path) -> None:
    library = stores(path)
    library.tasks.add(queued("t1", library.documents.put(PLAN)))
    library.database.close()

    def work(place: int) -> None:
        library = stores(path, create=False)
        try:
            library.tasks.advance("t1", "running", author=str(place))
        except Conflict:
            return
        (tmp_path / f"took {place}").touch()

    in_processes(8, work)
    library = stores(path, create=False)
    assert [each.name for each in tmp_path.glob("took *")] == [f"took {library.tasks.get('t1').author}"]
    library.database.close()


def test_killed_at_any_failpoint_while_a_library_is_made(tmp_path: Path) -> None:
    for number in count():
        path = tmp_path / str(number) / "library.db"
        killed = killed_at(number, lambda path=path: stores(path).database.close())  # type: ignore[misc]
        library = stores(path)
        library.assets.add(asset("a"))
        assert list(check_rows(library.database)) == []
        library.database.close()
        if not killed:
            break
    assert number > 3


def test_killed_at_any_moment_while_a_library_is_made(tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / str(number) / "library.db"
        child = fork(lambda path=path: stores(path).database.close())  # type: ignore[misc]
        time.sleep(number * 0.001)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        library = stores(path)
        library.assets.add(asset("a"))
        assert list(check_rows(library.database)) == []
        library.database.close()


def test_killed_around_a_commit_a_step_is_whole_or_absent(path: Path) -> None:
    library = stores(path)
    library.tasks.add(queued("t1", library.documents.put(PLAN)))
    library.database.close()

    def work(name: str) -> None:
        library = stores(path, create=False)
        library.tasks.add_step(step("t1", name, name), [asset(name)], [("done", name, {})])

    for number, there in enumerate((False, True)):
        name = f"s{number}"
        assert killed_at(number, lambda name=name: work(name))  # type: ignore[misc]
        library = stores(path, create=False)
        assert any(record.step == name for record in library.tasks.steps("t1")) == there
        assert (asset(name).digest in library.assets.digests()) == there
        assert any(event.step == name for event in library.tasks.events("t1")) == there
        assert list(check_rows(library.database)) == []
        library.database.close()

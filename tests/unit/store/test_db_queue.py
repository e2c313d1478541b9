"""The queue: order, places, and what may be taken."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from unit.store.test_db_samples import PLAN, Stores, in_processes, job, queued, snapshot, stores, undone

from intaglio.core.errors import Conflict, Damaged, NotFound
from intaglio.core.task import Status
from intaglio.store.integrity import check_rows


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Stores]:
    library = stores(tmp_path / "library.db")
    yield library
    library.database.close()


def fill(library: Stores, count: int) -> list[str]:
    ids = [f"t{number}" for number in range(count)]
    with library.database.write():
        for id in ids:
            library.queue.add(id, "task")
    return ids


def order(library: Stores) -> list[str]:
    return [entry.id for entry in library.queue.list(limit=10**6)]


def test_what_is_added_is_last_and_comes_back_as_it_was(library: Stores) -> None:
    first = library.queue.add("t1", "task", reuse="own", paranoid=True)
    second = library.queue.add("job-1", "job")
    assert library.queue.get("t1") == first
    assert (first.reuse, first.paranoid, first.tries, first.not_before) == ("own", True, 0, "")
    assert (second.what, second.reuse, second.paranoid) == ("job", "any", False)
    assert library.queue.list() == [first, second]
    assert library.queue.list(limit=1) == [first]
    assert library.queue.list(after_place=first.place) == [second]
    assert library.queue.count() == 2
    assert [library.queue.position(id) for id in ("t1", "job-1", "nobody")] == [1, 2, None]
    assert library.queue.get("nobody") is None


def test_nothing_waits_twice(library: Stores) -> None:
    library.queue.add("t1", "task")
    with pytest.raises(Conflict, match="task 't1' is in the queue already"):
        library.queue.add("t1", "task")
    assert library.queue.count() == 1


def test_what_is_postponed_is_passed_over_until_its_time(library: Stores) -> None:
    fill(library, 3)
    library.queue.postpone("t0", "2026-11-22T12:00:05.000000Z", 2)
    assert [entry.id for entry in library.queue.ready("2026-11-22T12:00:04.000000Z", 5)] == ["t1", "t2"]
    assert [entry.id for entry in library.queue.ready("2026-11-22T12:00:05.000000Z", 2)] == ["t0", "t1"]
    assert library.queue.ready("2026", 1)[0].id == "t1"
    waiting = library.queue.get("t0")
    assert waiting is not None and waiting.tries == 2
    with pytest.raises(NotFound):
        library.queue.postpone("nobody", "", 0)


def test_what_is_removed_is_gone_and_may_be_removed_again(library: Stores) -> None:
    fill(library, 3)
    for _ in range(2):
        library.queue.remove("t1")
    assert order(library) == ["t0", "t2"]
    assert library.queue.position("t2") == 2


@pytest.mark.parametrize("seed", range(3))
def test_moved_as_in_a_list(library: Stores, seed: int) -> None:
    draw = random.Random(seed)
    expected = fill(library, 12)
    for _ in range(120):
        id, to = draw.choice(expected), draw.randint(-1, 14)
        expected.remove(id)
        expected.insert(max(to, 1) - 1, id)
        assert library.queue.move(id, to) == library.queue.get(id)
        assert order(library) == expected
        assert library.queue.position(id) == expected.index(id) + 1


def test_so_many_moved_to_one_position_that_there_is_no_room_left(library: Stores) -> None:
    expected = fill(library, 4)
    library.queue.postpone("t3", "2026", 1)
    for turn in range(60):
        id = expected[2 + turn % 2]
        expected.remove(id)
        expected.insert(1, id)
        library.queue.move(id, 2)
        assert order(library) == expected
    kept = library.queue.get("t3")
    assert kept is not None and (kept.not_before, kept.tries) == ("2026", 1)


def test_an_only_entry_moves_anywhere_and_a_stranger_nowhere(library: Stores) -> None:
    fill(library, 1)
    for to in (1, 2, 50):
        library.queue.move("t0", to)
        assert library.queue.position("t0") == 1
    with pytest.raises(NotFound, match="nobody"):
        library.queue.move("nobody", 1)


def test_moving_rewrites_one_entry_however_many_there_are(library: Stores) -> None:
    fill(library, 1000)
    written: list[str] = []
    with library.database.read() as connection:
        engine = connection.engine

    def hear(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            written.append(statement)
            assert not many

    event.listen(engine, "before_cursor_execute", hear)
    for to in (1, 500, 1000):
        library.queue.move("t700", to)
        assert library.queue.position("t700") == to
    event.remove(engine, "before_cursor_execute", hear)
    assert len(written) == 3


def test_a_damaged_entry_does_not_stop_the_others(library: Stores) -> None:
    fill(library, 2)
    with library.database.write() as connection:
        connection.exec_driver_sql("UPDATE queue SET body = 'x' WHERE id = 't0'")
    assert [entry.id for entry in library.queue.ready("2026", 1)] == ["t1"]
    for ask in (library.queue.list, lambda: library.queue.get("t0"), lambda: library.queue.move("t0", 2)):
        with pytest.raises(Damaged, match="t0"):
            ask()
    library.queue.remove("t0")
    assert order(library) == ["t1"]


def test_places_given_by_two_processes_at_once_are_unique(tmp_path: Path) -> None:
    path = tmp_path / "library.db"
    stores(path).database.close()

    def work(place: int) -> None:
        library = stores(path, create=False)
        for turn in range(40):
            id = f"t{place}-{turn}"
            library.tasks.add(queued(id, library.documents.put(PLAN)))
            library.queue.add(id, "task")
            if turn % 4 == 0:
                library.queue.move(id, 2)

    in_processes(2, work)
    library = stores(path, create=False)
    found = library.queue.list(limit=1000)
    assert len({entry.place for entry in found}) == len({entry.id for entry in found}) == library.queue.count() == 80
    for place in range(2):  # what was not moved stands in the order it came
        mine = [int(entry.id.split("-")[1]) for entry in found if entry.id.startswith(f"t{place}-")]
        assert [turn for turn in mine if turn % 4] == [turn for turn in range(40) if turn % 4]
    assert list(check_rows(library.database)) == []
    library.database.close()


@pytest.mark.parametrize(
    ("statuses", "stays"),
    [
        (["running"], True),
        (["interrupted"], True),
        (["running", "interrupted", "queued"], True),
        (["cancelled"], False),
        (["running", "failed"], False),
        (["running", "waiting"], False),
        (["running", "done"], False),
    ],
)
def test_a_task_that_ended_leaves_the_queue_and_an_interrupted_one_does_not(
    library: Stores, statuses: list[Status], stays: bool
) -> None:
    library.tasks.add(queued("t1", library.documents.put(PLAN)))
    library.tasks.add(queued("t2", library.documents.put(PLAN)))
    library.queue.add("t1", "task")
    library.queue.add("t2", "task")
    kept = library.documents.put(snapshot("t1"))
    for status in statuses:
        library.tasks.advance("t1", status, snapshot=kept)
    assert order(library) == (["t1", "t2"] if stays else ["t2"])


def test_a_task_whose_end_is_undone_waits_on(library: Stores) -> None:
    library.tasks.add(queued("t1", library.documents.put(PLAN)))
    library.queue.add("t1", "task")
    undone(library, lambda: library.tasks.advance("t1", "cancelled"))
    assert order(library) == ["t1"]
    assert [notice.what for notice in library.journal.list()] == ["task.queued"]


@pytest.mark.parametrize(("status", "stays"), [("running", True), ("cancelled", False), ("interrupted", True)])
def test_a_job_that_ended_leaves_the_queue(library: Stores, status: Any, stays: bool) -> None:
    library.jobs.add(job())
    library.queue.add("job-1", "job")
    library.jobs.advance("job-1", status)
    assert order(library) == (["job-1"] if stays else [])

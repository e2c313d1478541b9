"""Workers: what waits in the queue is carried out, whatever happens to who carries it out."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread, Timer

import pytest
from acceptance.workers import (
    SETTINGS,
    emptied,
    is_alive,
    let_go,
    marks,
    outputs_of,
    seeds_of,
    started,
    until,
    workflow,
    working,
)
from acceptance.workers import trouble as trouble  # noqa: PLC0414  # the fixture
from click.testing import CliRunner

from intaglio.cli.main import cli
from intaglio.core import retry
from intaglio.core.errors import AnnotationMissing, Conflict, Invalid, NotFound, TooLarge, TooMany
from intaglio.core.task import Task
from intaglio.store import disk
from intaglio.studio.limits import Limits
from intaglio.studio.open import Studio, init, open_studio
from intaglio.studio.queue import recorded
from intaglio.worker import supervisor
from intaglio.worker.supervisor import Supervisor


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with init(tmp_path / "studio", SETTINGS) as opened:
        yield opened


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, nobody waits long before trying again."""
    monkeypatch.setattr(retry, "_DELAYS", (0.01, 0.02, 0.03))


def attempts(studio: Studio, task: str) -> list[str]:
    return [attempt.how for attempt in studio.tasks.show(task).attempts]


# -- submitting --------------------------------------------------------------------------------------------------------


def test_RUN_2_what_is_submitted_is_carried_out_by_a_worker_as_it_would_be_here(studio: Studio, tmp_path: Path) -> None:
    path = workflow(tmp_path, "plain", grains=3)
    began = time.monotonic()
    queued = studio.tasks.submit(path, set=["grain0.seed=5"], label="first", annotation="from afar")
    assert time.monotonic() - began < 1.0
    assert (queued.status, studio.tasks.get(queued.id).status) == ("queued", "queued"), "it is not lost: it waits"
    assert [place.id for place in studio.tasks.queue()] == [queued.id]
    emptied(studio.signed_by("the machine"))
    done = studio.tasks.get(queued.id)
    _, version = studio.versions.find("first")
    assert (done.status, version.annotation, version.author, version.task) == ("done", "from afar", "Ada", queued.id)
    assert studio.tasks.queue() == []
    fixed = [f"{step}.seed={seed}" for step, seed in seeds_of(studio, queued.id).items()]
    here = studio.tasks.run(path, set=fixed, reuse=False)
    assert outputs_of(studio, here) == outputs_of(studio, done)
    assert attempts(studio, queued.id) == ["done"] == attempts(studio, here.id)


def test_RUN_2_what_is_wrong_is_said_at_once_and_nothing_is_queued(studio: Studio, tmp_path: Path) -> None:
    path = workflow(tmp_path, "plain")
    studio.tasks.run(path, label="taken", annotation="x")
    before = len(studio.tasks.list())
    with pytest.raises(Conflict, match="taken"):
        studio.tasks.submit(path, label="taken", annotation="y")
    with pytest.raises(AnnotationMissing):
        studio.tasks.submit(path, label="no-reason")
    with pytest.raises(Invalid, match="grain0"):
        studio.tasks.submit(path, set=["grain0.amount=much"])
    with pytest.raises(NotFound):
        studio.tasks.submit("nothing-of-that-name")
    assert (len(studio.tasks.list()), studio.tasks.queue()) == (before, [])


def test_RUN_2_a_form_without_its_annotation_is_taken_and_waits_in_the_end(studio: Studio, tmp_path: Path) -> None:
    path = workflow(tmp_path, "asks")
    document = json.loads(path.read_text())
    document["nodes"]["form"] = {"type": "form", "inputs": {"image": "grain0"}}
    path.write_text(json.dumps(document))
    task = studio.tasks.submit(path)
    emptied(studio)
    assert studio.tasks.wait(task.id, timeout=0).status == "waiting"
    assert studio.tasks.annotate(task.id, annotation="now").version


def test_a_queue_has_a_longest_length_and_a_plan_a_largest_size(studio: Studio, tmp_path: Path) -> None:
    path = workflow(tmp_path, "plain")
    document = json.loads(path.read_text())
    document["nodes"]["crop"] = {"type": "crop", "inputs": {"image": "grain0"}, "params": {"width": 6, "height": 4}}
    path.write_text(json.dumps(document))
    studio.parts.limits = Limits(pixels=23)
    with pytest.raises(TooLarge, match="24 pixels") as large:
        studio.tasks.submit(path)
    assert large.value.limit == 23
    studio.parts.limits = Limits(queue=2, pixels=24)
    studio.tasks.submit(path)
    task = studio.tasks.submit(path)
    for refused in (lambda: studio.tasks.submit(path), lambda: studio.jobs.submit("library.check", {})):
        with pytest.raises(TooMany, match="2 tasks and jobs wait"):
            refused()
    studio.tasks.cancel(task.id)
    studio.jobs.submit("library.check", {})
    with pytest.raises(TooMany):
        studio.tasks.retry(task.id)


def test_a_run_at_a_terminal_is_never_taken_by_a_worker(studio: Studio, tmp_path: Path, trouble: None) -> None:
    path = workflow(tmp_path, "mine", "gate")
    done: list[Task] = []
    with working(studio) as worker, open_studio(studio.root, SETTINGS) as mine:
        thread = Thread(target=lambda: done.append(mine.tasks.run(path)))
        thread.start()
        until(lambda: marks(tmp_path, "mine"))
        other = studio.tasks.submit(workflow(tmp_path, "other"))
        assert studio.tasks.wait(other.id, timeout=30).status == "done", "the worker goes on meanwhile"
        let_go(tmp_path, "mine")
        thread.join()
        assert worker.poll() is None
    assert done[0].status == "done"
    assert marks(tmp_path, "mine") == [os.getpid()]


# -- the queue ---------------------------------------------------------------------------------------------------------


def test_the_queue_is_worked_off_in_its_order_which_can_be_changed(studio: Studio, tmp_path: Path) -> None:
    path = workflow(tmp_path, "plain")
    ids = [studio.tasks.submit(path).id for _ in range(5)]
    job = studio.jobs.submit("library.check", {})
    assert [place.id for place in studio.tasks.queue()] == [*ids, job.id]
    assert studio.tasks.move(ids[3]).position == 1
    assert studio.tasks.move(job.id, to=3).position == 3
    wanted = [ids[3], ids[0], job.id, ids[1], ids[2], ids[4]]
    places = studio.tasks.queue()
    assert [(place.position, place.id) for place in places] == list(enumerate(wanted, start=1))
    assert [place.what for place in places] == ["task", "task", "job", "task", "task", "task"]
    assert [place.id for place in studio.tasks.queue(limit=2, before=wanted[1])] == wanted[2:4]
    assert [place.position for place in studio.tasks.queue(limit=2, before=wanted[1])] == [3, 4]
    with pytest.raises(Invalid, match="no position 0"):
        studio.tasks.move(ids[0], to=0)
    emptied(studio)
    begun = [(studio.jobs.get(job.id).started, job.id), *((studio.tasks.get(id).started, id) for id in ids)]
    assert [id for _, id in sorted(begun)] == wanted
    with pytest.raises(Conflict, match="not in the queue"):
        studio.tasks.move(ids[0])
    with pytest.raises(NotFound):
        studio.tasks.queue(before=ids[0])


def test_a_thousand_queued_tasks_are_listed_and_one_is_put_first_in_a_moment(studio: Studio, tmp_path: Path) -> None:
    task = studio.tasks.submit(workflow(tmp_path, "plain"))
    plan = studio.tasks.show(task.id).plan
    with studio.parts.database.write():
        ids = [recorded(studio.parts, f"20261121-120000-{number:08x}", plan).id for number in range(1000)]
        for id in ids:
            studio.parts.queue.add(id, "task")
    began = time.monotonic()
    assert [place.id for place in studio.tasks.queue(limit=50)] == [task.id, *ids[:49]]
    assert {found.status for found in studio.tasks.list(limit=50)} == {"queued"}
    assert studio.tasks.move(ids[-1]).position == 1
    assert studio.tasks.queue(limit=1)[0].id == ids[-1]
    assert time.monotonic() - began < 1.0


def test_waiting_for_a_task_ends_with_it_or_with_the_time(studio: Studio, tmp_path: Path) -> None:
    task = studio.tasks.submit(workflow(tmp_path, "plain"))
    began = time.monotonic()
    assert studio.tasks.wait(task.id, timeout=0.2).status == "queued"
    assert 0.2 <= time.monotonic() - began < 1.0
    assert studio.tasks.wait(task.id, timeout=float("nan")).status == "queued"
    with open_studio(studio.root, SETTINGS) as other:
        Timer(0.2, emptied, (other,)).start()
        assert studio.tasks.wait(task.id, timeout=30).status == "done"
        assert studio.tasks.wait(task.id, timeout=30).status == "done"


def test_cancelled_in_the_queue_it_is_never_begun_and_goes_again_with_its_seeds(studio: Studio, tmp_path: Path) -> None:
    path = workflow(tmp_path, "plain", grains=2)
    task, other = studio.tasks.submit(path), studio.tasks.submit(path)
    drawn = seeds_of(studio, task.id)
    assert studio.tasks.cancel(task.id).status == "cancelled"
    emptied(studio)
    assert (studio.tasks.get(task.id).attempt, studio.tasks.get(other.id).status) == (0, "done")
    assert studio.tasks.retry(task.id).status == "queued"
    with pytest.raises(Conflict):
        studio.tasks.retry(task.id)
    emptied(studio)
    assert (studio.tasks.get(task.id).status, seeds_of(studio, task.id)) == ("done", drawn)
    with pytest.raises(Conflict, match="is done"):
        studio.tasks.retry(task.id)
    version = studio.versions.save(task.id, annotation="x")[0]
    again = studio.versions.reproduce(version)
    with pytest.raises(Conflict):
        studio.tasks.retry(again.task.id)


def test_RUN_2_cancelled_while_a_worker_is_at_it(studio: Studio, tmp_path: Path, trouble: None) -> None:
    task = studio.tasks.submit(workflow(tmp_path, "held", "gate", grains=2))
    with working(studio):
        until(lambda: marks(tmp_path, "held"))
        assert studio.tasks.cancel(task.id).status == "running"
        assert studio.tasks.wait(task.id, timeout=30).status == "cancelled"
        assert attempts(studio, task.id) == ["cancelled"]
        let_go(tmp_path, "held")
        studio.tasks.retry(task.id)
        assert studio.tasks.wait(task.id, timeout=30).status == "done"
    steps = studio.tasks.show(task.id).steps
    assert [step.reused_from for step in steps if step.step == "grain0"] == ["", task.id], "what was finished is kept"


# -- trying again ------------------------------------------------------------------------------------------------------


def test_RUN_4_what_may_pass_is_tried_again_with_the_same_seeds(
    studio: Studio, tmp_path: Path, trouble: None, soon: None
) -> None:
    task = studio.tasks.submit(workflow(tmp_path, "full", "full once", grains=2))
    drawn = seeds_of(studio, task.id)
    emptied(studio)
    assert (studio.tasks.get(task.id).status, seeds_of(studio, task.id)) == ("done", drawn)
    first, second = studio.tasks.show(task.id).attempts
    assert first.error is not None
    assert (first.how, first.error.code, first.error.step) == ("failed", "storage.failed", "trouble")
    assert first.again_at > first.ended
    assert second.started >= first.again_at
    told = [event.facts for event in studio.tasks.show(task.id).events if event.what == "attempt.failed"]
    assert [(facts["attempt"], facts["tries"]) for facts in told] == [(1, 1)]
    shown = CliRunner().invoke(cli, ["--library", str(studio.root), "tasks", "show", task.id])
    line = next(line.split() for line in shown.output.splitlines() if line.startswith("attempt"))
    assert (line[1], line[3:]) == ("1", ["failed", "no", "space", "left", "on", "the", "disk"])


def test_RUN_4_what_does_not_pass_has_failed_after_three_tries(
    studio: Studio, tmp_path: Path, trouble: None, soon: None
) -> None:
    task = studio.tasks.submit(workflow(tmp_path, "busy", "busy"))
    other = studio.tasks.submit(workflow(tmp_path, "fine"))
    emptied(studio)
    failed = studio.tasks.get(task.id)
    assert failed.error is not None
    assert (failed.status, failed.error.code, failed.attempt) == ("failed", "unavailable", 3)
    assert len(marks(tmp_path, "busy")) == 3
    assert attempts(studio, task.id) == ["failed"] * 3
    assert studio.tasks.get(other.id).started < failed.started, "the others do not wait for it"


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("error", "node.failed"),
        ("memory", "node.failed"),
        ("sys.exit", "node.failed"),
        ("no model", "model.unavailable"),
    ],
)
def test_RUN_4_what_will_not_pass_is_tried_once_and_the_worker_lives(
    how: str, code: str, studio: Studio, tmp_path: Path, trouble: None, soon: None
) -> None:
    task = studio.tasks.submit(workflow(tmp_path, "bad", how))
    other = studio.tasks.submit(workflow(tmp_path, "fine"))
    emptied(studio)
    failed = studio.tasks.get(task.id)
    assert failed.error is not None
    assert (failed.status, failed.error.code, failed.error.step) == ("failed", code, "trouble")
    assert len(marks(tmp_path, "bad")) == 1
    assert studio.tasks.get(other.id).status == "done"


def test_RUN_4_a_disk_that_is_full_for_a_while_loses_nothing(
    studio: Studio, tmp_path: Path, soon: None, request: pytest.FixtureRequest
) -> None:
    path = workflow(tmp_path, "plain", grains=3)
    ids = [studio.tasks.submit(path).id for _ in range(3)]
    drawn = [seeds_of(studio, id) for id in ids]
    refused = iter(range(12))

    def full(name: str) -> None:
        if name in ("commit:before", "write:before") and next(refused, None) is not None:
            raise OSError(errno.ENOSPC, "No space left on device")

    request.addfinalizer(lambda: disk.observe(None))
    disk.observe(full)
    emptied(studio)
    disk.observe(None)
    for id in ids:
        if studio.tasks.get(id).status != "done":
            studio.tasks.retry(id)
    emptied(studio)
    assert [studio.tasks.get(id).status for id in ids] == ["done"] * 3
    assert [seeds_of(studio, id) for id in ids] == drawn
    assert studio.library.check().problems == ()


def test_RUN_4_one_damaged_record_does_not_stop_the_others(studio: Studio, tmp_path: Path) -> None:
    path = workflow(tmp_path, "plain")
    ids = [studio.tasks.submit(path).id for _ in range(3)]
    with studio.parts.database.write() as connection:
        connection.exec_driver_sql("UPDATE tasks SET body = substr(body, 3) WHERE id = ?", (ids[0],))
        connection.exec_driver_sql("UPDATE queue SET body = substr(body, 3) WHERE id = ?", (ids[1],))
    emptied(studio)
    assert studio.tasks.get(ids[2]).status == "done"
    assert not studio.parts.queue.has(ids[0])
    assert studio.tasks.get(ids[1]).status == "queued"
    assert {problem.id for problem in studio.library.check().problems} >= {ids[0], ids[1]}


# -- workers that die --------------------------------------------------------------------------------------------------


@pytest.fixture
def supervised(studio: Studio) -> Iterator[Supervisor]:
    looking_after = Supervisor(studio.root)
    looking_after.start()
    yield looking_after
    looking_after.stop(0.0)
    assert looking_after.pids == ()


@pytest.mark.parametrize(
    ("how", "words"), [("segfault", "segmentation fault (signal 11)"), ("exit", "it ended with exit code 3")]
)
def test_RUN_4_a_node_that_kills_its_worker_fails_with_the_reason_and_the_others_go_on(
    how: str, words: str, studio: Studio, tmp_path: Path, trouble: None, supervised: Supervisor
) -> None:
    bad = studio.tasks.submit(workflow(tmp_path, "bad", how))
    good = [studio.tasks.submit(workflow(tmp_path, "good", grains=2)).id for _ in range(3)]
    assert [studio.tasks.wait(id, timeout=60).status for id in good] == ["done"] * 3
    failed = studio.tasks.wait(bad.id, timeout=60)
    assert failed.error is not None
    assert (failed.status, failed.error.code) == ("failed", "worker.lost")
    assert words in failed.error.message
    assert bad.id in failed.error.message
    assert failed.error.hint.endswith(f"intaglio tasks retry {bad.id}")
    assert len(marks(tmp_path, "bad")) == retry.MAX_TRIES == len(set(marks(tmp_path, "bad")))
    assert attempts(studio, bad.id) == ["lost"] * 3
    assert supervised.restarts == 3
    assert words in supervised.last_end
    assert studio.library.check().problems == ()


def test_RUN_4_workers_killed_at_ten_random_moments_lose_nothing(
    studio: Studio, tmp_path: Path, supervised: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = workflow(tmp_path, "long", grains=30)
    ids = [studio.tasks.submit(path).id for _ in range(10)]
    drawn = [seeds_of(studio, id) for id in ids]
    monkeypatch.setattr(supervisor, "_LONGEST_PAUSE_S", 0.1)
    chance, killed = random.Random(7), set[int]()
    kept: list[tuple[str, dict[str, str]]] = []

    def at_work() -> tuple[int, str] | None:
        """A worker that was not killed yet, and the task that it is at."""
        for task in studio.tasks.list(status="running"):
            begun = [event for event in studio.tasks.show(task.id).events if event.what == "attempt.started"]
            pid = int(begun[-1].facts["pid"])
            if pid in supervised.pids and pid not in killed:
                return pid, task.id
        return None

    while len(killed) < 10:
        pid, running = until(at_work)
        time.sleep(chance.uniform(0, 0.3))
        os.kill(pid, signal.SIGKILL)
        killed.add(pid)
        kept.append((running, {step.step: step.outputs["image"] for step in studio.tasks.show(running).steps}))
    for id in ids:
        if studio.tasks.wait(id, timeout=120).status == "failed":  # killed three times before it got a step further
            studio.tasks.retry(id)
            studio.tasks.wait(id, timeout=120)
    assert [studio.tasks.get(id).status for id in ids] == ["done"] * len(ids)
    assert [seeds_of(studio, id) for id in ids] == drawn
    until(lambda: supervised.restarts == 10)
    lost = [how for id in ids for how in attempts(studio, id)]
    assert lost.count("lost") >= 3
    for id, finished in kept:
        made = {step.step: step.outputs["image"] for step in studio.tasks.show(id).steps}
        assert finished.items() <= made.items(), "what was finished when it was killed is what it is now"
    for id in ids:
        steps = studio.tasks.show(id).steps
        ran = [step.step for step in steps if not step.reused_from]
        assert len(ran) == len(set(ran)), "no step was run twice"
    assert studio.library.check().problems == ()


def test_RUN_4_a_worker_killed_once_goes_on_with_the_next_in_its_place(
    studio: Studio, tmp_path: Path, trouble: None, supervised: Supervisor
) -> None:
    task = studio.tasks.submit(workflow(tmp_path, "hit", "killed once", grains=2))
    assert studio.tasks.wait(task.id, timeout=60).status == "done"
    first, second = studio.tasks.show(task.id).attempts
    assert first.error is not None
    assert (first.how, second.how) == ("lost", "done")
    assert "killed by signal 9" in first.error.message
    assert [step.reused_from for step in studio.tasks.show(task.id).steps if step.step == "grain0"] == ["", task.id]


def test_a_task_cancelled_whose_worker_dies_instead_is_cancelled(
    studio: Studio, tmp_path: Path, trouble: None, supervised: Supervisor
) -> None:
    task = studio.tasks.submit(workflow(tmp_path, "deaf", "deaf"))
    until(lambda: marks(tmp_path, "deaf"))
    studio.tasks.cancel(task.id)
    os.kill(supervised.pids[0], signal.SIGKILL)
    assert studio.tasks.wait(task.id, timeout=30).status == "cancelled"
    assert studio.tasks.queue() == []


def test_several_workers_share_the_queue_and_nothing_is_done_twice(
    studio: Studio, tmp_path: Path, trouble: None
) -> None:
    both = Supervisor(studio.root, workers=2)
    both.start()
    try:
        held = studio.tasks.submit(workflow(tmp_path, "held", "gate"))
        until(lambda: marks(tmp_path, "held"))
        ids = [studio.tasks.submit(workflow(tmp_path, "plain")).id for _ in range(6)]
        assert [studio.tasks.wait(id, timeout=60).status for id in ids] == ["done"] * 6
        assert studio.tasks.get(held.id).status == "running"
        let_go(tmp_path, "held")
        assert studio.tasks.wait(held.id, timeout=60).status == "done"
        assert [studio.tasks.get(id).attempt for id in [held.id, *ids]] == [1] * 7
        assert len(both.pids) == 2
    finally:
        both.stop(5.0)


# -- workers that are stopped ------------------------------------------------------------------------------------------


def test_RUN_4_told_to_stop_it_finishes_what_it_is_at_in_its_grace(
    studio: Studio, tmp_path: Path, trouble: None
) -> None:
    task = studio.tasks.submit(workflow(tmp_path, "held", "gate"))
    next_one = studio.tasks.submit(workflow(tmp_path, "next"))
    worker = started(studio, "--grace", "60")
    until(lambda: marks(tmp_path, "held"))
    worker.send_signal(signal.SIGTERM)
    let_go(tmp_path, "held")
    assert worker.wait(30) == 0
    assert (studio.tasks.get(task.id).status, studio.tasks.get(next_one.id).status) == ("done", "queued")
    worker.communicate()


@pytest.mark.parametrize("how", ["gate", "deaf"])
@pytest.mark.parametrize("twice", [False, True], ids=["after its grace", "told twice"])
def test_RUN_4_told_to_stop_it_puts_back_what_it_cannot_finish(
    how: str, twice: bool, studio: Studio, tmp_path: Path, trouble: None
) -> None:
    task = studio.tasks.submit(workflow(tmp_path, "held", how, grains=2))
    studio.tasks.submit(workflow(tmp_path, "next"))
    drawn = seeds_of(studio, task.id)
    worker = started(studio, "--grace", "60" if twice else "0.1")
    until(lambda: marks(tmp_path, "held"))
    worker.send_signal(signal.SIGTERM)
    if twice:
        time.sleep(0.2)
        assert worker.poll() is None, "the first asks only"
        worker.send_signal(signal.SIGINT)
    assert worker.wait(30) == 0
    worker.communicate()
    assert studio.tasks.get(task.id).status == "queued"
    assert attempts(studio, task.id) == ["stopped"]
    first = studio.tasks.queue()[0]
    assert (first.id, first.tries, first.not_before) == (task.id, 0, ""), "in its place, and nothing went wrong with it"
    let_go(tmp_path, "held")
    emptied(studio)
    assert (studio.tasks.get(task.id).status, seeds_of(studio, task.id)) == ("done", drawn)
    assert [step.reused_from for step in studio.tasks.show(task.id).steps if step.step == "grain0"] == ["", task.id]


_PARENT = """
import sys, time
from pathlib import Path
from intaglio.worker.supervisor import Supervisor
supervisor = Supervisor(Path(sys.argv[1]), options=["--grace", "0.1"])
supervisor.start()
while not supervisor.pids:
    time.sleep(0.01)
print(supervisor.pids[0], flush=True)
time.sleep(600)
"""


def test_RUN_4_a_worker_ends_with_the_process_that_looks_after_it_however_that_ends(
    studio: Studio, tmp_path: Path, trouble: None
) -> None:
    task = studio.tasks.submit(workflow(tmp_path, "held", "gate"))
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_PARENT), str(studio.root)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    until(lambda: marks(tmp_path, "held"))
    assert is_alive(worker)
    parent.kill()
    parent.communicate()
    until(lambda: not is_alive(worker), 30)
    assert studio.tasks.get(task.id).status == "queued"
    assert attempts(studio, task.id) == ["stopped"]


def test_one_process_carries_out_one_task_after_the_other_with_what_it_has_loaded(
    studio: Studio, tmp_path: Path, trouble: None
) -> None:
    path = workflow(tmp_path, "plain", "here")
    with working(studio) as worker:
        for _ in range(3):
            assert studio.tasks.wait(studio.tasks.submit(path, reuse=False).id, timeout=30).status == "done"
        assert marks(tmp_path, "plain") == [worker.pid] * 3


def test_a_worker_says_what_it_does_in_lines_of_json(studio: Studio, tmp_path: Path) -> None:
    task = studio.tasks.submit(workflow(tmp_path, "plain"))
    worker = started(studio, "--once")
    _, said = worker.communicate(timeout=60)
    lines = [json.loads(line) for line in said.splitlines()]
    about = [line for line in lines if line.get("task") == task.id]
    assert worker.returncode == 0
    assert len(about) == 1
    assert {"time", "level", "message"} <= about[0].keys()
    assert "is done" in about[0]["message"]


# -- jobs --------------------------------------------------------------------------------------------------------------


def told(studio: Studio, job: str) -> list[tuple[str, list[object]]]:
    notices = studio.library.journal(limit=1000, subject=job, what=["job.said"])
    return [(str(notice.facts["callback"]), list(notice.facts["args"])) for notice in notices]


def test_a_reproduction_by_a_worker_comes_to_what_one_here_does(studio: Studio, tmp_path: Path) -> None:
    from intaglio.core.wire import from_wire
    from intaglio.studio.reproduce import Reproduced

    task = studio.tasks.run(workflow(tmp_path, "plain", grains=2), annotation="x")
    job = studio.signed_by("Grace").jobs.submit("versions.reproduce", {"reference": "v1"})
    emptied(studio)
    done = studio.jobs.wait(job.id, timeout=0)
    assert (done.status, done.attempt, done.author) == ("done", 1, "Grace")
    found = from_wire(Reproduced, done.result)
    here = studio.versions.reproduce("v1")
    assert isinstance(found, Reproduced)
    assert found.fidelity == here.fidelity
    assert found.fidelity.verdict == "identical bytes"
    assert (found.grade, found.version) == (here.grade, here.version)
    assert outputs_of(studio, found.task) == outputs_of(studio, task)
    assert studio.tasks.get(found.task.id).author == "Grace"
    assert [attempt.task for attempt in studio.versions.history("v1")] == [found.task.id, here.task.id]


def test_a_variation_by_a_worker_comes_to_what_one_here_does_and_tells_of_each_run(
    studio: Studio, tmp_path: Path
) -> None:
    path = workflow(tmp_path, "plain", grains=2)
    studio.tasks.run(path, annotation="x")
    job = studio.jobs.submit("variations.walk", {"version": "v1", "node": "grain1", "count": 3})
    emptied(studio)
    done = studio.jobs.get(job.id)
    assert done.status == "done"
    view = studio.variations.show(str(done.result["variation"]["id"]))
    assert (view.checked.verdict, [run.status for run in view.runs]) == ("only this differs", ["done"] * 3)
    assert [callback for callback, _ in told(studio, job.id)] == ["told", *["began", "ran"] * 3]
    with init(tmp_path / "other", SETTINGS) as other:
        fixed = [f"{step}.seed={seed}" for step, seed in seeds_of(studio, studio.versions.find("v1")[1].task).items()]
        other.tasks.run(path, set=fixed, annotation="x")
        here = other.variations.walk("v1", node="grain1", count=3)
        for mine, theirs in zip(view.runs, here.runs, strict=True):  # type: ignore[union-attr]
            assert outputs_of(studio, studio.tasks.get(mine.task)) == outputs_of(other, other.tasks.get(theirs.task))


def test_what_a_job_cannot_be_is_said_at_once(studio: Studio) -> None:
    for verb, arguments, words in (
        ("tasks.cancel", {"reference": "x"}, "is no job"),
        ("os.system", {"command": "true"}, "is no job"),
        ("versions.reproduce", {}, "needs 'reference'"),
        ("versions.reproduce", {"reference": 7}, "reference"),
        ("versions.reproduce", {"reference": "v1", "sudo": True}, "takes no 'sudo'"),
        ("variations.walk", {"version": "v1", "count": "many"}, "count"),
    ):
        with pytest.raises(Invalid, match=words):
            studio.jobs.submit(verb, arguments)
    assert (studio.jobs.list(), studio.tasks.queue()) == ([], [])


def test_a_job_that_fails_says_why_and_can_be_tried_again(studio: Studio, tmp_path: Path) -> None:
    job = studio.jobs.submit("versions.reproduce", {"reference": "v1"})
    emptied(studio)
    failed = studio.jobs.get(job.id)
    assert failed.error is not None
    assert (failed.status, failed.error.code, failed.attempt) == ("failed", "not_found", 1)
    studio.tasks.run(workflow(tmp_path, "plain"), annotation="now it is there")
    assert studio.jobs.retry(job.id).status == "queued"
    emptied(studio)
    assert studio.jobs.get(job.id).status == "done"
    for again in (studio.jobs.retry, studio.jobs.cancel):
        with pytest.raises(Conflict):
            again(job.id)


@pytest.mark.parametrize("end", ["cancelled", "killed", "stopped"])
def test_RUN_4_a_job_that_is_cancelled_killed_or_stopped_leaves_nothing_half_done(
    end: str, studio: Studio, tmp_path: Path, trouble: None, supervised: Supervisor
) -> None:
    let_go(tmp_path, "held")
    studio.tasks.run(workflow(tmp_path, "held", "gate", grains=2), annotation="x")
    (tmp_path / "held.mark.go").unlink()
    before = len(marks(tmp_path, "held"))
    job = studio.jobs.submit("versions.reproduce", {"reference": "v1"})
    until(lambda: len(marks(tmp_path, "held")) > before)
    inner = studio.tasks.list(limit=1)[0]
    assert (inner.purpose, inner.status, studio.jobs.get(job.id).status) == ("reproduce", "running", "running")
    if end == "cancelled":
        assert studio.jobs.cancel(job.id).status == "running"
        assert studio.jobs.wait(job.id, timeout=30).status == "cancelled"
        assert studio.tasks.get(inner.id).status == "cancelled"
        assert studio.tasks.queue() == []
        studio.jobs.retry(job.id)
    else:
        worker = supervised.pids[0]
        for number in (signal.SIGKILL,) if end == "killed" else (signal.SIGTERM, signal.SIGINT):
            os.kill(worker, number)
        until(lambda: len(marks(tmp_path, "held")) > before + 1)
    let_go(tmp_path, "held")
    done = studio.jobs.wait(job.id, timeout=60)
    assert (done.status, done.attempt) == ("done", 2)
    assert studio.tasks.get(inner.id).status in ("cancelled", "interrupted")
    assert len(studio.versions.history("v1")) == 1
    assert studio.library.check().problems == ()


# -- at the terminal ---------------------------------------------------------------------------------------------------


def test_the_queue_and_its_jobs_at_the_terminal(studio: Studio, tmp_path: Path) -> None:
    def said(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "intaglio", *words, "--library", str(studio.root)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    path = str(workflow(tmp_path, "plain"))
    first = json.loads(said("tasks", "submit", path, "--annotation", "from here", "--json"))["id"]
    second = json.loads(said("tasks", "submit", path, "--json"))["id"]
    job = studio.jobs.submit("versions.reproduce", {"reference": "v1"})
    assert "position 1" in said("tasks", "move", second)
    rows = [line.split() for line in said("tasks", "queue").splitlines()]
    assert [row[:3] for row in rows] == [["1", second, "queued"], ["2", first, "queued"], ["3", job.id, "queued"]]
    said("tasks", "wait", first, "--timeout", "0", code=1)
    said("worker", "--once")
    assert "done" in said("tasks", "wait", first)
    assert "versions.reproduce" in said("jobs", "list")
    assert json.loads(said("jobs", "show", job.id, "--json"))["result"]["fidelity"]["verdict"] == "identical bytes"
    assert "done" in said("jobs", "wait", job.id)
    said("jobs", "retry", job.id, code=2)
    said("jobs", "cancel", job.id, code=2)
    said("tasks", "retry", first, code=2)
    assert said("tasks", "queue") == ""

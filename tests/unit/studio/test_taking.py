"""RUN 2: a job that gets further before its worker dies is not given up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.conftest import node, ramp

from intaglio.core.errors import WorkerLost
from intaglio.core.retry import MAX_TRIES
from intaglio.core.workflow import parse_workflow
from intaglio.imaging.png import encode
from intaglio.studio import clock, taking
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with init(tmp_path / "studio", Settings(author="Ada")) as opened:
        yield opened


def begun(studio: Studio, attempt: int, task: str = "") -> str:
    """A job that was tried as often as may be, begun once more; with a task, one that it has carried out since."""
    job = studio.jobs.submit("library.check")
    for number in range(1, attempt + 1):
        studio.parts.jobs.advance(job.id, "running", started=clock.now(), attempt=number)
        if number < attempt:
            studio.parts.jobs.advance(job.id, "interrupted")
            studio.parts.jobs.advance(job.id, "queued")
    studio.parts.queue.postpone(job.id, "", MAX_TRIES - 1)
    if task:
        studio.parts.journal.note("job.said", job.id, {"callback": "began", "args": [task]})
    return job.id


def test_RUN_2_a_job_that_finished_a_task_of_its_own_begins_to_count_again(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(encode(ramp(24, 16)))
    nodes = {"in": node("reference-image", image=str(tmp_path / "in.png")), "out": node("output", "in")}
    done = studio.tasks.run(parse_workflow({"name": "plain", "nodes": nodes}))
    entry = studio.parts.queue.get(begun(studio, MAX_TRIES, done.id))
    assert entry is not None
    assert taking.put_back(studio.parts, entry, WorkerLost("killed"))
    again = studio.parts.queue.get(entry.id)
    assert again is not None and again.tries == 1


def test_RUN_2_a_job_that_gets_nowhere_is_given_up(studio: Studio) -> None:
    entry = studio.parts.queue.get(begun(studio, MAX_TRIES))
    assert entry is not None
    assert not taking.put_back(studio.parts, entry, WorkerLost("killed"))

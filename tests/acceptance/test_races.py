"""RUN 2, RUN 4: what a person wants at the very moment when a worker does something else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from acceptance.workers import SETTINGS, emptied, workflow
from click.testing import CliRunner

from intaglio.cli.main import _way_out, cli
from intaglio.core import retry
from intaglio.core.errors import Invalid, StorageFailed
from intaglio.studio import carry_out, clock, uploads
from intaglio.studio.carry_out import cancel_path
from intaglio.studio.jobs import Jobs
from intaglio.studio.open import Studio, init, open_studio
from intaglio.studio.tasks import Tasks


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with init(tmp_path / "studio", SETTINGS) as opened:
        yield opened


@pytest.mark.parametrize("noun", ["tasks", "jobs"])
def test_RUN_2_cancelled_while_a_worker_takes_it_its_worker_is_asked(
    noun: str, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Any = getattr(studio.parts, noun)
    cls = Tasks if noun == "tasks" else Jobs
    look: Any = cls.get
    made = studio.tasks.submit(workflow(tmp_path, "plain")) if noun == "tasks" else studio.jobs.submit("library.check")

    def taken_since(self: Any, reference: str) -> Any:
        found = look(self, reference)
        store.advance(found.id, "running", started=clock.now(), attempt=1)
        return found

    monkeypatch.setattr(cls, "get", taken_since)
    found = getattr(studio, noun).cancel(made.id)
    assert (found.status, store.get(made.id).status) == ("running", "running"), "whoever is at it says how it ends"
    assert cancel_path(studio.parts, made.id).exists()


def test_RUN_4_what_was_cancelled_is_not_tried_again_because_something_else_stopped_it(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "_DELAYS", (0.01, 0.02, 0.03))
    task = studio.tasks.submit(workflow(tmp_path, "plain"))

    def full(*given: Any) -> None:
        studio.tasks.cancel(task.id)
        raise StorageFailed("no space left on the disk")

    monkeypatch.setattr(carry_out._Run, "finish", full)
    emptied(studio)
    ended = studio.tasks.get(task.id)
    assert (ended.status, ended.attempt, studio.tasks.queue()) == ("failed", 1, [])


def test_what_a_job_says_of_an_upload_names_it_as_it_was_given(studio: Studio) -> None:
    with uploads.begin(studio.parts, "bad.safetensors", limit=100) as upload:
        upload.write(b"not a model")
        brought = upload.finish()
    with open_studio(studio.root, SETTINGS, reach=studio.root / uploads.FOLDER) as server:
        job = server.jobs.submit("models.add", {"path": brought.reference, "name": "bad"})
        emptied(server)
        error = server.jobs.get(job.id).error
    assert error is not None
    assert brought.reference in error.message
    told = [str(line.facts) for line in studio.library.journal(subject=job.id)]
    assert not [line for line in told if str(studio.root) in line]


# -- at the terminal ---------------------------------------------------------------------------------------------------


def test_a_worker_is_not_told_to_work_on_the_library_of_a_server(studio: Studio) -> None:
    told = CliRunner().invoke(cli, ["worker", "--once", "--server", "http://127.0.0.1:1"])
    assert (told.exit_code, told.exception.__class__) == (1, Invalid)


def test_a_command_that_a_hint_ends_with_and_the_way_on_do_not_run_together() -> None:
    error = Invalid("the form asks for client", hint="Give it: --field 'client=...'")
    error.way_on = "intaglio tasks annotate TASK"
    lines = _way_out(error).splitlines()
    assert lines == ["Give it: --field 'client=...'", f"What was finished is kept; go on with: {error.way_on}"]


def test_a_run_that_came_from_elsewhere_is_listed_as_that(studio: Studio, tmp_path: Path) -> None:
    made = studio.tasks.run(workflow(tmp_path, "plain"), annotation="to have one")
    studio.versions.export(made.version, tmp_path / "out")
    with init(tmp_path / "elsewhere", SETTINGS) as elsewhere:
        elsewhere.versions.import_(tmp_path / "out")
    listed = CliRunner().invoke(cli, ["--library", str(tmp_path / "elsewhere"), "tasks", "list"]).output
    assert listed.split()[:3] == [made.id, "done", "import"]

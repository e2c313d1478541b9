"""RUN: whoever looks on sees how far a running task is, from any process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from acceptance.conftest import Command, node
from acceptance.plugin import installer

from intaglio.core.context import Context
from intaglio.core.image import Image
from intaglio.core.nodetype import NodeType, node_type
from intaglio.core.plan import Step
from intaglio.store import disk
from intaglio.studio import progress
from intaglio.studio.carry_out import Watch
from intaglio.studio.open import Studio

Process = subprocess.Popen[str]


@pytest.fixture
def start(studio: Studio) -> Iterator[Callable[..., Process]]:
    """Begin an `intaglio` command on the same library; what still runs at the end is killed."""
    begun: list[Process] = []

    def started(*arguments: str) -> Process:
        environment = {**os.environ, "INTAGLIO_LIBRARY": str(studio.root)}
        begun.append(
            subprocess.Popen(
                [sys.executable, "-m", "intaglio", *arguments], env=environment, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
        )  # fmt: skip
        return begun[-1]

    yield started
    for process in begun:
        process.kill()
        process.wait()


def until(condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    """What a condition gives once it gives something."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
    return found


def at_work(studio: Studio, done: int) -> str | None:
    """The newest task, once it says that more than `done` units of its first step are done."""
    for task in studio.tasks.list(limit=1):
        said = progress.read(studio.parts, task.id)
        if said is not None and said.step == "base" and said.done > done:
            return task.id
    return None


def shown_files(studio: Studio) -> list[str]:
    """The files that show how tasks stand."""
    return [path.name for path in (studio.root / "locks").iterdir() if path.suffix in (".progress", ".preview", ".new")]


def test_RUN_1_another_process_sees_how_far_a_task_is_until_it_ends(
    studio: Studio, chain: Path, start: Callable[..., Process], command: Command
) -> None:
    process = start("tasks", "run", str(chain), "--set", "base.steps=300")
    task = until(lambda: at_work(studio, 0))
    first = progress.read(studio.parts, task)
    assert first is not None
    assert (first.task, first.total) == (task, 300)
    until(lambda: at_work(studio, first.done))
    view = json.loads(command("tasks", "show", task, "--json").stdout)
    assert view["task"]["status"] == "running"
    assert view["progress"]["step"] == "base"
    assert 0 < view["progress"]["done"] <= view["progress"]["total"] == 300
    words = command("tasks", "show", task).stdout
    assert "\nnow     base  " in words
    assert " of 300\n" in words
    assert progress.preview(studio.parts, task) is None, "nobody asked an inline command for previews"
    studio.tasks.cancel(task)
    process.wait()
    assert studio.tasks.get(task).status == "cancelled"
    assert (progress.read(studio.parts, task), studio.tasks.show(task).progress) == (None, None)
    assert shown_files(studio) == []


def test_RUN_4_nothing_is_said_of_a_task_whose_runner_was_killed_and_gc_sweeps_what_it_left(
    studio: Studio, chain: Path, start: Callable[..., Process], command: Command
) -> None:
    process = start("tasks", "run", str(chain), "--set", "base.steps=300")
    task = until(lambda: at_work(studio, 0))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert f"{task}.progress" in shown_files(studio)
    assert progress.read(studio.parts, task) is None
    view = json.loads(command("tasks", "show", task, "--json").stdout)
    assert (view["task"]["status"], view["progress"]) == ("interrupted", None)
    assert studio.library.check().problems == ()
    studio.library.gc(dry_run=True)
    assert f"{task}.progress" in shown_files(studio)
    studio.library.gc(dry_run=False)
    assert shown_files(studio) == []


def test_RUN_1_a_runner_that_is_asked_for_previews_shows_them_and_makes_the_same_picture(
    studio: Studio, chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PAUSE_S", 0.0)
    monkeypatch.setattr(progress, "PREVIEW_PAUSE_S", 0.0)
    monkeypatch.setattr(progress, "PREVIEW_SHARE", 1.0)
    seen: set[str] = set()

    def look(step: Step, done: int, total: int) -> None:
        found = progress.preview(studio.parts, studio.tasks.list(limit=1)[0].id)
        if found is not None:
            seen.add(step.id)
            assert found[1] == "image/png"

    settings = ["base.seed=7", "refine.seed=8", "grain.seed=9", "base.steps=6", "refine.steps=6"]
    plain = studio.tasks.run(chain, set=settings, reuse=False, watch=Watch(progress=look))
    assert seen == set()
    watched = studio.tasks.run(chain, set=settings, reuse=False, watch=Watch(progress=look, previews=True))
    assert {"base", "refine"} <= seen
    assert shown_files(studio) == []
    pictures = [studio.tasks.snapshot(task.id).outputs for task in (plain, watched)]
    assert pictures[0] == pictures[1]


def _waiting(begun: Event, go_on: Event) -> NodeType:
    def work(ctx: Context, image: Image) -> Image:
        """Wait to be let go."""
        begun.set()
        assert go_on.wait(60)
        return image

    return node_type("waiting", version=1)(work)


def test_RUN_4_a_disk_that_refuses_progress_fails_no_task(
    studio: Studio, plain_chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders lie where its files would go."""
    begun, go_on, refused = Event(), Event(), Event()
    installer(monkeypatch)(_waiting(begun, go_on))
    document = json.loads(plain_chain.read_text())
    document["nodes"]["waiting"] = node("waiting", "big")
    document["nodes"]["out"]["inputs"] = {"image": "waiting"}
    plain_chain.write_text(json.dumps(document))
    show = disk.show

    def refusing(path: Path, data: bytes) -> None:
        path.mkdir(exist_ok=True)
        try:
            show(path, data)
        except OSError:
            refused.set()
            go_on.set()
            raise

    monkeypatch.setattr(disk, "show", refusing)
    assert studio.tasks.run(plain_chain).status == "done"
    assert begun.is_set() and refused.is_set()

"""A run that is submitted and carried out by a worker, stopped at every point that changes the disk.

Run as a script it sweeps: `python queue_scenario.py kill|full FOLDER` stops who submits and works at each point, by
SIGKILL or by a full disk, one forked child for each, all on one library, and prints a JSON summary.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults import waiting_scenario
from faults.waiting_scenario import SETTINGS, _full_at, _kill_at, attempt

from intaglio.core import retry
from intaglio.core.errors import IntaglioError
from intaglio.core.image import Image
from intaglio.core.task import Task
from intaglio.imaging.png import encode
from intaglio.studio.open import Studio, init, open_studio
from intaglio.worker import loop
from intaglio.worker.loop import Worker
from intaglio.worker.stopping import Stopping

# Its picture is named by digest: what a look at a file comes to depends on how fresh that file is.
WORKFLOW: dict[str, Any] = {
    "name": "small",
    "nodes": {
        "in": {"type": "reference-image"},
        "grain": {"type": "film-grain", "inputs": {"image": "in"}, "params": {"amount": 0.5}},
        "more": {"type": "film-grain", "inputs": {"image": "grain"}, "params": {"amount": 0.5}},
        "out": {"type": "output", "inputs": {"image": "more"}},
    },
}


def prepare(folder: Path) -> None:
    """A library in which the workflow and its reference picture are already."""
    folder.mkdir(parents=True)
    (folder / "in.png").write_bytes(encode(Image("RGB", 8, 6, bytes(range(144)))))
    with init(folder, SETTINGS) as studio:
        picture = studio.assets.add([folder / "in.png"])[0].digest
        nodes = {**WORKFLOW["nodes"], "in": {"type": "reference-image", "params": {"image": picture}}}
        (folder / "small.json").write_text(json.dumps({**WORKFLOW, "nodes": nodes}))
        studio.tasks.run(folder / "small.json")


def work(folder: Path, label: str) -> None:
    """A run that is submitted, and a worker that does what is in the queue."""
    with open_studio(folder, SETTINGS) as studio:
        studio.tasks.submit(folder / "small.json", label=label, annotation="why")
        Worker(studio, Stopping()).run(once=True)


def prove(folder: Path, label: str) -> str:
    """That the run is there as far as it got, and that a worker brings it to its one version. How it was found."""
    with open_studio(folder, SETTINGS) as studio:
        problems = studio.library.check().problems
        assert problems == (), problems
        found = [task for task in studio.tasks.list(limit=3) if task.reason and task.reason.label == label]
        if not found:
            assert studio.tasks.queue() == []
            return "nowhere"
        _goes_on(studio, found[0])
        return found[0].status


def _goes_on(studio: Studio, task: Task) -> None:
    view = studio.tasks.show(task.id)
    finished = {step.step: step.outputs for step in view.steps}
    if task.status == "failed":  # refused three times in a row
        studio.tasks.retry(task.id)
    elif task.status != "done":
        assert [place.id for place in studio.tasks.queue()] == [task.id], "what does not rest is in the queue"
    Worker(studio, Stopping()).run(once=True)
    after = studio.tasks.show(task.id)
    assert (after.task.status, after.plan) == ("done", view.plan), after.task
    assert studio.tasks.queue() == []
    assert finished.items() <= {step.step: step.outputs for step in after.steps}.items()
    version = studio.versions.find(after.task.version)[1]
    assert (version.annotation, version.task) == ("why", task.id)
    ran = Counter(step.step for step in after.steps if not step.reused_from)
    assert set(ran.values()) == {1}, "no step was run twice"
    assert [each.number for each in after.attempts] == [*range(1, after.task.attempt + 1)]


def _marking(mark: Path, number: int, stop: Callable[[int], None]) -> Callable[[int], None]:
    def at(count: int) -> None:
        if count == number:
            mark.touch()
        stop(count)

    return at


def sweep(kind: str, folder: Path) -> dict[str, Any]:
    """Stop the work at every point until it comes to its end, and prove each time that nothing was lost."""
    retry._DELAYS, loop._WORDS_S = (0.0, 0.0, 0.0), 0.0
    waiting_scenario.work = work
    prepare(folder)
    make: Callable[[int], Callable[[int], None]] = _kill_at if kind == "kill" else _full_at
    states: Counter[str] = Counter()
    failures: list[str] = []
    number, mark = 0, folder / "reached"
    mark.touch()
    while mark.exists():  # who works goes on after a full disk, so that its end says nothing
        mark.unlink()
        number += 1
        label = f"label {number}"
        _, crash = attempt(folder, label, _marking(mark, number, make(number)))
        try:
            assert not crash, crash
            states[prove(folder, label)] += 1
        except (AssertionError, IntaglioError) as error:
            failures.append(f"point {number}: {type(error).__name__}: {error}"[:3000])
    with open_studio(folder, SETTINGS) as studio:
        numbers = sorted(version.number for _, version in studio.versions.list(limit=1000))
    return {"points": number - 1, "states": states, "numbers": numbers, "failures": failures}


if __name__ == "__main__":
    print(json.dumps(sweep(sys.argv[1], Path(sys.argv[2]))))

"""A run that waits for its annotation and gets it, stopped at every point that changes the disk.

Run as a script it sweeps: `python waiting_scenario.py kill|full FOLDER` stops the work at each point, by SIGKILL or by
a full disk, one forked child for each, all on one library, and prints a JSON summary.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from intaglio.core.errors import Conflict, IntaglioError
from intaglio.core.form import Form
from intaglio.core.image import Image
from intaglio.core.task import Reason, Task
from intaglio.imaging.png import encode
from intaglio.store import disk
from intaglio.studio.open import Studio, init, open_studio
from intaglio.studio.settings import Settings

SETTINGS = Settings(author="Ada", seeds="sequence", threads=1)
WORKFLOW: dict[str, Any] = {
    "name": "small",
    "nodes": {
        "in": {"type": "reference-image", "params": {"image": "in.png"}},
        "grain": {"type": "film-grain", "inputs": {"image": "in"}, "params": {"amount": 0.5}},
        "form": {"type": "form", "inputs": {"image": "grain"}, "params": {"fields": "client"}},
        "version": {"type": "version-record", "inputs": {"image": "form"}},
        "out": {"type": "output", "inputs": {"image": "version"}},
    },
}
FIELDS = {"client": "Acme"}
# What each run says of itself up front: so it is known whose task it is.
ANNOTATION = "said before the run"


def prepare(folder: Path) -> None:
    """A library in which the pictures are already, so that what is swept is the records."""
    folder.mkdir(parents=True)
    (folder / "in.png").write_bytes(encode(Image("RGB", 8, 6, bytes(range(144)))))
    (folder / "small.json").write_text(json.dumps(WORKFLOW))
    with init(folder, SETTINGS) as studio:
        studio.tasks.run(folder / "small.json", set=["grain.seed=1"])


def answer(form: Form, task: Task) -> list[Reason]:
    """What a person types, who sees what was said already."""
    assert task.reason is not None
    assert (task.status, task.reason.annotation, form.missing(task.reason)) == ("waiting", ANNOTATION, ("client",))
    return [Reason(fields=FIELDS)]


def work(folder: Path, label: str) -> None:
    """A run that waits, and its annotation."""
    with open_studio(folder, SETTINGS) as studio:
        task = studio.tasks.run(folder / "small.json", set=["grain.seed=1"], label=label, annotation=ANNOTATION)
        assert task.status == "waiting"
        studio.tasks.annotate(task.id, ask=answer)


def prove(folder: Path, label: str) -> str:
    """That the run is there as far as it got, and goes on to its one version. Returns where it was found."""
    with open_studio(folder, SETTINGS) as studio:
        problems = studio.library.check().problems
        assert problems == (), problems
        found = [task for task in studio.tasks.list(limit=3) if task.reason and task.reason.label == label]
        if not found:
            return "nowhere"
        task = found[0]
        answered = task.reason is not None and task.reason.fields
        _go_on(studio, task)
        return "answered" if task.status == "waiting" and answered else task.status


def _go_on(studio: Studio, task: Task) -> None:
    if task.status in ("interrupted", "failed"):
        task = studio.tasks.resume(task.id)
    if task.status == "waiting":
        assert task.snapshot and not task.version
        assert studio.tasks.waits_for(task.id) is not None
        task = studio.tasks.annotate(task.id, ask=answer)
    assert task.status == "done", task
    version = studio.versions.find(task.version)[1]
    assert (version.annotation, version.fields, version.task) == (ANNOTATION, FIELDS, task.id)
    try:
        studio.tasks.annotate(task.id, annotation="again", fields=FIELDS)
    except Conflict:
        return
    raise AssertionError("it was annotated twice")


# -- the sweep --------------------------------------------------------------------------------------------------------


def attempt(folder: Path, label: str, stop: Callable[[int], None]) -> tuple[bool, str]:
    """The work in a child that calls `stop(number)` at each point; whether it came to its end, and its crash."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        status = 0
        try:
            _observed(folder, label, stop)
        except IntaglioError:
            status = 4
        except BaseException:
            os.write(writing, traceback.format_exc()[-3000:].encode())
            status = 70
        os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        crash = pipe.read()
    return os.waitpid(child, 0)[1] == 0, crash


def _observed(folder: Path, label: str, stop: Callable[[int], None]) -> None:
    count = 0

    def at(name: str) -> None:
        nonlocal count
        count += 1
        stop(count)

    disk.observe(at)
    work(folder, label)


def _kill_at(number: int) -> Callable[[int], None]:
    def stop(count: int) -> None:
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return stop


def _full_at(number: int) -> Callable[[int], None]:
    def stop(count: int) -> None:
        if number <= count < number + 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    return stop


def sweep(kind: str, folder: Path) -> dict[str, Any]:
    """Stop the work at every point until it comes to its end, and prove each time that nothing was lost."""
    prepare(folder)
    make = _kill_at if kind == "kill" else _full_at
    states: Counter[str] = Counter()
    failures: list[str] = []
    number, ended = 0, False
    while not ended:
        number += 1
        label = f"label {number}"
        ended, crash = attempt(folder, label, make(number))
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

"""A day of work on a small library, and the proof that nothing acknowledged was lost, wherever it was stopped.

Run as a script it sweeps: `python scenario.py kill|full FOLDER` stops the work at every point that changes the disk, by
SIGKILL or by a full disk, one forked child for each, and prints a JSON summary.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from intaglio.core.errors import IntaglioError, NoLibrary
from intaglio.core.image import Image
from intaglio.imaging.png import encode
from intaglio.store import disk
from intaglio.studio.open import Studio, init, open_studio
from intaglio.studio.settings import Settings

Acknowledge = Callable[..., None]
SETTINGS = Settings(author="Ada", seeds="sequence", threads=1)
PICTURE = encode(Image("RGB", 8, 6, bytes(range(144))))
WORKFLOW: dict[str, Any] = {
    "name": "small",
    "nodes": {
        "in": {"type": "reference-image", "params": {"image": "in.png"}},
        "grain": {"type": "film-grain", "inputs": {"image": "in"}, "params": {"amount": 0.5}},
        "grade": {"type": "colour-grade", "inputs": {"image": "grain"}, "params": {"contrast": 1.2}},
        "crop": {"type": "crop", "inputs": {"image": "grade"}, "params": {"width": 6, "height": 4}},
        "big": {"type": "upscale", "inputs": {"image": "crop"}, "params": {"factor": 2}},
        "form": {"type": "form", "inputs": {"image": "big"}},
        "version": {"type": "version-record", "inputs": {"image": "form"}},
        "out": {"type": "output", "inputs": {"image": "version"}},
    },
}


def work(folder: Path, acknowledge: Acknowledge) -> None:
    """Everything that writes: a library, a workflow, runs, a reproduction, an export, a collection."""
    (folder / "in.png").write_bytes(PICTURE)
    (folder / "small.json").write_text(json.dumps(WORKFLOW))
    with init(folder, SETTINGS) as studio:
        acknowledge("asset", studio.assets.add([folder / "in.png"])[0].digest)
        acknowledge("workflow", studio.workflows.add(folder / "small.json").version)
        for number in (1, 2):
            task = studio.tasks.run(folder / "small.json", set=[f"crop.width={5 + number}"], annotation=f"run {number}")
            acknowledge("task", task.id, seeds_of(studio, task.id))
            acknowledge("version", task.version)
        acknowledge("reproduced", studio.versions.reproduce("v1").task.id)
        plain = studio.tasks.run(folder / "small.json", set=["grain.seed=5"], no_annotation=True, label="plain")
        acknowledge("version", plain.version)
        studio.versions.export("plain", folder / "out")
        acknowledge("export", sorted(path.name for path in (folder / "out").iterdir() if path.name[0] != "."))
        (studio.root / "blobs" / "ab").mkdir(exist_ok=True)
        loose = studio._parts.blobs.put(b"nothing refers to this")
        studio.library.gc(dry_run=False, grace_seconds=-1)
        acknowledge("gc", loose)


def seeds_of(studio: Studio, task: str) -> dict[str, str]:
    """Executed seeds by step, from the plan."""
    return {step.id: step.seed.value for step in studio.tasks.show(task).plan.steps if step.seed}


def prove(folder: Path, acknowledged: list[list[Any]]) -> None:
    """All that was acknowledged is there, the library is whole, and work goes on. Raises AssertionError."""
    try:
        studio = open_studio(folder, SETTINGS)
    except NoLibrary:
        assert not acknowledged, "a library that was used is gone"
        studio = init(folder, SETTINGS)
    with studio:
        checked = studio.library.check()
        assert checked.problems == (), checked.problems
        for what, *facts in acknowledged:
            _there(studio, folder, what, facts)
        for task in studio.tasks.list(limit=1000):
            assert task.status in ("done", "interrupted", "failed"), task
            if task.status == "done":
                continue
            if task.purpose == "reproduce":
                again = studio.versions.reproduce(task.reproduces)
                assert again.fidelity.verdict == "identical bytes"
                assert again.task.id in {attempt.task for attempt in studio.versions.history(task.reproduces)}
                continue
            drawn = seeds_of(studio, task.id)
            done = studio.tasks.resume(task.id)
            assert (done.status, seeds_of(studio, task.id)) == ("done", drawn)
            assert done.version, "the reason was kept with the task"
        numbers = [version.number for _, version in studio.versions.list(limit=1000)]
        (folder / "small.json").write_text(json.dumps(WORKFLOW))
        (folder / "in.png").write_bytes(PICTURE)
        fresh = studio.tasks.run(folder / "small.json", annotation="afterwards")
        number = studio.versions.find(fresh.version)[1].number
        assert number == max(numbers, default=0) + 1 == len(numbers) + 1
        every = [
            seed
            for task in studio.tasks.list(limit=1000)
            if task.purpose == "run"
            for seed in seeds_of(studio, task.id).values()
        ]
        assert len(set(every)) == len(every), "a drawn seed was given out twice"
        assert studio.library.check().problems == ()


def _there(studio: Studio, folder: Path, what: str, facts: list[Any]) -> None:
    match what:
        case "asset":
            assert studio.assets.get(facts[0]) == PICTURE
        case "workflow":
            assert studio.workflows.show("small")[1].version >= facts[0]
        case "task":
            task = studio.tasks.get(facts[0])
            assert (task.status, seeds_of(studio, task.id)) == ("done", facts[1])
            for result in studio.tasks.snapshot(task.id).results:
                assert all(studio.assets.get(digest) for digest in result.outputs.values())
        case "version":
            digest, version = studio.versions.find(facts[0])
            assert digest == facts[0]
            assert studio.tasks.get(version.task).version == digest
        case "reproduced":
            assert [attempt.task for attempt in studio.versions.history("v1")] == facts
        case "export":
            assert {"out.png", "record.json", "seeds.json"} <= set(facts[0])
            assert studio.versions.find(folder / "out" / "out.png")[1].label == "plain"
        case "gc":
            assert facts[0] not in {digest for digest, _, _ in studio._parts.blobs.iter_digests()}


# -- the sweep --------------------------------------------------------------------------------------------------------


def attempt(folder: Path, stop: Callable[[int, str], None]) -> tuple[int, list[list[Any]], str]:
    """The work in a child that calls `stop(number, name)` at each point: exit status, what was acknowledged, error."""
    folder.mkdir(parents=True)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        status = 0
        try:
            _observed(folder, writing, stop)
        except IntaglioError as error:
            os.write(writing, (json.dumps(["error", type(error).__name__, str(error)]) + "\n").encode())
        except BaseException:
            os.write(writing, (json.dumps(["crash", traceback.format_exc()[-3000:]]) + "\n").encode())
            status = 70
        os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        lines = [json.loads(line) for line in pipe if line.endswith("\n")]
    _, status = os.waitpid(child, 0)
    crash = next((line[1] for line in lines if line[0] == "crash"), "")
    return status, [line for line in lines if line[0] not in ("error", "crash")], crash


def _observed(folder: Path, writing: int, stop: Callable[[int, str], None]) -> None:
    count = 0

    def at(name: str) -> None:
        nonlocal count
        count += 1
        stop(count, name)

    def acknowledge(*facts: Any) -> None:
        os.write(writing, (json.dumps(facts) + "\n").encode())

    disk.observe(at)
    work(folder, acknowledge)
    disk.observe(None)
    acknowledge("points", count)


def _kill_at(number: int) -> Callable[[int, str], None]:
    def stop(count: int, name: str) -> None:
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return stop


def _full_at(number: int) -> Callable[[int, str], None]:
    def stop(count: int, name: str) -> None:
        # Full from this point on for a while, then there is space again: several refusals in a row.
        if number <= count < number + 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    return stop


def sweep(kind: str, folder: Path, step: int) -> dict[str, Any]:
    """Stop the work at every `step`-th point and prove each time that nothing was lost."""
    _, whole, crash = attempt(folder / "whole", lambda count, name: None)
    assert not crash, crash
    points = next(line[1] for line in whole if line[0] == "points")
    prove(folder / "whole", [line for line in whole if line[0] != "points"])
    make = _kill_at if kind == "kill" else _full_at
    failures: list[str] = []
    killed = 0
    for number in range(1, points + 1, step):
        place = folder / str(number)
        status, acknowledged, crash = attempt(place, make(number))
        killed += os.WIFSIGNALED(status)
        try:
            assert not crash, crash
            prove(place, [line for line in acknowledged if line[0] != "points"])
        except (AssertionError, IntaglioError) as error:
            failures.append(f"point {number}: {type(error).__name__}: {error}"[:3000])
        shutil.rmtree(place)
    return {"points": points, "killed": killed, "failures": failures}


if __name__ == "__main__":
    print(json.dumps(sweep(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))

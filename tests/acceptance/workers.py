"""Workers in processes of their own, and a node type that gets them into trouble, installed as a package would be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from intaglio.core.task import Task
from intaglio.engine.environment import library_versions
from intaglio.studio.open import Studio
from intaglio.studio.settings import Settings
from intaglio.worker.loop import Worker
from intaglio.worker.stopping import Stopping

SETTINGS = Settings(author="Ada", seeds="sequence", threads=1)

# `how` is what happens when it runs; `mark` a file that gets a line for each run, and next to it, with the ending
# ".go", one that it waits for.
_MODULE = '''
import ctypes, os, signal, sys, time
from pathlib import Path
from intaglio.core.context import Context
from intaglio.core.errors import ModelUnavailable, StorageFailed, Unavailable
from intaglio.core.image import Image
from intaglio.core.nodetype import node_type


@node_type("trouble", version=1)
def trouble(ctx: Context, image: Image, *, how: str = "", mark: str = "") -> Image:
    """Do something that hurts."""
    times = 0
    if mark:
        with open(mark, "a") as file:
            file.write(f"{os.getpid()}\\n")
        times = len(Path(mark).read_text().splitlines())
    go = Path(mark + ".go")
    if how == "segfault":
        ctypes.string_at(0)
    elif how == "exit":
        os._exit(3)
    elif how == "sys.exit":
        sys.exit(3)
    elif how == "memory":
        raise MemoryError("no more")
    elif how == "error":
        raise ValueError("a bug")
    elif how == "full once" and times == 1:
        raise StorageFailed("no space left on the disk")
    elif how == "busy":
        raise Unavailable("somebody else is at it")
    elif how == "no model":
        raise ModelUnavailable("it is gone")
    elif how == "killed once" and times == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "gate":
        while not go.exists():
            ctx.hooks.check()
            time.sleep(0.005)
    elif how == "deaf":
        while not go.exists():
            time.sleep(0.005)
    return image
'''


@pytest.fixture
def trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the node type "trouble", here and for every process that is started from here."""
    folder = tmp_path / "site"
    facts = folder / "troubles-1.0.dist-info"
    facts.mkdir(parents=True)
    (folder / "intaglio_troubles.py").write_text(_MODULE)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: troubles\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[intaglio.nodes]\ntroubles = intaglio_troubles\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "intaglio_troubles", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    library_versions.cache_clear()
    yield
    library_versions.cache_clear()


def workflow(folder: Path, name: str, how: str = "", *, grains: int = 1, **more: Any) -> Path:
    """A workflow of grains that draw, with trouble in the middle of them."""
    from intaglio.core.image import Image
    from intaglio.imaging.png import encode

    (folder / "in.png").write_bytes(encode(Image("RGB", 8, 6, bytes(range(144)))))
    nodes: dict[str, Any] = {"in": {"type": "reference-image", "params": {"image": "in.png"}}}
    last = "in"
    for number in range(grains):
        if number == grains // 2 and how:
            params = {"how": how, "mark": str(folder / f"{name}.mark")}
            nodes["trouble"] = {"type": "trouble", "inputs": {"image": last}, "params": params}
            last = "trouble"
        nodes[f"grain{number}"] = {"type": "film-grain", "inputs": {"image": last}, "params": {"amount": 0.5}}
        last = f"grain{number}"
    nodes["out"] = {"type": "output", "inputs": {"image": last}}
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"name": name, "nodes": nodes, **more}))
    return path


def marks(folder: Path, name: str) -> list[int]:
    """The processes in which the trouble of a workflow ran."""
    path = folder / f"{name}.mark"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def let_go(folder: Path, name: str) -> None:
    """Let what waits at the gate of a workflow through."""
    (folder / f"{name}.mark.go").touch()


def emptied(studio: Studio) -> None:
    """Have a worker in this process do everything that is in the queue."""
    Worker(studio, Stopping()).run(once=True)


def started(studio: Studio, *options: str) -> subprocess.Popen[str]:
    """A worker process."""
    return subprocess.Popen(
        [sys.executable, "-m", "intaglio", "worker", "--library", str(studio.root), "--log", "json", *options],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def working(studio: Studio, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A worker process, ended at the end."""
    process = started(studio, *options)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def until(what: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What `what()` gives as soon as that is something."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"nothing came of it in {seconds} s"
        time.sleep(0.01)
    return found


def is_alive(pid: int) -> bool:
    """Whether a process lives; one that only nobody asked for does not."""
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def seeds_of(studio: Studio, task: str) -> dict[str, str]:
    """Executed seeds by step, from the plan."""
    return {step.id: step.seed.value for step in studio.tasks.show(task).plan.steps if step.seed}


def outputs_of(studio: Studio, task: Task) -> list[str]:
    """The digests of what a task made."""
    return [output.asset for output in studio.tasks.snapshot(task.id).outputs]

"""Many processes at once, a runner that is killed, a disk that is full or read-only, a library from the future."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from faults.scenario import PICTURE, SETTINGS, WORKFLOW, seeds_of

from intaglio.studio.open import init, open_studio

COMMAND = (sys.executable, "-m", "intaglio")


def spread(folder: Path) -> Path:
    """A workflow file with its picture."""
    folder.mkdir(exist_ok=True)
    (folder / "in.png").write_bytes(PICTURE)
    (folder / "small.json").write_text(json.dumps(WORKFLOW))
    return folder / "small.json"


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command, running."""
    return subprocess.Popen(
        [*COMMAND, "--library", str(folder), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def test_RUN_4_eight_processes_at_once_on_no_library(tmp_path: Path) -> None:
    spread(tmp_path)
    script = (
        f"cd {tmp_path} && {sys.executable} -m intaglio init . && {sys.executable} -m intaglio tasks run small.json"
    )
    running = [
        subprocess.Popen(["sh", "-c", f"{script} --annotation {number} --json"], stdout=subprocess.PIPE, text=True)
        for number in range(8)
    ]
    assert [(process.communicate()[0] and process.returncode) for process in running] == [0] * 8
    with open_studio(tmp_path) as studio:
        assert sorted(version.number for _, version in studio.versions.list()) == [*range(1, 9)]
        assert studio.workflows.show("small")[1].version == 1
        assert studio.library.check().problems == ()


def _operate(folder: str, number: int) -> None:
    """200 operations of one writer: seeds, assets, versions, and notes in one shared log."""
    with open_studio(folder, SETTINGS) as studio:
        parts = studio._parts
        task = studio.tasks.list()[-1].id
        for index in range(50):
            parts.counters.next("seed", 1001)
            parts.tasks.log(task, "noted", facts={"writer": number, "index": index})
            parts.workflows.add(studio.workflows.show("small")[0])
            parts.blobs.put(f"shared {index}".encode())


def test_VER_8_32_writers_with_200_operations_each(tmp_path: Path) -> None:
    with init(tmp_path, SETTINGS) as studio:
        task = studio.tasks.run(spread(tmp_path), annotation="the first")
        before = len(studio.tasks.show(task.id).events)
        drawn = studio._parts.counters.next("seed", 1001)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_operate, args=(str(tmp_path), number)) for number in range(32)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 32
    with open_studio(tmp_path, SETTINGS) as studio:
        events = studio.tasks.show(task.id).events
        assert [event.number for event in events] == [*range(1, before + 1600 + 1)]
        said = [(event.facts["writer"], event.facts["index"]) for event in events[before:]]
        assert sorted(said) == [(number, index) for number in range(32) for index in range(50)], "no update is lost"
        assert studio._parts.counters.next("seed", 1001) == drawn + 1600 + 1
        assert studio.library.check().problems == ()


def test_RUN_4_killed_in_the_middle_and_taken_up_again(tmp_path: Path) -> None:
    workflow = spread(tmp_path)
    nodes = dict(WORKFLOW["nodes"])
    for number in range(150):
        source = f"more{number - 1}" if number else "big"
        nodes[f"more{number}"] = {"type": "film-grain", "inputs": {"image": source}}
    nodes["form"] = {"type": "form", "inputs": {"image": "more149"}}
    workflow.write_text(json.dumps({**WORKFLOW, "nodes": nodes}))
    chance = random.Random(7)
    with init(tmp_path, SETTINGS) as studio:
        for number in range(4):
            process = started(tmp_path, "tasks", "run", str(workflow), "--annotation", f"try {number}")
            while not (tasks := studio._parts.tasks.list(status="running")):
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.15))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            task = studio.tasks.get(tasks[0].id)
            assert task.status == "interrupted"
            assert task.id in {found.id for found in studio.tasks.list(status="interrupted")}
            drawn = seeds_of(studio, task.id)
            finished = {record.step: record.outputs for record in studio.tasks.show(task.id).steps}
            assert studio.library.check().problems == ()
            resumed = started(tmp_path, "tasks", "resume", task.id, "--json")
            done = json.loads(resumed.communicate()[0])
            assert (done["status"], done["attempt"]) == ("done", 2)
            assert done["version"] == studio.versions.find(task.id)[0], "the reason given at the start was kept"
            assert seeds_of(studio, task.id) == drawn
            again = {record.step: record for record in studio.tasks.show(task.id).steps if record.attempt == 2}
            for step, outputs in finished.items():
                assert (again[step].outputs, again[step].reused_from) == (outputs, task.id)


def test_a_library_of_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    with init(tmp_path, SETTINGS) as studio:
        studio.tasks.run(spread(tmp_path), annotation="x")
    path = tmp_path / ".intaglio" / "library.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '2031_01_01_unheard_of'")
    before = path.read_bytes()
    for arguments in (("tasks", "list"), ("tasks", "run", "small"), ("library", "check"), ("init", str(tmp_path))):
        process = started(tmp_path, *arguments)
        _, said = process.communicate()
        assert process.returncode == 4, said
        assert "2031_01_01_unheard_of" in said
        assert "Upgrade Intaglio" in said
    assert path.read_bytes() == before


def _mountable() -> bool:
    return bool(shutil.which("unshare")) and os.geteuid() == 0


def _in_namespace(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["unshare", "-m", "sh", "-ec", script], capture_output=True, text=True, check=False)


def test_a_read_only_library_can_be_read_and_says_why_it_cannot_be_written(tmp_path: Path) -> None:
    with init(tmp_path, SETTINGS) as studio:
        task = studio.tasks.run(spread(tmp_path), annotation="x", label="kept")
    intaglio = f"{sys.executable} -m intaglio --library {tmp_path}"
    script = f"{intaglio} versions show kept; {intaglio} tasks list; {intaglio} library check; "
    write = f"{intaglio} tasks run {tmp_path}/small.json --annotation y || echo exit $?"
    if _mountable():
        done = _in_namespace(
            f"mount --bind {tmp_path} {tmp_path}; mount -o remount,ro,bind {tmp_path}; {script}{write}"
        )
    else:
        for path in [*tmp_path.rglob("*"), tmp_path]:
            path.chmod(path.stat().st_mode & ~0o222)
        done = subprocess.run(["sh", "-ec", script + write], capture_output=True, text=True, check=False)
        for path in [tmp_path, *tmp_path.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)
    assert "nothing is broken" in done.stdout, done.stderr
    assert task.id in done.stdout
    assert "exit 4" in done.stdout
    assert "read-only" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """On a small file system of its own where the machine allows one; else under a limit on the size of files."""
    spread(tmp_path)
    place = tmp_path / "small-disk"
    place.mkdir()
    intaglio = f"{sys.executable} -m intaglio --library {place}"
    run = f"{intaglio} tasks run {tmp_path}/small.json --annotation x --json"
    after = f"rm -f {place}/filler; {run} > {tmp_path}/last.json; echo recovered $?; {intaglio} library check"
    if _mountable():
        fill = f"mount -t tmpfs -o size=3m none {place}; {intaglio} init {place}; {run}; "
        fill += f"head -c 3000000 /dev/zero > {place}/filler 2>/dev/null || true; {run} || echo exit $?; "
        done = _in_namespace(fill + after)
    else:
        fill = f"{intaglio} init {place}; {run}; (ulimit -f 200; {run}) || echo exit $?; "
        done = subprocess.run(["sh", "-ec", fill + after], capture_output=True, text=True, check=False)
    assert "exit 4" in done.stdout, done.stdout + done.stderr
    assert '"code": "storage.failed"' in done.stderr
    assert "recovered 0" in done.stdout
    assert "nothing is broken" in done.stdout
    assert "Traceback" not in done.stderr

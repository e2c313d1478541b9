"""The server: requests beside a bare Starlette app that does the same SQL, how soon work begins, and what idling costs.

Both servers run at once and are asked by turns, a short round each, so that whatever else the machine does meets both.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import event

import intaglio
from benchmarks.asking import Asked, ask, cpu_of, together
from benchmarks.measure import Measured, least_command, settle
from benchmarks.samples import MODEL, grain_chain, settings, workplace
from benchmarks.search import rows_of, snapshot
from benchmarks.servers import Server, bare
from benchmarks.servers import intaglio as served
from benchmarks.startup import COMMAND, fill
from intaglio.core.image import Image
from intaglio.core.workflow import Workflow, parse_workflow
from intaglio.imaging.png import encode
from intaglio.store.schema import metadata
from intaglio.studio.open import Studio, init

MANY = 2000
PAGE = 50
CONNECTIONS = (1, 16)
ROUNDS = 24
QUERY = "cfg>7 scheduler:heun"
# The sides of pictures of noise that are files of 32 KB and 5 MB.
SIDES = {"32 KB": 104, "5 MB": 1322}
SMALL = 8
SUBMITTED, IDLE_S, RUNS = 30, 10.0, 15


def measure() -> Iterator[Measured]:
    """Requests, then work, then idling."""
    with workplace() as folder:
        work = _library(folder)
        with served(folder / ".intaglio") as server, bare(work, folder) as other:
            yield from _requests(server, other, work)
            yield from _command(server, folder)
        with served(folder / ".intaglio", workers=1) as server:
            yield from _idling(server)
            with init(folder, settings()) as studio, intaglio.connect(server.url) as remote:
                chain = grain_chain(3, Path(_picture(studio, folder, SMALL)))
                yield _begins(studio, remote, chain)
                yield _carried(studio, remote, "3 nodes", chain, RUNS)
                studio.models.add(MODEL, name="scenes")
                yield _carried(studio, remote, "a picture by the bundled model", _painting(), RUNS // 2)


def _library(folder: Path) -> dict[str, Any]:
    """A library with many tasks and versions and two pictures; the same work for the bare server."""
    with init(folder, settings()) as studio:
        fill(studio, MANY)
        parts = studio.parts
        with parts.database.write() as connection:
            rows = rows_of(parts.documents.put(snapshot()), MANY, 0)
            for name in [name for name in rows if name not in ("remarks", "reproductions")]:
                connection.execute(metadata.tables[name].insert(), rows[name])
        queries = {
            "/api/tasks": _statements(studio, lambda: studio.tasks.list(limit=PAGE)),
            "/api/versions/-/search": _statements(studio, lambda: studio.versions.search(QUERY, limit=PAGE)),
        }
        files = [str(studio.assets.file(_picture(studio, folder, side))) for side in SIDES.values()]
        addresses = [f"/api/assets/blake3:{Path(file).name}/content" for file in files]
        return {
            "database": str(parts.database.path),
            "queries": queries,
            "files": dict(zip(addresses, files, strict=True)),
        }


def _picture(studio: Studio, folder: Path, side: int) -> str:
    path = folder / f"{side}.png"
    path.write_bytes(encode(Image("RGB", side, side, random.Random(side).randbytes(side * side * 3))))
    return studio.assets.add([path])[0].digest


def _statements(studio: Studio, call: Callable[[], object]) -> list[tuple[str, list[Any]]]:
    """The SQL of a call."""
    call()  # what is asked once is not asked every time
    found: list[tuple[str, list[Any]]] = []

    def hear(connection: object, cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if not statement.startswith("BEGIN"):
            found.append((statement, list(parameters)))

    engine = studio.parts.database._engine
    event.listen(engine, "before_cursor_execute", hear)
    call()
    event.remove(engine, "before_cursor_execute", hear)
    return found


def _requests(server: Server, other: Server, work: dict[str, Any]) -> Iterator[Measured]:
    settle()
    tasks, search = work["queries"]
    small, large = work["files"]
    for name, path, times in (
        (f"{PAGE} tasks of {MANY:,}", f"{tasks}?limit={PAGE}", 48),
        (f"{PAGE} versions of {MANY:,} by a search", f"{search}?{urlencode({'query': QUERY, 'limit': PAGE})}", 32),
        ("a picture of 32 KB", small, 96),
        ("a picture of 5 MB", large, 16),
    ):
        for connections in CONNECTIONS:
            pairs = [
                [ask(each.port, path, pid=each.pid, connections=connections, times=times) for each in (server, other)]
                for _ in range(ROUNDS)
            ]
            yield _beside(f"{name}, {connections} at a time", pairs)


def _beside(name: str, pairs: list[list[Asked]]) -> Measured:
    """Milliseconds a request in the best round of each, as disturbances only ever add; and the middle of all rounds."""
    mine, bare = (together(pair[side] for pair in pairs) for side in (0, 1))
    best, against = (min(1000 / pair[side].rate for pair in pairs) for side in (0, 1))
    middle = statistics.median(pair[1].rate / pair[0].rate for pair in pairs)
    note = (
        f"all rounds: {mine.rate:.0f}/s, p50 {mine.p50:.2f} ms, p99 {mine.p99:.1f} ms, server's CPU"
        f" {1000 * mine.cpu:.2f} ms; bare {bare.rate:.0f}/s, {bare.p50:.2f} ms, {bare.p99:.1f} ms,"
        f" {1000 * bare.cpu:.2f} ms; median of pairs {middle:.2f}x, CPU {mine.cpu / bare.cpu:.2f}x"
    )
    return Measured(name, best, "ms a request", "bare Starlette", against, 2.0, "ratio", note)


def _command(server: Server, folder: Path) -> Iterator[Measured]:
    """A command that asks a server, beside the same one that opens the library."""
    listed = [str(COMMAND), "tasks", "list", "--limit", "20"]
    pairs = [
        (least_command([*listed, "--server", server.url], 1), least_command(listed, 1, cwd=folder)) for _ in range(7)
    ]
    there, here = (min(pair[side] for pair in pairs) * 1000 for side in (0, 1))
    yield Measured("intaglio tasks list --server", there, "ms CPU", "of a library here", here, 1.5, "ratio")


def _idling(server: Server) -> Iterator[Measured]:
    """What a server and a worker take that have nothing to do, of one core."""
    before = [cpu_of(pid) for pid in (server.pid, *server.workers)]
    time.sleep(IDLE_S)
    for name, used, pid in zip(("server", "worker"), before, (server.pid, *server.workers), strict=True):
        yield Measured(f"idle {name}", 100 * (cpu_of(pid) - used) / IDLE_S, "% of a core", target=1.0)


def _begins(studio: Studio, remote: Studio, workflow: Workflow) -> Measured:
    """From asking for a task until its worker has begun it, as the journal has it."""
    dice, seconds = random.Random(1), list[float]()
    for _ in range(SUBMITTED):
        time.sleep(dice.random() / 10)  # at any point between two looks of the worker
        asked = time.time()
        task = remote.tasks.submit(workflow, reuse=False)
        remote.tasks.wait(task.id)
        (line,) = studio.parts.journal.list(subject=task.id, what=("task.running",))
        seconds.append(datetime.fromisoformat(line.time).timestamp() - asked)
    seconds.sort()
    note = f"p99 {1000 * seconds[int(0.99 * (SUBMITTED - 1))]:.0f} ms"
    return Measured(
        "POST /api/tasks until task.running, p50", 1000 * statistics.median(seconds), "ms", target=100, note=note
    )


def _carried(studio: Studio, remote: Studio, name: str, workflow: Workflow, runs: int) -> Measured:
    """A task through the server and its worker, followed to its end, beside the same in this process; both warm."""

    def run(where: Studio) -> float:
        began = time.perf_counter()
        where.tasks.run(workflow, reuse=False)
        return time.perf_counter() - began

    pairs = [(run(studio), run(remote)) for _ in range(runs + 1)][1:]  # the first loads what it needs
    here, there = (statistics.median(pair[side] for pair in pairs) * 1000 for side in (0, 1))
    more = statistics.median(pair[1] - pair[0] for pair in pairs) * 1000
    return Measured(f"{name}, by the worker", there, "ms", "in this process", here, note=f"{more:.0f} ms more")


def _painting() -> Workflow:
    params = {"model": "scenes", "prompt": "a white sailboat, blue sea", "steps": 15, "guidance": 4.0}
    return parse_workflow({"name": "painting", "nodes": {"base": {"type": "text-to-image", "params": params}}})

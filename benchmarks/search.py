"""Searching a library of a million versions: `python -m benchmarks.search [--versions N] [--folder DIR] [--json]`.

It makes a library (once: one that is there and as large is used again), as rows that are the very same as those the
stores write, which it shows on a sample made in both ways. Then it takes the first page of each query, cold (a new
connection, the file dropped from the system's cache) and warm, beside a plain SQL query for the newest page. Exit code
1 when a warm page takes more CPU than the target.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, select

from benchmarks.machine import describe
from intaglio.core.canonical import digest_bytes
from intaglio.core.conditions import condition
from intaglio.core.environment import Cpu, Environment
from intaglio.core.fidelity import Fidelity, Reproduction
from intaglio.core.findable import facts_of
from intaglio.core.grade import Grade
from intaglio.core.plan import Plan, WorkflowRef
from intaglio.core.query import parse
from intaglio.core.seeds import ExecutedSeed
from intaglio.core.snapshot import Output, Snapshot
from intaglio.core.version import Remark, Version
from intaglio.core.workflow import Workflow
from intaglio.store.database import Database
from intaglio.store.documents import Documents
from intaglio.store.remarks import Remarks
from intaglio.store.reproductions import Reproductions
from intaglio.store.rows import REMARKS, REPRODUCTIONS, VERSIONS
from intaglio.store.schema import metadata
from intaglio.store.search import Search
from intaglio.store.search_blocks import SHIFT, SIZE
from intaglio.store.search_index import TABLES, block_rows
from intaglio.store.versions import Versions

TARGET_MS = 100.0
PAGE = 20
SAMPLE = 300
START = 1704067200  # 2024-01-01
SPAN = 90_000_000
CAMPAIGNS = 400
SCHEDULERS = ("euler_a", "dpm++ 2m karras", "unipc", "heun")

# What is asked, and what about it is hard.
QUERIES = (
    ("", "nothing asked: all of them"),
    ("cfg>7", "half of all"),
    ("cfg>1", "nearly all"),
    ("cfg>14.93", "three"),
    ("grain.amount>=0.25 grain.amount<0.75", "a number that each has its own of, two ranges"),
    ("grain.amount<0.0000001", "such a number, next to none"),
    ("seed:42", "one"),
    ("seed>9223372036854775807", "half of all, a number of its own each"),
    ("model:tiny*", "half of all"),
    ("model:other-3", "one in forty"),
    ('"blue hour"', "two words in a row, common"),
    ("sunset", "a common word"),
    ("zephyr", "a word that three have"),
    ('"blue hour over the harbour"', "five words in a row"),
    ("wa*", "words that begin so"),
    ("approved", "one in twenty"),
    ("tag:hero", "one in a hundred"),
    ("-rejected", "nearly all"),
    ("label:warm*", "a quarter of all, each its own label"),
    ("after:2026-06 before:2026-07", "one month"),
    ("before:2024-01-03", "the oldest"),
    ("task:20240102*", "the oldest, by task"),
    ("branch:campaign-7*", "some workflows"),
    ("reproduced:identical grade:full", "one in thirty"),
    ("approved zephyr", "a common and a rare one"),
    ("cfg>7 seed:42", "a common one and one"),
    ("cfg>7 steps>=20 model:tiny* approved after:2025-06 -rejected sunset", "many"),
    ("cfg>7 cfg<=7", "nothing, of two common ones"),
    ("model:tiny* scheduler:ddim", "nothing: common ones that exclude each other"),
    ("sunset -sunset", "nothing: a word and not the word"),
    ("label:warm* -label:warm*", "nothing, of labels"),
    ("grain.amount>=0.5 grain.amount<0.5", "nothing, of numbers that each has its own of"),
    ("approved rejected", "nothing"),
    ("unheard", "nothing: a word that none has"),
    ("version:abcd", "the beginning of a digest"),
    ("zephyr OR seed:42 OR tag:hero", "one of three"),
)


@dataclass(frozen=True)
class Saved:
    """A version as its row, with what was said of it and what came of bringing it back."""

    seq: int
    row: dict[str, Any]
    version: Version
    remarks: tuple[Remark, ...]
    tried: tuple[Reproduction, ...]


class Making:
    """The versions of one block of a library, the same ones each time."""

    def __init__(self, kept: str, total: int, block: int) -> None:
        self._kept, self._total = kept, total
        self._dice = random.Random(block)
        dice = random.Random(5)
        letters = "aeiourstnlmdkg"
        self._words = ["".join(dice.choices(letters, k=dice.randint(3, 9))) for _ in range(4000)]
        self._weights = list(accumulate(1 / (rank + 8) for rank in range(len(self._words))))
        # What is asked of a campaign changes little from version to version.
        self._prompts = [dice.choices(self._words, cum_weights=self._weights, k=16) for _ in range(3 * CAMPAIGNS)]
        self.seqs = range(max(block * SIZE, 1), min(block * SIZE + SIZE, total + 1))

    def all(self) -> Iterator[Saved]:
        """The versions, in order."""
        return (self._next(seq) for seq in self.seqs)

    def _next(self, seq: int) -> Saved:
        at = seq - 1
        rare = at % (self._total // 3 + 1) == self._total // 7
        made = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(START + at * SPAN // self._total)) + ".000000Z"
        version = self._version(at, made, rare=rare)
        row = VERSIONS.row(version, seq=seq)
        digest = row["digest"]
        return Saved(seq, row, version, tuple(self._said(digest, made)), tuple(self._tried(digest, made)))

    def _version(self, at: int, made: str, *, rare: bool) -> Version:
        name, number = f"campaign-{at % CAMPAIGNS}", at // CAMPAIGNS + 1
        dice, asset = self._dice, digest_bytes(b"picture %d" % at)
        tiny = dice.random() < 0.5
        model = f"{'tiny' if tiny else 'other'}-{dice.randrange(20)}"
        scheduler = dice.choice(SCHEDULERS) if tiny else dice.choice((*SCHEDULERS, "ddim"))
        params: dict[str, Any] = {
            "prompt": self._prompt(at % CAMPAIGNS, rare=rare),
            "negative_prompt": "blurry, low quality",
            "steps": dice.choice((8, 12, 20, 28, 30, 50)),
            "guidance": 14.95 if rare else dice.randrange(2, 26) / 2,
            "width": dice.choice((512, 768, 1024)),
            "height": dice.choice((512, 768, 1024)),
            "scheduler": scheduler,
        }
        seed = "42" if at == self._total // 2 else str(dice.getrandbits(64))
        label = dice.choice(("", "", f"warm-{number}", f"direction-{number}"))
        return Version(
            number=number,
            label=label,
            annotation=" ".join(self._some(6)),
            unannotated=False,
            workflow=WorkflowRef(name=name, version=1, digest=digest_bytes(name.encode())),
            task=f"{made[:10].replace('-', '')}-{made[11:19].replace(':', '')}-{at:08x}",
            snapshot=self._kept,
            parent="",
            created=made,
            author=dice.choice(("Ada", "Bo", "Cleo")),
            parameters={"base": params, "grain": {"amount": dice.random(), "size": 1, "monochrome": True}},
            seeds={
                "base": ExecutedSeed(value=seed, origin="drawn"),
                "grain": ExecutedSeed(value=str(dice.getrandbits(32)), origin="drawn"),
            },
            models={"base": {"model": f"{model}:1 {digest_bytes(model.encode())}"}},
            references={},
            outputs=(Output(node="grain", step="grain", index=0, asset=asset, address="intaglio:asset/" + asset),),
        )

    def _some(self, count: int) -> list[str]:
        return self._dice.choices(self._words, cum_weights=self._weights, k=count)

    def _prompt(self, campaign: int, *, rare: bool) -> str:
        words = list(self._prompts[3 * campaign + self._dice.randrange(3)])
        words[self._dice.randrange(16)] = self._some(1)[0]
        if self._dice.random() < 0.3:
            words[3:3] = ["sunset"]
        if self._dice.random() < 0.1:
            words[5:5] = ["blue", "hour", "over", "the", "harbour"] if self._dice.random() < 0.5 else ["blue", "hour"]
        return " ".join([*words, "zephyr"] if rare else words)

    def _said(self, digest: str, made: str) -> Iterator[Remark]:
        for what, share, value, note in (
            ("approved", 0.05, "", ""),
            ("rejected", 0.08, "", "too dark"),
            ("tag", 0.01, "hero", ""),
            ("comment", 0.02, "", "ask the client"),
        ):
            if self._dice.random() < share:
                yield Remark(version=digest, what=what, holds=True, note=note, value=value, created=made, author="Ada")

    def _tried(self, digest: str, made: str) -> Iterator[Reproduction]:
        if self._dice.random() < 0.04:
            same = self._dice.random() < 0.9
            fidelity = Fidelity(verdict="identical bytes" if same else "different", outputs=())
            grade = Grade(grade="full" if same else "approximate")
            yield Reproduction(version=digest, task="", created=made, grade=grade, fidelity=fidelity)


def snapshot() -> Snapshot:
    """The one snapshot that all versions keep; a search does not look at it."""
    workflow = WorkflowRef(name="campaign", version=1, digest=digest_bytes(b""))
    cpu = Cpu(model="a cpu", instruction_set="avx2", cores=2)
    surroundings = Environment(
        intaglio="1", python="3", os="linux", machine="x86_64", cpu=cpu, libraries={}, threads=2, deterministic=True
    )
    return Snapshot(
        task="20240101-000000-00000000",
        created="2024-01-01T00:00:00.000000Z",
        author="Ada",
        workflow=Workflow(name="campaign", nodes={}),
        plan=Plan(workflow=workflow, mode="discovery", threads=2, deterministic=True, steps=()),
        results=(),
        outputs=(),
        assets={},
        models={},
        environment=surroundings,
    )


def one_by_one(database: Database, total: int) -> None:
    """A library of less than a block, through the stores."""
    for saved in Making(Documents(database).put(snapshot()), total, 0).all():
        Versions(database).save(saved.version.workflow.name, lambda number, made=saved.version: made)  # type: ignore[misc]
        for remark in saved.remarks:
            Remarks(database).add(remark)
        for tried in saved.tried:
            Reproductions(database).add(tried)


Rows = dict[str, list[dict[str, Any]]]


def rows_of(kept: str, total: int, block: int) -> Rows:
    """The rows of one block of versions by table; `seq` of remarks and reproductions begins at 0 in each."""
    some = list(Making(kept, total, block).all())
    facts = ((each.seq % SIZE, facts_of(each.version, each.remarks, each.tried)) for each in some)
    return {
        "versions": [each.row for each in some],
        "version_outputs": [
            {"version": each.row["digest"], "asset": output.asset} for each in some for output in each.version.outputs
        ],
        **{table.name: rows for table, rows in zip(TABLES, block_rows(block, facts), strict=True)},
        "remarks": [{"record": remark} for each in some for remark in each.remarks],
        "reproductions": [{"record": tried} for each in some for tried in each.tried],
    }


def in_bulk(database: Database, total: int, processes: int = 2) -> None:
    """The same versions, as rows, a block at a time; the rows are made in processes of their own."""
    kept = Documents(database).put(snapshot())
    first, counts = _so_far(database)
    last, queued = total >> SHIFT, 2 * processes
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        ahead = deque(pool.submit(rows_of, kept, total, block) for block in range(first, min(first + queued, last + 1)))
        for block in range(first, last + 1):
            rows = ahead.popleft().result()
            if block + queued <= last:
                ahead.append(pool.submit(rows_of, kept, total, block + queued))
            for name, records in (("remarks", REMARKS), ("reproductions", REPRODUCTIONS)):
                numbered = enumerate(rows[name], counts[name] + 1)
                rows[name] = [records.row(row["record"], seq=seq) for seq, row in numbered]
                counts[name] += len(rows[name])
            with database.write() as connection:
                for name, values in rows.items():
                    if values:
                        connection.execute(insert(metadata.tables[name]), values)
            print(f"\r{min((block + 1) * SIZE - 1, total):,} of {total:,} versions", end="", file=sys.stderr)
    print(file=sys.stderr)


def _so_far(database: Database) -> tuple[int, dict[str, int]]:
    """The first block that is not there yet, and how many remarks and reproductions are: each block is one commit."""
    with database.read() as connection:
        found = [
            connection.execute(select(func.max(metadata.tables[name].c.seq))).scalar() or 0
            for name in ("versions", "remarks", "reproductions")
        ]
    return (found[0] + 1) >> SHIFT, {"remarks": found[1], "reproductions": found[2]}


def same_both_ways() -> bool:
    """Whether a sample made through the stores and in bulk has the same rows in every table."""
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for make in (one_by_one, in_bulk):
            database = Database.open(Path(folder) / make.__name__ / "library.db", create=True)
            make(database, SAMPLE)
            with database.read() as connection:
                tables = metadata.sorted_tables
                found.append([sorted(map(tuple, connection.execute(select(table))), key=repr) for table in tables])
            database.close()
    return found[0] == found[1]


def library(folder: Path, count: int, processes: int) -> Path:
    """A library of so many versions in this folder; made when it is not there, or gone on with."""
    path = folder / f"{count}" / "library.db"
    done = path.with_name("done")
    if not done.exists():
        database = Database.open(path, create=True)
        in_bulk(database, count, processes)
        database.close()
        done.touch()
    return path


@dataclass(frozen=True)
class Timed:
    """The first page of a query, in milliseconds: by the clock when cold and when warm, and of CPU when warm."""

    query: str
    what: str
    found: int
    cold: float
    warm: float
    cpu: float


def measured(path: Path, text: str, what: str) -> Timed:
    """One query, cold once and warm the best of five."""
    forget(path)
    database = Database.open(path, create=False)
    try:

        def ask() -> list[tuple[str, Version]]:
            return Search(database).find(condition(parse(text)), limit=PAGE)

        cold, _, found = clocked(ask)
        warm = [clocked(ask)[:2] for _ in range(5)]
    finally:
        database.close()
    return Timed(text, what, len(found), cold, *map(min, zip(*warm, strict=True)))


def floor(path: Path) -> Timed:
    """The newest page by plain SQL on the same table."""
    statement = f"SELECT seq, digest, body FROM versions ORDER BY seq DESC LIMIT {PAGE}"
    forget(path)
    with closing(sqlite3.connect(path)) as connection:
        cold, _, found = clocked(lambda: connection.execute(statement).fetchall())
        warm = [clocked(lambda: connection.execute(statement).fetchall())[:2] for _ in range(20)]
    return Timed("(plain SQL)", "the newest page", len(found), cold, *map(min, zip(*warm, strict=True)))


def clocked(work: Callable[[], list[Any]]) -> tuple[float, float, list[Any]]:
    """Milliseconds by the clock and of CPU, and what came of it."""
    start, used = time.perf_counter(), time.process_time()
    result = work()
    return (time.perf_counter() - start) * 1000, (time.process_time() - used) * 1000, result


def forget(path: Path) -> None:
    """Have the system drop what it holds of a file in memory."""
    for part in path.parent.glob("library.db*"):
        handle = os.open(part, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def main() -> int:
    """Make the library, measure, print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--versions", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "search")
    parser.add_argument("--processes", type=int, default=2, help="how many make it")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if not same_both_ways():
        raise SystemExit("rows made in bulk are not those the stores write")
    path = library(asked.folder, asked.versions, asked.processes)
    base = floor(path)
    rows = [base, *(measured(path, text, what) for text, what in QUERIES)]
    size = path.stat().st_size
    if asked.json:
        measurements = [vars(row) | {"ratio": row.cpu / base.cpu} for row in rows]
        print(json.dumps({"machine": describe(), "versions": asked.versions, "bytes": size, "measured": measurements}))
    else:
        print(f"{asked.versions:,} versions, {size / 2**30:.2f} GiB; first pages of {PAGE}\n")
        print("| query | what | found | cold ms | warm ms | CPU ms | to the floor |\n|---|---|---|---|---|---|---|")
        for row in rows:
            ratio = row.cpu / base.cpu
            print(
                f"| `{row.query}` | {row.what} | {row.found} | {row.cold:.1f} | {row.warm:.1f} | {row.cpu:.1f} |"
                f" {ratio:.0f}x |"
            )
    return int(any(row.cpu > TARGET_MS for row in rows))


if __name__ == "__main__":
    sys.exit(main())

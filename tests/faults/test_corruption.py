"""One byte flipped, a file cut, swapped or deleted: noticed before any byte reaches a user, and named by the check."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from faults.scenario import SETTINGS, work

from intaglio.core.errors import IntaglioError
from intaglio.studio.open import Studio, open_studio

Spoil = Callable[[Path], None]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small library after a day of work."""
    folder = tmp_path_factory.mktemp("finished")
    work(folder, lambda *facts: None)
    return folder


@pytest.fixture
def library(finished: Path, tmp_path: Path) -> Path:
    """A copy that may be spoiled; no proof of the original vouches for it."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def everything(studio: Studio) -> dict[str, bytes | str]:
    """All that a user can read: every picture, version, task and workflow."""
    seen: dict[str, bytes | str] = {}
    for digest, version in studio.versions.list(limit=1000):
        seen[digest] = repr(studio.versions.find(digest)[1]) + repr(studio.versions.snapshot(digest))
        for asset in studio.versions.snapshot(digest).assets:
            seen[asset] = studio.assets.get(asset)
        seen[version.task] = repr(studio.tasks.show(version.task))
    for name, *_ in studio.workflows.list():
        seen[name] = repr(studio.workflows.show(name))
    return seen


def _flip(path: Path, offset: int) -> None:
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[offset % len(data)] ^= 0x20
    path.chmod(0o644)
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _cut(path: Path, length: int = -1) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:length])


SPOILERS: dict[str, Spoil] = {
    "first byte": lambda path: _flip(path, 0),
    "middle byte": lambda path: _flip(path, path.stat().st_size // 2),
    "last byte": lambda path: _flip(path, -1),
    "cut": _cut,
    "emptied": lambda path: _cut(path, 0),
    "deleted": lambda path: path.unlink(),
}


def blobs(library: Path) -> list[Path]:
    """Every stored file, in a stable order."""
    return sorted(path for path in (library / ".intaglio" / "blobs").glob("??/*") if path.is_file())


@pytest.mark.parametrize("how", SPOILERS)
def test_a_spoiled_file_is_never_served(finished: Path, library: Path, how: str) -> None:
    with open_studio(finished, SETTINGS) as whole:
        right = everything(whole)
    for path in blobs(library):
        original = path.read_bytes()
        SPOILERS[how](path)
        digest = "blake3:" + path.name
        with open_studio(library, SETTINGS) as studio:
            with pytest.raises(IntaglioError):
                studio.assets.get(digest)
            problems = {problem.id: problem.versions for problem in studio.library.check().problems}
            assert list(problems) == [digest]
            hit = {f"small/{v.name}" for d, v in studio.versions.list() if digest in studio.versions.snapshot(d).assets}
            assert set(problems[digest]) == hit
        path.unlink(missing_ok=True)
        path.write_bytes(original)
    with open_studio(library, SETTINGS) as studio:
        assert everything(studio) == right


def test_two_files_swapped_are_never_served(library: Path) -> None:
    first, second = blobs(library)[:2]
    spare = library / "spare"
    first.rename(spare)
    second.rename(first)
    spare.rename(second)
    with open_studio(library, SETTINGS) as studio:
        for path in (first, second):
            with pytest.raises(IntaglioError):
                studio.assets.get("blake3:" + path.name)
        assert len(studio.library.check().problems) == 2


def _outcome(library: Path, right: dict[str, bytes | str], what: str) -> str:
    """What a reader of a spoiled library gets: all of it right, or an error. Anything else fails."""
    try:
        with open_studio(library, SETTINGS) as studio:
            seen = everything(studio)
            problems = studio.library.check().problems
    except IntaglioError:
        return "refused"
    assert all(right.get(name) == value for name, value in seen.items()), f"{what}: something wrong was served"
    assert problems or seen.keys() == right.keys(), f"{what}: something is gone, and nobody said so"
    return "named" if problems else "unharmed"


def test_every_row_of_the_database(finished: Path, tmp_path: Path) -> None:
    with open_studio(finished, SETTINGS) as whole:
        right = everything(whole)
    outcomes: set[str] = set()
    for number, (table, column, row) in enumerate(_cells(finished / ".intaglio" / "library.db")):
        copy = Path(shutil.copytree(finished, tmp_path / str(number)))
        if _spoil_cell(copy / ".intaglio" / "library.db", table, column, row):
            outcomes.add(outcome := _outcome(copy, right, f"{table}.{column} of row {row}"))
            assert outcome != "unharmed", f"{table}.{column} of row {row} was spoiled unseen"
        shutil.rmtree(copy)
    assert outcomes == {"refused", "named"}


def _cells(path: Path) -> list[tuple[str, str, int]]:
    """Some cells of every column that matters, in every table."""
    cells: list[tuple[str, str, int]] = []
    with closing(sqlite3.connect(path)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows, columns = rows_of(connection, table), columns_of(connection, table)
            wanted = [column for column in columns if column in ("body", "seal") or column in columns[:3]]
            if table != "alembic_version":
                cells += [(table, column, row) for row in rows[:: max(1, len(rows) // 3)] for column in wanted]
    return cells


def _spoil_cell(path: Path, table: str, column: str, row: int) -> bool:
    """Change one cell so that the database itself has nothing to object to. False where that is impossible."""
    with closing(sqlite3.connect(path)) as connection, connection:
        where = at_row(connection, table, row)
        (value,) = connection.execute(f"SELECT {column} FROM {table} WHERE {where}").fetchone()
        if value is None:
            return False
        spoiled = value + 1000 if isinstance(value, int) else value[:-1] + (b"~" if isinstance(value, bytes) else "~")
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (spoiled,))
    return True


def columns_of(connection: sqlite3.Connection, table: str) -> list[str]:
    """The columns of a table."""
    return [column[1] for column in connection.execute(f"PRAGMA table_info({table})")]


def rows_of(connection: sqlite3.Connection, table: str) -> list[int]:
    """The rows of a table: their rowids, or where it has none, their places in the order of its key."""
    if _has_rowid(connection, table):
        return [row for (row,) in connection.execute(f"SELECT rowid FROM {table} ORDER BY rowid")]
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return list(range(count))


def at_row(connection: sqlite3.Connection, table: str, row: int) -> str:
    """The condition that finds one of `rows_of`."""
    if _has_rowid(connection, table):
        return f"rowid = {row}"
    key = ", ".join(column[1] for column in connection.execute(f"PRAGMA table_info({table})") if column[5])
    return f"({key}) = (SELECT {key} FROM {table} ORDER BY {key} LIMIT 1 OFFSET {row})"


def _has_rowid(connection: sqlite3.Connection, table: str) -> bool:
    (made,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    return "WITHOUT ROWID" not in made


@pytest.mark.parametrize("name", ["library.db", "cache.db"])
def test_random_bytes_of_a_database(finished: Path, tmp_path: Path, name: str) -> None:
    with open_studio(finished, SETTINGS) as whole:
        right = everything(whole)
    chance = random.Random(20261120)
    for number in range(60):
        copy = Path(shutil.copytree(finished, tmp_path / str(number)))
        path = copy / ".intaglio" / name
        data = bytearray(path.read_bytes())
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        outcome = _outcome(copy, right, f"{name}, case {number}")
        assert name == "library.db" or outcome == "unharmed", "the cache must never stand in the way"
        shutil.rmtree(copy)

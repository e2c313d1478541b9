"""A changed byte anywhere in the database is refused when it is read, and named by the check."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select
from unit.store.test_db_samples import WAITING, Stores, asset, filled, stores
from unit.store.test_db_samples import model as model_of

from intaglio.core.errors import Damaged, IntaglioError, InvalidRecord, NotFound
from intaglio.core.plan import Plan
from intaglio.core.snapshot import Snapshot
from intaglio.core.workflow import Workflow
from intaglio.store.database import Database
from intaglio.store.integrity import Problem, check_rows
from intaglio.store.rows import COUNTERS
from intaglio.store.schema import (
    alembic_version,
    counters,
    metadata,
    picture_hashes,
    step_inputs,
    step_outputs,
    version_outputs,
)
from intaglio.store.search_index import TABLES

UNSEALED = (step_inputs, step_outputs, version_outputs, picture_hashes, *TABLES)
SEALED = [
    (table.name, column.name)
    for table in metadata.sorted_tables
    if table not in (alembic_version, *UNSEALED)
    for column in table.columns
]
OUTPUTS = [(table.name, column.name) for table in UNSEALED for column in table.columns]
CLASSES = {"plan": Plan, "snapshot": Snapshot, "workflow": Workflow}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "library.db"
    filled(path).database.close()
    return path


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path / "library.db"))


def edit(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def spoil(path: Path, table: str, column: str, at: int = 0) -> None:
    """Flip one bit of a column in the first row of a table."""
    of = metadata.tables[table]
    keys = [key.name for key in of.primary_key] if of.dialect_options["sqlite"]["with_rowid"] is False else ["rowid"]
    key = ", ".join(keys)
    with closing(sqlite3.connect(path)) as connection, connection:
        *row, value = connection.execute(
            f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL ORDER BY {key} LIMIT 1"
        ).fetchone()
        if isinstance(value, int):
            changed: object = value + 64
        else:
            data = bytearray(value if isinstance(value, bytes) else value.encode())
            data[at % len(data)] ^= 1
            changed = bytes(data) if isinstance(value, bytes) else data.decode()
        where = " AND ".join(f"{name} = ?" for name in keys)
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (changed, *row))


def read_everything(library: Stores) -> None:
    """Read every record through its store."""
    for name, _, _, _ in library.workflows.list():
        for _, number, _, _ in library.workflows.history(name):
            library.workflows.get(name, number)
    for digest, kind in library.documents.iter():
        if kind not in CLASSES:
            raise Damaged(library.documents.verify(digest) or "")
        library.documents.get(CLASSES[kind], digest)
    read_tasks(library)
    library.assets.list()
    library.assets.digests()
    for digest, _ in library.versions.list():
        library.versions.get(digest)
    if not library.reproductions.of(library.versions.find(label="warm")[0][0]):
        raise NotFound("reproduction", "warm")
    library.models.list()
    with library.database.read() as connection:
        COUNTERS.all(connection, select(counters))
    library.counters.next("seed", 1001)
    read_about_models(library)
    read_about_directions(library)
    read_about_servers(library)


def read_about_servers(library: Stores) -> None:
    """Read what a server needs, under the names it was written with."""
    if len(library.journal.list(limit=1000)) != library.journal.last():
        raise NotFound("notice", "")
    library.jobs.list()
    library.queue.list()
    library.tokens.list()
    library.webhooks.list()
    for number in (1, 2):
        library.jobs.get(f"job-{number}")
        library.tokens.get(f"tok-{number}")
        library.webhooks.get(f"hook-{number}")
        if library.tokens.by_hash(f"{number}{number}") is None:
            raise NotFound("token", f"{number}{number}")
        if library.idempotency.begin("Ada", f"key-{number}", "request") is None:
            raise NotFound("answer", f"key-{number}")
    for id, _ in WAITING:
        if library.queue.get(id) is None:
            raise NotFound("queued", id)


def read_about_directions(library: Stores) -> None:
    """Read branches and variations, under the names they were written with."""
    library.branches.list()
    library.branches.remarks()
    for name in ("cool", "warm"):
        if library.branches.get(name) is None or not library.branches.remarks(name):
            raise NotFound("branch", name)
    version = library.versions.find(label="warm")[0][0]
    if len(library.variations.list(version=version)) != 2:
        raise NotFound("variation", version)
    for id, task in (("v1", "t1"), ("v2", "t2")):
        library.variations.get(id)
        if not library.variations.runs(id) or not library.variations.remarks(id) or not library.variations.valued(task):
            raise NotFound("variation", id)
        if library.variations.run_of(task) is None:
            raise NotFound("run", task)


def read_about_models(library: Stores) -> None:
    """Read what is known of models and versions beside their own records, by what it is looked up by."""
    library.model_index.places()
    for model, path in library.models.list():
        if not library.model_index.at(str(path)) or not library.model_index.of(model.digest):
            raise NotFound("place", str(path))
        if library.model_index.hashes(model.digest) is None or library.kept.get(model.digest) is None:
            raise NotFound("hashes", model.digest)
    for column, digits in (("sha256", "ab" * 32), ("autov1", "cd" * 4), ("tensors", "ef" * 32)):
        if len(library.model_index.find_hash(column, digits)) != 2:
            raise NotFound("hashes", digits)
    if not library.remarks.of(library.versions.find(label="warm")[0][0]):
        raise NotFound("remark", "warm")
    if not library.envelopes.of(model_of().digest):
        raise NotFound("envelope", "weights")


def read_tasks(library: Stores) -> None:
    """Read the tasks, and under the ids they were written with, their steps, logs and assets."""
    library.tasks.list()
    for id in ("t1", "t2"):
        library.tasks.get(id)
        if not library.tasks.steps(id) or not library.tasks.events(id):
            raise NotFound("steps", id)
        if library.assets.tasks_of(asset(id).digest) != [id]:
            raise NotFound("asset", id)


def problems(path: Path) -> list[Problem]:
    database = Database.open(path, create=False)
    try:
        return list(check_rows(database))
    finally:
        database.close()


def test_a_whole_library_is_read_and_has_no_problems(copy: Path) -> None:
    library = stores(copy, create=False)
    read_everything(library)
    assert list(check_rows(library.database)) == []
    library.database.close()


@pytest.mark.parametrize(("table", "column"), SEALED)
def test_a_changed_column_is_refused_and_named(copy: Path, table: str, column: str) -> None:
    spoil(copy, table, column, at=-1)
    found = problems(copy)
    assert any("is damaged" in problem.message for problem in found)
    library = stores(copy, create=False)
    try:
        with pytest.raises((Damaged, NotFound, IndexError)):
            read_everything(library)
    finally:
        library.database.close()


@pytest.mark.parametrize("table", sorted({table for table, column in SEALED if column == "body"}))
def test_every_byte_of_a_body_counts(copy: Path, table: str) -> None:
    with closing(sqlite3.connect(copy)) as connection:
        (size,) = connection.execute(f"SELECT length(body) FROM {table} ORDER BY rowid LIMIT 1").fetchone()
    for at in range(0, size, size // 8):
        spoil(copy, table, "body", at)
        assert any("is damaged" in problem.message for problem in problems(copy)), at
        spoil(copy, table, "body", at)
    assert problems(copy) == []


@pytest.mark.parametrize(("table", "column"), OUTPUTS)
def test_a_changed_row_of_outputs_is_named(copy: Path, table: str, column: str) -> None:
    spoil(copy, table, column, at=-1)
    assert problems(copy) != []


def test_an_output_that_no_record_names_is_not_served(copy: Path) -> None:
    other = asset("t2").digest
    edit(copy, "UPDATE step_outputs SET asset = ?", other)
    edit(copy, "UPDATE OR REPLACE version_outputs SET asset = ?", other)
    library = stores(copy, create=False)
    with pytest.raises(Damaged):
        library.assets.tasks_of(other)
    with pytest.raises(Damaged):
        library.assets.versions_of(other)
    assert [version.number for _, version in library.versions.find(output=other)] == [2]
    library.database.close()


@pytest.mark.parametrize("value", [b"bytes", "text", 7, 0.5])
@pytest.mark.parametrize("column", ["body", "seal", "status", "id"])
def test_a_value_of_another_type_is_refused(copy: Path, column: str, value: object) -> None:
    edit(copy, f"UPDATE tasks SET {column} = ? WHERE seq = 1", value)
    assert any(problem.kind == "task" and "is damaged" in problem.message for problem in problems(copy))
    library = stores(copy, create=False)
    with pytest.raises(Damaged):
        library.tasks.list()
    library.database.close()


@pytest.mark.parametrize(
    ("statement", "kind", "id"),
    [
        ("DELETE FROM documents WHERE kind = 'plan'", "task", "t1"),
        ("DELETE FROM documents WHERE kind = 'snapshot'", "version", "blake3:"),
        ("DELETE FROM documents WHERE kind = 'workflow'", "workflow-entry", "poster/1"),
        ("DELETE FROM tasks WHERE id = 't1'", "node-record", "t1/base"),
        ("DELETE FROM tasks WHERE id = 't1'", "event", "t1/1"),
        ("DELETE FROM assets", "step_outputs", "t1"),
        ("DELETE FROM step_outputs", "node-record", "t1/base"),
        ("DELETE FROM version_outputs", "version", "blake3:"),
        ("DELETE FROM versions", "reproduction", "blake3:"),
        ("DELETE FROM journal WHERE number = 2", "notice", "2"),
        ("DELETE FROM journal WHERE number < 4", "notice", "1"),
        ("DELETE FROM tasks WHERE id = 't2'", "queued", "t2"),
        ("DELETE FROM jobs", "queued", "job-1"),
    ],
)
def test_a_missing_row_is_missed(copy: Path, statement: str, kind: str, id: str) -> None:
    edit(copy, statement)
    assert any(problem.kind == kind and problem.id.startswith(id) for problem in problems(copy))


def test_text_that_is_no_text_is_damage(copy: Path) -> None:
    edit(copy, "UPDATE tasks SET status = CAST(x'ff' AS TEXT) WHERE seq = 1")
    library = stores(copy, create=False)
    with pytest.raises(Damaged):
        library.tasks.list()
    assert list(check_rows(library.database)) != []
    library.database.close()


def test_flipped_bytes_of_the_file_never_serve_another_record(whole: Path, tmp_path: Path) -> None:
    """Every page is hit: what is read is what was written, or an error that says so."""
    data = whole.read_bytes()
    reference = stores(whole, create=False)
    expected = {id: reference.tasks.get(id) for id in ("t1", "t2")}
    reference.database.close()
    for place in range(0, len(data), 4093):
        path = tmp_path / f"{place}.db"
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        try:
            library = stores(path, create=False)
        except IntaglioError:
            continue
        for id, task in expected.items():
            try:
                assert library.tasks.get(id) == task
            except (Damaged, NotFound, InvalidRecord):
                continue
        list(check_rows(library.database))
        library.database.close()
        path.unlink()


def test_what_was_read_before_is_refused_once_it_changed(copy: Path) -> None:
    library = stores(copy)
    read_tasks(library)
    read_tasks(library)  # known by now
    for column, value in (("plan", "blake3:" + "0" * 64), ("body", b"{}")):
        kept = library.tasks.list()[0]
        with closing(sqlite3.connect(copy)) as connection:
            (before,) = connection.execute(f"SELECT {column} FROM tasks WHERE id = ?", (kept.id,)).fetchone()
        edit(copy, f"UPDATE tasks SET {column} = ? WHERE id = ?", value, kept.id)
        with pytest.raises(Damaged):
            library.tasks.get(kept.id)
        edit(copy, f"UPDATE tasks SET {column} = ? WHERE id = ?", before, kept.id)
        assert library.tasks.get(kept.id) == kept
    library.database.close()

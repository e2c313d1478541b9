"""The database file: made, opened, brought up to date, refused; its errors in plain words."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import ClauseElement, create_engine, event
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable
from unit.store.test_db_samples import (
    PLAN,
    Stores,
    asset,
    filled,
    fork,
    model,
    queued,
    reproduction,
    snapshot,
    step,
    stores,
    version,
    workflow,
)

from intaglio.core.errors import (
    Damaged,
    IntaglioError,
    LibraryTooNew,
    NoLibrary,
    StorageFailed,
    Unavailable,
)
from intaglio.store import database as database_module
from intaglio.store import disk, migrations, schema
from intaglio.store.database import Database
from intaglio.store.integrity import check_rows, count_rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "library.db"


@pytest.fixture
def failing() -> Iterator[Callable[[str, int], None]]:
    """Make one failpoint raise an OSError of some number."""

    def fail(at: str, number: int) -> None:
        def observer(name: str) -> None:
            if name == at:
                raise OSError(number, os.strerror(number))

        disk.observe(observer)

    yield fail
    disk.observe(None)


def tables(path: Path) -> dict[str, list[str]]:
    """What makes each table and index, line by line; the order of constraints means nothing, nor do the quotes that
    SQLite puts around the name of a table it made anew."""
    with closing(sqlite3.connect(path)) as connection:
        made = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {
        name: sorted(line.strip(" \t,").replace(f'"{name}"', name) for line in sql.splitlines()) for name, sql in made
    }


def set_revision(path: Path, revision: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))


def test_the_migrations_make_exactly_the_tables_of_the_schema(path: Path, tmp_path: Path) -> None:
    Database.open(path, create=True).close()
    migrated = tmp_path / "migrated.db"
    engine = create_engine(f"sqlite:///{migrated}")
    with engine.begin() as connection:
        migrations.upgrade(connection)
    engine.dispose()
    assert tables(migrated) == tables(path)
    with closing(sqlite3.connect(migrated)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(schema.REVISION,)]
    assert schema.REVISION in migrations.revisions()


def test_settings_that_keep_what_was_committed(path: Path) -> None:
    database = Database.open(path, create=True)
    with database.write() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    database.close()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 60_000}


def test_whoever_writes_is_noticed_once(path: Path) -> None:
    library, other = filled(path), stores(path)
    with library.database.changes() as changed:
        assert [changed(), changed()] == [True, False]
        other.counters.next("seed", 7)
        assert [changed(), changed()] == [True, False]
        library.counters.next("seed", 8)  # over another connection of the same process
        assert [changed(), changed()] == [True, False]
        library.tasks.list()
        other.tasks.list()
        assert not changed(), "reading changes nothing"
    for each in (library, other):
        each.database.close()


def test_who_asks_whether_anybody_wrote_hears_of_trouble_in_plain_words(path: Path) -> None:
    database = filled(path).database
    with closing(database._engine.raw_connection()) as connection:  # the one that is lent next
        driver = connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.set_authorizer(lambda action, name, *_: int(name == "data_version"))
    with database.changes() as changed, pytest.raises(StorageFailed, match="not authorized"):
        changed()
    database.close()


def test_an_existing_library_is_opened_without_alembic_and_soon(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from intaglio.store.database import Database;"
        f"Database.open(Path({str(path)!r}), create=True).close(); assert 'alembic' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(2):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        assert time.perf_counter() - begun < 5  # a busy machine; alone it takes 0.4 s


def test_a_missing_library(path: Path) -> None:
    for read_only in (False, True):
        with pytest.raises(NoLibrary):
            Database.open(path, create=False, read_only=read_only)
    assert not path.exists()
    Database.open(path.parent / "deep" / "er" / "library.db", create=True).close()


def test_a_newer_library_is_left_alone_and_both_revisions_named(path: Path) -> None:
    filled(path).database.close()
    set_revision(path, "2030_01_01_future")
    for read_only in (False, True):
        with pytest.raises(LibraryTooNew, match=f"2030_01_01_future.*{schema.REVISION}"):
            Database.open(path, create=True, read_only=read_only)


def test_an_older_library_is_brought_up_to_date(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path).database.close()
    folder = tmp_path / "50% of migrations"
    shutil.copytree(Path(migrations.__file__).parent, folder)
    (folder / "versions" / "2027_01_01_more.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\n"
        f"revision = '2027_01_01_more'\ndown_revision = {schema.REVISION!r}\n"
        "def upgrade():\n    op.create_table('more', sa.Column('a', sa.Integer()))\n"
    )
    monkeypatch.setattr(migrations, "_FOLDER", folder)
    monkeypatch.setattr(schema, "REVISION", "2027_01_01_more")
    with pytest.raises(StorageFailed, match="read-only"):
        Database.open(path, create=False, read_only=True)
    disk.observe(_raise_at("commit:before"))
    try:
        with pytest.raises(StorageFailed):
            Database.open(path, create=False)
    finally:
        disk.observe(None)
    assert "more" not in tables(path)
    database = Database.open(path, create=False)
    assert "more" in tables(path)
    assert list(check_rows(database)) == []
    database.close()


def _raise_at(point: str) -> Callable[[str], None]:
    def observer(name: str) -> None:
        if name == point:
            raise OSError(errno.ENOSPC, "full")

    return observer


@pytest.mark.parametrize("content", [b"not a database, just some text that is long enough" * 20, b"short"])
def test_a_file_that_is_no_database(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(Damaged):
            Database.open(path, create=True, read_only=read_only)
    assert path.read_bytes() == content


def test_a_database_of_something_else_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE other (a)")
    with pytest.raises(Damaged, match="not a library database"):
        Database.open(path, create=True)


def test_a_library_without_its_revision_or_a_table_is_damaged(path: Path) -> None:
    filled(path).database.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE counters")
    library = stores(path, create=False)
    with pytest.raises(Damaged, match="counters"):
        library.counters.next("seed", 1)
    assert [problem.kind for problem in check_rows(library.database)] == ["database"]
    library.database.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM alembic_version")
    with pytest.raises(Damaged, match="revision"):
        Database.open(path, create=False)


class TestReadOnly:
    def test_asked_for(self, path: Path) -> None:
        filled(path).database.close()
        database = Database.open(path, create=False, read_only=True)
        assert count_rows(database) == 47
        with pytest.raises(StorageFailed, match="read-only"), database.write():
            pass
        database.close()

    def test_a_folder_and_file_that_cannot_be_written(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "library.db"
            filled(path).database.close()
            assert [each.name for each in path.parent.iterdir() if "lock" not in each.name] == ["library.db"]
            path.chmod(0o444)
            path.parent.chmod(0o555)
            try:
                assert _as_nobody(lambda: _reads_but_does_not_write(path)) == 0
            finally:
                path.parent.chmod(0o755)

    def test_a_log_that_cannot_be_read_is_not_left_out_unsaid(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "library.db"
            library = filled(path)
            copy = Path(folder) / "copy"
            copy.mkdir()
            for name in ("library.db", "library.db-wal"):
                shutil.copy(path.with_name(name), copy / name)
            library.database.close()
            path.parent.chmod(0o755)
            copy.chmod(0o555)
            assert _as_nobody(lambda: _is_refused(copy / "library.db")) == 0
            copy.chmod(0o755)


def _as_nobody(work: Callable[[], None]) -> int:
    def drop() -> None:
        if os.geteuid() == 0:
            os.setuid(65534)
        work()

    return os.waitpid(fork(drop), 0)[1]


def _reads_but_does_not_write(path: Path) -> None:
    database = Database.open(path, create=False)
    assert count_rows(database) == 47
    with pytest.raises(StorageFailed, match="the library is read-only"), database.write():
        pass


def _is_refused(path: Path) -> None:
    with pytest.raises(StorageFailed, match=r"library\.db-wal"):
        Database.open(path, create=False)


class TestErrors:
    @pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "no space"), (errno.EIO, "reported an error")])
    def test_a_disk_that_refuses_a_commit(
        self, path: Path, failing: Callable[[str, int], None], number: int, words: str
    ) -> None:
        library = stores(path)
        failing("commit:before", number)
        with pytest.raises(StorageFailed, match=words):
            library.assets.add(asset("a"))
        disk.observe(None)
        assert library.assets.digests() == set()
        library.assets.add(asset("a"))
        library.database.close()

    def test_a_full_disk_under_sqlite(self, path: Path) -> None:
        library = stores(path)
        library.workflows.add(workflow())
        with library.database.write() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")
        large = [workflow(f"name {number}", "x" * 4000) for number in range(300)]
        with pytest.raises(StorageFailed, match="no space"), library.database.write():
            _ = [library.workflows.add(each) for each in large]
        assert [name for name, *_ in library.workflows.list()] == ["poster"]
        library.database.close()

    def test_a_busy_database(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(database_module, "BUSY_S", 0.05)
        database = Database.open(path, create=True)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable, match="busy"), database.write():
                pass
            with database.read():
                pass
        database.close()

    def test_a_database_busy_with_another_thread_is_waited_for_only_so_long(self, path: Path) -> None:
        database = Database.open(path, create=True, busy_s=0.05)
        refused: list[str] = []

        def write() -> None:
            try:
                with database.write():
                    pass
            except Unavailable as error:
                refused.append(str(error))

        with database.write():
            thread = threading.Thread(target=write)
            thread.start()
            thread.join(10)
            assert "others have been writing for 0.05 s" in refused[0]
        write()
        assert len(refused) == 1
        database.close()

    def test_a_folder_in_the_place_of_the_file(self, path: Path) -> None:
        path.mkdir()
        with pytest.raises(IntaglioError):
            Database.open(path, create=True)


def test_readers_see_one_state_and_do_not_wait_for_a_writer(path: Path) -> None:
    library = stores(path)
    seen: list[int] = []

    def look() -> None:
        seen.append(len(library.assets.digests()))

    with library.database.write():
        library.assets.add(asset("a"))
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        look()
    look()
    assert seen == [0, 1, 1]
    with library.database.read():
        thread = threading.Thread(target=lambda: library.assets.add(asset("b")))
        thread.start()
        thread.join()
    assert len(library.assets.digests()) == 2
    library.database.close()


def test_every_table_and_every_statement_is_one_that_postgresql_takes(tmp_path: Path) -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in schema.metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            assert "CREATE INDEX" in str(CreateIndex(index).compile(dialect=dialect))
    used: list[str] = []
    library = stores(tmp_path / "library.db")

    def note(connection: object, statement: object, *_: object) -> None:
        if isinstance(statement, ClauseElement):
            used.append(str(statement.compile(dialect=dialect)))

    event.listen(library.database._engine, "before_execute", note)
    library.tasks.add(queued("t0", library.documents.put(PLAN)))
    library.database.close()
    before = len(used)
    library = filled(tmp_path / "other.db")
    event.listen(library.database._engine, "before_execute", note)
    _ask_everything(library)
    assert len(used) > before + 40
    library.database.close()


def _ask_everything(library: Stores) -> None:
    kept = library.documents.put(snapshot("t2"))
    library.documents.put(PLAN)
    library.documents.find("plan", "a")
    library.workflows.add(workflow(description="third"))
    library.workflows.get("poster", 1)
    library.workflows.get("poster")
    library.workflows.list()
    library.workflows.history("poster")
    library.tasks.add_step(step("t2", "more", "t1", key="more"), [asset("new")], [("done", "more", {})])
    library.tasks.update("t2", author="bob")
    library.tasks.list(before="t2", status="done")
    library.tasks.find("t")
    library.tasks.steps("t1")
    library.tasks.events("t1")
    library.tasks.reusable("x")
    library.tasks.reusable("x", task="t1")
    saved, _ = library.versions.save("poster", lambda number: version(number, kept, label="cold"), task="t2")
    library.versions.list(workflow="poster", before=saved)
    library.versions.find(number=1, label="x", task="t", snapshot_prefix="a", digest_prefix="b", output="c")
    library.versions.latest("poster")
    library.models.add(model(), Path("/new"))
    library.models.add(model(label="v3", content="third"), Path("/new"))
    library.models.get("tiny")
    library.models.find("a")
    library.models.list()
    library.models.move(model().digest, Path("/moved"))
    library.assets.list(before=asset("t2").digest)
    library.assets.by_pixels("x")
    library.assets.find("a")
    library.assets.digests()
    library.assets.tasks_of("x")
    library.assets.versions_of("x")
    library.counters.next("seed", 1)
    library.counters.next("more", 1)
    library.reproductions.add(reproduction(saved))
    library.reproductions.of(saved)
    assert list(check_rows(library.database)) == []
    count_rows(library.database)

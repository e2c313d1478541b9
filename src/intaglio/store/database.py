"""The library's database: one SQLite file, opened, made, brought up to date, and its errors in plain words.

Everything else in the store speaks SQLAlchemy Core through `read` and `write`; only this file knows that it is SQLite.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, insert, inspect, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from intaglio.core.errors import Conflict, Damaged, IntaglioError, LibraryTooNew, NoLibrary, StorageFailed, Unavailable
from intaglio.store import migrations, schema
from intaglio.store.disk import make_tree, plain_errors, point
from intaglio.store.lock import library_lock

BUSY_S = 60.0
_PRIMARY = 0xFF  # SQLite's extended codes carry the plain one in the low byte
_READ_ONLY = "the library is read-only"
_READ_ONLY_HINT = "Make its folder writable, or use a copy of it."


class Database:
    """A library's database. Any number of threads and processes may use it at once. Make one with `open`."""

    def __init__(self, path: Path, address: str, *, read_only: bool, busy_s: float | None = None) -> None:
        self.path = path
        self.read_only = read_only
        self._busy_s = BUSY_S if busy_s is None else busy_s
        self._engine = _engine(path, address, self._busy_s)
        self._writing = threading.Lock()
        self._local = threading.local()

    @classmethod
    def open(cls, path: Path, *, create: bool, read_only: bool = False, busy_s: float | None = None) -> Self:
        """Open the database at `path`; make it when it is missing (`create`), or was not made to the end.

        While others write, who wants to write waits for `busy_s` seconds at most (None: a minute).
        Raises NoLibrary, LibraryTooNew, Damaged, StorageFailed, Unavailable.
        """
        if not path.exists():
            if not create or read_only:
                raise NoLibrary(f"no library database at {path}")
            make_tree(path.parent)
        elif read_only or not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
            return cls._ready(cls(path, _reading_address(path), read_only=True, busy_s=busy_s))
        return cls._ready(cls(path, _address(path, "mode=rwc"), read_only=False, busy_s=busy_s))

    @classmethod
    def _ready(cls, database: Self) -> Self:
        try:
            database._bring_up_to_date()
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one state of the library until it is left; inside `write`, that transaction."""
        joined = self._joined()
        if joined is not None:
            with self._plain_errors():
                yield joined
            return
        with self._plain_errors(), self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, alone from its first moment, on disk when it is left; undone by any exception.

        Inside another one of the same thread it becomes a part of it: it is committed with the outer one, and undone
        alone. Raises StorageFailed, Unavailable, Damaged, Conflict.
        """
        joined = self._joined()
        if joined is not None:
            with self._plain_errors(), joined.begin_nested():
                try:
                    yield joined
                except DBAPIError:
                    _leave_unless_begun(joined)
                    raise
            return
        if self.read_only:
            raise StorageFailed(_READ_ONLY, hint=_READ_ONLY_HINT)
        with self._alone(), self._plain_errors(), self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            self._local.connection = connection
            try:
                yield connection
                self._commit(connection)
            finally:
                self._local.connection = None

    @contextmanager
    def changes(self) -> Iterator[Callable[[], bool]]:
        """What tells whether anybody wrote since it was asked last (at first: yes), for next to nothing.

        It raises what reading raises.
        """
        with self._plain_errors(), self._engine.connect() as connection:
            # Asked many times a second: not through SQLAlchemy, which takes ten times as long.
            cursor = connection.connection.cursor()
            last: object = None

            def changed() -> bool:
                nonlocal last
                try:
                    # Another number after every commit of any other connection, of any process.
                    before, last = last, cursor.execute("PRAGMA data_version").fetchone()
                except sqlite3.Error as error:
                    raise _translated(DBAPIError(None, None, error), self.path, self._busy_s) from error
                return last != before

            yield changed

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _joined(self) -> Connection | None:
        return getattr(self._local, "connection", None)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Of the threads of this process, be the only one that writes."""
        if not self._writing.acquire(timeout=self._busy_s):
            raise _busy(self.path, self._busy_s)
        try:
            yield
        finally:
            self._writing.release()

    def _commit(self, connection: Connection) -> None:
        with plain_errors("writing", self.path):
            point("commit:before")
            connection.commit()
            point("commit:after")

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise _translated(error, self.path, self._busy_s) from error
        except UnicodeDecodeError as error:  # SQLite quotes a damaged schema in its message, and that is no text
            raise Damaged(f"library database {self.path} is damaged: its schema is not text") from error

    def _bring_up_to_date(self) -> None:
        if self._revision() == schema.REVISION:
            return
        if self.read_only:
            self._refuse_newer()
            raise StorageFailed(
                f"{_READ_ONLY}, and has to be brought up to date before it can be used", hint=_READ_ONLY_HINT
            )
        with library_lock(self.path.with_name(self.path.name + ".lock"), timeout_s=BUSY_S):
            self._refuse_newer()
            if self._revision() is None:
                self._create()
            elif self._revision() != schema.REVISION:
                self._migrate()

    def _revision(self) -> str | None:
        """The schema's revision, None while there is no table yet. Raises Damaged."""
        with self.read() as connection:
            tables = inspect(connection)
            if not tables.has_table(schema.alembic_version.name):
                if tables.get_table_names():
                    raise Damaged(f"{self.path} is not a library database: it has tables, but no revision")
                return None
            revision = connection.execute(select(schema.alembic_version.c.version_num)).scalar()
        if not isinstance(revision, str):
            raise Damaged(f"library database {self.path} is damaged: its revision is missing")
        return revision

    def _refuse_newer(self) -> None:
        revision = self._revision()
        if revision is not None and revision not in migrations.revisions():
            raise LibraryTooNew(
                f"the library is at revision {revision!r}; this Intaglio knows it up to {schema.REVISION!r}"
            )

    def _create(self) -> None:
        """Make the tables without Alembic, which takes longer to import than the rest; tests hold the two together."""
        with self._plain_errors(), self._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        with self.write() as connection:
            schema.metadata.create_all(connection, checkfirst=False)
            connection.execute(insert(schema.alembic_version).values(version_num=schema.REVISION))

    def _migrate(self) -> None:
        with self.write() as connection:
            migrations.upgrade(connection)


def now() -> str:
    """The time as records write it: UTC, RFC 3339, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _engine(path: Path, address: str, busy_s: float) -> Engine:
    return create_engine(
        URL.create("sqlite", database=str(path)),
        creator=lambda: _connect(address, busy_s),
        poolclass=QueuePool,
        # Threads wait for the database, never for a connection to it.
        max_overflow=-1,
    )


def _connect(address: str, busy_s: float) -> sqlite3.Connection:
    # isolation_level=None: the driver would otherwise begin transactions by itself, too late and without IMMEDIATE.
    connection = sqlite3.connect(address, uri=True, timeout=busy_s, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _leave_unless_begun(connection: Connection) -> None:
    """After some errors (a full disk) SQLite undoes the whole transaction by itself; then nothing may follow in it."""
    driver = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection) and not driver.in_transaction:
        connection.invalidate()


def _address(path: Path, options: str) -> str:
    return f"file:{quote(str(path.absolute()))}?{options}"


def _reading_address(path: Path) -> str:
    """How to read where nothing can be written. SQLite wants to make files beside a database even to read it."""
    address = _address(path, "mode=ro")
    try:
        with closing(_connect(address, BUSY_S)) as connection:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size:
            # Read as immutable, the database would silently lack what is still in its log.
            raise StorageFailed(
                f"{_READ_ONLY}, and its last changes are still in {log.name}", hint=_READ_ONLY_HINT
            ) from error
        return _address(path, "immutable=1")
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise Damaged(f"library database {path} is damaged: {error}") from error
    return address


def _busy(path: Path, busy_s: float) -> Unavailable:
    return Unavailable(
        f"library database {path} is busy: others have been writing for {busy_s:g} s", hint="Try again in a moment."
    )


def _translated(error: DBAPIError, path: Path, busy_s: float) -> IntaglioError:
    cause = error.orig
    if isinstance(error, IntegrityError):
        return Conflict(f"the library already has it, or lacks what it names ({cause})")
    match getattr(cause, "sqlite_errorcode", 0) & _PRIMARY:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return _busy(path, busy_s)
        case sqlite3.SQLITE_NOMEM:
            return Unavailable(f"out of memory while using {path}")
        case sqlite3.SQLITE_FULL:
            return StorageFailed(f"no space left on the disk while writing {path}")
        case sqlite3.SQLITE_READONLY:
            return StorageFailed(_READ_ONLY, hint=_READ_ONLY_HINT)
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return StorageFailed(f"the disk refused access to {path} ({cause})")
    # A file that is no database, a page that is not what it should be, a missing table, text that is not UTF-8.
    return Damaged(f"library database {path} is damaged: {cause}")

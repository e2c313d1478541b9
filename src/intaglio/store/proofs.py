"""Proofs: which bytes were hashed, and what their file looked like then. A throw-away cache in a small SQLite file.

A proof vouches for a file only while device, inode, size, mtime_ns and ctime_ns are as they were. A file that was
changed within GRANULARITY_NS of the hashing could be changed again without any of these moving, so such a proof does
not vouch (git calls it "racily clean"). Every row carries a checksum: a flipped bit in the cache vouches for nothing.
When the cache cannot be read it is made anew, and when that fails too it is kept in memory.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from blake3 import blake3

from intaglio.core.errors import StorageFailed
from intaglio.store import disk

GRANULARITY_NS = 2_000_000_000  # FAT keeps time in steps of two seconds; everything else is finer
BATCH = 1_000
PAUSE_NS = 2_000_000_000
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_MEMORY = ":memory:"
_KEY = blake3(b"intaglio proof row").digest()

# SQLite connections must not be used, and not even closed, on the other side of a fork: they are parked here.
_abandoned: list[sqlite3.Connection] = []


class StatSignature(NamedTuple):
    """What a file system says about a file that changes when its bytes change."""

    dev: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        """The signature in a stat result."""
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class Proof(NamedTuple):
    """A file of this signature had this digest; the hashing began at `at` (nanoseconds since 1970)."""

    stat: StatSignature
    digest: str
    at: int

    def vouches_for(self, stat: StatSignature) -> bool:
        """Whether a file that looks like `stat` now must still have the digest."""
        settled = self.at - stat.ctime_ns > GRANULARITY_NS and abs(self.at - stat.mtime_ns) > GRANULARITY_NS
        return self.stat == stat and settled


def blob_subject(digest: str) -> bytes:
    """The name of a blob in the cache."""
    return b"blob:" + digest.encode()


def file_subject(path: Path) -> bytes:
    """The name of a user's file in the cache."""
    return b"file:" + os.fsencode(os.path.abspath(path))


class Proofs:
    """The cache at `path`, shared by any number of threads and processes."""

    def __init__(self, path: Path, *, clock: Callable[[], int] = time.time_ns) -> None:
        self.path = path
        self.now = clock
        self._target = str(path)
        self._remade = False
        self._pending: dict[bytes, Proof] = {}
        self._flushed_at = 0
        self._connection: sqlite3.Connection | None = None
        self._owner = os.getpid()
        self._guard = threading.RLock()

    def trusted(self, subject: bytes, stat: StatSignature) -> str | None:
        """The digest of `subject`, if a proof vouches for a file that looks like `stat`."""
        proof = self.last(subject)
        return proof.digest if proof is not None and proof.vouches_for(stat) else None

    def trusted_many(self, stats: Mapping[bytes, StatSignature]) -> dict[bytes, str]:
        """The digests of those subjects that a proof vouches for, each given with what its file looks like now."""
        proofs: dict[bytes, Proof | None] = {}
        with self._alone():
            subjects = list(stats)
            try:
                for start in range(0, len(subjects), BATCH):
                    some = subjects[start : start + BATCH]
                    query = f"SELECT subject, proof FROM proofs WHERE subject IN ({','.join('?' * len(some))})"  # noqa: S608  # only question marks
                    proofs |= {found: _unseal(found, row) for found, row in self._database().execute(query, some)}
            except sqlite3.Error as error:
                self._recover(error)
            proofs |= {subject: self._pending[subject] for subject in self._pending.keys() & stats.keys()}
        vouched = ((subject, proof) for subject, proof in proofs.items() if proof is not None)
        return {subject: proof.digest for subject, proof in vouched if proof.vouches_for(stats[subject])}

    def last(self, subject: bytes) -> Proof | None:
        """The latest proof about `subject`, whether or not it still vouches."""
        with self._alone():
            if subject in self._pending:
                return self._pending[subject]
            try:
                query = "SELECT proof FROM proofs WHERE subject = ?"
                row = self._database().execute(query, (subject,)).fetchone()
            except sqlite3.Error as error:
                self._recover(error)
                return None
        return None if row is None else _unseal(subject, row[0])

    def remember(self, subject: bytes, proof: Proof) -> None:
        """Keep `proof`; written behind, many in one commit."""
        with self._alone():
            self._pending[subject] = proof
            if len(self._pending) % BATCH == 0 or time.monotonic_ns() - self._flushed_at > PAUSE_NS:
                self.flush()

    def copy(self, subject: bytes, other: bytes) -> None:
        """Have what is known of `subject` hold for `other`, another name of the same file; it vouches for no other."""
        proof = self.last(subject)
        if proof is not None:
            self.remember(other, proof)

    def flush(self) -> None:
        """Write what is waiting, in one transaction. What cannot be written now stays waiting."""
        with self._alone():
            self._flushed_at = time.monotonic_ns()
            rows = [(subject, _seal(subject, proof)) for subject, proof in self._pending.items()]
            try:
                with self._database() as database:
                    database.execute("BEGIN IMMEDIATE")
                    database.executemany("INSERT OR REPLACE INTO proofs VALUES (?, ?)", rows)
            except sqlite3.Error as error:
                self._recover(error)
            else:
                self._pending.clear()

    def close(self) -> None:
        """Write what is waiting and let go of the file."""
        with self._alone():
            if self._pending:
                self.flush()
            self._disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _alone(self) -> threading.RLock:
        if self._owner != os.getpid():
            if self._connection is not None:
                _abandoned.append(self._connection)
            self._connection, self._owner, self._guard = None, os.getpid(), threading.RLock()
        return self._guard

    def _database(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(self._target, timeout=0.5, isolation_level=None, check_same_thread=False)
            self._connection.text_factory = bytes
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("CREATE TABLE IF NOT EXISTS proofs (subject BLOB PRIMARY KEY, proof TEXT)")
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _recover(self, error: sqlite3.Error) -> None:
        self._disconnect()
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY:
            return
        try:
            if self._remade:
                raise StorageFailed(f"{self.path} cannot be made anew")
            for suffix in ("", "-wal", "-shm"):
                disk.unlink(self.path.with_name(self.path.name + suffix))
        except (StorageFailed, IsADirectoryError):
            self._target = _MEMORY
        self._remade = True


def _checksum(subject: bytes, text: str) -> str:
    return blake3(subject + b"\0" + text.encode(), key=_KEY).hexdigest(16)


def _seal(subject: bytes, proof: Proof) -> str:
    text = " ".join([*map(str, proof.stat), proof.digest, str(proof.at)])
    return f"{text} {_checksum(subject, text)}"


def _unseal(subject: bytes, row: object) -> Proof | None:
    text, _, checksum = (row if isinstance(row, bytes) else b"").decode(errors="replace").rpartition(" ")
    if checksum != _checksum(subject, text):
        return None
    *stat, digest, at = text.split(" ")
    return Proof(StatSignature(*map(int, stat)), digest, int(at))

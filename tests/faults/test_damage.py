"""Every row lost or swapped, a schema that is no text, a large file whose look was put back: no way leads past them.

`test_corruption.py` spoils files and cells and reads; here versions are exported and reproduced from the damage too.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from faults.scenario import SETTINGS, seeds_of, work
from faults.test_corruption import at_row, blobs, columns_of, everything, rows_of
from faults.test_processes import spread, started

from intaglio.core.errors import Damaged, IntaglioError
from intaglio.core.image import Image
from intaglio.imaging.png import encode
from intaglio.store.proofs import GRANULARITY_NS, StatSignature, blob_subject
from intaglio.studio.carry_out import Watch
from intaglio.studio.open import Studio, init, open_studio

# Their loss cannot be told from their never having been there; a seed counter is its own only record, and perceptual
# hashes are computed when they are first asked for.
LEAVES = {"counters", "reproductions", "alembic_version", "picture_hashes"}


class Victim:
    """A library that is damaged again and again, and what its users must get from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        work(folder, lambda *facts: None)
        self.path = folder / ".intaglio" / "library.db"
        with open_studio(folder, SETTINGS) as studio:
            self.right = everything(studio)
            self.versions = [digest for digest, _ in studio.versions.list()]
            self.exported = {digest: self._export(studio, digest) for digest in self.versions}
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.whole = self.path.read_bytes()

    def restore(self, data: bytes = b"") -> None:
        """The database as it was, or as `data`."""
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self.path.write_bytes(data or self.whole)

    def _export(self, studio: Studio, digest: str) -> dict[str, bytes]:
        folder = self.folder / "exported"
        shutil.rmtree(folder, ignore_errors=True)
        told: list[str] = []
        files = {path.name: path.read_bytes() for path in studio.versions.export(digest, folder, told=told.append)}
        if told:  # a reference file that is not among them
            raise Damaged(told[0])
        return files

    def examine(self, what: str, *, runs: bool) -> bool:
        """Read everything there is; whether somebody said that something is wrong. Wrong bytes fail."""
        said = False
        try:
            with open_studio(self.folder, SETTINGS) as studio:
                said = bool(studio.library.check().problems)
                for digest in self.versions if runs else ():
                    try:
                        assert self._export(studio, digest) == self.exported[digest], what
                        assert studio.versions.reproduce(digest).fidelity.verdict == "identical bytes", what
                    except IntaglioError:
                        said = True
                seen = everything(studio)
        except IntaglioError:
            return True
        assert all(self.right.get(name) == value for name, value in seen.items() if name in self.right), what
        assert said or self.right.keys() <= seen.keys(), f"{what}: something is gone, and nobody said so"
        return said


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Victim(Path(folder))


def _tables(path: Path) -> dict[str, tuple[list[int], list[str]]]:
    """The rows of every table, by their place in the order of its key, and its columns."""
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: (rows_of(connection, name), columns_of(connection, name)) for name in names}


def test_no_row_is_lost_unsaid(victim: Victim) -> None:
    victim.restore()
    for table, (rows, _) in _tables(victim.path).items():
        for row in rows if table not in LEAVES else ():
            victim.restore()
            with closing(sqlite3.connect(victim.path)) as connection, connection:
                connection.execute(f"DELETE FROM {table} WHERE {at_row(connection, table, row)}")
            assert victim.examine(f"{table} without row {row}", runs=row == rows[0]), f"{table} lost row {row} unsaid"
    victim.restore()


def test_no_row_passes_for_another(victim: Victim) -> None:
    victim.restore()
    for table, (rows, columns) in _tables(victim.path).items():
        moved = ", ".join(column for column in ("body", "seal") if column in columns)
        if not moved:
            continue
        holders = ", ".join("?" * len(moved.split(", ")))
        for first, second in pairwise(rows):
            victim.restore()
            with closing(sqlite3.connect(victim.path)) as connection, connection:
                pair = [
                    connection.execute(f"SELECT {moved} FROM {table} WHERE {at_row(connection, table, row)}").fetchone()
                    for row in (second, first)
                ]
                for row, values in zip((first, second), pair, strict=True):
                    where = at_row(connection, table, row)
                    connection.execute(f"UPDATE {table} SET ({moved}) = ({holders}) WHERE {where}", values)
            assert victim.examine(f"{table}, rows {first} and {second}", runs=False), f"{table}: a swap was not seen"
    victim.restore()


def test_three_hundred_flipped_bits_reach_nobody(victim: Victim) -> None:
    chance = random.Random(1)
    for number in range(300):
        data = bytearray(victim.whole)
        place = chance.randrange(len(data))
        data[place] ^= 1 << chance.randrange(8)
        victim.restore(bytes(data))
        victim.examine(f"byte {place}", runs=number % 10 == 0)
    victim.restore()


def test_a_schema_that_is_no_text_is_damage(victim: Victim) -> None:
    """SQLite quotes what it cannot parse, and Python cannot decode the quotation."""
    place = victim.whole.index(b"CREATE TABLE documents")
    victim.restore(victim.whole[: place + 9] + b"\xd5" + victim.whole[place + 10 :])
    try:
        with pytest.raises(Damaged):
            open_studio(victim.folder, SETTINGS)
    finally:
        victim.restore()


def test_versions_come_right_or_not_at_all_from_spoiled_files(victim: Victim) -> None:
    victim.restore()
    for path in blobs(victim.folder):
        whole = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        assert victim.examine(path.name, runs=True)
        path.unlink(missing_ok=True)
        path.write_bytes(whole)


def test_a_large_file_whose_times_were_put_back_is_noticed(tmp_path: Path) -> None:
    """Large files are not hashed at every read: a proof vouches for them, and must stop when they change."""
    picture = encode(Image("RGB", 400, 300, random.Random(2).randbytes(360_000)))
    (tmp_path / "large.png").write_bytes(picture)
    with init(tmp_path, SETTINGS) as studio:
        digest = studio.assets.add([tmp_path / "large.png"])[0].digest
        path = studio._parts.blobs.path_of(digest)
        time.sleep(GRANULARITY_NS / 1e9 + 0.2)
        assert studio.assets.get(digest) == picture
        before = path.stat()
        assert studio._parts.proofs.trusted(blob_subject(digest), StatSignature.of(before)) == digest
        path.chmod(0o644)
        with path.open("r+b") as file:
            file.seek(1000)
            file.write(bytes([picture[1000] ^ 1]))
        path.chmod(0o444)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (path.stat().st_mtime_ns, path.stat().st_size) == (before.st_mtime_ns, before.st_size)
        for read in (studio.assets.get, studio._parts.blobs.path_of):
            with pytest.raises(Damaged):
                read(digest)
        assert [problem.id for problem in studio.library.check().problems] == [digest]


def test_RUN_4_a_wish_to_stop_that_nobody_heard_does_not_stop_the_next_attempt(tmp_path: Path) -> None:
    workflow = spread(tmp_path)
    child = os.fork()
    if child == 0:
        with init(tmp_path, SETTINGS) as studio:

            def hang(step: object, done: int, total: int) -> None:
                if getattr(step, "id", "") == "grade":
                    studio.tasks.cancel(studio.tasks.list()[0].id)
                    os.kill(os.getpid(), signal.SIGKILL)

            studio.tasks.run(workflow, annotation="x", watch=Watch(progress=hang))
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    listed = started(tmp_path, "tasks", "list")
    words, _ = listed.communicate()
    assert "interrupted" in words
    with open_studio(tmp_path, SETTINGS) as studio:
        task = studio.tasks.list()[0]
        drawn = seeds_of(studio, task.id)
        done = studio.tasks.resume(task.id)
        assert (done.status, seeds_of(studio, task.id)) == ("done", drawn)
        assert done.version
        assert studio.library.check().problems == ()

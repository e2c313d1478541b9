"""The cache of proofs: it may be lost at any time, and it never vouches for the wrong bytes."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.store.proofs import GRANULARITY_NS, Proof, Proofs, StatSignature, blob_subject, file_subject

AT = 10 * GRANULARITY_NS
LOOK = StatSignature(1, 2**64 - 1, 100, 5, 6)
PROOF = Proof(LOOK, "blake3:" + "a" * 64, AT)


def test_what_is_remembered_is_trusted_also_later(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    with Proofs(path) as proofs:
        assert proofs.trusted(b"it", LOOK) is None
        proofs.remember(b"it", PROOF)
        assert proofs.trusted(b"it", LOOK) == PROOF.digest
    with Proofs(path) as proofs:
        assert proofs.trusted(b"it", LOOK) == PROOF.digest
        assert proofs.last(b"it") == PROOF
        assert proofs.trusted(b"other", LOOK) is None


@given(field=st.integers(0, 4), value=st.integers(0, 2**64))
def test_every_field_counts(field: int, value: int) -> None:
    other = LOOK._replace(**{StatSignature._fields[field]: value})
    assert PROOF.vouches_for(other) == (other == LOOK)


@given(at=st.integers(0, 10 * GRANULARITY_NS), changed=st.integers(0, 10 * GRANULARITY_NS))
def test_racily_clean_does_not_vouch(at: int, changed: int) -> None:
    settled = at - changed > GRANULARITY_NS
    look = LOOK._replace(ctime_ns=changed, mtime_ns=0)
    assert Proof(look, "", at).vouches_for(look) == (settled and at > GRANULARITY_NS)
    look = LOOK._replace(mtime_ns=changed, ctime_ns=0)
    assert Proof(look, "", at).vouches_for(look) == (abs(at - changed) > GRANULARITY_NS and at > GRANULARITY_NS)


def test_many_proofs_are_one_commit(tmp_path: Path) -> None:
    with Proofs(tmp_path / "cache.db") as proofs:
        proofs.remember(b"first", PROOF)
        statements: list[str] = []
        proofs._database().set_trace_callback(statements.append)
        for number in range(1_000):
            proofs.remember(b"%d" % number, PROOF)
        proofs._database().set_trace_callback(None)
        assert statements.count("COMMIT") <= 1 + (time.monotonic_ns() - proofs._flushed_at) // 2_000_000_000
    with sqlite3.connect(tmp_path / "cache.db") as database:
        assert database.execute("SELECT count(*) FROM proofs").fetchone() == (1_001,)
    database.close()


def test_no_flipped_bit_vouches(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    with Proofs(path) as proofs:
        proofs.remember(b"it", PROOF)
    database = sqlite3.connect(path)
    row = database.execute("SELECT proof FROM proofs").fetchone()[0].encode()
    for position in range(len(row)):
        flipped = bytearray(row)
        flipped[position] ^= 1 << position % 8
        with database:
            database.execute("UPDATE proofs SET proof = ?", (bytes(flipped),))
        with Proofs(path) as proofs:
            assert proofs.last(b"it") is None
    for value in (None, 7, 1.5, "", b"\xff"):
        with database:
            database.execute("UPDATE proofs SET proof = ?", (value,))
        with Proofs(path) as proofs:
            assert proofs.last(b"it") is None
    with database:
        database.execute("UPDATE proofs SET proof = ?, subject = ?", (row.decode(), b"other"))
    database.close()
    with Proofs(path) as proofs:
        assert proofs.last(b"other") is None


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" + bytes(4_000), b"x"])
def test_a_corrupt_cache_is_made_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cache.db"
    path.write_bytes(content)
    with Proofs(path) as proofs:
        assert proofs.trusted(b"it", LOOK) is None
        proofs.remember(b"it", PROOF)
        assert proofs.trusted(b"it", LOOK) == PROOF.digest
    with Proofs(path) as proofs:
        assert proofs.trusted(b"it", LOOK) == PROOF.digest


def test_corrupt_pages_and_other_schemas_are_survived(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    with Proofs(path) as proofs:
        for number in range(2_000):
            proofs.remember(b"%d" % number, PROOF)
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + bytes(len(whole) - 4096))
    with Proofs(path) as proofs:
        assert proofs.trusted(b"7", LOOK) is None
        proofs.remember(b"7", PROOF)
        assert proofs.trusted(b"7", LOOK) == PROOF.digest
    path.unlink()
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE proofs (something INTEGER)")
    database.close()
    with Proofs(path) as proofs:
        assert proofs.trusted(b"7", LOOK) is None
        proofs.remember(b"7", PROOF)
    with Proofs(path) as proofs:
        assert proofs.trusted(b"7", LOOK) == PROOF.digest


@pytest.mark.parametrize("where", ["folder", "nowhere/cache.db", "file/cache.db"])
def test_without_a_place_it_is_kept_in_memory(tmp_path: Path, where: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with Proofs(tmp_path / where) as proofs:
        assert proofs.trusted(b"it", LOOK) is None
        proofs.remember(b"it", PROOF)
        proofs.flush()
        proofs.flush()
        assert proofs.trusted(b"it", LOOK) == PROOF.digest


def test_while_another_process_writes_it_waits_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    with Proofs(path) as proofs:
        proofs.flush()
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("BEGIN IMMEDIATE")
        proofs.remember(b"it", PROOF)
        proofs.flush()
        assert proofs.trusted(b"it", LOOK) == PROOF.digest
        database.execute("ROLLBACK")
        database.close()
    with Proofs(path) as proofs:
        assert proofs.trusted(b"it", LOOK) == PROOF.digest


def test_threads_and_forked_children_share_it(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    with Proofs(path) as proofs:
        proofs.remember(b"parent", PROOF)

        def fill(prefix: int) -> None:
            for number in range(500):
                proofs.remember(b"%d %d" % (prefix, number), PROOF)
                assert proofs.trusted(b"parent", LOOK) == PROOF.digest

        threads = [threading.Thread(target=fill, args=(prefix,)) for prefix in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        child = os.fork()
        if not child:
            good = proofs.trusted(b"parent", LOOK) == PROOF.digest
            proofs.remember(b"child", PROOF)
            proofs.close()
            os._exit(0 if good else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert proofs.trusted(b"child", LOOK) == PROOF.digest
        assert proofs.trusted(b"3 499", LOOK) == PROOF.digest


def test_subjects_do_not_meet() -> None:
    assert blob_subject("x") != file_subject(Path("x"))
    assert file_subject(Path("x")) == file_subject(Path.cwd() / "x")
    assert file_subject(Path(os.fsdecode(b"/\xff"))) == b"file:/\xff"

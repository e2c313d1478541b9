"""Where models were seen, and the names other tools have for them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from acceptance.weights import weights
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intaglio.core.errors import Damaged, Invalid, Unavailable
from intaglio.core.model import ModelHashes, ModelPlace
from intaglio.store.database import Database
from intaglio.store.filehash import hash_file, hash_for_others
from intaglio.store.model_index import NOTHING, ModelIndex, Seen
from intaglio.store.proofs import Proofs, StatSignature, file_subject

A, B = "blake3:" + "a" * 64, "blake3:" + "b" * 64


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(tmp_path / "library.db", create=True)
    yield opened
    opened.close()


@pytest.fixture
def index(database: Database) -> ModelIndex:
    return ModelIndex(database)


def seen(path: str, digest: str = A) -> Seen:
    """Four bytes of a LoRA."""
    return Seen(path, digest, 4, "lora")


def brief(place: ModelPlace) -> tuple[str, str, str, str]:
    """Digest, first and last time, and when it was gone."""
    return place.digest, place.first_seen, place.last_seen, place.gone


def test_a_place_keeps_its_history(index: ModelIndex) -> None:
    index.note([seen("/m/a")], (), "t1")
    index.note([seen("/m/a")], (), "t2")
    index.note([seen("/m/a", B)], (), "t3")
    index.note((), ["/m/a"], "t4")
    index.note((), ["/m/a", "/m/never"], "t5")
    index.note([seen("/m/a")], (), "t6")
    assert [brief(place) for place in index.at("/m/a")] == [
        (A, "t1", "t2", "t3"),
        (B, "t3", "t3", "t4"),
        (A, "t6", "t6", ""),
    ]
    assert [brief(place) for place in index.of(A)] == [(A, "t6", "t6", ""), (A, "t1", "t2", "t3")]
    assert len(index.places()) == 3


def test_places_under_a_folder_and_in_no_other(index: ModelIndex) -> None:
    index.note([seen(path) for path in ("/m/a", "/m/deep/b", "/mm/c", "/m", "/n")], (), "t1")
    assert [place.path for place in index.under(["/m"])] == ["/m/a", "/m/deep/b", "/m"]
    assert [place.path for place in index.under(["/m/deep", "/n"])] == ["/m/deep/b", "/n"]
    assert len(index.under(["/"])) == 5


def test_many_places_in_one_transaction(index: ModelIndex) -> None:
    paths = [f"/m/{number}" for number in range(1_700)]
    index.note([seen(path) for path in paths], (), "t1")
    index.note([seen(path) for path in paths[:900]], paths[900:], "t2")
    places = index.places()
    assert len(places) == 1_700
    assert sum(place.gone == "t2" for place in places) == 800


def test_a_changed_row_is_noticed(index: ModelIndex, database: Database) -> None:
    index.note([seen("/m/a")], (), "t1")
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE model_places SET digest = 'blake3:' || digest")
    with pytest.raises(Damaged, match="model-place"):
        index.places()


def test_hashes_are_found_by_their_beginning(index: ModelIndex) -> None:
    known = ModelHashes(digest=A, sha256="12ab" * 16, autov1="deadbeef", tensors="77cd" * 16, created="t1")
    hollow = ModelHashes(digest=B, sha256="99ff" * 16, autov1="", tensors="", created="t1")
    index.add_hashes([known, hollow])
    index.add_hashes([known])
    assert index.hashes(A) == known
    assert index.hashes("blake3:" + "c" * 64) is None
    assert index.hashed() == {A, B}
    assert index.find_hash("sha256", "12ab12") == [A]
    assert index.find_hash("autov1", "deadbeef") == [A]
    assert index.find_hash("tensors", "77cd77cd77cd") == [A]
    assert index.find_hash("sha256", "12abff") == []
    assert index.find_hash("autov1", "") == index.find_hash("tensors", NOTHING[:10]) == []


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.one_of(st.integers(1, 300_000), st.integers(1_000_000, 1_200_000)), note=st.text("xyz", max_size=9))
def test_one_pass_gives_what_each_tool_computes(tmp_path: Path, size: int, note: str) -> None:
    data = bytes(number % 251 for number in range(1_000)) * (size // 1_000 + 1)
    path = weights(tmp_path / "m.safetensors", data[:size], note=note)
    whole = path.read_bytes()
    window = whole[0x100000:0x110000]
    found = hash_for_others(path)
    assert found.digest == "blake3:" + blake3(whole).hexdigest()
    assert found.sha256 == sha256(whole).hexdigest()
    assert found.autov1 == (sha256(window).hexdigest()[:8] if window else "")
    assert found.tensors == sha256(data[:size]).hexdigest()


@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 8, b"\xff" * 8 + b"{}", b"a pickle or anything else"])
def test_what_is_no_safetensors_file_has_no_tensor_digest(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.bin"
    path.write_bytes(content)
    found = hash_for_others(path)
    assert found.tensors == ""
    assert found.sha256 == (sha256(content).hexdigest() if content else "")
    assert NOTHING not in (found.sha256, found.autov1, found.tensors)


def test_a_file_that_changes_or_is_none(tmp_path: Path) -> None:
    path = weights(tmp_path / "m.safetensors", b"x" * 1_000_000)

    def overwrite(done: int, total: int) -> None:
        path.write_bytes(b"y" * total)

    with pytest.raises(Unavailable, match="changed while"):
        hash_for_others(path, overwrite)
    with pytest.raises(Invalid):
        hash_for_others(tmp_path)


def test_many_proofs_at_once_vouch_as_one_does(tmp_path: Path) -> None:
    with Proofs(tmp_path / "cache.db", clock=lambda: time.time_ns() + 10_000_000_000) as proofs:
        paths = [tmp_path / f"f{number}" for number in range(2_100)]
        for path in paths:
            path.write_text(path.name)
            hash_file(path, proofs=proofs)
        stats = {file_subject(path): StatSignature.of(path.stat()) for path in paths}
        paths[7].write_text("changed")
        stats[file_subject(paths[7])] = StatSignature.of(paths[7].stat())
        stats[b"file:unknown"] = stats[file_subject(paths[0])]
        trusted = proofs.trusted_many(stats)
        assert trusted == {s: digest for s, stat in stats.items() if (digest := proofs.trusted(s, stat)) is not None}
        assert len(trusted) == 2_099
        link = tmp_path / "link"
        link.hardlink_to(paths[1])
        proofs.copy(file_subject(paths[1]), file_subject(link))
        assert proofs.trusted(file_subject(link), StatSignature.of(link.stat())) is None, "its ctime moved"
        hash_file(paths[1], proofs=proofs)
        proofs.copy(file_subject(paths[1]), file_subject(link))
        assert proofs.trusted(file_subject(link), StatSignature.of(link.stat())) is not None
        assert proofs.trusted(file_subject(link), StatSignature.of(paths[2].stat())) is None

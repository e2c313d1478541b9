"""Measured envelopes in the database: added, never changed, found by model, newest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from unit.store.test_db_samples import TIME, Stores, stores

from intaglio.core.codec import digest
from intaglio.core.envelope import Condition, Envelope
from intaglio.core.environment import Cpu, Environment
from intaglio.core.errors import Damaged
from intaglio.core.model import ModelRef
from intaglio.store.envelopes import Envelopes
from intaglio.store.integrity import check_rows

AROUND = Environment(
    intaglio="0.1.0",
    python="3.12.1",
    os="Linux",
    machine="x86_64",
    cpu=Cpu(model="AMD EPYC", instruction_set="avx512f", cores=2),
    libraries={"torch": "2.13.0"},
    threads=2,
    deterministic=True,
    backend={"cpu_capability": "AVX512"},
)
THREADS = Condition(
    kind="threads",
    before="2",
    after="1",
    runs=12,
    identical=11,
    max_difference=1,
    mean_difference=0.001,
    changed_share=0.002,
    psnr=78.5,
    ssim=0.99999,
)


def envelope(content: str = "a", created: str = TIME) -> Envelope:
    """An envelope of the model with that content."""
    return Envelope(
        model=ModelRef(name="tiny", version="v1", digest=f"blake3:{content * 64}", kind="checkpoint"),
        node_type="text-to-image",
        type_version=2,
        device="cpu",
        created=created,
        author="Ada",
        environment=AROUND,
        probes=("seed 1001, own sampler",),
        conditions=(THREADS,),
        skipped=("device cpu -> cuda: there is none here",),
    )


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Stores]:
    library = stores(tmp_path / "library.db")
    yield library
    library.database.close()


def test_an_envelope_is_kept_once_under_its_digest(library: Stores) -> None:
    envelopes = Envelopes(library.database)
    one = envelope()
    assert envelopes.add(one) == digest(one) == envelopes.add(one)
    assert envelopes.of(one.model.digest) == [one]
    assert list(check_rows(library.database)) == []


def test_a_model_has_its_own_envelopes_the_newest_first(library: Stores) -> None:
    envelopes = Envelopes(library.database)
    first, second, other = envelope(), replace(envelope(), conditions=()), envelope("b")
    for one in (first, other, second):
        envelopes.add(one)
    assert envelopes.of(first.model.digest) == [second, first]
    assert envelopes.of(other.model.digest) == [other]
    assert envelopes.of("blake3:" + "c" * 64) == []


def test_a_number_that_was_changed_in_the_file_is_seen(library: Stores) -> None:
    envelopes = Envelopes(library.database)
    envelopes.add(envelope())
    with library.database.write() as connection:
        change = text("UPDATE envelopes SET body = CAST(replace(body, :now, :then) AS BLOB)")
        assert connection.execute(change, {"now": '"identical":11', "then": '"identical":12'}).rowcount == 1
    with pytest.raises(Damaged, match="envelope"):
        envelopes.of(envelope().model.digest)

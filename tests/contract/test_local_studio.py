"""An open library keeps the contract of a studio."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from acceptance.weights import weights
from contract.making import PICTURE
from contract.painting_contract import PaintingContract
from contract.serving import Both, checked, install_stumble
from contract.studio_contract import StudioContract
from contract.things_contract import CALLABLE

import intaglio
from intaglio.studio.open import init
from intaglio.worker.loop import Worker
from intaglio.worker.stopping import Stopping


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("local")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTAGLIO_AUTHOR", "Ada")
        patch.setenv("INTAGLIO_THREADS", "1")
        patch.setenv("INTAGLIO_MODELS", str(folder / "models"))
        install_stumble(folder / "site", patch)
        weights(folder / "models" / "found.safetensors", b"found")
        for name in ("library", "beside"):
            with init(folder / name) as made:
                (folder / "picture.png").write_bytes(PICTURE)
                made.assets.add([folder / "picture.png"])
        with intaglio.open(folder / "library") as studio, intaglio.open(folder / "beside") as beside:
            called: set[str] = set()
            yield Both(checked(studio, called), beside, folder / "library" / ".intaglio", called)


class TestLocalStudio(StudioContract):
    """`intaglio.open`."""

    def work(self, both: Both) -> None:
        with intaglio.open(both.root) as studio:
            Worker(studio, Stopping()).run(once=True)


class TestLocalPainting(PaintingContract):
    """The slow part."""


def test_the_contract_calls_every_verb(both: Both) -> None:
    if len(both.called) < 60:
        pytest.skip("only a part of the contract was run")
    assert CALLABLE - both.called == set()

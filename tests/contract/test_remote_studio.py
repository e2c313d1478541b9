"""A library behind a server keeps the contract of a studio."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from acceptance.weights import weights
from contract.making import PICTURE
from contract.painting_contract import PaintingContract
from contract.serving import Both, checked, install_stumble, served
from contract.studio_contract import StudioContract
from contract.things_contract import CALLABLE

import intaglio
from intaglio.studio.open import init


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("remote")
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
        with (
            served(folder / "library", folder / "log") as url,
            intaglio.connect(url) as studio,
            intaglio.open(folder / "beside") as beside,
        ):
            called: set[str] = set()
            yield Both(checked(studio, called), beside, folder / "library" / ".intaglio", called)


class TestRemoteStudio(StudioContract):
    """`intaglio.connect`."""


class TestRemotePainting(PaintingContract):
    """The slow part."""


def test_the_contract_calls_every_verb(both: Both) -> None:
    if len(both.called) < 60:
        pytest.skip("only a part of the contract was run")
    assert CALLABLE - both.called == set()

"""What a studio promises of work that takes long: the slow part of the contract, on the bundled model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from acceptance.conftest import SCENES, node, painting, write
from contract.serving import Both

from intaglio.studio.carry_out import Watch
from intaglio.studio.open import Studio
from intaglio.studio.variations import VariationView


class PaintingContract:
    """A run, its reproduction and a walk."""

    @pytest.fixture(scope="class")
    @classmethod
    def painted(cls, both: Both, tmp_path_factory: pytest.TempPathFactory) -> str:
        """A version painted in both libraries; what it is called."""
        model = both.same(lambda studio: studio.models.add(SCENES, name="scenes"))
        assert model.model_kind == "pipeline" or model.digest
        nodes = {"base": node("text-to-image", seed="42", **painting()), "out": node("output", "base")}
        path = write(tmp_path_factory.mktemp("painted") / "painted.json", "painted", nodes)

        def ran(studio: Studio) -> Any:
            told: list[tuple[str, int, int]] = []
            watch = Watch(progress=lambda step, done, total: told.append((step.id, done, total)))
            task = studio.tasks.run(path, label="first", annotation="to have one", watch=watch)
            return task, told[0], told[-1]

        both.same(ran)
        return "painted/first"

    def test_a_painting_is_the_same_wherever_it_is_painted(self, both: Both, painted: str) -> None:
        (output,) = both.same(lambda studio: studio.versions.snapshot(painted).outputs)
        assert both.studio.assets.get(output.asset) == both.beside.assets.get(output.asset)

    def test_it_is_reproduced(self, both: Both, painted: str) -> None:
        done = both.same(lambda studio: studio.versions.reproduce(painted))
        assert done.fidelity is not None and done.fidelity.verdict == "identical bytes"

    def test_its_seeds_are_walked(self, both: Both, painted: str, tmp_path: Path) -> None:
        view = both.same(lambda studio: studio.variations.walk(painted, count=2))
        assert isinstance(view, VariationView) and {run.status for run in view.runs} == {"done"}

"""SEED: what a seed may be, what ran, and where it is written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from acceptance.conftest import Command, node, painting, write

from intaglio.core.errors import CannotReproduce, Invalid, InvalidWorkflow
from intaglio.core.plan import Plan
from intaglio.core.task import Task
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings

EXTREMES = ("1", str(2**53 + 1), str(2**64 - 1))


def seeds(studio: Studio, task: Task) -> dict[str, tuple[str, str]]:
    """Executed seeds and their origins by step, from the node records."""
    return {r.step: (r.seed.value, r.seed.origin) for r in studio.tasks.show(task.id).steps if r.seed}


@pytest.mark.parametrize("empty", ["", 0, "0", None])
def test_SEED_1_empty_or_zero_draws_one(studio: Studio, plain_chain: Path, empty: object) -> None:
    document = json.loads(plain_chain.read_text())
    document["nodes"]["grain"]["seed"] = empty
    plain_chain.write_text(json.dumps(document))
    first, second = (seeds(studio, studio.tasks.run(plain_chain))["grain"] for _ in range(2))
    assert first[1] == second[1] == "drawn"
    assert first[0] != second[0]
    assert int(first[0]) > 0


@pytest.mark.parametrize("seed", EXTREMES)
def test_SEED_1_no_digit_is_lost_in_file_database_and_json(
    studio: Studio, plain_chain: Path, command: Command, seed: str
) -> None:
    document = json.loads(plain_chain.read_text())
    document["nodes"]["grain"]["seed"] = int(seed)
    plain_chain.write_text(json.dumps(document))
    task = studio.tasks.run(plain_chain, annotation="extremes")
    assert seeds(studio, task)["grain"] == (seed, "fixed")
    assert studio.tasks.snapshot(task.id).plan.step("grain").seed == studio.tasks.show(task.id).steps[1].seed
    shown = json.loads(command("versions", "show", task.version, "--json").stdout)
    assert shown["version"]["seeds"]["grain"]["value"] == seed
    assert studio.versions.reproduce(task.version).fidelity.verdict == "identical bytes"


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "abc", True, "1e5", "٣"])
def test_SEED_1_out_of_range_is_a_clear_error_and_runs_nothing(studio: Studio, plain_chain: Path, seed: object) -> None:
    document = json.loads(plain_chain.read_text())
    document["nodes"]["grain"]["seed"] = seed
    plain_chain.write_text(json.dumps(document))
    with pytest.raises(InvalidWorkflow, match="node 'grain', seed"):
        studio.tasks.run(plain_chain)
    assert studio.tasks.list() == []


def test_SEED_1_how_seeds_are_drawn_can_be_chosen(tmp_path: Path, plain_chain: Path) -> None:
    for policy, pattern in (("date", r"20\d{16}"), ("sequence", r"100[1-3]"), ("random", r"\d{1,10}")):
        with init(tmp_path / policy, Settings(seeds=policy)) as studio:
            drawn = [seeds(studio, studio.tasks.run(plain_chain))["grain"][0] for _ in range(3)]
        assert all(re.fullmatch(pattern, seed) for seed in drawn), (policy, drawn)
        assert len(set(drawn)) == 3
        if policy == "sequence":
            assert drawn == ["1001", "1002", "1003"]


def test_SEED_1_a_refused_workflow_uses_up_no_seed(tmp_path: Path, plain_chain: Path) -> None:
    document = json.loads(plain_chain.read_text())
    document["nodes"]["big"]["params"]["factor"] = 99
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(document))
    with init(tmp_path / "sequence", Settings(seeds="sequence")) as studio:
        with pytest.raises(InvalidWorkflow):
            studio.tasks.run(broken)
        assert seeds(studio, studio.tasks.run(plain_chain))["grain"][0] == "1001"


def test_SEED_2_executed_seeds_are_in_the_log_and_the_task_record(studio: Studio, chain: Path) -> None:
    task = studio.tasks.run(chain, set=["refine.seed=77"])
    executed = seeds(studio, task)
    assert {step: origin for step, (_, origin) in executed.items()} == {
        "base": "drawn",
        "refine": "fixed",
        "grain": "drawn",
    }
    view = studio.tasks.show(task.id)
    logged = {event.step: event.facts["seed"] for event in view.events if event.facts.get("seed")}
    assert logged == {step: value for step, (value, _) in executed.items()}
    plan = studio.tasks.snapshot(task.id).plan
    assert {step.id: step.seed.value for step in plan.steps if step.seed} == logged


def test_SEED_2_an_executed_seed_of_0_is_reproduced(studio: Studio, tmp_path: Path, command: Command) -> None:
    workflow = write(
        tmp_path / "zero.json",
        "zero",
        {"base": node("text-to-image", **painting(model="scenes:v1")), "out": node("output", "base")},
        mode="production",
        pins={"base": {"seed": "0"}},
    )
    task = studio.tasks.run(workflow, annotation="the seed is nought")
    assert seeds(studio, task)["base"] == ("0", "pinned")
    back = json.loads(command("versions", "reproduce", task.version, "--json").stdout)
    assert back["fidelity"] == "identical bytes"


def test_SEED_2_a_batch_derives_a_seed_for_each_picture(studio: Studio, tmp_path: Path) -> None:
    workflow = write(
        tmp_path / "batch.json",
        "batch",
        {"base": node("text-to-image", seed=2**64 - 2, count=3, **painting()), "out": node("output", "base")},
    )
    task = studio.tasks.run(workflow)
    assert seeds(studio, task) == {
        "base[0]": (str(2**64 - 2), "fixed"),
        "base[1]": (str(2**64 - 1), "derived"),
        "base[2]": ("0", "derived"),
    }
    assert len({output.asset for output in studio.tasks.snapshot(task.id).outputs}) == 3


def test_SEED_4_the_seed_of_post_processing_counts_on_its_own(studio: Studio, chain: Path) -> None:
    fixed = ["base.seed=1", "refine.seed=2"]
    one = studio.tasks.snapshot(studio.tasks.run(chain, set=[*fixed, "grain.seed=3"]).id)
    other = studio.tasks.snapshot(studio.tasks.run(chain, set=[*fixed, "grain.seed=4"]).id)
    results = [{r.step: r.outputs["image"] for r in snapshot.results} for snapshot in (one, other)]
    assert results[0]["refine"] == results[1]["refine"]
    assert results[0]["grain"] != results[1]["grain"]


def test_SEED_5_the_seed_record_lies_beside_the_pictures(studio: Studio, chain: Path, tmp_path: Path) -> None:
    task = studio.tasks.run(chain, annotation="for export")
    files = {path.name: path for path in studio.versions.export(task.version, tmp_path / "out")}
    assert set(files) == {"out.png", "seeds.json", "record.json"}
    record = json.loads(files["seeds.json"].read_text())
    model = studio.models.find("scenes")
    assert {step: entry["seed"] for step, entry in record["seeds"].items()} == {
        step: value for step, (value, _) in seeds(studio, task).items()
    }
    assert record["seeds"]["base"]["models"]["model"] == {
        "name": "scenes",
        "version": "v1",
        "digest": model.digest,
    }
    assert record["seeds"]["grain"]["models"] == {}
    assert json.loads(files["record.json"].read_text())["snapshot"]["plan"]["kind"] == Plan.kind


def test_SEED_7_a_seed_is_never_applied_to_another_model_unsaid(studio: Studio, chain: Path, tmp_path: Path) -> None:
    from acceptance.models import copied, flipped

    folder = copied(tmp_path / "own")
    studio.models.add(folder, name="own")
    task = studio.tasks.run(chain, set=["base.model=own", "refine.model=own"], annotation="my own")
    flipped(folder)
    with pytest.raises(CannotReproduce) as refused:
        studio.versions.reproduce(task.version)
    assert "model own v1" in str(refused.value)
    assert [gap.code for gap in refused.value.grade.gaps] == ["model.changed"]  # type: ignore[attr-defined]
    assert [t.purpose for t in studio.tasks.list()] == ["run"], "nothing was run"


def test_SEED_1_an_unknown_way_to_draw_is_refused(tmp_path: Path, plain_chain: Path) -> None:
    with init(tmp_path / "odd", Settings(seeds="dice")) as studio, pytest.raises(Invalid, match="dice"):
        studio.tasks.run(plain_chain)

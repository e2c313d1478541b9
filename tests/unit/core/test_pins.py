from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.pins import in_mode, left_out, pinned, pins_of, without_pins
from intaglio.core.seeds import LARGEST, ExecutedSeed, derive
from intaglio.core.workflow import Node, Pin, Workflow

from .samples import MODEL, PICTURE, PLAN, WORKFLOW, plan_of, step

SEEDS = st.integers(0, LARGEST)
PINS = st.builds(
    Pin,
    seed=st.sampled_from(["", "0", "7"]),
    models=st.dictionaries(st.sampled_from(["model", "loras[0]", "loras[1]"]), st.just("blake3:1"), max_size=3),
    assets=st.dictionaries(st.sampled_from(["image", "mask"]), st.just("a"), max_size=2),
)
WORKFLOWS = st.builds(
    Workflow,
    name=st.just("poster"),
    mode=st.sampled_from(["discovery", "production"]),
    nodes=st.just({"base": Node(type="x", seed="9"), "grain": Node(type="y")}),
    pins=st.dictionaries(st.sampled_from(["base", "grain"]), PINS, max_size=2),
)


def test_pins_hold_the_seed_the_models_and_the_files_of_each_node() -> None:
    assert pins_of(PLAN, WORKFLOW) == {
        "base": Pin(seed="0", models={"model": MODEL.digest}, assets={"image": PICTURE.address}),
        "grain": Pin(seed="18446744073709551615"),
    }


@given(SEEDS, st.integers(1, 5))
def test_a_batch_has_the_seed_of_its_first_picture(seed: int, count: int) -> None:
    steps = [
        step(f"base[{n}]", node="base", index=n, seed=ExecutedSeed(value=str(derive(seed, n)), origin="derived"))
        for n in range(count)
    ]
    assert pins_of(plan_of(*steps), WORKFLOW) == {"base": Pin(seed=str(seed))}
    assert pins_of(plan_of(*reversed(steps)), WORKFLOW) == {"base": Pin(seed=str(seed))}


def test_seeds_that_no_one_seed_gives_are_not_pinned() -> None:
    steps = [
        step(f"base[{n}]", node="base", index=n, seed=ExecutedSeed(value=value, origin="fixed"))
        for n, value in enumerate(["5", "9"])
    ]
    assert pins_of(plan_of(*steps), WORKFLOW) == {}


@given(WORKFLOWS)
def test_switching_back_and_forth_loses_nothing(workflow: Workflow) -> None:
    there = in_mode(in_mode(in_mode(workflow, "production"), "discovery"), workflow.mode)
    assert there == workflow


@given(WORKFLOWS)
def test_pinning_touches_nothing_that_a_person_typed(workflow: Workflow) -> None:
    found = pinned(workflow, PLAN)
    assert replace(found, pins=workflow.pins) == workflow
    assert found.pins == pins_of(PLAN, workflow)


@given(WORKFLOWS, st.sets(st.sampled_from(["seed", "model", "loras", "image", "guidance"])))
def test_a_pin_goes_with_the_setting_it_stands_for_and_no_other(workflow: Workflow, names: set[str]) -> None:
    found = without_pins(workflow, {"base": names})
    assert found.pins.get("grain", Pin()) == workflow.pins.get("grain", Pin())
    before, after = workflow.pins.get("base", Pin()), found.pins.get("base", Pin())
    assert after.seed == ("" if "seed" in names else before.seed)
    assert set(after.models) == {slot for slot in before.models if slot.partition("[")[0] not in names}
    assert set(after.assets) == {name for name in before.assets if name not in names}


def test_a_part_of_a_run_names_what_it_lacks() -> None:
    workflow = Workflow(
        name="w", nodes={"base": Node(type="x", count=3), "grain": Node(type="y", inputs={"i": "base"})}
    )
    whole = [step(f"{node}[{n}]", node=node, index=n) for node in ("base", "grain") for n in range(3)]
    assert left_out(plan_of(*whole), workflow) == []
    assert left_out(plan_of(*(one for one in whole if one.index == 2)), workflow) == ["base", "grain"]
    assert left_out(plan_of(*(one for one in whole if one.index == 0)), workflow) == ["base"]
    assert left_out(plan_of(*whole[:3]), workflow) == ["grain"]


def test_a_pin_of_a_file_says_what_the_workflow_called_it() -> None:
    workflow = Workflow(name="w", nodes={"base": Node(type="x", params={"image": "pics/a.png"})})
    assert pins_of(PLAN, workflow)["base"].files == {"image": "pics/a.png"}

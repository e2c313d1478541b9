"""VAR 1-3, SEED 3, 5, 6: one thing is varied, and the records prove that it is only that."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from acceptance.conftest import SCENES, Command, node, painting, ramp, write

from intaglio.cli.main import main
from intaglio.core.errors import Cancelled, Conflict, Invalid, InvalidWorkflow, NotFound, Unavailable
from intaglio.core.plan import Plan
from intaglio.core.snapshot import Snapshot
from intaglio.engine import environment
from intaglio.imaging import adjust
from intaglio.imaging.decode import decode
from intaglio.imaging.png import encode
from intaglio.store.lock import TaskLock
from intaglio.studio.carry_out import Watch
from intaglio.studio.open import Studio
from intaglio.studio.variations import Ahead, Follow, VariationView
from intaglio.studio.vary_check import CLEAN, CONTAMINATED


def made(found: VariationView | Ahead) -> VariationView:
    assert isinstance(found, VariationView)
    return found


def ahead(found: VariationView | Ahead) -> Ahead:
    assert isinstance(found, Ahead)
    return found


def snapshots(studio: Studio, view: VariationView) -> list[Snapshot]:
    return [studio.tasks.snapshot(run.task) for run in view.runs]


def seeds(studio: Studio, view: VariationView, step: str) -> list[str]:
    found = [snapshot.plan.step(step).seed for snapshot in snapshots(studio, view)]
    return [seed.value for seed in found if seed]


def ran(studio: Studio, task: str) -> list[str]:
    """The steps of a task that really ran."""
    return [record.step for record in studio.tasks.show(task).steps if not record.reused_from]


def file_of(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


@pytest.fixture
def graded(studio: Studio, tmp_path: Path) -> str:
    """A version without a model: a picture, grained, graded, grained again, enlarged; its seeds were drawn."""
    (tmp_path / "in.png").write_bytes(encode(ramp(24, 16)))
    nodes = {
        "in": node("reference-image", image="in.png"),
        "first": node("film-grain", "in", amount=0.1),
        "grade": node("colour-grade", "first", brightness=1.0),
        "grain": node("film-grain", "grade", amount=0.2),
        "out": node("output", "grain"),
    }
    task = studio.tasks.run(write(tmp_path / "graded.json", "graded", nodes), annotation="the look", label="look")
    assert task.version
    return task.version


@pytest.fixture
def painted(studio: Studio, chain: Path) -> str:
    """A version made with the bundled model."""
    return studio.tasks.run(chain, annotation="the mood", set=["base.width=64", "base.height=64"]).version


def test_SEED_6_a_walk_takes_the_seeds_that_follow_and_holds_all_else(
    studio: Studio, painted: str, command: Command, tmp_path: Path
) -> None:
    base = studio.versions.snapshot(painted)
    first = base.plan.step("refine").seed
    assert first is not None and first.origin == "drawn"
    done = command("variations", "walk", painted, "--node", "refine", "--count", "3", "--to", str(tmp_path / "to"))
    assert done.returncode == 0, done.stderr
    assert "only refine.seed differs (3 of 3 runs checked on their records)" in done.stdout
    assert "no effect" not in done.stdout
    [variation] = studio.variations.list(version=painted)
    view = studio.variations.show(variation.id)
    assert seeds(studio, view, "refine") == [str(first.number + place) for place in range(3)]
    assert [ran(studio, run.task) for run in view.runs] == [[], ["refine", "grain", "out"], ["refine", "grain", "out"]]
    pictures = [snapshot.outputs[0].asset for snapshot in snapshots(studio, view)]
    assert pictures[0] == base.outputs[0].asset, "the first of the walk is the version itself"
    assert len(set(pictures)) == 3
    for snapshot in snapshots(studio, view):
        for step in base.plan.steps:
            other = snapshot.plan.step(step.id)
            assert (step.params, step.models, step.type_version) == (other.params, other.models, other.type_version)
            if step.id != "refine" and step.seed and other.seed:
                assert step.seed.value == other.seed.value
    [sheet] = [remark.value for remark in view.remarks if remark.what == "sheet"]
    assert studio.assets.show(sheet).media_type == "image/png"
    assert (tmp_path / "to" / "sheet.png").read_bytes() == studio.assets.get(sheet)
    assert decode(studio.assets.get(sheet)).width > 3 * 64


def test_SEED_6_a_walk_goes_past_the_largest_seed_backwards_and_through_zero(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(encode(ramp(8, 8)))
    nodes = {"in": node("reference-image", image="in.png"), "grain": node("film-grain", "in", seed=2**64 - 1)}
    version = studio.tasks.run(write(tmp_path / "w.json", "edge", nodes), annotation="edge").version
    view = made(studio.variations.walk(version, count=3))
    assert seeds(studio, view, "grain") == [str(2**64 - 1), "0", "1"], "0 is a seed here, and asks for no draw"
    back = made(studio.variations.walk(version, count=2, step=-2))
    assert seeds(studio, back, "grain") == [str(2**64 - 1), str(2**64 - 3)]
    assert (view.checked.verdict, back.checked.verdict) == (CLEAN, CLEAN)


def test_VAR_1_each_parameter_is_varied_by_itself_around_the_base(studio: Studio, graded: str) -> None:
    view = made(studio.variations.sweep(graded, set=["grade.brightness=0.5,1.5", "grain.amount=0,0.4"]))
    assert [cell.changes for cell in view.variation.cells] == [
        (),
        ("grade.brightness=0.5",),
        ("grade.brightness=1.5",),
        ("grain.amount=0",),
        ("grain.amount=0.4",),
    ]
    base = studio.versions.snapshot(graded)
    for cell, snapshot in zip(view.variation.cells, snapshots(studio, view), strict=True):
        changed = {
            (step.id, name)
            for step in base.plan.steps
            for name, value in step.params.items()
            if snapshot.plan.step(step.id).params[name] != value
        }
        assert changed == {tuple(change.partition("=")[0].split(".")) for change in cell.changes}
        assert snapshot.plan.workflow.changes == cell.changes
    assert [ran(studio, run.task) for run in view.runs] == [
        [],
        ["grade", "grain", "out"],
        ["grade", "grain", "out"],
        ["grain", "out"],
        ["grain", "out"],
    ], "what is before the change ran once"
    assert view.checked.verdict == CLEAN
    assert view.checked.varied == ("grade.brightness", "grain.amount")


def test_VAR_1_a_full_grid_when_it_is_asked_for(studio: Studio, graded: str) -> None:
    settings = ["grade.brightness=0.5,1.5", "grain.amount=0,0.2,0.4"]
    view = made(studio.variations.sweep(graded, set=settings, grid=True))
    assert [cell.place for cell in view.variation.cells] == [(row, column) for row in range(2) for column in range(3)]
    found = [
        (snapshot.plan.step("grade").params["brightness"], snapshot.plan.step("grain").params["amount"])
        for snapshot in snapshots(studio, view)
    ]
    assert found == [(a, b) for a in (0.5, 1.5) for b in (0, 0.2, 0.4)]
    assert view.checked.verdict == CLEAN


def test_VAR_1_models_loras_and_prompts_are_settled_by_the_ordinary_checks(
    studio: Studio, painted: str, tmp_path: Path
) -> None:
    from acceptance.models import copied

    other = studio.models.add(copied(tmp_path / "other"), name="other")
    prompts = "base.prompt=a white sailboat in the middle, blue sea|a red house on the left, green hills, blue sky, day"
    view = made(studio.variations.sweep(painted, set=["base.model=other", prompts, "base.scheduler=euler,ddim"]))
    labels = [cell.label.partition("=")[0] for cell in view.variation.cells]
    assert labels == ["base", "model", "prompt", "scheduler", "scheduler"], "a value that is the base's runs once"
    steps = [snapshot.plan.step("base") for snapshot in snapshots(studio, view)]
    assert steps[1].models["model"].digest == other.digest
    assert {step.models["model"].name for step in steps[2:]} == {"scenes"}
    assert steps[2].params["prompt"] == "a white sailboat in the middle, blue sea"
    assert view.checked.verdict == CLEAN
    for wrong, error in {
        "base.guidance=much": InvalidWorkflow,
        "base.guidance=-1": InvalidWorkflow,
        "base.model=nothing": NotFound,
        "base.scheduler=nothing": InvalidWorkflow,
        "nothing.guidance=3": InvalidWorkflow,
        "base.nothing=3": InvalidWorkflow,
        "base.seed=3": Invalid,
        "base.count=3": Invalid,
        "base": Invalid,
        "base.guidance=3,3": Conflict,
    }.items():
        with pytest.raises(error):
            studio.variations.sweep(painted, set=[wrong])
    assert len(studio.variations.list()) == 1, "what is refused leaves nothing"


def test_VAR_1_a_default_that_changed_since_does_not_leak_into_the_runs(
    studio: Studio, graded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    types = studio._parts.types
    grade = types["colour-grade"]
    later = tuple(dataclasses.replace(p, default=0.5) if p.name == "saturation" else p for p in grade.params)
    monkeypatch.setitem(types._newest, "colour-grade", dataclasses.replace(grade, params=later))
    view = made(studio.variations.sweep(graded, set=["grade.brightness=0.5"]))
    assert {snapshot.plan.step("grade").params["saturation"] for snapshot in snapshots(studio, view)} == {1.0}
    assert view.checked.verdict == CLEAN
    assert [words for words in view.checked.remarks if "grade.saturation stays 1" in words]
    task = view.runs[1].task
    _, version = studio.versions.save(task, annotation="kept")
    document = studio.versions.snapshot(version.snapshot).workflow
    assert document.nodes["grade"].params["saturation"] == 1, "the workflow it becomes says what ran"
    assert studio.versions.reproduce(f"graded/{version.name}").fidelity.verdict == "identical bytes"


def test_VAR_1_a_run_becomes_a_version_that_comes_back(studio: Studio, painted: str) -> None:
    view = made(studio.variations.sweep(painted, set=["refine.guidance=2"]))
    _, version = studio.versions.save(view.runs[1].task, annotation="softer", label="softer")
    assert version.workflow.changes[-1] == "refine.guidance=2"
    again = studio.versions.reproduce("softer")
    assert again.fidelity.verdict == "identical bytes"
    made_again = studio.tasks.run(studio.versions.snapshot("softer").workflow)
    assert studio.tasks.snapshot(made_again.id).outputs == studio.versions.snapshot("softer").outputs, (
        "the workflow with its pins gives the same as the plan"
    )
    assert not studio.library.check().problems


def test_VAR_1_a_change_that_changes_nothing_is_said(studio: Studio, graded: str, tmp_path: Path) -> None:
    nodes = {
        "in": node("reference-image", image=str(tmp_path / "in.png")),
        "unseen": node("colour-grade", "in"),
        "out": node("output", "in"),
    }
    version = studio.tasks.run(write(tmp_path / "u.json", "unseen", nodes), annotation="x").version
    view = made(studio.variations.sweep(version, set=["unseen.brightness=0.5"]))
    assert view.checked.no_effect == ("unseen.brightness=0.5 had no effect: the pictures are those of the version",)


def test_VAR_1_cost_is_told_before_anything_runs_and_a_dry_run_keeps_nothing(
    studio: Studio, painted: str, command: Command
) -> None:
    before = studio.library.check().records
    done = command("variations", "sweep", painted, "--set", "refine.guidance=2,3", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "sweep of chain/v1: 3 runs, 12 steps" in done.stdout
    assert "6 there already, 0 shared between runs, 6 to run, about " in done.stdout
    assert studio.library.check().records == before
    done = command("variations", "sweep", painted, "--set", "refine.guidance=2,3")
    assert done.stderr.index("6 to run, about") < done.stderr.index("1/3 base: done")
    taken = ahead(studio.variations.sweep(painted, set=["refine.guidance=2,3"], dry_run=True)).cost
    assert (taken.there, taken.new) == (12, 0)
    walk = ahead(studio.variations.walk(painted, node="grain", count=5, dry_run=True)).cost
    assert (walk.there, walk.new, walk.runs) == (12, 8, 5)
    arms = {"A": ["grain.amount=0.1"], "B": ["grain.amount=0.3"]}
    test = ahead(studio.variations.ab(painted, arms, count=2, dry_run=True)).cost
    assert (test.there, test.shared, test.new) == (0, 4, 12), "what the arms share is counted once a pair"


def stop_after(cells: int) -> tuple[Follow, list[str]]:
    """A caller who cancels while the next cell runs."""
    heard: list[str] = []
    follow = Follow(
        ran=lambda variation, run: heard.append(variation.cells[run.cell].label),
        watch=Watch(cancelled=lambda: len(heard) >= cells),
    )
    return follow, heard


def test_VAR_1_what_was_cancelled_goes_on_by_the_same_call_or_by_its_id(studio: Studio, graded: str) -> None:
    def call(follow: Follow) -> VariationView:
        return made(studio.variations.sweep(graded, set=["grade.brightness=0.2,0.4,0.6"], follow=follow))

    follow, heard = stop_after(2)
    with pytest.raises(Cancelled) as error:
        call(follow)
    [variation] = studio.variations.list()
    assert f"intaglio variations resume {variation.id}" in error.value.hint
    half = studio.variations.show(variation.id)
    assert [run.status for run in half.runs] == ["done", "done", "cancelled", "open"]
    assert (half.checked.runs, half.checked.cells, half.checked.verdict) == (2, 4, CLEAN)
    told: list[Ahead] = []
    follow, heard = stop_after(1)
    with pytest.raises(Cancelled):
        call(Follow(told=told.append, ran=follow.ran, watch=follow.watch))
    assert (told[0].begun, told[0].cost.runs, heard) == (True, 2, ["brightness=0.4"])
    view = studio.variations.resume(variation.id[:20])
    assert [run.status for run in view.runs] == ["done"] * 4
    assert len(studio.variations.list()) == 1
    assert [run.task for run in view.runs[:2]] == [run.task for run in half.runs[:2]], "what was done is not run again"
    assert [run.steps + run.reused for run in view.runs] == [5] * 4, "a step of two attempts is one step"
    assert studio.variations.resume(variation.id).remarks == view.remarks, "nothing is said twice"
    assert len({run.task for run in made(studio.variations.sweep(graded, set=["grade.brightness=0.2"])).runs}) == 2


def test_VAR_1_a_run_that_fails_is_named_and_the_others_go_on(
    studio: Studio, graded: str, tmp_path: Path, command: Command
) -> None:
    nodes = {
        "in": node("reference-image", image=str(tmp_path / "in.png")),
        "cut": node("crop", "in", x=0, y=0, width=8, height=8),
    }
    version = studio.tasks.run(write(tmp_path / "c.json", "cut", nodes), annotation="x").version
    done = command("variations", "sweep", version, "--set", "cut.x=4,20,2")
    assert done.returncode == 1
    assert "failed: x=20: " in done.stdout and "3 of 4 runs checked" in done.stdout
    [variation] = studio.variations.list(version=version)
    assert [run.status for run in studio.variations.show(variation.id).runs] == ["done", "done", "failed", "done"]


def test_VAR_1_two_do_not_carry_out_one_variation_at_once(studio: Studio, graded: str) -> None:
    follow, _ = stop_after(0)
    with pytest.raises(Cancelled):
        studio.variations.walk(graded, node="grain", count=2, follow=follow)
    [variation] = studio.variations.list()
    with (
        TaskLock.hold(studio.root / "locks" / f"variation-{variation.id}.lock"),
        pytest.raises(Unavailable, match="by another process"),
    ):
        studio.variations.resume(variation.id)
    assert studio.variations.resume(variation.id).checked.runs == 2


def test_VAR_2_arms_share_what_is_before_them_and_their_seeds(
    studio: Studio, graded: str, command: Command, tmp_path: Path
) -> None:
    arms = ["--arm", "A", "grade.brightness=0.8", "--arm", "B", "grade.brightness=1.2"]
    done = command("variations", "ab", graded, *arms, "--count", "4", "--note", "which headline?", "--yes")
    assert done.returncode == 0, done.stderr
    assert "only grade.brightness differs within each pair (8 of 8 runs checked on their records)" in done.stdout
    [variation] = studio.variations.list()
    view = studio.variations.show(variation.id)
    for step in ("first", "grain"):
        drawn = seeds(studio, view, step)
        assert drawn[0::2] == drawn[1::2], "the arms of a pair have the same seeds"
        assert len(set(drawn)) == 4 and seeds(studio, view, step)[0] != base_seed(studio, graded, step)
    for side, run in enumerate(view.runs):
        expected = ["grade", "grain", "out"] if side % 2 else ["first", "grade", "grain", "out"]
        assert ran(studio, run.task) == expected, "what both arms share ran once"
    folder = tmp_path / "brief"
    done = command("variations", "brief", variation.id, "--to", str(folder))
    assert done.returncode == 0, done.stderr
    brief = file_of(folder, "brief.json")
    assert brief["verdict"] == CLEAN and brief["note"] == "which headline?"
    assert [run["arm"] for run in brief["runs"]] == ["A", "B"] * 4
    for run, state in zip(brief["runs"], view.runs, strict=True):
        snapshot = studio.tasks.snapshot(state.task)
        assert run["seeds"] == {step.id: step.seed.value for step in snapshot.plan.steps if step.seed}
        assert run["outputs"] == [{"step": "out", "asset": snapshot.outputs[0].asset}]
    page = (folder / "brief.md").read_text()
    assert (
        "| A 1 | grade.brightness=0.8 | first " in page
        and "**only grade.brightness differs within each pair** (8 of 8 runs)" in page
    )
    assert (folder / "sheet.png").is_file()


def base_seed(studio: Studio, version: str, step: str) -> str:
    seed = studio.versions.snapshot(version).plan.step(step).seed
    assert seed is not None
    return seed.value


def test_VAR_2_seeds_walk_when_asked_and_the_brief_names_the_models(studio: Studio, painted: str) -> None:
    arms = {"A": ["refine.guidance=2"], "B": ["refine.guidance=6"]}
    view = made(studio.variations.ab(painted, arms, count=2, walk=True, node="refine"))
    first = int(base_seed(studio, painted, "refine"))
    assert seeds(studio, view, "refine") == [str(first), str(first), str(first + 1), str(first + 1)]
    assert view.checked.verdict == CLEAN
    brief = studio.variations.brief(view.variation.id)
    model = studio.models.find("scenes")
    named = {"name": "scenes", "version": "v1", "digest": model.digest}
    assert all(run["models"] == {"base": {"model": named}, "refine": {"model": named}} for run in brief["runs"])
    for arms in (
        {"A/../..": ["refine.guidance=2"], "B": ["refine.guidance=4"]},
        {"A": ["refine.guidance=2"]},
        {"A": ["refine.guidance=2"], "B": ["refine.strength=0.2"]},
        {"A": ["refine.guidance=2"], "B": ["refine.guidance=2"]},
    ):
        with pytest.raises(Invalid):
            studio.variations.ab(painted, arms, count=2)


def test_VAR_2_a_test_is_contaminated_where_the_surroundings_changed_half_way(
    studio: Studio, graded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = {"A": ["grade.brightness=0.8"], "B": ["grade.brightness=1.2"]}
    follow, _ = stop_after(3)
    with pytest.raises(Cancelled):
        studio.variations.ab(graded, arms, count=2, follow=follow)
    real = environment.library_versions()
    monkeypatch.setattr(environment, "library_versions", lambda: {**real, "numpy": "9.9.9"})
    view = made(studio.variations.ab(graded, arms, count=2))
    assert view.checked.verdict == CONTAMINATED
    between = [found for found in view.checked.found if found.against == "arm A"]
    assert [found.runs for found in between] == [("pair 2",)], "the pair made half before and half after"
    assert f"numpy {real['numpy']} -> 9.9.9" in between[0].words
    assert main(["--library", str(studio.root), "variations", "resume", view.variation.id]) == 10
    assert "pair 2 against arm A: numpy" in capsys.readouterr().out


def test_VAR_2_what_is_around_all_arms_alike_is_no_contamination(
    studio: Studio, graded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = environment.library_versions()
    monkeypatch.setattr(environment, "library_versions", lambda: {**real, "numpy": "9.9.9"})
    arms = {"A": ["grade.brightness=0.8"], "B": ["grade.brightness=1.2"]}
    view = made(studio.variations.ab(graded, arms, count=2))
    assert view.checked.verdict == CLEAN
    assert any("not around the version: numpy" in words for words in view.checked.remarks)
    walk = made(studio.variations.walk(graded, node="grain", count=2))
    assert walk.checked.verdict == CONTAMINATED, "a walk stands beside its version"
    assert walk.checked.found[0].against == "the version" and "numpy" in walk.checked.found[0].words


def test_VAR_2_a_step_that_is_not_deterministic_contaminates_and_is_named(
    studio: Studio, graded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both arms need the first grain; the second time it comes out otherwise, though nothing that goes in differs."""
    real: Callable[..., Any] = adjust.film_grain
    calls = iter(range(1000))

    def drifting(image: Any, **how: Any) -> Any:
        return real(image, **{**how, "seed": how["seed"] + next(calls)})

    arms = {"A": ["grade.brightness=0.8"], "B": ["grade.brightness=1.2"]}
    monkeypatch.setattr(adjust, "film_grain", drifting)
    monkeypatch.setattr("intaglio.studio.carry_out._Run.reuse", lambda *_: None)
    view = made(studio.variations.ab(graded, arms, count=1))
    assert view.checked.verdict == CONTAMINATED
    [found] = [found for found in view.checked.found if found.against == "arm A"]
    assert (found.where, found.runs) == ("outcome", ("pair 1",))
    assert found.words.startswith("first came out differently, though nothing that goes into it differs")


def test_VAR_2_a_run_that_was_not_what_was_written_down_is_found(studio: Studio, graded: str, tmp_path: Path) -> None:
    """The claim is checked on what ran: a task of another plan in the place of a cell does not pass."""
    from intaglio.core.variation import VariationRun
    from intaglio.studio import clock

    view = made(studio.variations.sweep(graded, set=["grade.brightness=0.5"]))
    other = studio.tasks.run(tmp_path / "graded.json", set=["grade.brightness=0.5", "grain.amount=0.3"])
    studio._parts.variations.add_run(
        VariationRun(variation=view.variation.id, cell=1, task=other.id, created=clock.now())
    )
    checked = studio.variations.show(view.variation.id).checked
    assert checked.verdict == CONTAMINATED
    words = {found.words for found in checked.found}
    assert "what ran is not what was written down for it" in words
    assert "grain.amount 0.2 -> 0.3" in words


def test_VAR_3_the_winner_runs_at_volume_with_fresh_recorded_seeds(
    studio: Studio, graded: str, command: Command
) -> None:
    arms = {"A": ["grade.brightness=0.8"], "B": ["grade.brightness=1.2"]}
    test = made(studio.variations.ab(graded, arms, count=2)).variation
    with pytest.raises(Conflict, match="no winner"):
        studio.variations.more(test.id, count=3)
    with pytest.raises(Invalid, match="no arm 'C'"):
        studio.variations.winner(test.id, "C")
    done = command("variations", "winner", test.id, "B", "--note", "brighter sells")
    assert done.returncode == 0 and "winner    B" in done.stdout
    done = command("variations", "more", test.id, "--count", "12", "--yes")
    assert done.returncode == 0, done.stderr
    more = studio.variations.show(studio.variations.list()[0].id)
    base = studio.versions.snapshot(graded)
    assert more.checked.verdict == CLEAN and len(more.runs) == 12
    for snapshot in snapshots(studio, more):
        for step in base.plan.steps:
            other = snapshot.plan.step(step.id)
            assert other.params == (step.params if step.id != "grade" else {**step.params, "brightness": 1.2})
            assert {name: asset.digest for name, asset in other.assets.items()} == {
                name: asset.digest for name, asset in step.assets.items()
            }
    for name in ("first", "grain"):
        drawn = seeds(studio, more, name)
        assert len({*drawn, base_seed(studio, graded, name)}) == 13, "each seed is fresh"
        assert [cell.changes[1 if name == "first" else 2] for cell in more.variation.cells] == [
            f"{name}.seed={seed}" for seed in drawn
        ]
    assert studio.variations.brief(test.id)["winner"]["note"] == "brighter sells"


def test_VAR_3_no_seed_is_drawn_twice_nor_that_of_the_version(
    studio: Studio, graded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = int(base_seed(studio, graded, "grain"))
    drawn = iter([own, 5, 5, own, 5, 6, 7])
    monkeypatch.setattr("intaglio.core.seeds.draw_random", lambda: next(drawn))
    view = made(studio.variations.more(graded, count=3, node="grain"))
    assert seeds(studio, view, "grain") == ["5", "6", "7"]


def test_VAR_3_more_of_a_version_and_of_a_run_of_a_sweep(studio: Studio, graded: str) -> None:
    more = made(studio.variations.more(graded, count=3, node="grain"))
    assert len(set(seeds(studio, more, "grain"))) == 3
    assert set(seeds(studio, more, "first")) == {base_seed(studio, graded, "first")}
    sweep = made(studio.variations.sweep(graded, set=["grade.brightness=0.5,0.7"])).variation
    studio.variations.winner(sweep.id, "3")
    again = made(studio.variations.more(sweep.id, count=2))
    assert {snapshot.plan.step("grade").params["brightness"] for snapshot in snapshots(studio, again)} == {0.7}
    assert again.checked.varied == ("grade.brightness", "first.seed", "grain.seed")


def test_SEED_5_the_brief_of_a_variation_maps_node_to_seed_and_model_version(studio: Studio, painted: str) -> None:
    view = made(studio.variations.walk(painted, node="grain", count=2))
    for run, state in zip(studio.variations.brief(view.variation.id)["runs"], view.runs, strict=True):
        plan = studio._parts.documents.get(Plan, studio.tasks.get(state.task).plan)
        assert run["seeds"] == {step.id: step.seed.value for step in plan.steps if step.seed}
        assert run["models"]["base"]["model"]["version"] == "v1"


def test_VAR_1_variations_are_listed_shown_and_found(
    studio: Studio, graded: str, capsys: pytest.CaptureFixture[str]
) -> None:
    view = made(studio.variations.walk(graded, node="grain", count=2, note="why not"))
    where = ["--library", str(studio.root), "variations"]
    assert main([*where, "list"]) == 0
    assert f"{view.variation.id}  walk  graded/v1-look  2 runs  why not" in capsys.readouterr().out
    assert main([*where, "show", view.variation.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["checked"]["verdict"] == CLEAN
    assert main([*where, "show", "nothing"]) == 3
    assert main([*where, "walk", "nothing"]) == 3
    assert main([*where, "walk", graded]) == 2, "two nodes draw, and none was named"
    assert "first, grain" in capsys.readouterr().err
    assert main([*where, "walk", graded, "--node", "grade"]) == 2
    assert main([*where, "walk", graded, "--node", "grain", "--step", "0"]) == 2
    assert studio.variations.list(limit=1) == [view.variation]


@pytest.fixture
def simple(studio: Studio, tmp_path: Path) -> str:
    """A version of one generation and its grain."""
    nodes = {"base": node("text-to-image", **painting(width=64, height=64)), "out": node("film-grain", "base")}
    return studio.tasks.run(write(tmp_path / "simple.json", "simple", nodes), annotation="x").version


def test_VAR_1_frames_lead_from_one_seed_to_another_and_make_a_clip(
    studio: Studio, simple: str, command: Command, tmp_path: Path
) -> None:
    pytest.importorskip("av")
    folder = tmp_path / "to"
    done = command("variations", "interpolate", simple, "--to-seed", "0", "--frames", "3", "--to", str(folder))
    assert done.returncode == 0, done.stderr
    assert "only base.type, base.to_seed, base.position differ (3 of 3 runs" in done.stdout
    [variation] = studio.variations.list()
    view = studio.variations.show(variation.id)
    frames = [snapshot.outputs[0].asset for snapshot in snapshots(studio, view)]
    base = studio.versions.snapshot(simple)
    assert frames[0] == base.outputs[0].asset, "position 0 is the version's own picture, to the bit"
    assert len(set(frames)) == 3
    [clip] = [remark.value for remark in view.remarks if remark.what == "clip"]
    asset = studio.assets.show(clip)
    assert (asset.media_type, asset.frames, asset.seconds) == ("video/mp4", 3, 3 / 8)
    assert (folder / "clip.mp4").read_bytes() == studio.assets.get(clip)
    assert studio.variations.resume(variation.id).remarks == view.remarks, "the clip is made once"
    assert not studio.library.check().problems


def test_VAR_1_frames_lead_from_one_prompt_to_another(studio: Studio, simple: str, tmp_path: Path) -> None:
    pytest.importorskip("av")
    other = "a white sailboat in the middle, blue sea"
    view = made(studio.variations.interpolate(simple, to_prompt=other, frames=2, fps="12.5"))
    end = made(studio.variations.sweep(simple, set=[f"base.prompt={other}"]))
    assert view.checked.verdict == CLEAN
    assert [snapshot.outputs[0].asset for snapshot in snapshots(studio, view)] == [
        snapshot.outputs[0].asset for snapshot in snapshots(studio, end)
    ], "both ends are the plain pictures, to the bit"
    for wrong in (
        {},
        {"to_seed": "1", "to_prompt": other},
        {"to_seed": "x"},
        {"to_seed": str(2**64)},
        {"to_prompt": other, "node": "out"},
        {"to_prompt": other, "frames": 1},
        {"to_prompt": other, "fps": "0"},
        {"to_prompt": other, "fps": "fast"},
    ):
        with pytest.raises(Invalid):
            studio.variations.interpolate(simple, **wrong)
    with pytest.raises(Invalid, match="not one to interpolate"):
        studio.variations.interpolate(simple, to_seed="1", node="nothing")


def test_VAR_1_a_lora_is_swapped_or_weighed_and_its_neighbour_stays(studio: Studio, tmp_path: Path) -> None:
    for name in ("ink", "dusk"):
        studio.models.add(SCENES.parent / "adapters" / f"{name}.safetensors", name=name)
    loras = [{"model": "ink", "weight": 0.5}, {"model": "dusk", "weight": 0.25}]
    nodes = {"base": node("text-to-image", **painting(steps=1, width=64, height=64, loras=loras))}
    version = studio.tasks.run(write(tmp_path / "l.json", "loras", nodes), annotation="x").version
    settings = ["base.loras[0].weight=0.9", "base.loras[1].model=ink", "base.loras=[]"]
    view = made(studio.variations.sweep(version, set=settings))
    found = [
        ([model.name for name, model in sorted(step.models.items()) if name != "model"], list(step.params["loras"]))
        for step in (snapshot.plan.step("base") for snapshot in snapshots(studio, view))
    ]
    assert found == [
        (["ink", "dusk"], [0.5, 0.25]),
        (["ink", "dusk"], [0.9, 0.25]),
        (["ink", "ink"], [0.5, 0.25]),
        ([], []),
    ]
    assert (view.checked.verdict, view.checked.varied) == (CLEAN, ("base.loras",))


def test_SEED_6_a_node_that_makes_several_pictures_walks_with_all_of_them(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(encode(ramp(8, 8)))
    nodes = {
        "base": node("text-to-image", count=2, seed=5, **painting(steps=1, width=64, height=64)),
        "grain": node("film-grain", "base", seed=9),
    }
    version = studio.tasks.run(write(tmp_path / "b.json", "batch", nodes), annotation="x").version
    view = made(studio.variations.walk(version, node="grain", count=2))
    assert (seeds(studio, view, "grain[0]"), seeds(studio, view, "grain[1]")) == (["9", "10"], ["10", "11"])
    assert [remark.note for remark in view.remarks if remark.what == "sheet"] == ["grain[0]", "grain[1]"]
    assert view.checked.verdict == CLEAN
    with pytest.raises(Invalid, match="not one to interpolate"):
        studio.variations.interpolate(version, node="base", to_seed="1")


def test_VAR_1_what_two_ask_for_at_once_is_begun_once(studio: Studio, graded: str) -> None:
    """The second asks while the first was told what it takes and has written nothing down."""

    def first(ahead: Ahead) -> None:
        follow, _ = stop_after(1)
        with pytest.raises(Cancelled):
            studio.variations.walk(graded, node="grain", count=3, follow=follow)

    view = made(studio.variations.walk(graded, node="grain", count=3, follow=Follow(told=first)))
    assert [run.status for run in view.runs] == ["done"] * 3
    assert len(studio.variations.list()) == 1


def test_VAR_1_a_workflow_that_ends_in_a_version_makes_plain_runs(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(encode(ramp(8, 8)))
    nodes = {
        "in": node("reference-image", image="in.png"),
        "grain": node("film-grain", "in"),
        "form": node("form", "grain"),
        "record": node("version-record", "form"),
    }
    version = studio.tasks.run(write(tmp_path / "f.json", "formed", nodes), annotation="the look").version
    view = made(studio.variations.walk(version, count=2))
    assert [run.status for run in view.runs] == ["done", "done"], "nobody is asked why each of them was made"
    assert len(studio.versions.list()) == 1


def test_VAR_1_pictures_are_written_out_and_nothing_is_overwritten(studio: Studio, graded: str, tmp_path: Path) -> None:
    view = made(studio.variations.sweep(graded, set=["grade.brightness=0.5"]))
    files = studio.variations.export(view.variation.id, tmp_path / "out", pictures=True)
    assert [file.name for file in files] == ["brief.json", "brief.md", "sheet.png", "001-out.png", "002-out.png"]
    for file, snapshot in zip(files[3:], snapshots(studio, view), strict=True):
        assert file.read_bytes() == studio.assets.get(snapshot.outputs[0].asset)
    assert studio.variations.export(view.variation.id, tmp_path / "out", pictures=True) == files
    files[3].write_bytes(b"mine")
    with pytest.raises(Conflict, match="other content"):
        studio.variations.export(view.variation.id, tmp_path / "out", pictures=True)
    assert files[3].read_bytes() == b"mine"

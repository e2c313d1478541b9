"""REP 5: which change between two versions makes their pictures differ, found by running what lies between them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from acceptance.conftest import Command, node, painting, ramp, write
from acceptance.models import copied, flipped

from intaglio.cli.main import main
from intaglio.core.errors import Cancelled, CannotReproduce, Conflict, Invalid, NotFound
from intaglio.engine import environment
from intaglio.imaging import adjust
from intaglio.imaging.png import encode
from intaglio.studio.bisect import Bisected
from intaglio.studio.carry_out import Watch
from intaglio.studio.open import Studio


def versions(studio: Studio, tmp_path: Path, good: dict[str, Any], bad: dict[str, Any], name: str = "two") -> list[str]:
    """Two versions of one workflow; their names."""
    (tmp_path / "in.png").write_bytes(encode(ramp(24, 16)))
    for nodes in (good, bad):
        studio.tasks.run(write(tmp_path / f"{name}.json", name, nodes), no_annotation=True)
    return [f"{name}/v1", f"{name}/v2"]


def pictured(**more: dict[str, Any]) -> dict[str, Any]:
    return {"in": node("reference-image", image="in.png"), **more}


def said(found: Bisected) -> list[str]:
    return [str(change) for change in found.cause]


def graded(first: float, second: float, amount: float, seed: int) -> dict[str, Any]:
    """A picture graded twice and given grain, and a branch of which nothing is seen."""
    return pictured(
        dark=node("colour-grade", "in", brightness=first),
        grain=node("film-grain", "dark", seed=seed, amount=amount),
        out=node("output", "grain"),
        aside=node("colour-grade", "in", brightness=second),
    )


def test_REP_5_bisect_finds_the_one_parameter_through_the_command(
    studio: Studio, tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    def nodes(guidance: float, amount: float, seed: int) -> dict[str, Any]:
        return {
            "base": node("text-to-image", seed=11, **painting()),
            "refine": node("image-to-image", "base", seed=12, **painting(strength=0.6, guidance=guidance)),
            "out": node("output", "refine"),
            "unseen": node("film-grain", "base", amount=amount, seed=seed),
        }

    good, bad = versions(studio, tmp_path, nodes(4.0, 0.1, 5), nodes(7.0, 0.2, 6))
    done = command("versions", "bisect", good, bad, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    answer = "refine.guidance 4 -> 7 alone makes the difference (2 runs)"
    assert (found["verdict"], found["answer"]) == ("alone", answer)
    assert len(found["changes"]) == 3
    assert done.stderr.index("at most 8 runs, about") < done.stderr.index("nothing changed: like GOOD")
    tries = [studio.tasks.show(one["task"]) for one in found["tries"]]
    assert [view.task.workflow.changes[-1] for view in tries] == [
        f"bisect: {good} unchanged",
        "bisect: refine.guidance 4 -> 7",
    ]
    assert [step.step for step in tries[0].steps if step.reused_from] == [], "the good one really ran again"
    assert "base" in {step.step for step in tries[1].steps if step.reused_from}, "what is before the change ran once"
    assert [one["from_good"]["identical"] for one in found["tries"]] == [True, False]
    assert [one["from_bad"]["identical"] for one in found["tries"]] == [False, True]
    assert len(studio.versions.list()) == 2, "a run in between is no version"
    capsys.readouterr()
    assert main(["--library", str(studio.root), "versions", "bisect", good, bad, "--yes"]) == 0
    words = capsys.readouterr().out
    assert answer in words
    assert "from GOOD 0 " in words and "/255, SSIM" in words


def test_REP_5_bisect_finds_a_seed_that_was_drawn_and_between_two_tasks(studio: Studio, plain_chain: Path) -> None:
    tasks = [studio.tasks.run(plain_chain).id for _ in range(2)]
    found = studio.versions.bisect(*tasks)
    seeds = [studio.tasks.show(task).plan.step("grain").seed for task in tasks]
    assert seeds[0] and seeds[1] and said(found) == [f"grain.seed {seeds[0].value} -> {seeds[1].value}"]
    assert (found.verdict, found.good, found.bad) == ("alone", *tasks)
    with pytest.raises(NotFound):
        studio.versions.bisect(tasks[0], "nothing")
    with pytest.raises(Conflict):
        studio.versions.bisect("2", tasks[0])


def test_REP_5_bisect_finds_what_works_only_together(studio: Studio, tmp_path: Path) -> None:
    def nodes(opacity: float, brightness: float, amount: float) -> dict[str, Any]:
        laid = {"type": "composite", "inputs": {"base": "in", "overlay": "light"}, "params": {"opacity": opacity}}
        light = node("colour-grade", "in", brightness=brightness)
        aside = node("film-grain", "in", amount=amount, seed=1)
        return pictured(light=light, laid=laid, out=node("output", "laid"), aside=aside)

    sides = versions(studio, tmp_path, nodes(0.0, 1.0, 0.1), nodes(1.0, 1.5, 0.2))
    found = studio.versions.bisect(*sides)
    assert found.verdict == "together"
    assert said(found) == ["light.brightness 1 -> 1.5", "laid.opacity 0 -> 1"]
    assert found.answer == f"only together: light.brightness 1 -> 1.5 + laid.opacity 0 -> 1 ({len(found.tries)} runs)"
    assert len(found.tries) <= studio.versions.prospect(*sides).runs


def test_REP_5_bisect_tells_how_much_each_makes_of_it(studio: Studio, tmp_path: Path) -> None:
    sides = versions(studio, tmp_path, graded(1.0, 1.0, 0.02, 1), graded(0.5, 1.1, 0.1, 2))
    found = studio.versions.bisect(*sides)
    assert found.verdict == "each"
    assert said(found) == ["dark.brightness 1 -> 0.5", "grain.amount 0.02 -> 0.1", "grain.seed 1 -> 2"]
    alone = {one.changes[0].name: one for one in found.tries if len(one.changes) == 1}
    far = {name: one.from_good.max_difference or 0 for name, one in alone.items() if one.from_good}
    assert far["brightness"] > far["seed"] > 0
    assert f"dark.brightness 1 -> 0.5: largest difference {far['brightness']}/255" in found.answer
    assert all(one.from_bad is not None and not one.from_bad.identical for one in alone.values())
    assert len({one.task for one in found.tries}) == len(found.tries) <= studio.versions.prospect(*sides).runs
    assert found.apart.ssim is not None
    lenient = studio.versions.bisect(*sides, metric=f"ssim>={found.apart.ssim - 0.001:.4f}")
    assert (lenient.verdict, lenient.tries) == ("same", ()), "for a lenient metric there is nothing to find"


def test_REP_5_bisect_takes_a_change_of_structure_as_one(studio: Studio, tmp_path: Path) -> None:
    good = pictured(grain=node("film-grain", "in", amount=0.1, seed=1), out=node("output", "grain"))
    bad = pictured(
        grain=node("film-grain", "in", amount=0.1, seed=1),
        big=node("upscale", "grain", factor=2),
        out=node("output", "big"),
        aside=node("colour-grade", "in"),
    )
    found = studio.versions.bisect(*versions(studio, tmp_path, good, bad))
    assert (found.verdict, said(found)) == ("alone", ["structure: added aside, big; rewired out"])
    assert found.apart.note == "24x16 became 48x32"


def test_REP_5_bisect_goes_on_where_a_mixture_cannot_run(studio: Studio, tmp_path: Path) -> None:
    def nodes(x: int, width: int) -> dict[str, Any]:
        return pictured(cut=node("crop", "in", x=x, width=width, y=0, height=16), out=node("output", "cut"))

    found = studio.versions.bisect(*versions(studio, tmp_path, nodes(0, 24), nodes(8, 16)))
    assert said(found) == ["cut.width 24 -> 16", "cut.x 0 -> 8"]
    [failed] = [one for one in found.tries if one.note]
    assert "it failed" in failed.note and "cut.x 0 -> 8: it failed" in found.answer
    assert studio.tasks.get(failed.task).status == "failed"


def test_REP_5_bisect_says_when_the_difference_is_not_in_what_was_asked(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    (tmp_path / "in.png").write_bytes(encode(ramp(24, 16)))
    good, bad = graded(1.0, 1.0, 0.1, 1), graded(1.0, 1.1, 0.1, 1)
    studio.tasks.run(write(tmp_path / "g.json", "two", good), no_annotation=True)
    real, libraries = adjust.film_grain, {**environment.library_versions(), "numpy": "0.0.1"}
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(adjust, "film_grain", lambda image, **more: real(image, **{**more, "amount": 0.2}))
        elsewhere.setattr(environment, "library_versions", lambda: libraries)
        studio.tasks.run(write(tmp_path / "b.json", "two", bad), no_annotation=True)
    done = command("versions", "bisect", "two/v1", "two/v2", "--json")
    assert done.returncode == 10, done.stderr
    found = json.loads(done.stdout)
    assert (found["verdict"], found["cause"]) == ("elsewhere", [])
    assert found["answer"].startswith("all 1 changes together do not give two/v2 here: what differs is around the runs")
    assert found["suspects"] == [f"numpy {environment.library_versions()['numpy']} -> 0.0.1"]
    back = studio.versions.bisect("two/v2", "two/v1")
    assert "two/v2 does not come back here" in back.answer and len(back.tries) == 1
    assert back.verdict == "elsewhere"
    studio.tasks.run(write(tmp_path / "b.json", "two", bad), no_annotation=True)
    same = studio.versions.bisect("two/v2", "two/v3")
    assert (same.verdict, same.tries) == ("elsewhere", ())
    assert "asked for the same work" in same.answer and "numpy 0.0.1 -> " in same.answer


def test_REP_5_bisect_of_what_is_the_same_runs_nothing(studio: Studio, tmp_path: Path) -> None:
    sides = versions(studio, tmp_path, graded(1.0, 1.0, 0.1, 1), graded(1.0, 1.2, 0.1, 1))
    before = len(studio.tasks.list())
    found = studio.versions.bisect(*sides)
    assert (found.verdict, found.tries, found.apart.identical) == ("same", (), True)
    assert len(studio.tasks.list()) == before
    for metric in ("ssim>=2", "ssim>0.5", "nearly", "ssim>=0"):
        with pytest.raises(Invalid):
            studio.versions.bisect(*sides, metric=metric)


def test_REP_5_bisect_that_was_cancelled_goes_on_with_what_ran(studio: Studio, tmp_path: Path) -> None:
    sides = versions(studio, tmp_path, graded(1.0, 1.0, 0.02, 1), graded(0.5, 1.1, 0.1, 2))
    heard: list[object] = []
    with pytest.raises(Cancelled) as stopped:
        studio.versions.bisect(*sides, watch=Watch(cancelled=lambda: len(heard) >= 3), tried=heard.append)
    assert f"intaglio versions bisect {sides[0]} {sides[1]}" in stopped.value.hint
    assert len(heard) == 3
    found = studio.versions.bisect(*sides)
    assert found.verdict == "each"
    for one in found.tries[1:3]:
        assert all(step.reused_from for step in studio.tasks.show(one.task).steps), "it was not run again"


def test_REP_5_bisect_is_refused_where_one_of_the_two_cannot_run(
    studio: Studio, tmp_path: Path, command: Command
) -> None:
    folder = copied(tmp_path / "mine")
    studio.models.add(folder, name="mine")
    both = versions(
        studio,
        tmp_path,
        {"base": node("text-to-image", seed=3, **painting())},
        {"base": node("text-to-image", seed=3, **painting(model="mine", guidance=2.0))},
    )
    assert {change.kind for change in studio.versions.prospect(*both).changes} == {"model", "parameter"}
    flipped(folder)
    before = len(studio.tasks.list())
    with pytest.raises(CannotReproduce, match=r"two/v2 cannot run here: .*is changed"):
        studio.versions.bisect(*both)
    assert command("versions", "bisect", *both).returncode == 4
    assert len(studio.tasks.list()) == before


def test_REP_5_bisect_of_many_changes_wants_to_be_agreed_to(studio: Studio, tmp_path: Path, command: Command) -> None:
    def nodes(number: int) -> dict[str, Any]:
        grains = {f"g{place}": node("film-grain", "in", seed=number, amount=0.1 * number) for place in range(6)}
        return pictured(**grains)

    sides = versions(studio, tmp_path, nodes(1), nodes(2))
    done = command("versions", "bisect", *sides)
    assert done.returncode == 2
    assert "this takes up to" in done.stderr and "--yes" in done.stderr
    assert len(studio.tasks.list()) == 2, "nothing was run"

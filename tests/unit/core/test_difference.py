from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from intaglio.core.asset import Asset
from intaglio.core.difference import first_difference, in_words, step_difference
from intaglio.core.plan import AssetRef, Source
from intaglio.core.seeds import ExecutedSeed
from intaglio.core.snapshot import Snapshot, StepResult

from .samples import MODEL, SNAPSHOT, environment, name_of, plan_of, step

BASE = step(
    "base",
    "text-to-image",
    params={"guidance": 4.0, "prompt": "sea"},
    seed=ExecutedSeed(value="7", origin="fixed"),
    models={"model": MODEL.ref},
)
GRAIN = step("grain", params={"amount": 0.2}, inputs={"image": Source(step="base", output="image")})
PICTURE = AssetRef(digest=name_of("c"), media_type="image/png", address="", name="a.png")


def picture(letter: str, pixels: str = "") -> Asset:
    """An asset of that digest."""
    return Asset(digest=name_of(letter), size=1, media_type="image/png", pixels=name_of(pixels) if pixels else "")


def run(base: Any = BASE, grain: Any = GRAIN, made: str = "a", end: str = "b", **more: Any) -> Snapshot:
    """A run of two steps; `made` and `end` are what came out of them."""
    assets = [picture(made), picture(end)]
    facts: dict[str, Any] = {
        "plan": plan_of(base, grain),
        "results": (
            StepResult(step="base", key=name_of("1"), inputs={}, outputs={"image": assets[0].digest}),
            StepResult(
                step="grain", key=name_of("2"), inputs={"image": assets[0].digest}, outputs={"image": assets[1].digest}
            ),
        ),
        "assets": {asset.digest: asset for asset in assets},
        "environment": environment(),
    }
    return dataclasses.replace(SNAPSHOT, **(facts | more))


def seen_as(snapshot: Snapshot, pixels: str) -> Snapshot:
    """The run, with these pixels in all its pictures."""
    assets = {name: dataclasses.replace(asset, pixels=pixels) for name, asset in snapshot.assets.items()}
    return dataclasses.replace(snapshot, assets=assets)


def test_two_runs_that_are_the_same() -> None:
    assert first_difference(run(), run()) == ""
    found = step_difference(run(), run(), "base")
    assert (found.same, found.changes) == (("parameters", "seed", "models", "environment"), ())
    assert "nothing recorded differs" in in_words(found)


def test_the_first_step_that_differs_is_named_not_those_after_it() -> None:
    assert first_difference(run(), run(made="d", end="e")) == "base"
    assert first_difference(run(), run(end="e")) == "grain"


def test_other_bytes_of_the_same_pixels_are_no_difference() -> None:
    before, after = run(), run(end="e")
    assert first_difference(seen_as(before, name_of("f")), seen_as(after, name_of("f"))) == ""


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"params": {"guidance": 7.0, "prompt": "sea"}}, "guidance 4.0 -> 7.0"),
        ({"params": {"guidance": 4.0}}, "prompt sea -> none"),
        ({"seed": ExecutedSeed(value="8", origin="drawn")}, "seed 7 -> 8"),
        ({"seed": None}, "seed 7 -> none"),
        ({"type_version": 2}, f"type text-to-image@{BASE.type_version} -> text-to-image@2"),
        ({"assets": {"mask": PICTURE}}, f"reference mask none -> a.png ({PICTURE.digest[:19]})"),
        ({"models": {}}, f"model {MODEL.name}:{MODEL.version} ({MODEL.digest[:19]}) -> none"),
    ],
)
def test_REP_5_what_of_a_step_changed(changed: dict[str, Any], words: str) -> None:
    found = step_difference(run(), run(base=dataclasses.replace(BASE, **changed)), "base")
    assert found.changes == (words,)
    assert "environment" in found.same


def test_REP_5_a_model_renamed_is_no_change_and_one_replaced_is() -> None:
    renamed = dataclasses.replace(BASE, models={"model": dataclasses.replace(MODEL.ref, name="other", version="v9")})
    assert step_difference(run(), run(base=renamed), "base").changes == ()
    replaced = dataclasses.replace(
        BASE, models={"model": dataclasses.replace(MODEL.ref, version="v2", digest=name_of("9"))}
    )
    (change,) = step_difference(run(), run(base=replaced), "base").changes
    assert change.startswith(f"model {MODEL.name}:{MODEL.version}")
    assert f"-> {MODEL.name}:v2" in change


def test_REP_5_the_surroundings_in_words() -> None:
    newer = environment(libraries={"numpy": "2.4.0", "torch": "2.14.1", "peft": ""})
    found = step_difference(run(), run(environment=newer), "grain")
    assert found.changes == ("torch 2.13.0 -> 2.14.1",)
    assert in_words(found) == ("node grain: same inputs, same parameters; torch 2.13.0 -> 2.14.1"), (
        "what a step does not have is not called the same"
    )
    asked = environment(libraries={"numpy": "2.4.0", "torch": "2.13.0", "peft": "", "scipy": ""})
    assert step_difference(run(), run(environment=asked), "grain").changes == (), "absent and not installed"
    other = dataclasses.replace(run(), plan=dataclasses.replace(run().plan, threads=8, deterministic=False))
    assert set(step_difference(run(), other, "grain").changes) >= {"deterministic True -> False"}


def test_REP_5_an_input_that_changed_is_the_reason_further_down() -> None:
    found = step_difference(run(), run(made="d", end="e"), "grain")
    assert found.changes == (f"input image {name_of('a')[:19]} -> {name_of('d')[:19]}",)
    assert "parameters" in found.same


def test_what_is_gathered_is_one_change_that_says_how_many_differ() -> None:
    def clip(*letters: str) -> Snapshot:
        inputs = {f"frames[{place}]": name_of(letter) for place, letter in enumerate(letters)}
        sources = {name: Source(step="base", output="image") for name in inputs}
        film = step("clip", "frames-to-video", inputs=sources)
        base = run()
        results = (*base.results, StepResult(step="clip", key="k", inputs=inputs, outputs={"video": name_of("9")}))
        return dataclasses.replace(
            base, plan=dataclasses.replace(base.plan, steps=(*base.plan.steps, film)), results=results
        )

    letters = "0123456789ab"
    other = clip(*letters[:2], "f", "e", *letters[4:11])
    (change,) = [one for one in step_difference(clip(*letters), other, "clip").changes if one.startswith("input")]
    assert change == "input frames[2] blake3:222222222222 -> blake3:ffffffffffff and 2 more of frames"
    one = clip(*letters[:10], "f", "b")
    (change,) = [one for one in step_difference(clip(*letters), one, "clip").changes if one.startswith("input")]
    assert change == "input frames[10] blake3:aaaaaaaaaaaa -> blake3:ffffffffffff"

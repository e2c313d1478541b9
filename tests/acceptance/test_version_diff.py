"""VER 6: what differs between two versions, in words and as JSON; names and order are no content."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from acceptance.conftest import SCENES, Command, node, painting, ramp, write

from intaglio.cli.main import main
from intaglio.core.errors import Conflict, NotFound
from intaglio.imaging.decode import decode
from intaglio.imaging.png import encode
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings

PROMPT = "a red house on the left, green hills, blue sky with one white cloud, day"


def saved(studio: Studio, tmp_path: Path, nodes: dict[str, Any], label: str, name: str = "one", **more: Any) -> str:
    """A version with these nodes; its name."""
    picture = tmp_path / "in.png"
    if not picture.exists():
        picture.write_bytes(encode(ramp(24, 16)))
    task = studio.tasks.run(
        write(tmp_path / f"{name}.json", name, nodes), label=label, annotation=f"the {label} one", **more
    )
    _, version = studio.versions.find(task.version)
    return f"{name}/{version.name}"


def grained(amount: float = 0.1, seed: int = 5, **more: Any) -> dict[str, Any]:
    """A picture with grain on it."""
    return {
        "in": node("reference-image", image="in.png"),
        "grain": node("film-grain", "in", amount=amount, seed=seed),
        "out": node("output", "grain"),
        **more,
    }


def renamed() -> dict[str, Any]:
    """The same, called otherwise and written the other way round."""
    return {
        "final": node("output", "film"),
        "film": {**node("film-grain", "photo", amount=0.1, seed=5), "title": "Grain"},
        "photo": node("reference-image", image="in.png"),
    }


def test_VER_6_names_and_order_are_told_apart_from_content(studio: Studio, tmp_path: Path, command: Command) -> None:
    first = saved(studio, tmp_path, grained(), "plain")
    second = saved(studio, tmp_path, renamed(), "renamed", name="other")
    found = studio.versions.diff(first, second)
    assert found.same
    assert (found.plan.nodes, found.plan.added, found.plan.taken_away, found.plan.settings) == ((), (), (), ())
    assert [(one.before, one.after) for one in found.plan.renamed] == [
        ("in", "photo"), ("grain", "film"), ("out", "final"),
    ]  # fmt: skip
    done = command("versions", "diff", first, second)
    assert done.returncode == 0, done.stderr
    assert "renamed, with the same content" in done.stdout and "grain -> film" in done.stdout
    assert "title of film  none -> Grain" in done.stdout
    assert [pair.fidelity.verdict for pair in found.pictures] == ["identical bytes"]


def test_VER_6_parameters_seeds_models_and_the_words_of_a_prompt(
    studio: Studio, tmp_path: Path, command: Command
) -> None:
    def nodes(prompt: str, seed: int, model: str, name: str) -> dict[str, Any]:
        drawn = node("text-to-image", seed=seed, **painting(prompt=prompt, model=model))
        return {name: drawn, "out": node("output", name)}

    other = tmp_path / "other-model"
    shutil.copytree(SCENES, other)
    (other / "note.txt").write_text("another content")
    studio.models.add(other, name="dunes")
    studio.models.add(SCENES, name="landscapes")
    first = saved(studio, tmp_path, nodes(PROMPT, 1, "scenes", "base"), "a")
    words = PROMPT.replace("red house", "barn")
    second = saved(studio, tmp_path, nodes(words, 2, "dunes", "hero"), "b")
    done = command("versions", "diff", first, second)
    assert done.returncode == 10
    assert "base, now hero (text-to-image)" in done.stdout
    assert "a [-red house-]{+barn+} on the left, ..." in done.stdout
    assert "1 (fixed) -> 2 (fixed)" in done.stdout
    assert "scenes:" in done.stdout and "-> dunes:" in done.stdout
    found = json.loads(command("versions", "diff", first, second, "--json").stdout)
    [differing] = found["plan"]["nodes"]
    assert [one["kind"] for one in differing["differences"]] == ["model", "parameter", "seed"]
    assert differing["differences"][1]["before"] == PROMPT, "the record is told whole to programs"
    third = saved(studio, tmp_path, nodes(PROMPT, 1, "landscapes", "base"), "c")
    same = studio.versions.diff(first, third)
    assert same.same, "a model by another name is the same model"
    assert [(one.what, one.where, one.after.split(":")[0]) for one in same.plan.renamed] == [
        ("model", "base.model", "landscapes")
    ]


def test_VER_6_structure_pictures_and_what_was_said(studio: Studio, tmp_path: Path, command: Command) -> None:
    first = saved(studio, tmp_path, grained(), "first")
    nodes = grained(big=node("upscale", "grain", factor=2), out=node("output", "big"))
    second = saved(studio, tmp_path, nodes, "second", set=["grain.amount=0.3"])
    found = studio.versions.diff(first, second)
    [added] = found.plan.added
    assert (added.node, added.takes, added.feeds) == ("big", ("grain.image",), ("out.image",))
    [grain] = found.plan.nodes
    assert [(one.name, one.before, one.after) for one in grain.differences] == [("amount", 0.1, 0.3)]
    facts = {fact.name: (fact.before, fact.after) for fact in found.facts}
    assert facts["label"] == ("first", "second")
    assert facts["settings given"] == (None, "grain.amount=0.3")
    assert facts["parent"] == (None, first)
    [pictures] = found.pictures
    assert (pictures.fidelity.verdict, pictures.fidelity.note) == ("different", "24x16 became 48x32")
    words = command("versions", "diff", first, second).stdout
    assert "added  big (upscale@1): factor 2; takes grain.image; feeds out.image" in words
    assert "the [-first-]{+second+} one" in words
    back = studio.versions.diff(second, first)
    assert [lone.node for lone in back.plan.taken_away] == ["big"] and back.plan.added == ()


def test_VER_6_another_reference_file_and_a_batch(studio: Studio, tmp_path: Path) -> None:
    def nodes(count: int) -> dict[str, Any]:
        drawn = node("text-to-image", seed=1, count=count, **painting(steps=1))
        over = {"type": "composite", "inputs": {"base": "drawn", "overlay": "in"}, "params": {"opacity": 0.5}}
        return {
            "in": node("reference-image", image="in.png"),
            "drawn": drawn,
            "over": over,
            "out": node("output", "over"),
        }

    first = saved(studio, tmp_path, nodes(1), "first")
    (tmp_path / "in.png").write_bytes(encode(ramp(24, 17)))
    second = saved(studio, tmp_path, nodes(3), "second")
    found = studio.versions.diff(first, second)
    told = {(pair.after, one.kind): (one.before, one.after) for pair in found.plan.nodes for one in pair.differences}
    assert told.keys() == {("in", "reference"), ("drawn", "count")}, "a batch is told where it begins"
    assert told["in", "reference"][0]["name"] == "in.png" == told["in", "reference"][1]["name"]
    assert told["in", "reference"][0]["digest"] != told["in", "reference"][1]["digest"]
    assert told["drawn", "count"] == (1, 3)
    assert found.only_after == ("out[1]", "out[2]")
    assert [(pair.before, pair.after) for pair in found.pictures] == [("out", "out[0]")]


def test_VER_6_sheets_are_written_and_nothing_is_overwritten(studio: Studio, tmp_path: Path) -> None:
    first, second = (saved(studio, tmp_path, grained(amount), f"a{amount}") for amount in (0.1, 0.4))
    [pair] = studio.versions.diff(first, second, to=tmp_path / "sheets").pictures
    assert [Path(file).parent for file in pair.written] == [tmp_path / "sheets" / "out"] * 2
    sizes = {Path(file).name: decode(Path(file).read_bytes()).width for file in pair.written}
    assert sizes["difference.png"] == 24 < sizes["comparison.png"]
    assert pair.fidelity.ssim is not None and pair.fidelity.max_difference
    third = saved(studio, tmp_path, grained(0.8), "a3")
    with pytest.raises(Conflict, match="is there already"):
        studio.versions.diff(first, third, to=tmp_path / "sheets")
    [same] = studio.versions.diff(first, first, to=tmp_path / "none").pictures
    assert same.written == () and not (tmp_path / "none").exists()


@pytest.mark.parametrize("noun", ["tasks", "versions"])
def test_VER_6_in_a_library_that_can_only_be_read_the_numbers_are_told(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], noun: str
) -> None:
    first, second = (saved(studio, tmp_path, grained(amount), f"a{amount}") for amount in (0.1, 0.4))
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    kept = {file.name for file in studio.root.rglob("*") if file.is_file()}
    main(["--library", str(studio.root), noun, "diff", first, second])
    shown = capsys.readouterr()
    assert "largest difference" in shown.out and "SSIM" in shown.out, shown.err
    assert "difference picture" not in shown.out and shown.err == ""
    assert not {file.name for file in studio.root.rglob("*") if file.is_file()} - kept
    main(["--library", str(studio.root), "versions", "diff", first, second, "--to", str(tmp_path / noun)])
    assert "comparison.png" in {file.name for file in (tmp_path / noun).rglob("*")}, "elsewhere there is room for them"


def test_VER_6_tasks_and_versions_of_another_library(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = saved(studio, tmp_path, grained(), "kept")
    task = studio.tasks.run(write(tmp_path / "other.json", "other", grained(0.2)))
    found = studio.versions.diff(version, task.id)
    assert (found.before.version, found.after.version, found.after.name) == (version, "", task.id)
    assert "label" not in {fact.name for fact in found.facts if fact.after}
    with pytest.raises(NotFound):
        studio.versions.diff(version, "nothing")
    assert main(["--library", str(studio.root), "versions", "diff", version, "nothing"]) == 3
    capsys.readouterr()
    digest, _ = studio.versions.find(version)
    studio.versions.export(digest, tmp_path / "out")
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    record["snapshot"]["environment"]["libraries"]["numpy"] = "1.0"
    (tmp_path / "out" / "record.json").write_text(json.dumps(record))
    imported, _ = studio.versions.import_(tmp_path / "out" / "record.json")
    elsewhere = studio.versions.diff(version, imported)
    assert elsewhere.same, "surroundings are told, and are no content"
    assert [(fact.name, fact.after) for fact in elsewhere.environment] == [("numpy", "1.0")]


def test_VER_6_a_version_whose_parent_did_not_come_with_it(studio: Studio, tmp_path: Path) -> None:
    for amount in (0.1, 0.2):
        saved(studio, tmp_path, grained(amount), f"a{amount}")
    studio.versions.export("one/v2", tmp_path / "out")
    with init(tmp_path / "elsewhere", Settings(author="Grace")) as elsewhere:
        mine = saved(elsewhere, tmp_path, grained(0.3), "mine")
        elsewhere.versions.import_(tmp_path / "out")
        facts = {fact.name: fact.after for fact in elsewhere.versions.diff(mine, "one/v2").facts}
    assert facts["parent"] == studio.versions.find("one/v1")[0]

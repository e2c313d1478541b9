"""LIN 1: what made this, and what was made from this, across versions, branches, variations, tasks and libraries."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from acceptance.conftest import Command, node, painting, ramp, write
from sqlalchemy import Engine, event

from intaglio.core.errors import NotFound
from intaglio.core.lineage import Lineage, Thing
from intaglio.imaging.png import encode
from intaglio.studio.lineage import lineage
from intaglio.studio.makers import MOST_IMPORTED
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings


def grained(amount: float = 0.1, **more: Any) -> dict[str, Any]:
    """A file that is brought in, and grain on it."""
    return {
        "in": node("reference-image", image="photo.png"),
        "grain": node("film-grain", "in", amount=amount, seed=7),
        "out": node("output", "grain"),
        **more,
    }


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A file that nothing here made."""
    file = tmp_path / "photo.png"
    file.write_bytes(encode(ramp(24, 16)))
    return file


def saved(studio: Studio, tmp_path: Path, nodes: dict[str, Any], name: str = "one", **more: Any) -> str:
    """A run that became a version; the digest of its output."""
    task = studio.tasks.run(write(tmp_path / f"{name}.json", name, nodes), no_annotation=True, **more)
    return studio.tasks.snapshot(task.id).outputs[0].asset


def kinds(found: Lineage, kind: str) -> list[Thing]:
    return [thing for thing in found.things.values() if thing.kind == kind]


def names(found: Lineage, kind: str) -> list[str]:
    return [thing.name for thing in kinds(found, kind)]


def roles(found: Lineage) -> set[tuple[str, str, str]]:
    """Each link by the names of its ends."""
    return {(found.things[link.cause].name, link.role, found.things[link.effect].name) for link in found.links}


def test_LIN_1_what_made_a_picture_down_to_the_model(studio: Studio, tmp_path: Path, command: Command) -> None:
    nodes = {
        "base": node("text-to-image", seed=42, **painting(steps=1)),
        "grain": node("film-grain", "base", amount=0.2, seed=7),
        "out": node("output", "grain"),
    }
    digest = saved(studio, tmp_path, nodes)
    found = studio.assets.lineage(digest)
    [grain], [base] = ([one for one in kinds(found, "step") if one.name == name] for name in ("grain", "base"))
    assert (base.facts["seed"], base.facts["type"]) == ("42", "text-to-image@2")
    assert base.facts["models"] == names(found, "model")
    assert base.facts["params"] != grain.facts["params"]
    middle = next(thing.name for thing in kinds(found, "asset") if thing.id != found.root)
    root = found.things[found.root].name
    model = names(found, "model")[0]
    assert {
        ("grain", "made", root),
        (middle, "image", "grain"),
        ("base", "made", middle),
        (model, "model", "base"),
    } <= (roles(found)), "an output node made nothing"
    assert (root, "kept as", "one/v1") in roles(found)
    done = command("assets", "lineage", digest)
    assert done.returncode == 0, done.stderr
    task = studio.tasks.list()[0].id
    lines = done.stdout.splitlines()
    assert lines[0].endswith("(one/v1)")
    assert lines[2] == f"  └─ grain (film-grain@1, seed 7) in task {task}"
    assert f"└─ image: base (text-to-image@2, seed 42, {model}) in task {task} -> {middle}" in lines[3]
    assert f"└─ model: {model}" in lines[4]


def test_LIN_1_what_was_made_from_a_file_and_that_it_was_brought_in(
    studio: Studio, tmp_path: Path, photo: Path, command: Command
) -> None:
    saved(studio, tmp_path, grained(0.1))
    saved(studio, tmp_path, grained(0.2))
    saved(studio, tmp_path, grained(0.2))
    found = studio.assets.lineage(str(photo))
    steps = {thing.facts["alike"]: thing for thing in kinds(found, "step")}
    assert {thing.name for thing in steps.values()} == {"grain"}, "what only passes a picture on is left out"
    assert set(steps) == {0, 1}, "what was taken over, or made again, is told once"
    assert sorted(names(found, "version")) == ["one/v1", "one/v2", "one/v3"]
    words = command("assets", "lineage", str(photo)).stdout
    assert "made from nothing that is known here: it was brought in" in words
    assert "and in 1 more task -> " in words
    above = command("assets", "lineage", kinds(found, "step")[0].facts["made"][0]).stdout
    assert "image: photo.png, brought in (blake3:" in above


def test_LIN_1_a_picture_that_was_written_out_and_brought_in_again_is_still_the_same(
    studio: Studio, tmp_path: Path, photo: Path, command: Command
) -> None:
    original = saved(studio, tmp_path, grained())
    studio.versions.export("one/v1", tmp_path / "exported")
    nodes = {
        "in": node("reference-image", image="exported/out.png"),
        "big": node("upscale", "in", factor=2),
        "out": node("output", "big"),
    }
    poster = saved(studio, tmp_path, nodes, "poster")
    above = studio.assets.lineage(poster)
    assert [name for name in ("big", "grain") if name in names(above, "step")] == ["big", "grain"]
    assert studio.assets.show(str(photo)).digest in {thing.facts["digest"] for thing in kinds(above, "asset")}
    for reference in (original, str(tmp_path / "exported" / "out.png")):
        below = studio.assets.lineage(reference)
        assert below.root == f"asset:{original}"
        assert {"big", "grain"} <= set(names(below, "step"))
        assert set(names(below, "version")) == {"one/v1", "poster/v1"}
    words = command("assets", "lineage", str(tmp_path / "exported" / "out.png")).stdout
    assert "is a copy of:" in words and "brought in again as" in words and "kept as poster/v1" in words


def test_LIN_1_branches_versions_before_and_after_and_variations(
    studio: Studio, tmp_path: Path, photo: Path, command: Command
) -> None:
    digests = [saved(studio, tmp_path, grained(amount)) for amount in (0.1, 0.2, 0.3)]
    studio.workflows.branch("one/v2", name="cool")
    studio.tasks.run("cool", no_annotation=True, set=["grain.amount=0.4"])
    variation = studio.variations.walk("one/v2", node="grain", count=3).variation
    found = studio.assets.lineage(digests[1])
    assert names(found, "branch") == ["cool"]
    assert names(found, "variation") == [variation.id]
    history = {("one/v1", "parent", "one/v2"), ("one/v2", "parent", "one/v3"), ("one/v2", "base", "cool")}
    assert history | {("cool", "in branch", "cool/v1"), ("one/v2", "base", variation.id)} <= roles(found)
    assert len([link for link in found.links if link.cause == f"variation:{variation.id}"]) == 3
    [sheet] = kinds(found, "sheet")
    assert len(found.causes(sheet.id)) == 3
    words = command("assets", "lineage", digests[1]).stdout
    assert "one/v2 <- one/v1" in words and "branch cool" in words and "followed by one/v3" in words
    assert f"variation {variation.id} (walk over grain.seed, 3 runs)" in words
    above = studio.assets.lineage(sheet.facts["digest"])
    assert len(kinds(above, "step")) == 3, "a sheet was made from the pictures on it"
    other = studio.tasks.snapshot(studio.versions.find("cool/v1")[1].task).outputs[0].asset
    assert {("one/v2", "base", "cool"), ("cool", "in branch", "cool/v1")} <= roles(studio.assets.lineage(other))


def test_LIN_1_an_imported_version_and_runs_from_before_inputs_were_recorded(
    studio: Studio, tmp_path: Path, photo: Path
) -> None:
    digest = saved(studio, tmp_path, grained())
    studio.versions.export("one/v1", tmp_path / "exported")
    with init(tmp_path / "elsewhere", Settings(author="Grace")) as elsewhere:
        elsewhere.versions.import_(tmp_path / "exported")
        above = elsewhere.assets.lineage(digest)
        assert names(above, "step") == ["grain"]
        assert [thing.facts["file"] for thing in kinds(above, "asset") if thing.facts["file"]] == ["photo.png"]
        below = elsewhere.assets.lineage(str(photo))
        assert (names(below, "step"), names(below, "version")) == (["grain"], ["one/v1"])
    with sqlite3.connect(studio.root / "library.db") as database:
        gone = database.execute("DELETE FROM step_inputs WHERE input LIKE 'params.%'").rowcount
    assert gone == 1
    assert names(studio.assets.lineage(str(photo)), "step") == ["grain"]


def test_LIN_1_as_json_and_for_graphviz(studio: Studio, tmp_path: Path, photo: Path, command: Command) -> None:
    digest = saved(studio, tmp_path, grained())
    found = json.loads(command("assets", "lineage", digest, "--json").stdout)
    assert found["root"] == f"asset:{digest}" and found["cut"] == []
    assert {link["cause"] for link in found["links"]} | {found["root"]} >= found["things"].keys() - {
        thing for thing, facts in found["things"].items() if facts["kind"] == "version"
    }
    graph = command("assets", "lineage", digest, "--dot").stdout
    assert graph.startswith("digraph lineage {\n") and graph.endswith("}\n")
    assert f'"asset:{digest}" [shape=box' in graph
    assert command("assets", "lineage", digest, "--dot", "--json").returncode == 2
    near = command("assets", "lineage", digest, "--depth", "1").stdout
    assert "photo.png" in near
    assert command("assets", "lineage", "ffffffff").returncode == 3
    with pytest.raises(NotFound):
        studio.assets.lineage("blake3:" + "0" * 64)


def test_LIN_1_too_much_is_cut_and_that_is_said(studio: Studio, tmp_path: Path, photo: Path) -> None:
    nodes = {f"big{number}": node("upscale", "in", factor=number) for number in range(2, 9)}
    saved(studio, tmp_path, grained() | nodes)
    whole = studio.assets.lineage(str(photo))
    assert (len(kinds(whole, "step")), whole.cut) == (8, ())
    few = lineage(studio._parts, studio.assets.show(str(photo)).digest, most=6)
    assert (len(few.things), few.cut) == (6, ("what goes beyond 6 things",))


@contextmanager
def counted() -> Iterator[list[tuple[str, Any]]]:
    """Every statement that is executed meanwhile."""
    said: list[tuple[str, Any]] = []

    def heard(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: Any) -> None:
        said.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", heard)
    try:
        yield said
    finally:
        event.remove(Engine, "before_cursor_execute", heard)


def test_LIN_1_only_what_belongs_to_it_is_read_however_large_the_library(
    studio: Studio, tmp_path: Path, photo: Path
) -> None:
    digest = saved(studio, tmp_path, grained())
    with counted() as before:
        first = studio.assets.lineage(digest)
    for number in range(20):
        saved(studio, tmp_path, {"in": node("reference-image", image="photo.png"), "out": node("output", "in")}, "two")
        saved(studio, tmp_path, grained(0.3 + number / 100), "three")
    with counted() as after:
        second = studio.assets.lineage(digest)
    assert (set(second.things), second.links, second.cut) == (set(first.things), first.links, ())
    asked = [len([statement for statement, _ in one if statement.startswith("SELECT")]) for one in (before, after)]
    assert asked[1] <= asked[0] + 2 * MOST_IMPORTED < 60
    with sqlite3.connect(studio.root / "library.db") as database:
        for statement, parameters in after:
            if statement.startswith("SELECT") and "instr(" not in statement:  # that one looks through what has no index
                plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
                assert not [line for line in plan if line.startswith("SCAN") and "anon" not in line], (statement, plan)

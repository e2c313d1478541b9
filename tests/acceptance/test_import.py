"""SNAP 1: a record is enough for somebody who never saw the original; what is not true of it is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from acceptance.conftest import SCENES, Command

from intaglio.core.errors import CannotReproduce, IntaglioError, InvalidRecord, NotFound
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings


@pytest.fixture
def exported(studio: Studio, chain: Path, tmp_path: Path) -> Path:
    """A version written out into a folder."""
    task = studio.tasks.run(chain, label="keeper", annotation="worth keeping")
    studio.versions.export(task.version, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Any:
    """Another person's library, with the same model."""
    with init(tmp_path / "elsewhere", Settings(author="Grace")) as opened:
        opened.models.add(SCENES, name="the-same-under-another-name")
        yield opened


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The record in a folder, changed by hand."""
    file = folder / "record.json"
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))
    return file


def test_SNAP_1_a_version_goes_from_one_library_to_another_and_comes_back_identical(
    studio: Studio, exported: Path, elsewhere: Studio
) -> None:
    original, version = studio.versions.find("keeper")
    digest, taken = elsewhere.versions.import_(exported)
    assert (digest, taken) == (original, version), "the record is the same, so it has the same name"
    assert elsewhere.versions.import_(exported / "record.json")[0] == digest, "twice is once"
    assert elsewhere.tasks.get(taken.task).purpose == "import"
    assert elsewhere.tasks.show(taken.task).steps == []
    done = elsewhere.versions.reproduce("keeper")
    assert (done.grade.grade, done.grade.gaps, done.fidelity.verdict) == ("full", (), "identical bytes")
    assert elsewhere.versions.find(exported / "out.png")[0] == digest
    assert elsewhere.library.check().problems == ()
    elsewhere.versions.export(digest, exported.parent / "again")
    assert (exported.parent / "again" / "record.json").read_bytes() == (exported / "record.json").read_bytes()


def test_VER_8_two_who_import_it_at_once_keep_it_once(exported: Path, tmp_path: Path) -> None:
    with init(tmp_path / "shared", Settings(author="Grace")) as shared:
        command = [sys.executable, "-m", "intaglio", "versions", "import", str(exported), "--json"]
        environment = {**os.environ, "INTAGLIO_LIBRARY": str(shared.root)}
        running = [
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
            for _ in range(4)
        ]
        found = {json.loads(process.communicate()[0])["digest"] for process in running}
        assert len(found) == len(shared.versions.list()) == len(shared.tasks.list()) == 1
        assert shared.library.check().problems == ()


def test_SNAP_1_results_of_others_are_never_reused(exported: Path, elsewhere: Studio, chain: Path) -> None:
    elsewhere.models.add(SCENES, name="scenes")
    taken = elsewhere.versions.import_(exported)[1]
    seeds = elsewhere.versions.snapshot("keeper").plan
    sets = [f"{step.node}.seed={step.seed.value}" for step in seeds.steps if step.seed]
    task = elsewhere.tasks.run(chain, set=sets)
    assert task.id != taken.task
    assert {step.reused_from for step in elsewhere.tasks.show(task.id).steps} == {""}


def test_REP_2_a_seed_that_was_removed_from_a_record_is_a_gap(exported: Path, elsewhere: Studio) -> None:
    def without_seed(record: dict[str, Any]) -> None:
        record["snapshot"]["plan"]["steps"][0]["seed"] = None

    taken = elsewhere.versions.import_(edited(exported, without_seed))[1]
    grade = elsewhere.versions.grade("v1")
    assert {gap.code: gap.subject for gap in grade.gaps if gap.best == "partial"} == {"seed.unknown": "base"}
    assert "record.altered" in {gap.code for gap in grade.gaps}
    with pytest.raises(CannotReproduce, match="seed"):
        elsewhere.versions.reproduce(taken.task)


def test_REP_2_a_model_known_by_name_only_is_used_only_with_a_word_about_it(exported: Path, elsewhere: Studio) -> None:
    def without_digest(record: dict[str, Any]) -> None:
        for step in record["snapshot"]["plan"]["steps"]:
            for model in step["models"].values():
                model["digest"] = ""

    elsewhere.versions.import_(edited(exported, without_digest))
    assert {gap.code for gap in elsewhere.versions.grade("v1").gaps} == {"model.unhashed", "record.altered"}
    with pytest.raises(CannotReproduce, match="only by name"):
        elsewhere.versions.reproduce("v1")
    elsewhere.models.add(SCENES, name="scenes")
    grade = elsewhere.versions.grade("v1")
    assert (grade.grade, {gap.code for gap in grade.gaps}) == ("approximate", {"model.name_only", "record.altered"})
    done = elsewhere.versions.reproduce("v1")
    assert done.fidelity.verdict == "identical bytes", "measured all the same"
    assert "recorded: a name only" in " ".join(elsewhere.tasks.snapshot(done.task.id).plan.workflow.changes)


def test_REP_2_a_record_without_its_surroundings_or_steps_says_so(exported: Path, elsewhere: Studio) -> None:
    def emptied(record: dict[str, Any]) -> None:
        record["snapshot"]["environment"]["intaglio"] = ""
        record["snapshot"]["plan"]["steps"] = []
        record["snapshot"]["results"] = []
        record["snapshot"]["outputs"] = []

    elsewhere.versions.import_(edited(exported, emptied))
    grade = elsewhere.versions.grade("v1")
    assert {"tool.unknown", "workflow.unreadable", "record.altered"} <= {gap.code for gap in grade.gaps}
    assert grade.grade == "partial"


VALUES = {
    "steps in words": ("params.steps", "abc", "parameter.unknown", "base.steps"),
    "no number": ("params.guidance", None, "parameter.unknown", "base.guidance"),
    "another number format": ("params.dtype", "float64", "parameter.unknown", "base.dtype"),
    "seed out of range": ("seed.value", str(2**80), "parameter.unknown", "base.seed"),
    "scheduler of another day": ("params.scheduler", "NoSuchScheduler", "parameter.unknown", "base.scheduler"),
    "field name of another day": ("params.scheduler", "nosuch", "parameter.unknown", "base.scheduler"),
}


@pytest.mark.parametrize("what", VALUES)
def test_REP_2_a_value_that_no_node_takes_is_a_gap_and_nothing_runs(
    what: str, exported: Path, elsewhere: Studio
) -> None:
    path, value, code, subject = VALUES[what]
    elsewhere.versions.import_(edited(exported, named(f"snapshot.plan.steps.0.{path}", value)))
    grade = elsewhere.versions.grade("v1")
    assert (grade.grade, [gap.subject for gap in grade.gaps if gap.code == code]) == ("partial", [subject])
    with pytest.raises(CannotReproduce):
        elsewhere.versions.reproduce("v1")


def test_REP_2_gaps_of_a_record_from_elsewhere_are_believed_only_in_what_they_lack(
    exported: Path, elsewhere: Studio
) -> None:
    gap = {"code": "seed.unknown", "subject": "x", "message": "m", "remedy": "r", "measured": "identical"}
    later = {**gap, "code": "weather.changed"}
    elsewhere.versions.import_(edited(exported, named("snapshot.gaps", [gap, later])))
    grade = elsewhere.versions.grade("v1")
    assert grade.grade == "partial"
    assert {found.code: found.measured for found in grade.gaps} == dict.fromkeys(
        ("seed.unknown", "weather.changed", "record.altered"), ""
    )


def out_of_order(record: dict[str, Any]) -> None:
    """A step before the one it waits for."""
    record["snapshot"]["plan"]["steps"].reverse()


def named(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    """A change of one field of a record."""

    def change(record: dict[str, Any]) -> None:
        *where, last = path.split(".")
        place: Any = record
        for part in where:
            place = place[int(part)] if part.isdecimal() else place[part]
        place[int(last) if last.isdecimal() else last] = value

    return change


HOSTILE = {
    "out of order": out_of_order,
    "path as node": named("snapshot.plan.steps.0.node", "../../etc"),
    "path as step": named("snapshot.plan.steps.0.id", "../x"),
    "stranger output": named("snapshot.outputs.0.step", "nobody"),
    "asset not described": named("snapshot.outputs.0.asset", "blake3:" + "0" * 64),
    "seed in words": named("snapshot.plan.steps.0.seed.value", "many"),
    "no threads": named("snapshot.plan.threads", 0),
    "model not described": named("snapshot.models", {}),
    "newer format": named("snapshot.format", 2),
    "no snapshot": lambda record: record.pop("snapshot"),
    "path as task": named("snapshot.task", "../../etc"),
    "seed in other digits": named("snapshot.plan.steps.0.seed.value", "\u0663"),
    "more threads than there are": named("snapshot.plan.threads", 4096),
    "no results": named("snapshot.results", []),
    "results without outputs": named("snapshot.results.0.outputs", {}),
    "no outputs": named("snapshot.outputs", []),
    "unknown field": named("snapshot.colour", "red"),
    "workflow with a bad name": named("snapshot.workflow.name", "../up"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_record_that_makes_no_sense_is_refused_and_nothing_kept(what: str, exported: Path, elsewhere: Studio) -> None:
    file = edited(exported, HOSTILE[what])
    with pytest.raises(IntaglioError) as caught:
        elsewhere.versions.import_(file)
    assert str(caught.value)
    assert elsewhere.versions.list() == []
    assert elsewhere.tasks.list() == []
    assert elsewhere.library.check().problems == ()


def test_what_is_no_record_is_named(elsewhere: Studio, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        elsewhere.versions.import_(tmp_path / "nowhere")
    (tmp_path / "list.json").write_text("[1, 2]")
    with pytest.raises(InvalidRecord, match="lacks digest"):
        elsewhere.versions.import_(tmp_path / "list.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidRecord):
        elsewhere.versions.import_(tmp_path / "bytes.json")


def test_SNAP_1_through_the_command_a_taken_number_and_label_give_way(
    studio: Studio, exported: Path, command: Command, chain: Path
) -> None:
    other = exported.parent / "another"
    with init(other, Settings(author="Grace")) as opened:
        opened.models.add(SCENES, name="scenes")
        opened.tasks.run(chain, label="keeper", annotation="mine")
    done = command("versions", "import", str(exported), "--json", INTAGLIO_LIBRARY=str(other / ".intaglio"))
    assert done.returncode == 0, done.stderr
    taken = json.loads(done.stdout)["version"]
    original = studio.versions.find("keeper")[1]
    assert (taken["number"], taken["label"], taken["snapshot"]) == (2, "", original.snapshot)
    refused = command("versions", "import", "nowhere")
    assert (refused.returncode, "no record 'nowhere'" in refused.stderr) == (3, True)

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
from acceptance.at_once import Thing, at_once
from acceptance.conftest import SCENES, Command

from intaglio.core.codec import digest as digest_of
from intaglio.core.codec import from_plain
from intaglio.core.errors import CannotReproduce, IntaglioError, InvalidRecord, NotFound
from intaglio.core.version import Version
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


@pytest.fixture
def gone_back(studio: Studio, plain_chain: Path, tmp_path: Path) -> list[Path]:
    """A version, two that go back to it for the same reason, and what was between them, each written out."""
    return went_back(studio, plain_chain, tmp_path)


def went_back(studio: Studio, workflow: Path | str, folder: Path) -> list[Path]:
    task = studio.tasks.run(workflow, annotation="first", label="first")
    studio.tasks.run(workflow, set=["grain.amount=0.2"], annotation="other")
    studio.versions.roll_back("v1", annotation="back", label="again")
    studio.tasks.run(workflow, set=["grain.amount=0.4"], annotation="another")
    studio.versions.roll_back("v1", annotation="back")
    assert [version.snapshot == task.snapshot for _, version in studio.versions.list()] == [True, False] * 2 + [True]
    for number in range(1, 6):
        studio.versions.export(f"v{number}", folder / f"v{number}")
    return [folder / f"v{number}" for number in range(1, 6)]


def essence(studio: Studio) -> list[tuple[str, str, str, str, str]]:
    """What versions are, apart from the names of documents."""
    return [
        (one.name, one.annotation, one.snapshot, one.restores, one.created if one.restores else "")
        for _, one in studio.versions.list()
    ]


def test_VER_9_versions_that_go_back_go_to_another_library_as_versions_of_their_own(
    studio: Studio, gone_back: list[Path], elsewhere: Studio
) -> None:
    for _ in range(2):
        for folder in gone_back:
            elsewhere.versions.import_(folder)
    assert essence(elsewhere) == essence(studio)
    first = elsewhere.versions.find("v1")[0]
    assert [version.restores for _, version in elsewhere.versions.list()] == [first, "", first, "", ""]
    assert elsewhere.tasks.get(elsewhere.versions.find("v1")[1].task).version == first, "it was made by that run"
    assert elsewhere.library.check().problems == ()
    (gone_back[0].parent / "home").mkdir()
    for number in range(1, 6):
        elsewhere.versions.export(f"v{number}", gone_back[0].parent / "home" / str(number))
        studio.versions.import_(gone_back[0].parent / "home" / str(number))
    assert len(studio.versions.list()) == 5, "and back home they are known"
    branch = elsewhere.workflows.branch("plain/v3", name="on")
    assert elsewhere.tasks.run(branch.name).status == "done", "and one goes on from them"


def test_VER_9_one_that_goes_back_keeps_its_very_record_where_it_fits(
    studio: Studio, plain_chain: Path, elsewhere: Studio, tmp_path: Path
) -> None:
    studio.tasks.pin(studio.tasks.run(plain_chain).id)  # so the workflow it goes back to is the one that ran
    for folder in went_back(studio, "plain", tmp_path):
        elsewhere.versions.import_(folder)
        elsewhere.versions.import_(folder)
    assert elsewhere.versions.list() == studio.versions.list(), "the same names in both libraries"
    assert elsewhere.library.check().problems == ()


def test_VER_9_where_numbers_are_taken_they_still_go_back_to_what_they_did(
    gone_back: list[Path], elsewhere: Studio, plain_chain: Path
) -> None:
    elsewhere.tasks.run(plain_chain, set=["grain.amount=0.9"], annotation="mine", label="first")
    taken = [elsewhere.versions.import_(gone_back[at]) for at in (0, 2, 4)]
    assert [version.number for _, version in taken] == [2, 3, 4]
    assert [version.restores for _, version in taken] == ["", taken[0][0], taken[0][0]]
    assert [elsewhere.versions.import_(gone_back[at]) for at in (4, 2, 0)] == taken[::-1]
    elsewhere.versions.export("v3", gone_back[0].parent / "away")
    assert elsewhere.versions.import_(gone_back[0].parent / "away") == taken[1]
    assert elsewhere.library.check().problems == ()


def test_VER_9_one_that_goes_back_comes_before_what_it_goes_back_to(
    studio: Studio, gone_back: list[Path], elsewhere: Studio, command: Command
) -> None:
    back, version = elsewhere.versions.import_(gone_back[2])
    assert (version.number, version.restores) == (1, studio.versions.find("v1")[0]), "what it says is kept"
    shown = command("versions", "show", back, INTAGLIO_LIBRARY=str(elsewhere.root))
    assert shown.returncode == 0, shown.stderr
    digest, first = elsewhere.versions.import_(gone_back[0])
    assert (first.number, first.restores) == (2, "")
    assert elsewhere.versions.import_(gone_back[2])[0] == back
    assert elsewhere.versions.import_(gone_back[0])[0] == digest
    assert elsewhere.versions.reproduce(back).fidelity.verdict == "identical bytes"
    assert elsewhere.library.check().problems == ()


def test_VER_8_two_who_import_what_goes_back_at_once_keep_it_once(gone_back: list[Path], elsewhere: Studio) -> None:
    things: list[Thing] = [("command", ("versions", "import", str(gone_back[at]))) for at in (0, 2, 4, 0, 2, 4)]
    assert at_once(elsewhere.root, things) == [0] * 6
    assert len(elsewhere.versions.list()) == 3
    assert sum(bool(version.restores) for _, version in elsewhere.versions.list()) == 2
    assert elsewhere.library.check().problems == ()


def resealed(folder: Path, restores: str) -> Path:
    """A record that says it goes back to something, and matches its own digests."""

    def change(record: dict[str, Any]) -> None:
        record["version"]["restores"] = restores
        record["digest"] = digest_of(from_plain(Version, record["version"]))

    return edited(folder, change)


def test_VER_9_what_a_record_says_of_going_back_is_not_believed_against_what_is_here(
    gone_back: list[Path], elsewhere: Studio
) -> None:
    other = elsewhere.versions.import_(gone_back[1])[0]
    for lie, words in ((other, "another run than plain/v1"), ("../../etc", "not a digest")):
        with pytest.raises(InvalidRecord, match=words):
            elsewhere.versions.import_(resealed(gone_back[2], lie))
    assert [digest for digest, _ in elsewhere.versions.list()] == [other]


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

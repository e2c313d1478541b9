"""VER: every run that reaches a Version Record node is kept, with its reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from acceptance.conftest import Command, node

from intaglio.core.errors import AnnotationMissing, Conflict, Invalid, NotFound
from intaglio.core.form import Form
from intaglio.core.task import Reason, Task
from intaglio.studio.open import Studio


@pytest.fixture
def recorded(plain_chain: Path) -> Path:
    """The plain chain, ending in a form, a version record and an output."""
    document = json.loads(plain_chain.read_text())
    document["nodes"]["form"] = node("form", "big", question="Why this one?")
    document["nodes"]["version"] = node("version-record", "form")
    document["nodes"]["out"] = node("output", "version")
    plain_chain.write_text(json.dumps(document))
    return plain_chain


def test_VER_1_what_a_version_writes(studio: Studio, recorded: Path) -> None:
    first = studio.tasks.run(recorded, annotation="first try")
    second = studio.tasks.run(recorded, label="Warmer Palette!", annotation="the client wants it warmer")
    digest, version = studio.versions.find(second.version)
    assert (version.number, version.name) == (2, "v2-warmer-palette")
    assert version.parent == first.version
    assert (version.workflow.name, version.workflow.version) == ("plain", 1)
    assert version.annotation == "the client wants it warmer"
    assert version.unannotated is False
    assert (version.author, version.task, version.snapshot) == ("Ada", second.id, second.snapshot)
    snapshot = studio.tasks.snapshot(second.id)
    assert version.parameters == {step.id: step.params for step in snapshot.plan.steps}
    assert version.parameters["grain"] == {"amount": 0.3, "size": 1, "monochrome": True}
    assert version.seeds == {"grain": snapshot.plan.step("grain").seed}
    assert version.references["in"]["image"] == snapshot.plan.step("in").assets["image"].address
    assert [output.address for output in version.outputs] == [o.address for o in snapshot.outputs]
    assert digest == second.version


def test_VER_1_all_that_a_version_writes_is_shown(studio: Studio, recorded: Path, command: Command) -> None:
    task = studio.tasks.run(recorded, label="Keeper", annotation="the client wants it warmer")
    _, version = studio.versions.find(task.version)
    words = command("versions", "show", "v1").stdout
    heads = (version.created, "by Ada", "plain @1", "plain/v1-keeper", "the client wants it warmer", version.snapshot)
    addresses = [output.address for output in version.outputs]
    addresses += [address for references in version.references.values() for address in references.values()]
    assert len(addresses) == 2
    assert all(word in words for word in (*heads, *addresses)), words
    steps = {part.split()[0]: part for part in words.split("\n\n")[1:]}
    for step, params in version.parameters.items():
        for name, value in params.items():
            assert f"  {name}" in steps[step] and str(value) in steps[step], (step, name)
    for step, seed in version.seeds.items():
        assert f"seed {seed.value} ({seed.origin})" in steps[step]


def test_VER_1_found_by_every_name_it_has(studio: Studio, recorded: Path, tmp_path: Path) -> None:
    studio.tasks.run(recorded, annotation="another")
    task = studio.tasks.run(recorded, label="keeper", annotation="this one")
    files = studio.versions.export(task.version, tmp_path / "out")
    picture = next(path for path in files if path.name == "out.png")
    stored = tmp_path / "stored.png"
    stored.write_bytes(studio.assets.get(studio.tasks.snapshot(task.id).outputs[0].asset))
    names = ("v2", "V2", "v2-keeper", "keeper", "plain/v2", "plain/keeper", task.id)
    digests = (task.version, task.version[7:20], task.snapshot, task.snapshot[:20])
    for reference in (*names, *digests, picture, stored):
        assert studio.versions.find(reference)[0] == task.version, reference
    for unknown in ("v9", "v2-other", "other/v2", "blake3:" + "0" * 64, str(tmp_path / "none.png"), ""):
        with pytest.raises(NotFound):
            studio.versions.find(unknown)


def test_VER_1_numbers_count_within_a_workflow(studio: Studio, recorded: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(recorded.read_text().replace('"plain"', '"other"'))
    studio.tasks.run(recorded, annotation="one")
    studio.tasks.run(other, annotation="two")
    assert [(v.workflow.name, v.number) for _, v in studio.versions.list()] == [("other", 1), ("plain", 1)]
    with pytest.raises(Conflict, match="fits 2 versions"):
        studio.versions.find("v1")


def test_VER_1_a_label_is_given_once(studio: Studio, recorded: Path) -> None:
    studio.tasks.run(recorded, label="keeper", annotation="one")
    with pytest.raises(Conflict, match="keeper"):
        studio.tasks.run(recorded, label="Keeper", annotation="two")
    assert len(studio.tasks.list()) == 1, "refused before any work"
    assert studio.versions.find(studio.tasks.run(recorded, label="other", annotation="two").version)[1].number == 2


def test_VER_2_no_version_without_a_reason(studio: Studio, recorded: Path) -> None:
    """A workflow with a form waits for its reason (test_forms); where nothing waits, a label alone is refused."""
    with pytest.raises(Invalid, match="both"):
        studio.tasks.run(recorded, annotation="yes", no_annotation=True)
    document = json.loads(recorded.read_text())
    del document["nodes"]["version"], document["nodes"]["form"]
    document["nodes"]["out"]["inputs"] = {"image": "big"}
    loose = recorded.with_name("loose.json")
    loose.write_text(json.dumps(document))
    for label, annotation in (("x", ""), ("x", "   ")):
        with pytest.raises(AnnotationMissing):
            studio.tasks.run(loose, label=label, annotation=annotation)
    assert studio.tasks.list() == [], "refused before any work"
    for annotation in ("", "   "):
        assert studio.tasks.run(recorded, annotation=annotation).status == "waiting"
    assert studio.versions.list() == []


def test_VER_2_going_without_is_explicit_and_recorded(studio: Studio, recorded: Path, command: Command) -> None:
    done = json.loads(command("tasks", "run", str(recorded), "--no-annotation", "--json").stdout)
    _, version = studio.versions.find(done["version"])
    assert (version.unannotated, version.annotation) == (True, "")


def test_VER_2_the_form_asks_before_the_run_is_final(studio: Studio, recorded: Path) -> None:
    asked: list[tuple[Form, str]] = []

    def ask(form: Form, task: Task) -> list[Reason]:
        asked.append((form, task.status))
        assert len(studio.tasks.snapshot(task.id).outputs) == 1, "there is a picture to look at"
        return [Reason(label="asked", annotation="because")]

    task = studio.tasks.run(recorded, ask=ask)
    assert asked == [(Form(("Why this one?",)), "waiting")]
    assert task.status == "done"
    _, version = studio.versions.find(task.version)
    assert (version.name, version.annotation) == ("v1-asked", "because")


def test_VER_1_a_run_without_a_version_record_can_be_kept_later(studio: Studio, plain_chain: Path) -> None:
    task = studio.tasks.run(plain_chain)
    for label, annotation in (("", ""), ("", "  "), ("keeper", "")):
        with pytest.raises(AnnotationMissing):
            studio.versions.save(task.id, label=label, annotation=annotation)
    assert task.version == ""
    assert studio.versions.list() == []
    digest, _ = studio.versions.save(task.id, annotation="it grew on us")
    assert studio.tasks.get(task.id).version == digest
    with pytest.raises(Conflict, match="already"):
        studio.versions.save(task.id, annotation="again")


def test_VER_1_a_label_taken_during_the_run_loses_nothing(studio: Studio, recorded: Path) -> None:
    from intaglio.core.plan import Step
    from intaglio.studio.carry_out import Watch

    first = studio.tasks.run(recorded, annotation="one")
    other = studio.tasks.run(recorded.with_name("plain.json"), annotation="two")
    assert other.version != first.version
    loose = json.loads(recorded.read_text())
    del loose["nodes"]["version"], loose["nodes"]["form"]
    loose["nodes"]["out"]["inputs"] = {"image": "big"}
    rival = recorded.with_name("rival.json")
    rival.write_text(json.dumps(loose))
    ready = studio.tasks.run(rival)
    saved: list[str] = []

    def progress(step: Step, done: int, total: int) -> None:
        if not saved:
            saved.append(studio.versions.save(ready.id, label="taken", annotation="quicker")[0])

    with pytest.raises(Conflict, match="taken") as late:
        studio.tasks.run(recorded, label="taken", annotation="slower", watch=Watch(progress))
    task = studio.tasks.list()[0]
    assert task.status == "waiting", "for another label; the annotation is kept with it"
    assert f"intaglio tasks annotate {task.id} --label" in late.value.way_on
    done = studio.tasks.annotate(task.id, label="another")
    version = studio.versions.find(done.version)[1]
    assert (done.status, version.name, version.annotation) == ("done", "v4-another", "slower")

"""VER 1, 2, 8 and RUN 4: a run with a form waits for its answer, keeps what was said, and becomes one version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from acceptance.at_once import Thing, at_once
from acceptance.conftest import Command, node, write
from acceptance.plugin import installer
from acceptance.terminal import typed

from intaglio.core.context import Context
from intaglio.core.errors import AnnotationMissing, Conflict, IntaglioError, Invalid, InvalidWorkflow
from intaglio.core.form import Form
from intaglio.core.image import Image
from intaglio.core.nodetype import node_type
from intaglio.core.task import Reason, Task
from intaglio.studio.carry_out import Watch
from intaglio.studio.open import Studio, init, open_studio
from intaglio.studio.settings import Settings

PROCESSES = 20


@pytest.fixture
def asking(plain_chain: Path) -> Path:
    """A chain with a form in its middle that demands a client and a channel, and a version record."""
    document = json.loads(plain_chain.read_text())
    fields = "client: Which client is it for?\nchannel"
    document["nodes"]["form"] = node("form", "grain", question="Why this one?", fields=fields)
    document["nodes"]["big"]["inputs"] = {"image": "form"}
    document["nodes"]["version"] = node("version-record", "big")
    document["nodes"]["out"] = node("output", "version")
    plain_chain.write_text(json.dumps(document))
    return plain_chain


@pytest.fixture
def plainly(plain_chain: Path) -> Path:
    """A chain that ends in a version record and asks for the annotation alone."""
    document = json.loads(plain_chain.read_text())
    document["nodes"]["version"] = node("version-record", "big")
    document["nodes"]["out"] = node("output", "version")
    return write(plain_chain.with_name("plainly.json"), "plainly", document["nodes"])


ANSWERS = {"client": "Acme", "channel": "print"}


def test_VER_2_without_a_terminal_a_run_waits_and_says_how_to_go_on(
    studio: Studio, asking: Path, command: Command
) -> None:
    done = command("tasks", "run", str(asking))
    assert done.returncode == 0, done.stderr
    task = studio.tasks.list(status="waiting")[0]
    assert f"{task.id}  waiting" in done.stdout
    assert "Why this one?" in done.stdout and "client: Which client is it for?" in done.stdout
    assert f"intaglio tasks annotate {task.id} --annotation TEXT --field 'client=...'" in done.stdout
    assert "--no-annotation" in done.stdout
    assert studio.tasks.show(task.id).steps[-1].step == "out", "what is after the form ran before its answer"
    assert len(studio.tasks.snapshot(task.id).outputs) == 1
    assert (task.version, studio.versions.list()) == ("", [])
    shown = command("tasks", "show", task.id).stdout
    assert "waits for annotation, client, channel" in shown
    listed = command("tasks", "list", "--status", "waiting").stdout
    assert task.id in listed
    with pytest.raises(Conflict, match="is waiting") as refused:
        studio.tasks.resume(task.id)
    assert "intaglio tasks annotate" in refused.value.hint


def test_RUN_1_who_listens_is_told_that_a_run_waits_only_when_it_does(studio: Studio, plainly: Path) -> None:
    said = studio.tasks.run(plainly, annotation="first light")
    waits = studio.tasks.run(plainly)

    def told(task: Task) -> list[str]:
        lines = studio.library.journal(subject=task.id, what=["task."])
        return [line.what for line in lines if line.what != "task.event"]

    assert told(said) == ["task.queued", "task.running", "task.done"]
    assert told(waits) == ["task.queued", "task.running", "task.waiting"]
    studio.tasks.annotate(waits.id, annotation="second")
    assert told(waits)[2:] == ["task.waiting", "task.done"]


def test_VER_2_a_program_reads_what_is_asked(studio: Studio, asking: Path, command: Command) -> None:
    run = json.loads(command("tasks", "run", str(asking), "--field", "client=Acme", "--json").stdout)
    assert run["status"] == "waiting"
    assert run["waits_for"] == {
        "questions": ["Why this one?"],
        "fields": {"client": "Which client is it for?", "channel": ""},
        "missing": ["annotation", "channel"],
        "taken": "",
        "way_on": f"intaglio tasks annotate {run['id']} --annotation TEXT --field 'channel=...'",
    }
    shown = json.loads(command("tasks", "show", run["id"], "--json").stdout)
    assert shown["waits_for"] == run["waits_for"]
    done = command("tasks", "annotate", run["id"], "--annotation", "a", "--field", "channel=tv", "--json")
    assert json.loads(done.stdout)["status"] == "done"
    assert json.loads(command("tasks", "show", run["id"], "--json").stdout)["waits_for"] is None
    assert command("tasks", "list", "--status", "waiting").stdout == ""


def test_VER_2_an_export_of_what_is_not_final_names_both_steps(
    studio: Studio, asking: Path, command: Command, tmp_path: Path
) -> None:
    done = command("tasks", "run", str(asking), "--to", str(tmp_path / "out"))
    assert done.returncode == 3
    assert "intaglio tasks annotate" in done.stderr and "intaglio versions export" in done.stderr
    assert not (tmp_path / "out").exists()
    assert len(studio.tasks.list(status="waiting")) == 1, "and the run is kept"


def test_VER_2_annotated_later_it_is_a_version_and_done(
    studio: Studio, asking: Path, command: Command, tmp_path: Path
) -> None:
    task = studio.tasks.run(asking)
    words = ("--annotation", "the client wants it warmer", "--label", "Warmer Palette!", "--as", "Bea")
    done = command("tasks", "annotate", task.id, *words, "--field", "client=Acme ", "--field", "channel = print")
    assert done.returncode == 0, done.stderr
    assert "plain/v1-warmer-palette  the client wants it warmer" in done.stdout
    final = studio.tasks.get(task.id)
    digest, version = studio.versions.find("warmer-palette")
    assert (final.status, final.version, final.snapshot) == ("done", digest, task.snapshot)
    assert (version.task, version.author, version.unannotated) == (task.id, "Bea", False)
    assert version.fields == ANSWERS
    shown = command("versions", "show", "v1").stdout
    assert "client      Acme" in shown and "channel     print" in shown
    studio.versions.export(digest, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "record.json").read_text())["version"]["fields"] == ANSWERS
    with init(tmp_path / "other", Settings(author="Cleo")) as other:
        assert other.versions.import_(tmp_path / "out")[1].fields == ANSWERS
    with init(tmp_path / "third", Settings(author="Dora")) as third:
        third.tasks.run(asking, annotation="its own first", fields={"client": "Zeta", "channel": "tv"})
        imported = third.versions.import_(tmp_path / "out")[1]
        assert (imported.number, imported.fields) == (2, ANSWERS), "also as another record"
    assert studio.versions.reproduce(digest).task.status == "done", "a reproduction asks nobody"
    with pytest.raises(Conflict, match="a version already"):
        studio.tasks.annotate(task.id, annotation="again", fields=ANSWERS)
    assert len(studio.versions.list()) == 1


def test_VER_2_going_without_is_a_second_explicit_step(studio: Studio, plainly: Path) -> None:
    task = studio.tasks.run(plainly)
    with pytest.raises(AnnotationMissing, match="needs its reason") as refused:
        studio.tasks.annotate(task.id, annotation="  ")
    assert "--no-annotation" in refused.value.hint
    with pytest.raises(Invalid, match="both asked for"):
        studio.tasks.annotate(task.id, annotation="yes", no_annotation=True)
    assert studio.tasks.get(task.id).status == "waiting"
    done = studio.tasks.annotate(task.id, no_annotation=True)
    version = studio.versions.find(done.version)[1]
    assert (version.annotation, version.unannotated) == ("", True)


def test_VER_2_a_form_alone_makes_a_version_too(studio: Studio, plain_chain: Path) -> None:
    document = json.loads(plain_chain.read_text())
    document["nodes"]["form"] = node("form", "big", question="And why?")
    document["nodes"]["out"] = node("output", "form")
    plain_chain.write_text(json.dumps(document))
    task = studio.tasks.run(plain_chain)
    waiting = studio.tasks.waits_for(task.id)
    assert waiting is not None
    assert waiting.questions == ("And why?",)
    assert studio.tasks.annotate(task.id, annotation="so").version
    assert studio.tasks.run(plain_chain, annotation="so again").status == "done"


def test_VER_2_all_that_several_forms_ask_is_asked(studio: Studio, asking: Path) -> None:
    document = json.loads(asking.read_text())
    document["nodes"]["legal"] = node("form", "version", question="Is it cleared?", fields="licence, client: Who?")
    document["nodes"]["legal"]["params"]["fields"] = "licence\nclient: Who?"
    document["nodes"]["out"] = node("output", "legal")
    asking.write_text(json.dumps(document))
    asked: list[Form] = []

    def ask(form: Form, task: Task) -> list[Reason]:
        asked.append(form)
        return [Reason(annotation="yes", fields={name: name.upper() for name in form.fields})]

    task = studio.tasks.run(asking, ask=ask)
    assert set(asked[0].questions) == {"Why this one?", "Is it cleared?"}
    assert list(asked[0].fields.items()) == [("client", "Which client is it for?"), ("channel", ""), ("licence", "")]
    fields = studio.versions.find(task.version)[1].fields
    assert fields == {"client": "CLIENT", "channel": "CHANNEL", "licence": "LICENCE"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "asks for client, channel$"),
        ({"client": "Acme", "channel": "  "}, "'channel' is empty"),
        ({**ANSWERS, "chanel": "tv"}, "no field 'chanel'"),
        ({"client": "Acme", "channel": "x" * 10_001}, "10001 characters"),
    ],
)
def test_VER_2_missing_unknown_and_empty_fields_are_named(
    studio: Studio, asking: Path, fields: dict[str, str], words: str
) -> None:
    task = studio.tasks.run(asking, annotation="up front")
    assert task.status == "waiting", "the annotation alone is not enough"
    with pytest.raises(Invalid, match=words):
        studio.tasks.annotate(task.id, fields=fields)
    with pytest.raises(Invalid, match=words):
        studio.versions.save(task.id, fields=fields)
    assert studio.tasks.get(task.id) == task, "nothing changed"
    done = studio.tasks.annotate(task.id, fields=ANSWERS)
    assert studio.versions.find(done.version)[1].annotation == "up front"


@pytest.mark.parametrize("door", [("tasks", "annotate"), ("versions", "save")])
def test_VER_2_what_is_given_bit_by_bit_is_kept_and_what_is_missing_is_named(
    studio: Studio, asking: Path, command: Command, door: tuple[str, str]
) -> None:
    task = studio.tasks.run(asking)
    first = command(*door, task.id, "--annotation", "why", "--label", "bits", "--field", "channel=print")
    assert first.returncode == 2
    assert "the workflow's form asks for client; what was given is kept" in first.stderr
    assert "Give each: --field 'client=...'" in first.stderr
    kept = studio.tasks.get(task.id)
    assert (kept.status, kept.reason) == (
        "waiting",
        Reason(label="bits", annotation="why", fields={"channel": "print"}),
    )
    refused = command(*door, task.id, "--field", "client=Acme", "--field", "size=big")
    assert refused.returncode == 2 and "no field 'size'" in refused.stderr
    assert studio.tasks.get(task.id) == kept, "of what cannot be, nothing is kept"
    assert command(*door, task.id, "--field", "client=Acme").returncode == 0, "the hint was followed"
    version = studio.versions.find(task.id)[1]
    assert (version.name, version.annotation, version.fields) == ("v1-bits", "why", ANSWERS)


def test_VER_2_fields_before_the_annotation_are_kept_too(studio: Studio, asking: Path) -> None:
    task = studio.tasks.run(asking)
    with pytest.raises(AnnotationMissing, match="asks for channel; what was given is kept"):
        studio.tasks.annotate(task.id, fields={"client": "Acme"})
    with pytest.raises(AnnotationMissing, match="needs its reason; what was given is kept") as stopped:
        studio.tasks.annotate(task.id, fields={"channel": "print"})
    assert stopped.value.way_on == f"intaglio tasks annotate {task.id} --annotation TEXT"
    assert studio.versions.find(studio.tasks.annotate(task.id, annotation="now").version)[1].fields == ANSWERS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--field", "clint=Acme"), ("no field 'clint'", "Did you mean 'client'")),
        (("--field", "client="), ("'client' is empty",)),
        (("--field", "client"), ("'client' is not the answer", "--field NAME=VALUE")),
        (("--field", "client=a", "--field", "client=b"), ("'client' is given twice",)),
        (("--annotation", "a", "--no-annotation"), ("both asked for",)),
        (("--label", "v7"), ("taken for a number",)),
    ],
)
def test_VER_2_what_cannot_be_is_refused_before_any_work(
    studio: Studio, asking: Path, command: Command, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    done = command("tasks", "run", str(asking), *arguments)
    assert done.returncode == 2
    assert all(word in done.stderr for word in words), done.stderr
    assert studio.tasks.list() == []


@node_type("form", version=1, role="form")
def form_1(ctx: Context, image: Image, *, question: str = "What is this version, and why?") -> Image:
    """Ask for an annotation, as the first release did."""
    return image


def test_VER_2_a_form_of_the_first_release_means_what_it_meant(
    studio: Studio, plain_chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = json.loads(plain_chain.read_text())
    document["nodes"]["form"] = node("form@1", "big", question="Why this one?")
    document["nodes"]["out"] = node("output", "form")
    plain_chain.write_text(json.dumps(document))
    install = installer(monkeypatch)
    install(form_1)
    kept, waits = studio.tasks.run(plain_chain, annotation="of then"), studio.tasks.run(plain_chain)
    install()
    with open_studio(studio.root) as later:
        waiting = later.tasks.waits_for(waits.id)
        assert waiting is not None
        assert (waiting.questions, waiting.fields) == (("Why this one?",), {})
        assert later.tasks.annotate(waits.id, annotation="of now").status == "done"
        back = later.versions.reproduce(kept.version)
        assert (back.grade.grade, back.fidelity.verdict) == ("full", "identical bytes")


@pytest.mark.parametrize("fields", ["client, client", "=x", "annotation", 7])
def test_VER_2_a_form_that_cannot_ask_is_refused_with_its_node(studio: Studio, asking: Path, fields: object) -> None:
    document = json.loads(asking.read_text())
    document["nodes"]["form"]["params"]["fields"] = fields
    asking.write_text(json.dumps(document))
    with pytest.raises(InvalidWorkflow, match=r"node 'form', params\.fields"):
        studio.workflows.check(asking)
    with pytest.raises(InvalidWorkflow, match=r"node 'form', params\.fields"):
        studio.tasks.run(asking)
    assert studio.tasks.list() == []


def test_VER_2_on_a_terminal_it_asks_after_the_run(studio: Studio, asking: Path) -> None:
    code, shown = typed(
        studio.root,
        ["tasks", "run", str(asking)],
        [
            ("Annotation", "warmer, as they asked\n"),
            ("Which client", "\n"),
            ("client has to be given", "Acme\n"),
            ("channel", "print\n"),
            ("Label", "Warmer\n"),
        ],
    )
    assert code == 0, shown
    version = studio.versions.find("v1-warmer")[1]
    assert (version.annotation, version.fields) == ("warmer, as they asked", ANSWERS)


def test_VER_2_on_a_terminal_going_without_is_confirmed(studio: Studio, plainly: Path) -> None:
    refused, _ = typed(
        studio.root, ["tasks", "run", str(plainly)], [("Annotation", "\n"), ("without a reason?", "n\n")]
    )
    assert refused == 130
    task = studio.tasks.list(status="waiting")[0]
    code, _ = typed(studio.root, ["tasks", "annotate", task.id], [("Annotation", "\n"), ("without a reason?", "y\n")])
    assert code == 0
    assert studio.versions.find(task.id)[1].unannotated is True


def test_VER_2_who_leaves_the_question_goes_on_later(studio: Studio, asking: Path) -> None:
    code, shown = typed(studio.root, ["tasks", "run", str(asking), "--label", "kept"], [("Annotation", "\x03")])
    assert code == 130
    task = studio.tasks.list(status="waiting")[0]
    assert f"intaglio tasks annotate {task.id}" in shown
    done = studio.tasks.annotate(task.id, annotation="later", fields=ANSWERS)
    assert studio.versions.find(done.version)[1].name == "v1-kept"


def test_VER_2_who_leaves_a_later_question_keeps_what_was_typed(studio: Studio, asking: Path) -> None:
    typed_first = [("Annotation", "a long story\n"), ("Which client", "Acme\n"), ("channel", "\x03")]
    code, _ = typed(studio.root, ["tasks", "run", str(asking)], typed_first)
    assert code == 130
    (task,) = studio.tasks.list(status="waiting")
    assert task.reason == Reason(annotation="a long story", fields={"client": "Acme"})
    waiting = studio.tasks.waits_for(task.id)
    assert waiting is not None and waiting.missing == ("channel",)
    rest = [("channel", "print\n"), ("Label", "\x03")]
    code, shown = typed(studio.root, ["tasks", "annotate", task.id, "--field", "client=Bolt"], rest)
    assert code == 130
    assert "Annotation" not in shown, "what was said is not asked again"
    version = studio.versions.find(studio.tasks.annotate(task.id).version)[1]
    assert (version.annotation, version.fields) == ("a long story", {"client": "Bolt", "channel": "print"})


def test_VER_2_an_answer_that_cannot_be_costs_no_other(studio: Studio, asking: Path) -> None:
    answers = [("Annotation", "a long story\n"), ("client", "Acme\n"), ("channel", "print\n"), ("Label", "v7\n")]
    code, shown = typed(studio.root, ["tasks", "run", str(asking)], answers)
    assert code == 2 and "taken for a number" in shown
    (task,) = studio.tasks.list(status="waiting")
    assert task.reason == Reason(annotation="a long story", fields=ANSWERS)


def test_VER_2_what_a_person_typed_is_kept_though_the_label_is_refused(studio: Studio, asking: Path) -> None:
    studio.tasks.run(asking, label="taken", annotation="one", fields=ANSWERS)
    answers = [("Annotation", "a long story\n"), ("client", "Acme\n"), ("channel", "print\n"), ("Label", "taken\n")]
    code, shown = typed(studio.root, ["tasks", "run", str(asking)], answers)
    assert code == 2
    task = studio.tasks.list(status="waiting")[0]
    assert f"intaglio tasks annotate {task.id} --label LABEL" in shown
    done = studio.tasks.annotate(task.id, label="free")
    version = studio.versions.find(done.version)[1]
    assert (version.name, version.annotation, version.fields) == ("v2-free", "a long story", ANSWERS)


def test_VER_2_cancelled_while_waiting_it_keeps_its_pictures_and_goes_on(studio: Studio, asking: Path) -> None:
    task = studio.tasks.run(asking, annotation="kept")
    output = studio.tasks.snapshot(task.id).outputs[0].asset
    assert studio.tasks.cancel(task.id).status == "cancelled"
    assert studio.assets.get(output)
    for refused in (studio.tasks.annotate, studio.versions.save):
        with pytest.raises(Conflict, match="is cancelled"):
            refused(task.id, annotation="a", fields=ANSWERS)
    again = studio.tasks.resume(task.id)
    assert again.status == "waiting"
    assert [output.asset for output in studio.tasks.snapshot(task.id).outputs] == [output]
    assert studio.tasks.annotate(task.id, fields=ANSWERS).status == "done"


def test_RUN_4_an_interrupted_run_is_resumed_into_waiting(studio: Studio, asking: Path) -> None:
    def stop(step: Any, done: int, total: int) -> None:
        if step.id == "big":
            raise KeyboardInterrupt

    with pytest.raises(IntaglioError, match="cancelled"):
        studio.tasks.run(asking, annotation="said first", watch=Watch(progress=stop))
    task = studio.tasks.resume(studio.tasks.list()[0].id)
    waiting = studio.tasks.waits_for(task.id)
    assert waiting is not None
    assert waiting.missing == ("client", "channel")
    asked = studio.tasks.annotate(task.id, ask=lambda form, task: [Reason(fields=ANSWERS)])
    assert studio.versions.find(asked.version)[1].annotation == "said first"


# -- many at once -----------------------------------------------------------------------------------------------------


def keeping(task: str, number: int, label: str = "") -> Thing:
    """One of the doors through which a run becomes a version."""
    given = (task, "--annotation", f"said by {number}", "--label", label)
    doors: list[Thing] = [
        ("command", ("tasks", "annotate", *given)),
        ("command", ("versions", "save", *given)),
        ("annotate", (task, label)),
    ]
    return doors[number % len(doors)]


def test_VER_8_twenty_annotate_one_task_and_one_version_comes_of_it(studio: Studio, plainly: Path) -> None:
    task = studio.tasks.run(plainly)
    codes = at_once(studio.root, [keeping(task.id, number) for number in range(PROCESSES)])
    assert sorted(codes) == [0, *[2] * (PROCESSES - 1)], "one does, all others are told of it"
    ((digest, version),) = studio.versions.list()
    assert (version.number, studio.tasks.get(task.id).version) == (1, digest)


def test_VER_8_twenty_save_at_once_without_a_gap_or_a_double(studio: Studio, plainly: Path) -> None:
    """Through every door, and two of them want one label: one Conflict, and no number is wasted on it."""
    tasks = [studio.tasks.run(plainly, set=[f"grain.seed={number + 1}"]) for number in range(PROCESSES)]
    labels = ["same", "same", *(f"label {number}" for number in range(2, PROCESSES))]
    codes = at_once(studio.root, [keeping(task.id, n, labels[n]) for n, task in enumerate(tasks)])
    assert sorted(codes[:2]) == [0, 2]
    assert codes[2:] == [0] * (PROCESSES - 2)
    found = {version.number: (digest, version) for digest, version in studio.versions.list()}
    assert sorted(found) == [*range(1, PROCESSES)]
    assert len({version.label for _, version in found.values()}) == PROCESSES - 1
    for number, (_, version) in found.items():
        assert version.parent == (found[number - 1][0] if number > 1 else ""), "each follows the one before"
    (late,) = studio.tasks.list(status="waiting")
    assert studio.versions.find(studio.tasks.annotate(late.id, annotation="a", label="other").version)[1].number == 20
    assert studio.library.check().problems == ()


def test_VER_8_a_command_and_the_api_keep_each_other_out(studio: Studio, plainly: Path, command: Command) -> None:
    task = studio.tasks.run(plainly)
    assert command("tasks", "annotate", task.id, "--annotation", "first").returncode == 0
    second = command("versions", "save", task.id, "--annotation", "second")
    assert second.returncode == 2 and "a version already" in second.stderr
    third = command("tasks", "annotate", task.id, "--annotation", "third")
    assert third.returncode == 2 and "a version already" in third.stderr

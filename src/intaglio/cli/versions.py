"""intaglio versions ..."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from intaglio.cli import approval, branches
from intaglio.cli.app import NOT_IDENTICAL, App, common, say, short, table, watching
from intaglio.cli.asking import fields_of, reason_options
from intaglio.cli.bisect import bisect
from intaglio.cli.fidelity import fidelity_words, grade_words
from intaglio.cli.version_diff import diff
from intaglio.cli.version_remarks import NOTHING_SAID, REMARK_COMMANDS, added_rows, remark_row, standing_rows
from intaglio.cli.version_search import SEARCH_COMMANDS
from intaglio.core.version import ANNOTATION

if TYPE_CHECKING:
    from pathlib import Path

    from intaglio.core.fidelity import Reproduction
    from intaglio.core.version import Remark, Standing, Version
    from intaglio.studio.reproduce import Reproduced

_MODELS = click.option(
    "--models",
    type=click.Choice(["exact", "current"]),
    default="exact",
    help="A model that is gone or changed: refuse (exact), or run with what has its name now (current).",
)


@click.group()
def versions() -> None:
    """Runs kept with their reason; bring one back."""


@versions.command()
@click.argument("version")
@common
def show(app: App, version: str) -> None:
    """A version: v3, WORKFLOW/v3, a label, a digest, a task id, or one of its output files."""
    with app.open() as studio:
        digest, found = studio.versions.find(version)
        attempts = studio.versions.history(digest)
        remarks = studio.versions.remarks(digest)
        order = [step.id for step in studio.versions.snapshot(digest).plan.steps]
        now = studio.versions.standing(digest)
    record = {
        "digest": digest,
        "version": found,
        "standing": now,
        "reproductions": attempts,
        "remarks": remarks,
    }

    def words() -> None:
        _words(digest, found, len(attempts), now)
        _steps(found, order)
        _history(attempts, remarks)

    app.show(record, words)


@versions.command()
@click.argument("task")
@reason_options
@common
def save(app: App, task: str, label: str, annotation: str, no_annotation: bool, fields: tuple[str, ...]) -> None:
    """Make a finished TASK the next version of its workflow."""
    with app.open() as studio:
        digest, found = studio.versions.save(
            studio.tasks.get(task).id,
            label=label,
            annotation=annotation,
            no_annotation=no_annotation,
            fields=fields_of(fields),
        )
    app.show({"digest": digest, "version": found}, lambda: _words(digest, found, 0))


@versions.command()
@click.argument("version")
@click.option("--only", default="", metavar="STEP", help="Only this output, or one picture of a batch: base[2].")
@click.option("--paranoid", is_flag=True, help="Read every byte of the models again.")
@_MODELS
@common
def grade(app: App, version: str, only: str, paranoid: bool, models: Any) -> None:
    """Say what a reproduction would come to, without running it."""
    with app.open() as studio:
        found = studio.versions.grade(version, only=only, models=models, paranoid=paranoid)
    app.show(found, lambda: grade_words(found))


@versions.command()
@click.argument("version")
@click.option("--only", default="", metavar="STEP", help="Only this output, or one picture of a batch: base[2].")
@click.option("--paranoid", is_flag=True, help="Read every byte of the models again.")
@_MODELS
@common
def reproduce(app: App, version: str, only: str, paranoid: bool, models: Any) -> int:
    """Run a version again from its record alone, and compare. Exit code 10 when it is not identical."""
    from intaglio.core.fidelity import is_identical

    with app.open() as studio, watching() as watch:
        done = studio.versions.reproduce(version, only=only, models=models, watch=watch, paranoid=paranoid)
    app.show(report(done), lambda: _reproduced(done))
    return 0 if is_identical(done.fidelity.verdict) else NOT_IDENTICAL


@versions.command()
@click.argument("version")
@click.option("--to", "folder", default="", metavar="DIR", help="Where to; else a folder named after the version.")
@common
def export(app: App, version: str, folder: str) -> None:
    """Write a version's pictures, its seed record and its whole record into a folder."""
    with app.open() as studio:
        _, found = studio.versions.find(version)
        to = folder or f"{found.workflow.name}-{found.name}"
        files = studio.versions.export(version, to, told=lambda text: say(text, err=True))
    app.show([str(file) for file in files], lambda: _files(files))


for _command in (bisect, diff, approval.approve, approval.rollback, branches.apply, *REMARK_COMMANDS, *SEARCH_COMMANDS):
    versions.add_command(_command)


@versions.command("import")
@click.argument("path")
@common
def import_(app: App, path: str) -> None:
    """Take in a version that versions export wrote: the folder, or its record.json."""
    with app.open() as studio:
        digest, found = studio.versions.import_(path)
        attempts = len(studio.versions.history(digest))
        gaps = studio.versions.snapshot(digest).gaps

    def words() -> None:
        _words(digest, found, attempts)
        for gap in gaps:
            say(f"  {gap.code}: {gap.message}")

    app.show({"digest": digest, "version": found, "gaps": gaps}, words)


def _files(files: list[Path]) -> None:
    for file in files:
        say(str(file))


def report(done: Reproduced) -> dict[str, Any]:
    """A reproduction as JSON values."""
    return {
        "version": done.digest,
        "name": f"{done.version.workflow.name}/{done.version.name}",
        "grade": done.grade.grade,
        "gaps": done.grade.gaps,
        "models": done.models,
        "task": done.task.id,
        "fidelity": done.fidelity.verdict,
        "first_difference": done.fidelity.first_difference,
        "cause": done.fidelity.cause,
        "outputs": done.fidelity.outputs,
    }


def _reproduced(done: Reproduced) -> None:
    say(f"version   {done.version.workflow.name}/{done.version.name}  {short(done.digest)}")
    grade_words(done.grade)
    say(f"task      {done.task.id}")
    for old, new in done.models.items():
        recorded = short(old) if old.startswith("blake3:") else old
        say(f"  with {short(new)} in place of {recorded}; its record says so")
    fidelity_words(done.fidelity)


def _words(digest: str, version: Version, attempts: int, now: Standing = NOTHING_SAID) -> None:
    table(
        [
            ("version", f"{version.workflow.name}/{version.name}"),
            ("digest", digest),
            *standing_rows(now),
            ("annotation", version.annotation or "(without, on purpose)"),
            *added_rows(now),
            *((name, answer) for name, answer in version.fields.items()),
            ("workflow", f"{version.workflow.name} @{version.workflow.version} {' '.join(version.workflow.changes)}"),
            ("task", version.task),
            ("snapshot", version.snapshot),
            ("parent", version.parent or "-"),
            ("made", f"{version.created} by {version.author}"),
            ("reproduced", f"{attempts} times" if attempts else "not yet"),
        ]
    )


def _steps(version: Version, order: list[str]) -> None:
    """Every step that has something to say, in the order of the plan; then the outputs."""
    for step in order:
        seed = version.seeds.get(step)
        rows = [(name, str(value)) for name, value in version.parameters[step].items()]
        rows += list(version.models.get(step, {}).items()) + list(version.references.get(step, {}).items())
        if seed or rows:
            say()
            say(step + (f"  seed {seed.value} ({seed.origin})" if seed else ""))
            table(rows, "  ")
    say()
    table([("output", output.step, output.address) for output in version.outputs])


def _history(attempts: list[Reproduction], remarks: list[Remark]) -> None:
    """What came of every attempt to bring it back, and what was said of it."""
    if attempts or remarks:
        say()
    table(
        [
            ("brought back", one.created[:19], one.host, f"graded {one.grade.grade}", one.fidelity.verdict, one.task)
            for one in attempts
        ]
    )
    # What was added to the annotation stands with it.
    table([remark_row(remark) for remark in remarks if remark.what != ANNOTATION])

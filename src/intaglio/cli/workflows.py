"""intaglio workflows ..."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from intaglio.cli import branches
from intaglio.cli.app import App, common, say, short, table, warn

if TYPE_CHECKING:
    from intaglio.engine.lint import Finding

NOT_FIXED = 2


@click.group()
def workflows() -> None:
    """Graphs that say what is wanted."""


@workflows.command()
@click.argument("file")
@common
def add(app: App, file: str) -> None:
    """Keep the workflow in FILE (YAML or JSON); changed content becomes its next version."""
    from pathlib import Path

    from intaglio.studio.documents import read_workflow

    with app.open() as studio:
        document = read_workflow(Path(file))
        warn(app, studio.workflows.warnings(document, adding=True))
        reference = studio.workflows.add(document)
    app.show(reference, lambda: say(f"{reference.name} @{reference.version}  {short(reference.digest)}"))


for _command in (branches.branch, branches.tree, branches.archive, branches.revive, branches.take, branches.mode):
    workflows.add_command(_command)


@workflows.command("list")
@click.option("--archived", is_flag=True, help="Also those that were put away.")
@common
def list_(app: App, archived: bool) -> None:
    """Workflows, by name."""
    with app.open() as studio:
        found = studio.workflows.list(archived=archived)
    records = [
        {"name": name, "version": version, "digest": digest, "created": created}
        for name, version, digest, created in found
    ]
    app.show(
        records,
        lambda: table([(name, f"@{version}", short(digest), time[:19]) for name, version, digest, time in found]),
    )


@workflows.command()
@click.argument("workflow")
@common
def show(app: App, workflow: str) -> None:
    """A workflow as a file one can edit. WORKFLOW is NAME or NAME@VERSION."""
    from intaglio.studio.documents import write_text

    with app.open() as studio:
        found, _ = studio.workflows.show(workflow)
        warn(app, studio.workflows.warnings(found))
    app.show(found, lambda: say(write_text(found).removesuffix("\n"), keep="\n"))


@workflows.command()
@click.argument("workflow")
@click.option("--strict", is_flag=True, help="Name all that could make two runs differ; exit code 2 when it would.")
@common
def check(app: App, workflow: str, strict: bool) -> int:
    """Check a workflow file, or one in the library, without running it.

    Its models are looked up, their kinds and whether they are there; the bytes of their files are not read.
    """
    if strict:
        with app.open() as studio:
            findings = studio.workflows.lint(workflow)
            warn(app, studio.workflows.warnings(workflow))
        app.show({"findings": findings}, lambda: _findings(findings))
        return NOT_FIXED if any(finding.level == "error" for finding in findings) else 0
    with app.open() as studio:
        found = studio.workflows.check(workflow)
        warn(app, studio.workflows.warnings(found))
    app.show(found, lambda: say(f"{found.name}: {len(found.nodes)} nodes, {found.mode}; nothing wrong"))
    return 0


def _findings(findings: list[Finding]) -> None:
    for finding in findings:
        say(f"{finding.level:6}  {finding.code:20}  {finding.message}")
        say(f"        {finding.remedy}")
    if not any(finding.level == "error" for finding in findings):
        say("fixed: every run gives the same pictures" + (", remarks aside" if findings else ""))

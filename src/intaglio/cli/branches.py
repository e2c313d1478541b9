"""intaglio workflows branch, tree, archive, revive, take, mode; intaglio versions apply."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from intaglio.cli.app import App, common, is_terminal, say
from intaglio.core.errors import Conflict

if TYPE_CHECKING:
    from intaglio.core.merge import Merged, Side
    from intaglio.studio.branching import Carried, Direction

_THEIRS = click.option(
    "--theirs", multiple=True, metavar="NODE", help="Where both sides changed this node, take the change."
)
_OURS = click.option(
    "--ours", multiple=True, metavar="NODE", help="Where both sides changed it, leave it as it is here."
)
_YES = click.option("--yes", is_flag=True, help="Make the changes without asking; without it they are shown first.")


@click.command()
@click.argument("base")
@click.option("--name", required=True, help="The name of the new direction, as in Campaign-B-CoolMinimal.")
@click.option("--note", default="", help="What it is for.")
@common
def branch(app: App, base: str, name: str, note: str) -> None:
    """Derive a workflow from BASE (NAME, NAME@3, or a version) under a name of its own, with its own versions.

    It begins in discovery; edit it with: intaglio workflows show NAME > NAME.yaml
    """
    with app.open() as studio:
        made = studio.workflows.branch(base, name, note=note)
    app.show(made, lambda: say(f"{made.name} @1  from {made.base.name} @{made.base.version}"))


@click.command()
@click.argument("name", required=False)
@click.option("--archived", is_flag=True, help="Also those that were put away.")
@common
def tree(app: App, name: str | None, archived: bool) -> None:
    """Workflows with the branches taken from them."""
    with app.open() as studio:
        found = studio.workflows.tree(name, archived=archived)
    app.show(found, lambda: _tree(found))


def _tree(found: Sequence[Direction]) -> None:
    for top in found:
        say(_direction(top))
        _beneath(top.branches, "")


def _beneath(branches: Sequence[Direction], indent: str) -> None:
    for index, one in enumerate(branches):
        last = index == len(branches) - 1
        say(f"{indent}{'└─ ' if last else '├─ '}{_direction(one)}")
        _beneath(one.branches, indent + ("   " if last else "│  "))


def _direction(one: Direction) -> str:
    words = [f"{one.name} @{one.workflow}", one.mode]
    if one.versions:
        words.append(f"{one.versions} version{'s' * (one.versions > 1)}, newest {one.newest}")
    if one.approved:
        words.append(f"approved {one.approved}")
    if one.archived:
        words.append("archived")
    if one.waiting:
        words.append(f"{one.waiting} changed node{'s' * (one.waiting > 1)} of its base not taken over")
    return "  ".join(words)


@click.command()
@click.argument("name")
@click.option("--note", default="", help="Why.")
@common
def archive(app: App, name: str, note: str) -> None:
    """Put a workflow away with its versions: kept, reproducible, listed with --archived, back with revive."""
    with app.open() as studio:
        done = studio.workflows.archive(name, note=note)
    app.show(done, lambda: say(f"{name} is archived; bring it back with: intaglio workflows revive {name}"))


@click.command()
@click.argument("name")
@click.option("--note", default="", help="Why.")
@common
def revive(app: App, name: str, note: str) -> None:
    """Bring an archived workflow back."""
    with app.open() as studio:
        done = studio.workflows.revive(name, note=note)
    app.show(done, lambda: say(f"{name} is back"))


@click.command()
@click.argument("branch")
@click.option("--node", "nodes", multiple=True, metavar="NODE", help="Only what changed at this node.")
@_THEIRS
@_OURS
@_YES
@common
def take(
    app: App, branch: str, nodes: tuple[str, ...], theirs: tuple[str, ...], ours: tuple[str, ...], yes: bool
) -> None:
    """Take over into BRANCH what changed in its base since; shown first, node by node, conflicts too."""
    chosen, only = _choices(theirs, ours), nodes or None
    with app.open() as studio:
        found = studio.workflows.take(branch, nodes=only, choices=chosen, make=False)
        merged = found.merged
        open_ = bool(merged.taken or merged.kept or merged.clashes or (yes and merged.there))
        if open_ and _agreed(app, [found], yes):
            found = studio.workflows.take(branch, nodes=only, choices=chosen, basis=found.basis)
    app.show(found, lambda: _carried([found], shown=not yes and is_terminal(sys.stdin), made=yes))


@click.command()
@click.argument("change")
@click.option("--to", "branches", multiple=True, required=True, metavar="BRANCH", help="A workflow; may be repeated.")
@_THEIRS
@_OURS
@_YES
@common
def apply(
    app: App, change: str, branches: tuple[str, ...], theirs: tuple[str, ...], ours: tuple[str, ...], yes: bool
) -> None:
    """Apply a CHANGE (sunset/v7..v9, or one version: from its parent) to other directions; shown first."""
    chosen = _choices(theirs, ours)
    with app.open() as studio:
        found = studio.versions.apply(change, branches, choices=chosen, make=False)
        if any(one.merged.taken or one.merged.clashes for one in found) and _agreed(app, found, yes):
            found = studio.versions.apply(change, branches, choices=chosen, basis=[one.basis for one in found])
    app.show(found, lambda: _carried(found, shown=not yes and is_terminal(sys.stdin), made=yes))


def _choices(theirs: Sequence[str], ours: Sequence[str]) -> Mapping[str, Side]:
    for node in theirs:
        if node in ours:
            raise Conflict(f"both --theirs and --ours were given for {node!r}", hint="Give one of the two.")
    return {**dict.fromkeys(theirs, "theirs"), **dict.fromkeys(ours, "ours")}


def _agreed(app: App, found: Sequence[Carried], yes: bool) -> bool:
    """Whether the changes are to be made: said up front, or asked for on a terminal after they were shown."""
    if yes:
        return True
    if app.as_json or not is_terminal(sys.stdin):
        return False
    for one in found:
        _changes(one)
    if any(one.merged.clashes for one in found):
        return False
    return click.confirm("Make these changes?")


def _carried(found: Sequence[Carried], *, shown: bool, made: bool) -> None:
    for one in found:
        if not shown:
            _changes(one)
        if one.workflow is not None:
            left = ", in discovery: it is no longer what was approved" if one.left_production else ""
            say(f"{one.name} is now @{one.workflow.version}{left}")
            for pin in one.merged.unpinned:
                say(f"  no longer pinned: {pin}")
    if any(one.merged.clashes for one in found):
        say("Nothing was changed. Where both sides changed a node, say which counts: --theirs NODE or --ours NODE.")
    elif not shown and all(one.workflow is None for one in found):
        if any(one.merged.taken or one.merged.kept for one in found):
            say(
                "It stays as it is here, and will not be asked again."
                if made
                else "Nothing was changed; do it with --yes."
            )
        else:
            say("There is nothing to take over.")


def _changes(one: Carried) -> None:
    merged: Merged = one.merged
    if not (merged.taken or merged.kept or merged.clashes or merged.there):
        return
    say(one.name)
    for edit in merged.taken:
        say(f"  {edit}")
    for edit in merged.there:
        say(f"  {edit}  (is so already)")
    for edit in merged.kept:
        say(f"  {edit}  (left as it is here)")
    for clash in merged.clashes:
        say(f"  CONFLICT  {clash}")


@click.command()
@click.argument("name")
@click.argument("to", type=click.Choice(["discovery", "production"]), required=False)
@common
def mode(app: App, name: str, to: Any) -> None:
    """The mode of a workflow as a whole; given one, its next version is in that. Nothing typed or pinned is lost."""
    with app.open() as studio:
        if to is None:
            found, reference = studio.workflows.show(name)
            app.show(
                {"workflow": reference, "mode": found.mode}, lambda: say(f"{name} @{reference.version} {found.mode}")
            )
            return
        switched = studio.workflows.mode(name, to)
    app.show(switched, lambda: say(f"{name} @{switched.version} is in {to}"))

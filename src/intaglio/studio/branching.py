"""Branches: deriving a workflow from another, showing them as a tree, putting them away, and carrying changes between
them. Nothing is deleted, and what both sides changed is for a person to decide."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from intaglio.core.branch import Branch, WorkflowRemark
from intaglio.core.canonical import digest_value
from intaglio.core.errors import Conflict, Invalid, NotFound
from intaglio.core.merge import Merged, Side, ancestor_of, merge
from intaglio.core.pins import in_mode, pins_of
from intaglio.core.plan import WorkflowRef
from intaglio.core.record import plain
from intaglio.core.snapshot import Snapshot
from intaglio.core.version import Version
from intaglio.core.workflow import Mode, Pin, Workflow, parse_name
from intaglio.studio import clock
from intaglio.studio.deciding import keep_workflow
from intaglio.studio.documents import SUFFIXES
from intaglio.studio.drift import approved, is_archived, refuse_archived
from intaglio.studio.parts import Parts
from intaglio.studio.planning import check_alone
from intaglio.studio.remarks import MAX_NOTE

TOOK, APPLIED, ARCHIVED = "took", "applied", "archived"
_SHOWN = 12


@dataclass(frozen=True)
class Direction:
    """A workflow in the tree of branches: its newest number and mode, how many versions it has, the newest and the
    approved one by name ("" for none), and whether it is archived. `waiting` are the changes of its base that it has
    not taken over."""

    name: str
    workflow: int
    mode: Mode
    versions: int
    newest: str
    approved: str
    archived: bool
    branch: Branch | None
    waiting: int
    branches: tuple[Direction, ...]


@dataclass(frozen=True)
class Carried:
    """Changes on their way into a workflow: what they come to, and the version of it that has them (None: not made).

    `basis` stands for what was looked at; what was shown is made by giving it back. `left_production`: the workflow was
    in production, and is in discovery now, because it is no longer what was approved.
    """

    name: str
    merged: Merged
    workflow: WorkflowRef | None
    basis: str = ""
    left_production: bool = False


def branch(parts: Parts, base: WorkflowRef, document: Workflow, *, name: str, version: str, note: str) -> Branch:
    """Derive a workflow from another, as its first version under a name of its own.

    It begins in discovery and without pinned seeds and models: those belong to what was approved of its base. Reference
    files stay known, so that it runs wherever they were. `version` is the digest of the version it is taken from, ""
    for none. Raises InvalidWorkflow (the name), Conflict (the name is taken).
    """
    # What a version ran with counts before what its workflow had captured earlier.
    known = {} if version else document.pins
    bare = replace(document, pins={node: Pin(assets=pin.assets, files=pin.files) for node, pin in known.items()})
    derived = with_known_files(parts, replace(bare, name=_fit(parse_name(name)), mode="discovery"), version)
    note = _note(note)
    with parts.database.write():
        _check_free(parts, name)
        check_alone(parts, derived)
        keep_workflow(parts, derived)
        made = Branch(
            name=name, base=base, version=version, note=note, created=clock.now(), author=parts.settings.author
        )
        parts.branches.add(made)
    return made


def with_known_files(parts: Parts, document: Workflow, version: str = "", base: str = "") -> Workflow:
    """The workflow with its reference files pinned as a version ran with them: the one of that digest, else the newest
    of `base` (a workflow's name). So it runs although it is no file, and its relative paths start nowhere.

    A file that it knows already under the path that it names stays the one it is.
    """
    latest = parts.versions.get(version) if version else None
    if latest is None:
        found = parts.versions.latest(base or document.name)
        latest = found[1] if found else None
    if latest is None:
        return document
    plan = parts.documents.get(Snapshot, latest.snapshot).plan
    ran = parts.documents.get(Workflow, plan.workflow.digest)
    pins = dict(document.pins)
    for node, pin in pins_of(plan, ran).items():
        params = document.nodes[node].params if node in document.nodes else {}
        mine = pins.get(node, Pin())
        new = [
            name
            for name, typed in pin.files.items()
            if params.get(name) == typed and (name not in mine.assets or mine.files.get(name) != typed)
        ]
        pins[node] = replace(
            mine,
            assets={**mine.assets, **{name: pin.assets[name] for name in new}},
            files={**mine.files, **{name: pin.files[name] for name in new}},
        )
    return replace(document, pins={node: pin for node, pin in pins.items() if pin != Pin()})


def _fit(name: str) -> str:
    """A name that is not taken for a file's, and that every file system keeps as it is. Raises Invalid."""
    if Path(name).suffix.lower() in SUFFIXES or name != name.strip(" ."):
        raise Invalid(f"{name!r} would be taken for a file, or cut short", hint="Choose a name without that ending.")
    return name


def _check_free(parts: Parts, name: str) -> None:
    taken = {known.casefold(): known for known, *_ in parts.workflows.list()}
    if name.casefold() in taken:
        raise Conflict(f"there is a workflow {taken[name.casefold()]!r} already", hint="Choose another name.")


def archive(parts: Parts, name: str, *, note: str, holds: bool) -> WorkflowRemark:
    """Put a workflow away with all its versions, or (`holds` False) bring it back. Raises NotFound, Conflict."""
    note = _note(note)
    with parts.database.write():
        parts.workflows.get(name)
        if is_archived(parts, name) == holds:
            state = "archived already" if holds else "not archived"
            raise Conflict(f"workflow {name} is {state}", hint="See them with: intaglio workflows list --archived")
        remark = WorkflowRemark(
            workflow=name, what=ARCHIVED, holds=holds, note=note, created=clock.now(), author=parts.settings.author
        )
        parts.branches.remark(remark)
    return remark


def tree(parts: Parts, root: str | None = None, *, archived: bool) -> list[Direction]:
    """The workflows with their branches beneath them, or only `root` with its own; archived ones when asked for.

    A branch of an archived one stands where its base would. Raises NotFound.
    """
    known = {name: number for name, number, *_ in parts.workflows.list()}
    if root is not None and root not in known:
        raise NotFound("workflow", root, hint="See them with: intaglio workflows list --archived")
    branches = {one.name: one for one in parts.branches.list()}
    beneath: dict[str, list[str]] = {}
    for name in known:
        base = branches[name].base.name if name in branches else ""
        beneath.setdefault(base if base in known else "", []).append(name)

    def directions(names: Sequence[str]) -> list[Direction]:
        found: list[Direction] = []
        for name in sorted(names, key=str.casefold):
            own = _direction(parts, name, known[name], branches.get(name), directions(beneath.get(name, ())))
            found += [own] if archived or not own.archived else own.branches
        return found

    if root is not None:
        return [_direction(parts, root, known[root], branches.get(root), directions(beneath.get(root, ())))]
    return directions(beneath.get("", ()))


def _direction(parts: Parts, name: str, number: int, branch: Branch | None, beneath: Sequence[Direction]) -> Direction:
    newest = parts.versions.latest(name)
    chosen = approved(parts, name)
    document, _, _ = parts.workflows.get(name, number)
    return Direction(
        name=name,
        workflow=number,
        mode=document.mode,
        versions=newest[1].number if newest else 0,
        newest=newest[1].name if newest else "",
        approved=chosen[1].name if chosen else "",
        archived=is_archived(parts, name),
        branch=branch,
        waiting=_waiting(parts, branch, document) if branch else 0,
        branches=tuple(beneath),
    )


def _waiting(parts: Parts, branch: Branch, ours: Workflow) -> int:
    merged = merge(_ancestor(parts, branch), ours, _base(parts, branch)[0])
    return len({edit.node for edit in [*merged.taken, *(clash.edit for clash in merged.clashes)]})


# -- carrying changes -------------------------------------------------------------------------------------------------


def take(
    parts: Parts,
    name: str,
    *,
    nodes: Collection[str] | None,
    choices: Mapping[str, Side],
    make: bool,
    basis: str = "",
) -> Carried:
    """What changed in the base of a branch since they were last the same; with `make`, taken over as its next version.

    `nodes` takes only those nodes. `choices` says for a node which side counts where both changed it. With conflicts
    that nobody decided nothing is made; nor when what was shown (`basis`) is no longer so. Raises NotFound, Conflict,
    InvalidWorkflow (it would be no graph).
    """
    with parts.database.write() if make else parts.database.read():
        found = parts.branches.get(name)
        if found is None:
            parts.workflows.get(name)
            raise Conflict(f"workflow {name} is no branch of another", hint="See them with: intaglio workflows tree")
        ours, _, digest = parts.workflows.get(name)
        base, since = _base(parts, found)
        _check_nodes([*(nodes or ()), *choices], ours, base)
        merged = merge(_ancestor(parts, found), ours, base, nodes=nodes, choices=choices)
        shown = Carried(name, merged, None, f"{digest} {since}")
        if not make:
            return shown
        _refuse_moved([shown], [basis] if basis else [])
        _refuse_clashes(name, merged)
        settled = {edit.node for edit in (*merged.taken, *merged.there, *merged.kept)}
        if not settled:
            return shown
        done = _keep(parts, shown, with_known_files(parts, merged.workflow, base=found.base.name))
        result = done.workflow.digest if done.workflow else digest
        _remark(parts, name, TOOK, value=since, since=result, nodes=tuple(sorted(settled)))
    return done


def apply(
    parts: Parts,
    first: tuple[str, Version],
    last: tuple[str, Version],
    branches: Sequence[str],
    *,
    choices: Mapping[str, Side],
    make: bool,
    basis: Sequence[str] = (),
) -> list[Carried]:
    """What changed in the workflow from one version to another, applied to other workflows: to all of them or none.

    Raises as `take`.
    """
    before, after = (_document(parts, version) for _, version in (first, last))
    with parts.database.write() if make else parts.database.read():
        found = []
        for name in dict.fromkeys(branches):
            ours, _, digest = parts.workflows.get(name)
            found.append(Carried(name, merge(before, ours, after, choices=choices), None, digest))
        if not make:
            return found
        _refuse_moved(found, basis)
        for one in found:
            _refuse_clashes(one.name, one.merged)
        return [_applied(parts, one, first[0], last[0]) if one.merged.taken else one for one in found]


def _applied(parts: Parts, one: Carried, since: str, value: str) -> Carried:
    done = _keep(parts, one, with_known_files(parts, one.merged.workflow, value))
    _remark(parts, one.name, APPLIED, value=value, since=since, nodes=tuple(sorted(_nodes(one.merged))))
    return done


def _nodes(merged: Merged) -> set[str]:
    return {edit.node for edit in merged.taken}


def _remark(parts: Parts, workflow: str, what: str, *, value: str, since: str = "", nodes: tuple[str, ...]) -> None:
    parts.branches.remark(
        WorkflowRemark(
            workflow=workflow,
            what=what,
            value=value,
            since=since,
            nodes=nodes,
            created=clock.now(),
            author=parts.settings.author,
        )
    )


def _keep(parts: Parts, shown: Carried, result: Workflow) -> Carried:
    """Keep the next version of a workflow, if it is another. What was in production is in discovery from then on."""
    refuse_archived(parts, shown.name)
    if not shown.merged.taken:
        return shown
    result = in_mode(result, "discovery")
    check_alone(parts, result)
    left = parts.workflows.get(shown.name)[0].mode == "production"
    number, digest = keep_workflow(parts, result, newest=True)
    reference = WorkflowRef(name=shown.name, version=number, digest=digest)
    return replace(shown, workflow=reference, left_production=left)


def _refuse_moved(found: Sequence[Carried], basis: Sequence[str]) -> None:
    """Raises Conflict when something is not as it was when it was shown."""
    if basis and [one.basis for one in found] != list(basis):
        names = ", ".join(one.name for one in found)
        raise Conflict(
            f"{names}, or what is taken from, was changed since it was shown",
            hint="Nothing was changed. Look at it again.",
        )


def _refuse_clashes(name: str, merged: Merged) -> None:
    if not merged.clashes:
        return
    words = "; ".join(str(clash) for clash in merged.clashes[:_SHOWN])
    more = f" and {len(merged.clashes) - _SHOWN} more" if len(merged.clashes) > _SHOWN else ""
    node = merged.clashes[0].edit.node
    raise Conflict(
        f"both sides changed {name}: {words}{more}",
        hint=f"Nothing was changed. Say which side counts: --theirs {node} or --ours {node}. A wire that would hang "
        "asks for the other node too (--node), or for another source here first.",
    )


def _check_nodes(names: Sequence[str], *workflows: Workflow) -> None:
    for name in names:
        if not any(name in workflow.nodes for workflow in workflows):
            raise NotFound("node", name, hint=f"The nodes are: {', '.join(workflows[-1].nodes)}.")


def _ancestor(parts: Parts, branch: Branch) -> Workflow:
    """What a branch and its base last had in common, node by node. What was taken over on a way that the branch went
    back from (`versions rollback`) is open again."""
    said = [remark for remark in parts.branches.remarks(branch.name) if remark.what == TOOK]
    line = _line(parts, branch.name) if said else []
    states = [
        (parts.documents.get(Workflow, remark.value), remark.nodes)
        for remark in said
        if _content(parts.documents.get(Workflow, remark.since)) in line
    ]
    return ancestor_of(parts.documents.get(Workflow, branch.base.digest), states)


def _line(parts: Parts, name: str) -> list[str]:
    """The contents that led to the newest one of a workflow; going back to one leaves out what came between."""
    line: list[str] = []
    for _, _, digest, _ in reversed(parts.workflows.history(name)):
        content = _content(parts.documents.get(Workflow, digest))
        line = [*line[: line.index(content)], content] if content in line else [*line, content]
    return line


def _content(workflow: Workflow) -> str:
    return digest_value("nodes", plain(workflow.nodes))


def _base(parts: Parts, branch: Branch) -> tuple[Workflow, str]:
    document, _, digest = parts.workflows.get(branch.base.name)
    return document, digest


def _document(parts: Parts, version: Version) -> Workflow:
    snapshot = parts.documents.get(Snapshot, version.snapshot)
    return parts.documents.get(Workflow, snapshot.plan.workflow.digest)


def _note(note: str) -> str:
    if len(note) > MAX_NOTE:
        raise Invalid(f"a note of {len(note)} characters", hint=f"Use at most {MAX_NOTE}.")
    return note.strip()

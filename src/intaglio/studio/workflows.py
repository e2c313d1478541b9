"""Workflows: kept by name and version, read from files, checked without running."""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from intaglio.core.asset import ADDRESS
from intaglio.core.canonical import PREFIX
from intaglio.core.entries import owner
from intaglio.core.errors import Conflict, InvalidWorkflow, NotFound
from intaglio.core.pins import in_mode
from intaglio.core.plan import WorkflowRef
from intaglio.core.record import plain
from intaglio.core.workflow import Mode, Node, Workflow, parse_workflow
from intaglio.studio import drift
from intaglio.studio.deciding import keep_workflow
from intaglio.studio.documents import SUFFIXES, parse_nested, parse_value, read_workflow
from intaglio.studio.files import expanded, file_named, named
from intaglio.studio.parts import Parts

if TYPE_CHECKING:
    from intaglio.core.branch import Branch, WorkflowRemark
    from intaglio.core.merge import Side
    from intaglio.engine.lint import Finding
    from intaglio.studio.branching import Carried, Direction

# A place inside a parameter that takes several models: loras[0], loras[0].weight.
_PLACE = re.compile(r"(\w+)\[(\d{1,4})\](?:\.(\w+))?\Z")


@dataclass(frozen=True)
class Found:
    """A workflow, how a plan will name it, the folder its relative paths start from (None: no file), and what is to be
    known before it runs."""

    workflow: Workflow
    reference: WorkflowRef
    base: Path | None
    warnings: tuple[drift.Warning, ...] = ()


class Workflows:
    """`studio.workflows`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def add(self, workflow: Workflow | str | Path, *, newest: bool = True) -> WorkflowRef:
        """Keep a workflow, or the one in a file, as the newest version of its name.

        Without `newest`, content that the name had before keeps the number it has. Raises NotFound, InvalidWorkflow,
        Unfixed, UnpinnedSeed, UnpinnedModel.
        """
        if not isinstance(workflow, Workflow):
            workflow = read_workflow(named(workflow, self._parts.reach, "workflow file"))
        from intaglio.studio.planning import check_alone

        check_alone(self._parts, workflow)
        version, digest = keep_workflow(self._parts, workflow, newest=newest)
        return WorkflowRef(name=workflow.name, version=version, digest=digest)

    def list(self, *, archived: bool = False) -> list[tuple[str, int, str, str]]:
        """Name, newest version, digest and time of each workflow; the archived ones only when asked for."""
        away = set() if archived else drift.archived_of(self._parts)
        return [found for found in self._parts.workflows.list() if found[0] not in away]

    def history(self, name: str) -> builtins.list[tuple[str, int, str, str]]:
        """The same for every version of one workflow, newest first. Raises NotFound."""
        return self._parts.workflows.history(name)

    def show(self, reference: str) -> tuple[Workflow, WorkflowRef]:
        """A workflow by name, or name@version. Raises NotFound."""
        name, at, number = reference.partition("@")
        if at and not (number.isascii() and number.isdecimal() and len(number) < 12):
            raise NotFound("workflow", reference, hint="Write NAME or NAME@3.")
        workflow, version, digest = self._parts.workflows.get(name, int(number) if at else None)
        return workflow, WorkflowRef(name=name, version=version, digest=digest)

    def check(self, workflow: Workflow | str | Path) -> Workflow:
        """Check a workflow as far as that goes without running it; nothing is kept.

        Its models must be known, of the right kind, and there; their bytes are not read. Raises InvalidWorkflow,
        Unfixed, UnpinnedSeed, UnpinnedModel, NotFound, ModelUnavailable.
        """
        from intaglio.engine.resolve import look_up
        from intaglio.studio.planning import check_alone, glancing

        if not isinstance(workflow, Workflow):
            workflow = self._read(workflow)
        check_alone(self._parts, workflow)
        look_up(workflow, glancing(self._parts))
        return workflow

    def lint(self, workflow: Workflow | str | Path) -> builtins.list[Finding]:
        """Why two runs of a workflow may give different pictures, in either mode; production refuses the errors.

        Raises InvalidWorkflow, NotFound, ModelUnavailable, as `check` does for what it names.
        """
        from intaglio.engine.resolve import lint, look_up
        from intaglio.studio.planning import glancing

        if not isinstance(workflow, Workflow):
            workflow = self._read(workflow)
        held = glancing(self._parts)
        look_up(workflow, held)
        return lint(workflow, held)

    def _read(self, given: str | Path) -> Workflow:
        """A workflow in a file or in the library, whatever may be wrong with it in production."""
        path = self._file(given)
        return self._named(str(given))[0] if path is None else read_workflow(path)

    def _file(self, given: str | Path) -> Path | None:
        """The file that is meant, by its ending or because there is one; None for a name. Raises NotFound."""
        if PurePath(given).suffix in SUFFIXES:
            return named(given, self._parts.reach, "workflow file")
        return file_named(given, self._parts.reach)

    def warnings(self, workflow: Workflow | str | Path, *, adding: bool = False) -> builtins.list[drift.Warning]:
        """What is to be known before a workflow is run or (`adding`) added: that it is archived, or takes its name out
        of production; in production, each model or file that is now another than its approved version was made with.

        Raises NotFound, InvalidWorkflow.
        """
        if not isinstance(workflow, Workflow):
            workflow = self._read(workflow)
        left = drift.leaves_production(self._parts, workflow, again=adding)
        return [*left, *drift.warnings(self._parts, workflow)]

    def mode(self, name: str, mode: Mode) -> WorkflowRef:
        """Put a workflow as a whole into discovery or production, as its next version; nothing typed or pinned is lost.

        Raises NotFound, Conflict (it is in that mode), Unfixed, UnpinnedSeed, UnpinnedModel (what is not fixed).
        """
        from intaglio.studio.approval import switch

        return switch(self._parts, name, mode)

    def branch(self, base: str, name: str, *, note: str = "") -> Branch:
        """Derive a workflow from another (NAME or NAME@3), or from the one a version ran, under a name of its own.

        It begins in discovery, without pins, and has its own versions. Raises NotFound, Conflict, Invalid.
        """
        from intaglio.studio.branching import branch
        from intaglio.studio.versions import Versions

        digest = ""
        try:
            document, reference = self.show(base)
        except NotFound as error:
            try:
                digest, version = Versions(self._parts).find(base)
            except NotFound:
                raise error from None
            document = self._parts.documents.get(Workflow, version.workflow.digest)
            # What was set for that run only is the branch's own: the base never said it.
            _, number, content = self._parts.workflows.get(version.workflow.name, version.workflow.version)
            reference = WorkflowRef(name=version.workflow.name, version=number, digest=content)
        return branch(self._parts, reference, document, name=name, version=digest, note=note)

    def tree(self, name: str | None = None, *, archived: bool = False) -> builtins.list[Direction]:
        """The workflows with their branches beneath them, or one with its own; archived ones only when asked for.

        Raises NotFound.
        """
        from intaglio.studio.branching import tree

        return tree(self._parts, name, archived=archived)

    def archive(self, name: str, *, note: str = "") -> WorkflowRemark:
        """Put a workflow away: it is no longer listed, and stays reproducible. Raises NotFound, Conflict, Invalid."""
        from intaglio.studio.branching import archive

        return archive(self._parts, name, note=note, holds=True)

    def revive(self, name: str, *, note: str = "") -> WorkflowRemark:
        """Bring an archived workflow back. Raises NotFound, Conflict, Invalid."""
        from intaglio.studio.branching import archive

        return archive(self._parts, name, note=note, holds=False)

    def take(
        self,
        name: str,
        *,
        nodes: Collection[str] | None = None,
        choices: Mapping[str, Side] | None = None,
        make: bool = True,
        basis: str = "",
    ) -> Carried:
        """Take over into a branch what changed in its base since; `make` False only shows it, and what it showed is
        made by giving back its `basis`: Conflict if something changed meanwhile.

        `nodes` takes over only those; `choices` says for a node whether "theirs" (the base) or "ours" counts where both
        changed it. Raises Conflict while that is open (nothing is changed then), NotFound, InvalidWorkflow.
        """
        from intaglio.studio.branching import take

        return take(self._parts, name, nodes=nodes, choices=choices or {}, make=make, basis=basis)

    def find(self, given: Workflow | str | Path, changes: Sequence[str] = (), *, mode: Mode | None = None) -> Found:
        """What `given` means: a workflow, a file, or a name in the library; with changes like "base.seed=42" made.

        `mode` is for this run only. A workflow that is new to the library is kept in it. Raises NotFound,
        InvalidWorkflow, Conflict (a setting is given twice), Unfixed, UnpinnedSeed, UnpinnedModel.
        """
        base: Path | None = None
        if isinstance(given, Workflow):
            workflow, reference, base = given, None, Path()
        elif (path := self._file(given)) is not None:
            workflow, reference, base = read_workflow(path), None, path.absolute().parent
        else:
            workflow, reference = self._named(str(given))
        left = drift.leaves_production(self._parts, workflow) if reference is None else []
        reference = reference or self.add(workflow, newest=False)
        switched = mode is not None and mode != workflow.mode
        if mode is not None:
            workflow = in_mode(workflow, mode)
        if changes or switched:
            workflow = apply_changes(workflow, changes, self.setting)
            digest = self._parts.documents.put(workflow)
            said = (*([f"mode={mode}"] if switched else ()), *changes)
            reference = WorkflowRef(name=reference.name, version=reference.version, digest=digest, changes=said)
        return Found(workflow, reference, base, (*left, *drift.warnings(self._parts, workflow)))

    def setting(self, node: Node, name: str, text: str) -> Any:
        """The value that a setting's text means: text stays text, a path starts from the folder it was typed in."""
        types = self._parts.types
        param = types[kind].param(owner(name)) if (kind := node.type.partition("@")[0]) in types else None
        if param is not None and param.several:
            return parse_nested(text)
        value = parse_value(text)
        if param is None or param.type not in ("string", "image"):
            return value
        value = value if isinstance(value, str) else text
        relative = param.type == "image" and not value.startswith((ADDRESS, PREFIX))
        if not relative or self._parts.reach is not None:  # in a server there is no folder that it was typed in
            return value
        return str(Path.cwd() / expanded(value))

    def _named(self, given: str) -> tuple[Workflow, WorkflowRef]:
        try:
            return self.show(given)
        except NotFound as error:
            names = [name for name, *_ in self.list()]
            hint = f"There are: {', '.join(names[:20])}." if names else "Give a workflow file, or add one first."
            raise NotFound("workflow", given, hint=error.hint if "@" in given else hint) from error


def apply_changes(workflow: Workflow, changes: Sequence[str], value_of: Callable[[Node, str, str], Any]) -> Workflow:
    """A workflow with "node.parameter=value" settings made; also node.seed and node.count.

    `value_of(node, name, text)` reads a value. Raises InvalidWorkflow, also for what production has pinned.
    """
    document: dict[str, Any] = plain(workflow)
    done: set[str] = set()
    for change in changes:
        target, equals, text = change.partition("=")
        node, dot, name = target.partition(".")
        if not equals or not dot:
            raise InvalidWorkflow(f"{change[:80]!r} is not a setting", hint="Write node.parameter=value.")
        if target in done:
            raise Conflict(f"{target} is set twice", hint="Give each setting once.")
        done.add(target)
        if node not in document["nodes"]:
            raise InvalidWorkflow(
                f"there is no such node to set {name!r} on",
                node=node,
                hint=f"The nodes are: {', '.join(document['nodes'])}.",
            )
        place, key = _place(document["nodes"][node], node, name)
        _check_unpinned(workflow, node, name)
        place[key] = value_of(workflow.nodes[node], name, text)
    return parse_workflow(document)


def _place(document: dict[str, Any], node: str, name: str) -> tuple[Any, Any]:
    """Where in a node's document a setting goes: the mapping or list, and the key or index in it."""
    params = document["params"]
    found = _PLACE.match(name)
    if found is None:
        return (document if name in ("seed", "count") else params), name
    parameter, index, part = found[1], int(found[2]), found[3]
    items = params.get(parameter, [])
    if not isinstance(items, list):
        items = params[parameter] = [items]
    if index >= len(items):
        raise InvalidWorkflow(
            f"there is no {parameter}[{index}] to set",
            node=node,
            field=f"params.{parameter}",
            hint=f"The workflow lists {len(items)}; give the whole list: {node}.{parameter}=[...]",
        )
    if part is None:
        return items, index
    if not isinstance(items[index], dict):
        items[index] = {"model": items[index]}
    return items[index], part


def _check_unpinned(workflow: Workflow, node: str, name: str) -> None:
    """In production the pins run: a setting that they override would be recorded and never take effect."""
    pin = workflow.pins.get(node) if workflow.mode == "production" else None
    # The place loras[0].weight is not pinned; loras[0].model is, and with it the list as a whole.
    slot, _, part = name.partition(".")
    pinned = pin is not None and (
        (part in ("", "model") and any(slot in (held, owner(held)) for held in pin.models)) or slot in pin.assets
    )
    if pinned or (pin is not None and name == "seed" and pin.seed):
        raise InvalidWorkflow(
            "is pinned, and production runs what is pinned",
            node=node,
            field=name,
            hint="Change the pin in the workflow, or set its mode to discovery.",
        )

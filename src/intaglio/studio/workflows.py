"""Workflows: kept by name and version, read from files, checked without running."""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intaglio.core.asset import ADDRESS
from intaglio.core.canonical import PREFIX
from intaglio.core.entries import owner
from intaglio.core.errors import Conflict, InvalidWorkflow, NotFound
from intaglio.core.plan import WorkflowRef
from intaglio.core.record import plain
from intaglio.core.workflow import Node, Workflow, parse_workflow
from intaglio.studio.documents import SUFFIXES, parse_nested, parse_value, read_workflow
from intaglio.studio.files import expanded, is_file
from intaglio.studio.parts import Parts

if TYPE_CHECKING:
    from intaglio.engine.lint import Finding

# A place inside a parameter that takes several models: loras[0], loras[0].weight.
_PLACE = re.compile(r"(\w+)\[(\d{1,4})\](?:\.(\w+))?\Z")


@dataclass(frozen=True)
class Found:
    """A workflow, how a plan will name it, and the folder its relative paths start from (None: no file)."""

    workflow: Workflow
    reference: WorkflowRef
    base: Path | None


class Workflows:
    """`studio.workflows`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def add(self, workflow: Workflow | str | Path) -> WorkflowRef:
        """Keep a workflow, or the one in a file; new content under its name is its next version."""
        if not isinstance(workflow, Workflow):
            workflow = read_workflow(Path(workflow))
        self._check(workflow)
        version, digest = self._parts.workflows.add(workflow)
        return WorkflowRef(name=workflow.name, version=version, digest=digest)

    def list(self) -> list[tuple[str, int, str, str]]:
        """Name, newest version, digest and time of each workflow."""
        return self._parts.workflows.list()

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
        UnpinnedSeed, NotFound, ModelUnavailable, ...
        """
        from intaglio.engine.resolve import look_up
        from intaglio.studio.planning import glancing

        if not isinstance(workflow, Workflow):
            workflow = self._read(workflow)
        self._check(workflow)
        look_up(workflow, glancing(self._parts))
        return workflow

    def _check(self, workflow: Workflow) -> None:
        """Check a workflow by itself, whatever models there are."""
        from intaglio.engine.resolve import check
        from intaglio.studio.planning import resources

        check(workflow, resources(self._parts, Path()))

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
        if Path(given).suffix in SUFFIXES or is_file(given):
            return read_workflow(Path(given))
        return self._named(str(given))[0]

    def find(self, given: Workflow | str | Path, changes: Sequence[str] = ()) -> Found:
        """What `given` means: a workflow, a file, or a name in the library; with changes like "base.seed=42" made.

        A workflow that is new to the library is kept in it. Raises NotFound, InvalidWorkflow.
        """
        base: Path | None = None
        if isinstance(given, Workflow):
            workflow, reference, base = given, None, Path()
        elif Path(given).suffix in SUFFIXES or is_file(given):
            workflow, reference, base = read_workflow(Path(given)), None, Path(given).absolute().parent
        else:
            workflow, reference = self._named(str(given))
        reference = reference or self.add(workflow)
        if changes:
            workflow = apply_changes(workflow, changes, self._setting)
            digest = self._parts.documents.put(workflow)
            reference = WorkflowRef(
                name=reference.name, version=reference.version, digest=digest, changes=tuple(changes)
            )
        return Found(workflow, reference, base)

    def _setting(self, node: Node, name: str, text: str) -> Any:
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
        return str(Path.cwd() / expanded(value)) if relative else value

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

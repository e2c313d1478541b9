"""Changes between two workflows, setting by setting, and taking them over into a third: pure rules.

A node is the same node in all of them when it has the same id. Mode, pins and description are a workflow's own and are
never taken over. What both sides changed, each in its way, is a conflict; which side counts is for a person to say.
"""

from __future__ import annotations

import graphlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from intaglio.core.pins import without_pins
from intaglio.core.record import plain
from intaglio.core.workflow import Node, Workflow, parse_node

Side = Literal["theirs", "ours"]
_SHOWN = 70


@dataclass(frozen=True)
class Edit:
    """One setting that is otherwise in the later of two workflows, as it stands in a file (None: it is not there).

    `setting` is "type", "seed", "count", "title", "params.NAME" or "inputs.NAME"; "" for a node that was added or taken
    away, whose values are whole nodes.
    """

    node: str
    setting: str
    before: Any
    after: Any

    def __str__(self) -> str:
        """As in "base.guidance 4 -> 7"."""
        if not self.setting:
            return f"{self.node} added" if self.before is None else f"{self.node} taken away"
        name = self.setting.removeprefix("params.")
        return f"{self.node}.{name} {_word(self.before)} -> {_word(self.after)}"


@dataclass(frozen=True)
class Clash:
    """A change that cannot be taken over without undoing what `ours` did: `mine` says in words what that is."""

    edit: Edit
    mine: str

    def __str__(self) -> str:
        """The change, and what stands against it."""
        return f"{self.edit}; here {self.mine}"


@dataclass(frozen=True)
class Merged:
    """What taking changes over came to.

    `taken` are the edits made, `there` those that were made here already, `kept` those left out because a person chose
    this side, `clashes` those that nobody decided: with any of them `workflow` is as it was. `unpinned` names the
    pins ("base.seed", "base.model") that were let go, because they would run in the place of what was taken.
    """

    workflow: Workflow
    taken: tuple[Edit, ...]
    there: tuple[Edit, ...]
    kept: tuple[Edit, ...]
    clashes: tuple[Clash, ...]
    unpinned: tuple[str, ...]


def edits(before: Workflow, after: Workflow) -> tuple[Edit, ...]:
    """Everything that leads from one workflow to the other, node by node in the order of the later one."""
    return tuple(_edits(before.nodes, after.nodes))


def _edits(before: Mapping[str, Node], after: Mapping[str, Node]) -> Iterator[Edit]:
    for node in [*after, *(gone for gone in before if gone not in after)]:
        if node not in before:
            yield Edit(node, "", None, plain(after[node]))
        elif node not in after:
            yield Edit(node, "", plain(before[node]), None)
        else:
            old, new = _settings(before[node]), _settings(after[node])
            for name in sorted(old.keys() | new.keys(), key=_place):
                if old.get(name) != new.get(name) or (name in old) != (name in new):
                    yield Edit(node, name, old.get(name), new.get(name))


def merge(
    ancestor: Workflow,
    ours: Workflow,
    theirs: Workflow,
    *,
    nodes: Collection[str] | None = None,
    choices: Mapping[str, Side] | None = None,
) -> Merged:
    """`ours` with what changed between `ancestor` and `theirs`; `nodes` takes only the changes of these nodes.

    `choices` says for a node which side counts where both changed it.
    """
    found = _Sorted([], [], [], [])
    by_node: dict[str, list[Edit]] = {}
    for edit in edits(ancestor, theirs):
        by_node.setdefault(edit.node, []).append(edit)
    for node, changes in by_node.items():
        if nodes is None or node in nodes:
            _sort(changes, ancestor, ours, theirs, (choices or {}).get(node), found)
    result = _made(ours, found.taken, theirs)
    clashes = found.clashes or list(_loose_wires(result, found.taken))
    lists = tuple(found.taken), tuple(found.there), tuple(found.kept), tuple(clashes)
    if clashes:
        return Merged(ours, *lists, ())
    loosened = without_pins(result, _pinned_settings(found.taken))
    return Merged(loosened, *lists, tuple(_lost(result, loosened)))


@dataclass(frozen=True)
class _Sorted:
    """Edits by what becomes of them."""

    taken: list[Edit]
    there: list[Edit]
    kept: list[Edit]
    clashes: list[Clash]


def _sort(
    changes: list[Edit], ancestor: Workflow, ours: Workflow, theirs: Workflow, choice: Side | None, into: _Sorted
) -> None:
    """What becomes of the changes of one node. Where its types differ it is taken as a whole or not at all."""
    open_ = [edit for edit in changes if not _is_made(edit, ours)]
    into.there.extend(edit for edit in changes if edit not in open_)
    against = [_against(edit, ancestor, ours, theirs) for edit in open_]
    if _types_differ(changes[0].node, ancestor, ours, theirs):
        against = [next(filter(None, against), "")] * len(open_)
    for edit, mine in zip(open_, against, strict=True):
        if choice == "ours":
            into.kept.append(edit)
        elif not mine or choice == "theirs":
            into.taken.append(edit)
        else:
            into.clashes.append(Clash(edit, mine))


def ancestor_of(start: Workflow, taken: Iterable[tuple[Workflow, Collection[str]]]) -> Workflow:
    """What two workflows last had in common: where one was taken from the other, and then, for each node, the state
    that it was last taken over in; `taken` are those states, oldest first, each with its nodes."""
    nodes = dict(start.nodes)
    for state, names in taken:
        for name in names:
            if name in state.nodes:
                nodes[name] = state.nodes[name]
            else:
                nodes.pop(name, None)
    return replace(start, nodes=nodes)


def _settings(node: Node) -> dict[str, Any]:
    """Every setting of a node, by name; what is not set is not there."""
    found: dict[str, Any] = {"type": node.type}
    if node.seed:
        found["seed"] = node.seed
    if node.count != 1:
        found["count"] = node.count
    if node.title:
        found["title"] = node.title
    found |= {f"params.{name}": plain(value) for name, value in node.params.items()}
    return found | {f"inputs.{name}": plain(source) for name, source in node.inputs.items()}


def _place(name: str) -> tuple[int, str]:
    order = ("type", "seed", "count", "title", "params", "inputs")
    return order.index(name.partition(".")[0]), name


def _value(workflow: Workflow, edit: Edit) -> Any:
    """What a workflow has where an edit is: a setting, a whole node, or None."""
    node = workflow.nodes.get(edit.node)
    if node is None:
        return None
    return _settings(node).get(edit.setting) if edit.setting else plain(node)


def _is_made(edit: Edit, ours: Workflow) -> bool:
    node_is_here = edit.node in ours.nodes
    return (node_is_here or not edit.setting) and _value(ours, edit) == edit.after


def _against(edit: Edit, ancestor: Workflow, ours: Workflow, theirs: Workflow) -> str:
    """What `ours` did that an edit would undo, in words; "" for nothing."""
    mine = ours.nodes.get(edit.node)
    if mine is None:
        return "" if edit.before is None and not edit.setting else "the node was taken away"
    changed = [one for one in _edits(_only(ancestor, edit.node), _only(ours, edit.node)) if one.setting != "title"]
    if not edit.setting:
        said = ", ".join(str(one) for one in changed)
        return "another node has this name" if edit.node not in ancestor.nodes else said
    if _types_differ(edit.node, ancestor, ours, theirs):
        # Settings of one type mean nothing to another.
        return ", ".join(str(one) for one in changed if not _is_made(one, theirs))
    value = _value(ours, edit)
    return "" if value == edit.before else f"it is {_word(value)}"


def _types_differ(node: str, *workflows: Workflow) -> bool:
    return len({workflow.nodes[node].type for workflow in workflows if node in workflow.nodes}) > 1


def _only(workflow: Workflow, node: str) -> dict[str, Node]:
    return {node: workflow.nodes[node]} if node in workflow.nodes else {}


def _made(ours: Workflow, taken: Iterable[Edit], theirs: Workflow) -> Workflow:
    """`ours` with edits made. New nodes come behind the others."""
    documents: dict[str, Any] = {name: plain(node) for name, node in ours.nodes.items()}
    for edit in taken:
        if edit.setting and edit.node in ours.nodes and _types_differ(edit.node, ours, theirs):
            documents[edit.node] = plain(theirs.nodes[edit.node])
            continue
        if not edit.setting:
            if edit.after is None:
                documents.pop(edit.node, None)
            else:
                documents[edit.node] = edit.after
            continue
        node = documents.setdefault(edit.node, plain(theirs.nodes[edit.node]))
        group, dot, name = edit.setting.partition(".")
        place, key = (node[group], name) if dot else (node, group)
        if edit.after is None:
            place.pop(key, None)
        else:
            place[key] = edit.after
    return replace(ours, nodes={name: parse_node(name, node) for name, node in documents.items()})


def _loose_wires(result: Workflow, taken: Iterable[Edit]) -> Iterator[Clash]:
    """What keeps the result from being a graph: a wire from a node that is not there, or one that runs in a circle."""
    by_node = {edit.node: edit for edit in taken}
    graph: dict[str, set[str]] = {}
    for name, node in result.nodes.items():
        graph[name] = set()
        for port, source in _wires(node):
            origin = source.partition(".")[0]
            graph[name].add(origin)
            if origin not in result.nodes:
                edit = by_node.get(origin) or by_node.get(name)
                if edit is not None:
                    yield Clash(edit, f"{name}.{port} comes from {origin!r}, which would not be there")
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        circle = " -> ".join(error.args[1])
        for name in error.args[1]:
            if name in by_node:
                yield Clash(by_node[name], f"the wires would run in a circle: {circle}")
                return


def _wires(node: Node) -> Iterator[tuple[str, str]]:
    for port, source in node.inputs.items():
        for one in (source,) if isinstance(source, str) else source:
            yield port, one


def _pinned_settings(taken: Iterable[Edit]) -> dict[str, set[str]]:
    """The settings that a pin could stand in for, by node; of a node that was added or taken away, all."""
    found: dict[str, set[str]] = {}
    for edit in taken:
        names = found.setdefault(edit.node, set())
        if edit.setting in ("", "type"):
            node = edit.after or edit.before if not edit.setting else None
            names |= {"seed", *(node["params"] if node else ())}
        names.add(edit.setting.removeprefix("params."))
    return found


def _lost(before: Workflow, after: Workflow) -> Iterator[str]:
    for node, pin in before.pins.items():
        now = after.pins.get(node)
        if pin.seed and not (now and now.seed):
            yield f"{node}.seed"
        for name in [*pin.models, *pin.assets]:
            if now is None or name not in {**now.models, **now.assets}:
                yield f"{node}.{name}"


def _word(value: object) -> str:
    if value is None:
        return "not set"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."

"""The single changes between two plans, and the plan with some of them made: pure rules.

A node is the same node in both plans when it has the same id and the same pictures of a batch. What cannot be changed
by itself (nodes added or taken away, wires that would run in a circle half-way) is one change, "structure". Any
selection of the changes gives a plan whose wires all lead somewhere and that has an order to run in.
"""

from __future__ import annotations

import graphlib
import heapq
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from intaglio.core.entries import owner
from intaglio.core.model import ModelRef
from intaglio.core.plan import AssetRef, Plan, Source, Step
from intaglio.core.record import plain

ChangeKind = Literal["parameter", "seed", "model", "reference", "input", "type", "setting", "structure"]
_SHOWN = 60
_MOST_SOURCES = 4


@dataclass(frozen=True)
class Change:
    """One thing that is otherwise in the second of two plans; `before` and `after` in words.

    `node` is "" for what concerns the whole plan: the settings threads and deterministic, and its structure.
    """

    kind: ChangeKind
    node: str
    name: str
    before: str
    after: str

    def __str__(self) -> str:
        """As in "base.guidance 4.0 -> 7.0"."""
        where = f"{self.node}.{self.name}" if self.node else self.name
        return f"{where} {self.before} -> {self.after}" if self.before else f"{where}: {self.after}"


class Changes:
    """The changes that lead from the plan `good` to the plan `bad`, in the order of the plans."""

    def __init__(self, good: Plan, bad: Plan) -> None:
        self.good, self.bad = good, bad
        self._mine = {step.id: step for step in good.steps}
        self._theirs = {step.id: step for step in bad.steps}
        mine, theirs = _by_node(good), _by_node(bad)
        self._common = [node for node in mine if mine[node] == theirs.get(node)]
        self._steps = {node: mine[node] for node in self._common}
        self._whole = {node for node in self._common if any(_is_other_node(*pair) for pair in self._pairs(node))}
        self._structural = (mine.keys() | theirs.keys()) - set(self._common)
        rewired = {node: self._rewired(node) for node in self._common}
        self._wires_are_structure = bool(self._structural) or not self._any_wiring_runs(rewired)
        if self._wires_are_structure:
            self._structural |= {node for node in self._whole if rewired[node] or node in self._sources(rewired)}
        self.all: tuple[Change, ...] = tuple(self._find(rewired))

    def plan(self, chosen: Collection[Change]) -> Plan:
        """`good` with the chosen changes made. None gives `good` itself, all give the work of `bad`."""
        made = {(change.kind, change.node, change.name) for change in chosen}
        structure = ("structure", "", "structure") in made
        base = self.bad if structure else self.good
        steps = [self._step(step.id, made, structure) for step in base.steps]
        setting = {name for kind, _, name in made if kind == "setting"}
        return replace(
            self.good,
            workflow=base.workflow,
            threads=self.bad.threads if "threads" in setting else self.good.threads,
            deterministic=self.bad.deterministic if "deterministic" in setting else self.good.deterministic,
            steps=tuple(_in_order(steps)),
        )

    def _step(self, step_id: str, made: Collection[tuple[str, str, str]], structure: bool) -> Step:
        mine, theirs = self._mine.get(step_id), self._theirs.get(step_id)
        if mine is None or theirs is None or mine.node in self._structural:
            step = theirs if structure else mine
            assert step is not None  # a step of one plan alone is asked for with that plan's structure
            return step
        node = mine.node
        typed = theirs if ("type", node, "type") in made else mine
        if node in self._whole:
            return typed
        names = {name for kind, owned, name in made if owned == node and kind in ("parameter", "model", "reference")}
        wires = {name for kind, owned, name in made if owned == node and kind == "input"}
        inputs: Mapping[str, Source] = _taken(mine.inputs, theirs.inputs, wires)
        if self._wires_are_structure:
            inputs = theirs.inputs if structure else mine.inputs
        return replace(
            mine,
            type=typed.type,
            type_version=typed.type_version,
            params=_taken(mine.params, theirs.params, names),
            models=_taken(mine.models, theirs.models, names),
            assets=_taken(mine.assets, theirs.assets, names),
            seed=theirs.seed if ("seed", node, "seed") in made else mine.seed,
            inputs=inputs,
        )

    def _find(self, rewired: Mapping[str, list[str]]) -> Iterator[Change]:
        for node in self._common:
            if node not in self._structural:
                yield from self._of_node(node, rewired[node])
        for name in ("threads", "deterministic"):
            before, after = getattr(self.good, name), getattr(self.bad, name)
            if before != after:
                yield Change("setting", "", name, _word(before), _word(after))
        if self._structural or (self._wires_are_structure and any(rewired.values())):
            yield Change("structure", "", "structure", "", self._structure_words(rewired))

    def _of_node(self, node: str, rewired: list[str]) -> Iterator[Change]:
        mine, theirs = self._pairs(node)[0]
        if any((a.type, a.type_version) != (b.type, b.type_version) for a, b in self._pairs(node)):
            before, after = (f"{step.type}@{step.type_version}" for step in (mine, theirs))
            yield Change("type", node, "type", before, after)
        if node in self._whole:
            return
        pairs = self._pairs(node)
        for name in _names(step for pair in pairs for step in pair):
            pair = next((pair for pair in pairs if not _same(*pair, name)), None)
            if pair:
                yield _named_change(node, name, *pair)
        if any(_seed(a) != _seed(b) for a, b in pairs):
            yield Change("seed", node, "seed", _seed(mine) or "none", _seed(theirs) or "none")
        if not self._wires_are_structure:
            for name in rewired:
                yield Change("input", node, name, _sources(mine, name), _sources(theirs, name))

    def _structure_words(self, rewired: Mapping[str, list[str]]) -> str:
        mine, theirs = _by_node(self.good), _by_node(self.bad)
        said = {
            "added": sorted(theirs.keys() - mine.keys()),
            "taken away": sorted(mine.keys() - theirs.keys()),
            "other": sorted(self._structural & mine.keys() & theirs.keys()),
            "rewired": sorted(node for node in rewired if rewired[node] and node not in self._structural),
        }
        return "; ".join(f"{what} {', '.join(nodes)}" for what, nodes in said.items() if nodes)

    def _pairs(self, node: str) -> list[tuple[Step, Step]]:
        return [(self._mine[step_id], self._theirs[step_id]) for step_id in sorted(self._steps[node])]

    def _rewired(self, node: str) -> list[str]:
        """The inputs of a node that come from elsewhere in the other plan; what one gathers changes as a whole, since
        half of it would be numbered with gaps."""
        pairs = [(mine.inputs, theirs.inputs) for mine, theirs in self._pairs(node)]
        return sorted({owner(name) for a, b in pairs for name in {*a, *b} if a.get(name) != b.get(name)})

    def _sources(self, rewired: Mapping[str, list[str]]) -> set[str]:
        """The nodes that wires which are otherwise come from."""
        found = (
            source
            for node, names in rewired.items()
            for pair in self._pairs(node)
            for step in pair
            for name, source in step.inputs.items()
            if owner(name) in names
        )
        return {(self._mine.get(source.step) or self._theirs[source.step]).node for source in found}

    def _any_wiring_runs(self, rewired: Mapping[str, list[str]]) -> bool:
        """Whether every mixture of both plans' wires has an order to run in, and finds the outputs it names."""
        if self._sources(rewired) & self._whole:
            return False
        graph = {
            step_id: {source.step for step in (mine, self._theirs[step_id]) for source in step.inputs.values()}
            for step_id, mine in self._mine.items()
        }
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError:
            return False
        return True


def with_fixed_seeds(plan: Plan) -> Plan:
    """The plan with its drawn seeds as fixed ones: the record has chosen them."""

    def fixed(step: Step) -> Step:
        if step.seed is None or step.seed.origin != "drawn":
            return step
        return replace(step, seed=replace(step.seed, origin="fixed"))

    return replace(plan, steps=tuple(fixed(step) for step in plan.steps))


def downstream(plan: Plan, nodes: Collection[str]) -> set[str]:
    """The steps of these nodes, and those that depend on them."""
    found: set[str] = set()
    for step in plan.steps:
        if step.node in nodes or any(source.step in found for source in step.inputs.values()):
            found.add(step.id)
    return found


def _by_node(plan: Plan) -> dict[str, frozenset[str]]:
    """The ids of each node's steps."""
    found: dict[str, set[str]] = {}
    for step in plan.steps:
        found.setdefault(step.node, set()).add(step.id)
    return {node: frozenset(steps) for node, steps in found.items()}


def _is_other_node(mine: Step, theirs: Step) -> bool:
    """Whether parameters of the one mean nothing to the other: another type, or a version that takes other things."""
    if mine.type != theirs.type:
        return True
    return mine.type_version != theirs.type_version and (
        _names([mine]) != _names([theirs])
        or {owner(name) for name in mine.inputs} != {owner(name) for name in theirs.inputs}
        or (mine.seed is None) != (theirs.seed is None)
    )


def _names(steps: Iterable[Step]) -> list[str]:
    """The parameters of steps, several models counted as the one parameter they belong to."""
    return sorted({owner(name) for step in steps for held in (step.params, step.models, step.assets) for name in held})


def _same(mine: Step, theirs: Step, name: str) -> bool:
    return (
        plain(_owned(mine.params, name)) == plain(_owned(theirs.params, name))
        and _contents(_owned(mine.models, name)) == _contents(_owned(theirs.models, name))
        and {key: asset.digest for key, asset in _owned(mine.assets, name).items()}
        == {key: asset.digest for key, asset in _owned(theirs.assets, name).items()}
    )


def _contents(models: Mapping[str, ModelRef]) -> dict[str, object]:
    """What tells models apart: their content, or the name where a record knows nothing else."""
    return {key: model.digests if model.digest else model.name for key, model in models.items()}


def _owned(held: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in held.items() if owner(key) == name}


def _taken(mine: Mapping[str, Any], theirs: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """`mine` with what belongs to `names` as `theirs` has it."""
    kept = {key: value for key, value in mine.items() if owner(key) not in names}
    return kept | {key: value for key, value in theirs.items() if owner(key) in names}


def _named_change(node: str, name: str, mine: Step, theirs: Step) -> Change:
    kind: ChangeKind = "parameter"
    if _owned(mine.models, name) or _owned(theirs.models, name):
        kind = "model"
    elif _owned(mine.assets, name) or _owned(theirs.assets, name):
        kind = "reference"
    before, after = _words(mine, name, exact=False), _words(theirs, name, exact=False)
    if before == after:
        before, after = _words(mine, name, exact=True), _words(theirs, name, exact=True)
    return Change(kind, node, name, before, after)


def _words(step: Step, name: str, *, exact: bool) -> str:
    things = [*_owned(step.models, name).values(), *_owned(step.assets, name).values()]
    words = [_thing(thing, exact) for thing in things]
    words += [_word(value) for key, value in _owned(step.params, name).items() if not (things and value in ("", None))]
    return " ".join(words) or "none"


def _thing(thing: ModelRef | AssetRef, exact: bool) -> str:
    name = f"{thing.name}:{thing.version}" if isinstance(thing, ModelRef) else thing.name
    return f"{name} ({thing.digest[:19]})" if exact else name


def _word(value: object) -> str:
    text = json.dumps(plain(value), ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _seed(step: Step) -> str:
    return step.seed.value if step.seed else ""


def _sources(step: Step, name: str) -> str:
    """Where an input comes from; of what is gathered the first and the last, and how many there are."""
    named = [f"{source.step}.{source.output}" for _, source in sorted(_owned(step.inputs, name).items(), key=_place)]
    if len(named) > _MOST_SOURCES:
        return f"{named[0]} to {named[-1]} ({len(named)})"
    return ", ".join(named) or "none"


def _place(item: tuple[str, Source]) -> tuple[int, str]:
    return len(item[0]), item[0]


def _in_order(steps: list[Step]) -> Iterator[Step]:
    """The steps so that each comes after those it depends on, otherwise in the order given."""
    place = {step.id: index for index, step in enumerate(steps)}
    waiting = {step.id: {source.step for source in step.inputs.values()} for step in steps}
    followers: dict[str, list[str]] = {}
    for step_id, sources in waiting.items():
        for source in sources:
            followers.setdefault(source, []).append(step_id)
    ready = [place[step_id] for step_id, sources in waiting.items() if not sources]
    heapq.heapify(ready)
    while ready:
        step = steps[heapq.heappop(ready)]
        yield step
        for follower in followers.get(step.id, ()):
            waiting[follower].discard(step.id)
            if not waiting[follower]:
                heapq.heappush(ready, place[follower])

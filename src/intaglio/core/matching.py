"""Which node of one plan is which of another, whatever they are called and wherever they stand: a pure rule.

The evidence, strongest first: the same work in the same surroundings; the same work at the same place of the structure;
the same id and work; the same id and type; a node of the same type that hangs on the same neighbours, or has most of
its parameters; at last the same id alone. What is equal in all of that is told apart by its id, then by its position.
Held the other way round, two plans give the same pairs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from intaglio.core.canonical import digest_value
from intaglio.core.model import ModelRef
from intaglio.core.plan import Plan, Step
from intaglio.core.record import plain

# So often what is equal is told apart one by one; a plan with more of that is settled by position at once.
_MOST_ROUNDS = 64
# More candidates of one type than that are not weighed against each other.
_MOST_CANDIDATES = 10_000

Wire = tuple[str, str, str]  # input, source node, its output
Pair = tuple[str, str]


@dataclass(frozen=True)
class PlanNode:
    """A node of a plan, with its steps by their place in the batch.

    `parts` are its parameters, models, files and seeds, as (name, content); `content` is the digest of all it does by
    itself. `wires` are its inputs.
    """

    id: str
    place: int
    steps: tuple[Step, ...]
    parts: frozenset[tuple[str, str]]
    content: str
    wires: frozenset[Wire]

    @property
    def type(self) -> str:
        """The name of its type."""
        return self.steps[0].type


def nodes_of(plan: Plan) -> dict[str, PlanNode]:
    """The nodes of a plan by id, in the order of their first steps."""
    steps: dict[str, list[Step]] = defaultdict(list)
    for step in plan.steps:
        steps[step.node].append(step)
    owners = {step.id: step.node for step in plan.steps}
    return {node: _node(node, place, held, owners) for place, (node, held) in enumerate(steps.items())}


def model_content(model: ModelRef) -> tuple[str, ...]:
    """What tells a model from another: its content, or the name where a record knows nothing else."""
    return model.digests if model.digest else (model.name,)


def match(before: Plan, after: Plan) -> dict[str, str]:
    """The pairs of nodes that are the same, by the id in `before`: each node is in one pair at most."""
    found = _Matching(nodes_of(before), nodes_of(after))
    found.by_colour(lambda node: digest_value("work", [node.type, node.content]), lambda node: "")
    found.by_colour(lambda node: digest_value("type", node.type), lambda node: node.content)
    found.by_id(lambda mine, theirs: (mine.type, mine.content) == (theirs.type, theirs.content))
    found.by_id(lambda mine, theirs: mine.type == theirs.type)
    found.by_likeness()
    found.by_id(lambda mine, theirs: True)
    order = nodes_of(before)
    return {node: found.there[node] for node in order if node in found.there}


class _Matching:
    """The pairs found so far, between `mine` and `theirs`."""

    def __init__(self, mine: Mapping[str, PlanNode], theirs: Mapping[str, PlanNode]) -> None:
        self.mine, self.theirs = mine, theirs
        self.there: dict[str, str] = {}
        self.back: dict[str, str] = {}
        self._consumers = (_consumers(mine), _consumers(theirs))

    def by_id(self, same: Callable[[PlanNode, PlanNode], bool]) -> None:
        """Pair what has the same id and is the same by that rule."""
        free = [node for node in self.mine if node not in self.there and node in self.theirs and node not in self.back]
        self._pair([(node, node) for node in free if same(self.mine[node], self.theirs[node])])

    def by_colour(self, base: Callable[[PlanNode], str], within: Callable[[PlanNode], str]) -> None:
        """Pair what has the same `base` as well as everything it hangs together with, and the same `within`.

        What is found tells apart what hangs on it, so it is looked again; what stays equal is told apart one by one.
        """
        for turn in range(_MOST_ROUNDS):
            groups = self._groups(base, within)
            if not groups:
                return
            single = [(one[0], other[0]) for one, other in groups if len(one) == len(other) == 1]
            if single or turn < _MOST_ROUNDS - 1:
                self._pair(single or [min(map(self._first, groups), key=self._rank)])
            else:
                self._pair([pair for group in groups for pair in self._in_order(*group)])

    def by_likeness(self) -> None:
        """Pair nodes of one type by their neighbours and parameters, the most alike first."""
        while True:
            mine, theirs = _by_type(self.mine, self.there), _by_type(self.theirs, self.back)
            candidates = [
                (score, one, other)
                for kind, ones in mine.items()
                for score, one, other in self._weighed(ones, theirs.get(kind, []))
            ]
            if not candidates:
                return
            best = max(candidates, key=lambda found: (found[0], self._closeness(found[1], found[2])))
            key = (best[0], self._closeness(best[1], best[2]))
            # Pairs that are equal in all of this share no node, so that all of them can be taken.
            self._pair([(a, b) for score, a, b in candidates if (score, self._closeness(a, b)) == key])

    def _weighed(self, ones: list[str], others: list[str]) -> Iterator[tuple[tuple[int, int], str, str]]:
        if len(ones) * len(others) > _MOST_CANDIDATES:
            return
        for one in ones:
            for other in others:
                mine, theirs = self.mine[one], self.theirs[other]
                wires = self._shared_wires(mine, theirs)
                equal, all_parts = len(mine.parts & theirs.parts), max(len(mine.parts), len(theirs.parts))
                same = 2 if mine.content == theirs.content and all_parts else 0
                # What has nothing of its own, as an output, is known by its neighbours, or as the only one left.
                alike = 2 * equal >= all_parts if all_parts else len(ones) == len(others) == 1
                if wires or alike:
                    yield (wires + same, equal), one, other

    def _shared_wires(self, mine: PlanNode, theirs: PlanNode) -> int:
        """How many wires lead to, or come from, nodes that are paired, and are the same."""
        sources = {(name, self.there.get(node, ""), output) for name, node, output in mine.wires}
        taken = {(name, self.there.get(node, ""), output) for name, node, output in self._consumers[0][mine.id]}
        return len(sources & theirs.wires) + len(taken & self._consumers[1][theirs.id])

    def _closeness(self, one: str, other: str) -> tuple[bool, int]:
        return one == other, -(self.mine[one].place + self.theirs[other].place)

    def _groups(
        self, base: Callable[[PlanNode], str], within: Callable[[PlanNode], str]
    ) -> list[tuple[list[str], list[str]]]:
        """What is not paired and has the same colour, on both sides."""
        colours = self._colours(base)
        found: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
        sides = ((self.mine, self.there), (self.theirs, self.back))
        for side, (nodes, paired) in enumerate(sides):
            for node_id, node in nodes.items():
                if node_id not in paired:
                    key = (colours[side][node_id], within(node))
                    found.setdefault(key, ([], []))[side].append(node_id)
        return [found[key] for key in sorted(found) if all(found[key])]

    def _colours(self, base: Callable[[PlanNode], str]) -> tuple[dict[str, str], dict[str, str]]:
        """For each node a word that says what it is, what leads to it and what follows from it, as far as that goes."""
        marks = {pair: digest_value("pair", index) for index, pair in enumerate(self.there.items())}
        mine = {id: marks[id, self.there[id]] if id in self.there else base(node) for id, node in self.mine.items()}
        theirs = {id: marks[self.back[id], id] if id in self.back else base(node) for id, node in self.theirs.items()}
        before, kinds = 0, len({*mine.values(), *theirs.values()})
        while kinds > before:
            mine = _spread(self.mine, self._consumers[0], mine)
            theirs = _spread(self.theirs, self._consumers[1], theirs)
            before, kinds = kinds, len({*mine.values(), *theirs.values()})
        return mine, theirs

    def _first(self, group: tuple[list[str], list[str]]) -> Pair:
        return min(self._in_order(*group), key=self._rank)

    def _in_order(self, ones: list[str], others: list[str]) -> list[Pair]:
        """Two equal groups side by side: the same ids, then by position."""
        same = [node for node in ones if node in set(others)]
        rest = zip(
            (one for one in ones if one not in same), (other for other in others if other not in same), strict=False
        )
        return [*((node, node) for node in same), *rest]

    def _rank(self, pair: Pair) -> tuple[bool, int, int, list[str]]:
        one, other = pair
        places = (self.mine[one].place, self.theirs[other].place)
        return one != other, sum(places), max(places), sorted(pair)

    def _pair(self, pairs: list[Pair]) -> None:
        for one, other in sorted(pairs, key=self._rank):
            self.there[one] = other
            self.back[other] = one


def _node(node: str, place: int, steps: list[Step], owners: Mapping[str, str]) -> PlanNode:
    wires = {
        (name, owners.get(source.step, ""), source.output) for step in steps for name, source in step.inputs.items()
    }
    parts = frozenset(part for step in steps for part in _parts(step))
    return PlanNode(
        id=node,
        place=place,
        steps=tuple(sorted(steps, key=lambda step: step.index)),
        parts=parts,
        content=digest_value("content", [steps[0].type_version, len(steps), *sorted(" ".join(part) for part in parts)]),
        wires=frozenset(wires),
    )


def _parts(step: Step) -> Iterator[tuple[str, str]]:
    for name, value in step.params.items():
        yield f"params.{name}", digest_value("value", plain(value))
    for name, model in step.models.items():
        yield f"models.{name}", " ".join(model_content(model))
    for name, asset in step.assets.items():
        yield f"assets.{name}", asset.digest
    if step.seed is not None:
        yield f"seed[{step.index}]", step.seed.value


def _consumers(nodes: Mapping[str, PlanNode]) -> dict[str, frozenset[Wire]]:
    """Where the outputs of each node go: input, node, and which output."""
    found: dict[str, set[Wire]] = {node: set() for node in nodes}
    for node in nodes.values():
        for name, source, output in node.wires:
            found.setdefault(source, set()).add((name, node.id, output))
    return {node: frozenset(wires) for node, wires in found.items()}


def _by_type(nodes: Mapping[str, PlanNode], paired: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for node in nodes.values():
        if node.id not in paired:
            found[node.type].append(node.id)
    return found


def _spread(
    nodes: Mapping[str, PlanNode], consumers: Mapping[str, frozenset[Wire]], colours: Mapping[str, str]
) -> dict[str, str]:
    """Each node's colour with those of all it comes from, then with those of all that comes from it."""
    above: dict[str, str] = {}
    for node in nodes.values():
        sources = sorted((name, above.get(source, ""), output) for name, source, output in node.wires)
        above[node.id] = digest_value("above", [colours[node.id], sources])
    below: dict[str, str] = {}
    for node_id in reversed(list(nodes)):
        followers = sorted((name, below.get(node, above[node]), output) for name, node, output in consumers[node_id])
        below[node_id] = digest_value("below", [above[node_id], followers])
    return below

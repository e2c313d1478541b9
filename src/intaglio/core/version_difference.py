"""What differs between two plans once their nodes are matched: each single thing once, and apart from it what is only
called otherwise. Pure rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby
from typing import Any, Literal

from intaglio.core.entries import owner
from intaglio.core.matching import PlanNode, match, model_content, nodes_of
from intaglio.core.plan import Plan, Step
from intaglio.core.record import plain

Kind = Literal["type", "parameter", "seed", "model", "reference", "input", "count", "setting"]
Thing = Literal["node", "model", "reference"]

_From = tuple[str, int, str]  # a node, the place in its batch, and which output

# Text longer than that is told by the words that changed; with more words than that, only where they are.
_LONG = 40
_MOST_WORDS = 2_000
_AROUND = 3


@dataclass(frozen=True)
class Difference:
    """One thing that is otherwise, with both values as the records have them; None where there is none.

    A seed is its value and origin; a model its name, version, digest and, of several, its weight or token; a reference
    its name and digest; an input "node.output". `words` shows what changed of a long text, as in "a [-red-]{+blue+}
    house".
    """

    kind: Kind
    name: str
    before: Any
    after: Any
    words: str = ""


@dataclass(frozen=True)
class NodeDifference:
    """What differs about a node that both plans have; `before` and `after` are its ids."""

    before: str
    after: str
    type: str
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class LoneNode:
    """A node that only one of the plans has: what it does, where its inputs come from, and which inputs it feeds."""

    node: str
    type: str
    settings: Mapping[str, Any]
    takes: tuple[str, ...]
    feeds: tuple[str, ...]


@dataclass(frozen=True)
class Renamed:
    """What is only called otherwise; its content is the same. `where` is the node and parameter of a model or file."""

    what: Thing
    where: str
    before: str
    after: str


@dataclass(frozen=True)
class PlanDifference:
    """What differs between two plans. `nodes` pairs the ids of every node that both have, whether it differs or not."""

    pairs: Mapping[str, str]
    taken_away: tuple[LoneNode, ...]
    added: tuple[LoneNode, ...]
    nodes: tuple[NodeDifference, ...]
    settings: tuple[Difference, ...]
    renamed: tuple[Renamed, ...]

    @property
    def same(self) -> bool:
        """Whether they do the same work."""
        return not (self.taken_away or self.added or self.nodes or self.settings)


def plan_difference(before: Plan, after: Plan) -> PlanDifference:
    """Everything that differs between two plans, node by node."""
    return _Comparison(before, after).result()


class _Comparison:
    """Two plans and the pairs of their nodes."""

    def __init__(self, before: Plan, after: Plan) -> None:
        self.plans = (before, after)
        self.mine, self.theirs = nodes_of(before), nodes_of(after)
        self.pairs = match(before, after)
        self.back = {theirs: mine for mine, theirs in self.pairs.items()}
        self._steps = [{step.id: step for step in plan.steps} for plan in self.plans]

    def result(self) -> PlanDifference:
        """All of it."""
        found = [(mine, theirs, self._of_node(mine, theirs)) for mine, theirs in self.pairs.items()]
        return PlanDifference(
            pairs=self.pairs,
            taken_away=tuple(_lone(self.mine, node) for node in self.mine if node not in self.pairs),
            added=tuple(_lone(self.theirs, node) for node in self.theirs if node not in self.back),
            nodes=tuple(
                NodeDifference(mine, theirs, self.theirs[theirs].type, differences)
                for mine, theirs, differences in found
                if differences
            ),
            settings=tuple(
                Difference("setting", name, getattr(self.plans[0], name), getattr(self.plans[1], name))
                for name in ("threads", "deterministic")
                if getattr(self.plans[0], name) != getattr(self.plans[1], name)
            ),
            renamed=tuple(self._renamed()),
        )

    def _of_node(self, mine: str, theirs: str) -> tuple[Difference, ...]:
        pairs = list(zip(self.mine[mine].steps, self.theirs[theirs].steps, strict=False))
        return (*_of_steps(pairs), *self._wires(pairs), *self._count(mine, theirs))

    def _wires(self, pairs: list[tuple[Step, Step]]) -> Iterator[Difference]:
        """Inputs that come from elsewhere, those apart that a node which came or went explains."""
        for name in _names(map(owner, (*mine.inputs, *theirs.inputs)) for mine, theirs in pairs):
            for mine, theirs in pairs:
                old, new = self._sources(0, mine, name), self._sources(1, theirs, name)
                if not self._are_same(old, new):
                    yield Difference("input", name, _wire(old), _wire(new))
                    break

    def _sources(self, side: int, step: Step, name: str) -> list[_From]:
        """Where an input comes from; several where it gathers pictures."""
        found = sorted(_owned(step.inputs, name).items(), key=lambda item: (len(item[0]), item[0]))
        origins = [(self._steps[side][source.step], source.output) for _, source in found]
        return [(origin.node, origin.index, output) for origin, output in origins]

    def _are_same(self, old: list[_From], new: list[_From]) -> bool:
        if len(old) == len(new) and all(self._is_same(*pair) for pair in zip(old, new, strict=True)):
            return True
        # What is laid on or taken off is told as the node, and more pictures of a batch as their count.
        known = [(self.pairs[node], place, output) for node, place, output in old if self._is_common(0, node, place)]
        return known == [one for one in new if self._is_common(1, one[0], one[1])]

    def _is_common(self, side: int, node: str, place: int) -> bool:
        """Whether that picture of a node is there in both plans."""
        other = (self.pairs, self.back)[side].get(node)
        return other is not None and place < len((self.theirs, self.mine)[side][other].steps)

    def _is_same(self, old: _From, new: _From) -> bool:
        """Whether a source is the same, or another one only because a node was put between, or took its place."""
        gone, come = old[0] not in self.pairs, new[0] not in self.back
        if gone or come:
            above = (_above(self.mine, old[0], set(self.pairs)), _above(self.theirs, new[0], set(self.back)))
            between = new[0] in map(self.pairs.get, above[0]) or old[0] in map(self.back.get, above[1])
            return between or (gone and come)
        # Of a batch the same picture is meant; where one of the two is none, that is told as a count.
        counts = (len(self.mine[old[0]].steps), len(self.theirs[new[0]].steps))
        return self.pairs[old[0]] == new[0] and old[2] == new[2] and (old[1] == new[1] or 1 in counts)

    def _count(self, mine: str, theirs: str) -> Iterator[Difference]:
        """Another number of pictures, unless it is that of a node it takes them from."""
        counts = self._counts(mine, theirs)
        taken = {node for _, node, _ in self.theirs[theirs].wires}
        sources = {(node, self.pairs.get(node, "")) for _, node, _ in self.mine[mine].wires}
        if counts[0] != counts[1] and all(self._counts(*pair) != counts for pair in sources if pair[1] in taken):
            yield Difference("count", "count", *counts)

    def _counts(self, mine: str, theirs: str) -> tuple[int, int]:
        return len(self.mine[mine].steps), len(self.theirs[theirs].steps)

    def _renamed(self) -> Iterator[Renamed]:
        for mine, theirs in self.pairs.items():
            if mine != theirs:
                yield Renamed("node", "", mine, theirs)
        for mine, theirs in self.pairs.items():
            old, new = self.mine[mine].steps[0], self.theirs[theirs].steps[0]
            if old.type == new.type:
                yield from _renamed_things(theirs, old, new)


def _of_steps(pairs: list[tuple[Step, Step]]) -> Iterator[Difference]:
    """What a node does otherwise, each thing once however many pictures it makes."""
    old, new = pairs[0]
    if (old.type, old.type_version) != (new.type, new.type_version):
        yield Difference("type", "type", f"{old.type}@{old.type_version}", f"{new.type}@{new.type_version}")
    if old.type != new.type:
        return  # parameters of the one mean nothing to the other
    for name in _names(_held(step) for pair in pairs for step in pair):
        different = next(((a, b) for a, b in pairs if _content(a, name) != _content(b, name)), None)
        if different is not None:
            yield _named(name, *different)
    seeds = next(((a.seed, b.seed) for a, b in pairs if _seed(a) != _seed(b)), None)
    if seeds is not None:
        before, after = (plain(seed) if seed else None for seed in seeds)
        yield Difference("seed", "seed", before, after)


def _held(step: Step) -> Iterator[str]:
    """The parameters of a step, several models counted as the one parameter they belong to."""
    return (owner(name) for held in (step.params, step.models, step.assets) for name in held)


def _content(step: Step, name: str) -> object:
    return (
        plain(step.params.get(name)),
        {key: model_content(model) for key, model in _owned(step.models, name).items()},
        {key: asset.digest for key, asset in _owned(step.assets, name).items()},
    )


def _named(name: str, old: Step, new: Step) -> Difference:
    kind: Kind = "parameter"
    if [model_content(model) for model in _owned(old.models, name).values()] != [
        model_content(model) for model in _owned(new.models, name).values()
    ]:
        kind = "model"
    elif _owned(old.assets, name) or _owned(new.assets, name):
        kind = "reference"
    before, after = _value(old, name, kind), _value(new, name, kind)
    words = ""
    if isinstance(before, str) and isinstance(after, str) and max(len(before), len(after)) > _LONG:
        words = changed_words(before, after)
    return Difference(kind, name, before, after, words)


def _value(step: Step, name: str, kind: Kind) -> Any:
    """A parameter as it is told: a model with its name, several with the weight or token of each."""
    value = plain(step.params.get(name))
    if kind == "reference":
        return next(({"name": a.name, "digest": a.digest} for a in _owned(step.assets, name).values()), None)
    if kind == "parameter":
        return value
    models = _owned(step.models, name)
    told = [{"name": one.name, "version": one.version, "digest": one.digest} for one in models.values()]
    if name in models:
        return told[0]
    words = value if isinstance(value, list) and len(value) == len(told) else [None] * len(told)
    return [{**one, "with": word} for one, word in zip(told, words, strict=True)] or None


def _owned(held: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in held.items() if owner(key) == name}


def _seed(step: Step) -> str | None:
    return step.seed.value if step.seed else None


def _names(held: Iterable[Iterable[str]]) -> list[str]:
    return sorted({name for names in held for name in names})


def _wire(sources: list[_From]) -> str | None:
    """Sources in words, those apart that only follow another picture of the same batch."""
    return ", ".join(f"{node}.{output}" for (node, output), _ in groupby((one[0], one[2]) for one in sources)) or None


def _above(nodes: Mapping[str, PlanNode], start: str, paired: set[str]) -> set[str]:
    """The paired nodes that a lone one gets its pictures from, over other lone ones."""
    found: set[str] = set()
    waiting, seen = [start], {start}
    while waiting:
        for _, source, _ in nodes[waiting.pop()].wires:
            if source in paired:
                found.add(source)
            elif source not in seen and source in nodes:
                seen.add(source)
                waiting.append(source)
    return found


def _lone(nodes: Mapping[str, PlanNode], node_id: str) -> LoneNode:
    node = nodes[node_id]
    step = node.steps[0]
    settings: dict[str, Any] = plain(step.params)
    settings |= {name: f"{model.name}:{model.version}" for name, model in step.models.items()}
    settings |= {name: asset.name for name, asset in step.assets.items()}
    if step.seed is not None:
        settings["seed"] = step.seed.value
    if len(node.steps) > 1:
        settings["count"] = len(node.steps)
    return LoneNode(
        node=node_id,
        type=f"{step.type}@{step.type_version}",
        settings=settings,
        takes=tuple(sorted({f"{source}.{output}" for _, source, output in node.wires})),
        feeds=tuple(sorted({f"{other}.{owner(name)}" for other, name in _fed(nodes, node_id)})),
    )


def _fed(nodes: Mapping[str, PlanNode], node_id: str) -> Iterator[tuple[str, str]]:
    """The nodes, and their inputs, that a node's pictures go to."""
    return ((other.id, name) for other in nodes.values() for name, source, _ in other.wires if source == node_id)


def _renamed_things(node: str, old: Step, new: Step) -> Iterator[Renamed]:
    for name in sorted(old.models.keys() & new.models.keys()):
        before, after = old.models[name], new.models[name]
        told = f"{before.name}:{before.version}", f"{after.name}:{after.version}"
        if before.digest and before.digests == after.digests and told[0] != told[1]:
            yield Renamed("model", f"{node}.{name}", *told)
    for name in sorted(old.assets.keys() & new.assets.keys()):
        one, other = old.assets[name], new.assets[name]
        if one.digest == other.digest and one.name != other.name:
            yield Renamed("reference", f"{node}.{name}", one.name, other.name)


# -- the words that changed -------------------------------------------------------------------------------------------


def changed_words(before: str, after: str) -> str:
    """What changed of a long text, with a few words around it: "... a [-red-]{+blue+} house ..."."""
    if after < before:  # a matcher is not the same both ways, and what is said must be
        flipped = [(new, old, same) for old, new, same in _segments(after, before)]
        return _joined(flipped)
    return _joined(_segments(before, after))


def _segments(before: str, after: str) -> list[tuple[list[str], list[str], bool]]:
    """The words of both in pieces that are the same or not."""
    old, new = before.split(), after.split()
    if max(len(old), len(new)) > _MOST_WORDS:
        return _ends(old, new)
    codes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [(old[a:b], new[c:d], tag == "equal") for tag, a, b, c, d in codes]


def _ends(old: list[str], new: list[str]) -> list[tuple[list[str], list[str], bool]]:
    """Only what both begin and end with is found; of what is between, how many words it has."""
    most = min(len(old), len(new))
    start = next((place for place in range(most) if old[place] != new[place]), most)
    end = next((place for place in range(most - start) if old[-1 - place] != new[-1 - place]), most - start)
    middle = [[f"{len(words) - start - end} words"] for words in (old, new)]
    return [
        (old[:start], new[:start], True),
        (middle[0], middle[1], False),
        (old[len(old) - end :], new[len(new) - end :], True),
    ]


def _joined(segments: list[tuple[list[str], list[str], bool]]) -> str:
    if all(same for _, _, same in segments):
        return "only spaces and line ends"
    told = []
    for place, (old, new, same) in enumerate(segments):
        if same:
            first, last = place == 0, place == len(segments) - 1
            told.append(_shortened(old, 0 if first else _AROUND, 0 if last else _AROUND))
        else:
            told.append(f"[-{' '.join(old)}-]" * bool(old) + f"{{+{' '.join(new)}+}}" * bool(new))
    return " ".join(part for part in told if part)


def _shortened(words: list[str], head: int, tail: int) -> str:
    if len(words) <= head + tail + 1:
        return " ".join(words)
    return " ".join([*words[:head], "...", *(words[-tail:] if tail else [])])

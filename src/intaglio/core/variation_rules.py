"""What a variation changes, and whether anything else differs in what ran: pure rules over plans and snapshots."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from intaglio.core.changes import Changes, downstream
from intaglio.core.difference import environment_changes
from intaglio.core.entries import owner
from intaglio.core.plan import Plan, Step
from intaglio.core.seeds import ExecutedSeed, derive
from intaglio.core.snapshot import Snapshot

# A node and the name of what is set on it: a parameter, "seed", or "type".
Target = tuple[str, str]

_OPENING, _CLOSING = "[{(", "]})"


def target(change: str) -> Target:
    """What a setting is about: ("base", "guidance") for "base.guidance=3", ("base", "loras") for
    "base.loras[0].weight=1"."""
    node, _, name = change.partition("=")[0].partition(".")
    return node, owner(name)


def split_values(text: str, separator: str) -> list[str]:
    """The values in a list as one types it; a separator inside brackets or quotes, or after a backslash, is text."""
    values, word, quote, depth = [], "", "", 0
    letters = iter(text)
    for letter in letters:
        if letter == "\\":
            following = next(letters, "")
            word += following if following == separator else letter + following
            continue
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'" and separator == ",":
            quote = letter
        else:
            depth += (letter in _OPENING) - (letter in _CLOSING)
            if letter == separator and (depth <= 0 or separator != ","):
                values.append(word.strip())
                word = ""
                continue
        word += letter
    return [*values, word.strip()]


def one_at_a_time(axes: Sequence[Sequence[str]]) -> Iterator[tuple[tuple[int, ...], tuple[str, ...]]]:
    """Places and changes of single-parameter sweeps around a base: the base first, then each axis by itself.

    An axis is a list of settings; -1 on an axis is the base's own value.
    """
    base = tuple(-1 for _ in axes)
    yield base, ()
    for which, settings in enumerate(axes):
        for place, setting in enumerate(settings):
            yield (*base[:which], place, *base[which + 1 :]), (setting,)


def full_grid(axes: Sequence[Sequence[str]]) -> Iterator[tuple[tuple[int, ...], tuple[str, ...]]]:
    """Places and changes of every combination, the last axis running fastest."""
    for place in itertools.product(*(range(len(settings)) for settings in axes)):
        yield place, tuple(settings[at] for settings, at in zip(axes, place, strict=True))


def walked(first: int, count: int, step: int) -> list[int]:
    """`count` seeds from `first` on, `step` apart, past 2^64-1 from 0 again."""
    return [derive(first, place * step) for place in range(count)]


def drawing(plan: Plan) -> dict[str, int]:
    """The nodes that draw, in the order of the plan, each with the seed of its first picture."""
    found: dict[str, int] = {}
    for step in sorted(plan.steps, key=lambda step: step.index):
        if step.seed is not None:
            found.setdefault(step.node, step.seed.number)
    return {step.node: found[step.node] for step in plan.steps if step.node in found}


def with_seeds(plan: Plan, seeds: Mapping[str, int]) -> Plan:
    """The plan with these seeds on these nodes, as if an approval had captured them; batches derive theirs from it."""
    first = {node: min(step.index for step in plan.steps if step.node == node) for node in seeds}

    def seeded(step: Step) -> Step:
        if step.node not in seeds or step.seed is None:
            return step
        place = step.index - first[step.node]
        value = str(derive(seeds[step.node], place))
        return replace(step, seed=ExecutedSeed(value=value, origin="derived" if place else "pinned"))

    return replace(plan, steps=tuple(seeded(step) for step in plan.steps))


def with_pinned_seeds(plan: Plan) -> Plan:
    """The plan with all that was drawn or typed as pinned: the record has settled it. Batches stay as they are."""

    def pinned(step: Step) -> Step:
        if step.seed is None or step.seed.origin == "derived":
            return step
        return replace(step, seed=replace(step.seed, origin="pinned"))

    return replace(plan, mode="production", steps=tuple(pinned(step) for step in plan.steps))


def in_recorded_terms(recorded: Plan, planned: Plan) -> Plan:
    """`planned` with the node type versions of `recorded`: without the parameters those did not have."""
    known = {step.id: step for step in recorded.steps}

    def held(step: Step) -> Step:
        mine = known.get(step.id)
        if mine is None or mine.type != step.type or mine.type_version == step.type_version:
            return step
        names = {owner(name) for group in (mine.params, mine.models, mine.assets) for name in group}
        return replace(
            step,
            type_version=mine.type_version,
            params={name: value for name, value in step.params.items() if owner(name) in names},
            models={name: model for name, model in step.models.items() if owner(name) in names},
            assets={name: asset for name, asset in step.assets.items() if owner(name) in names},
        )

    return replace(planned, steps=tuple(held(step) for step in planned.steps))


@dataclass(frozen=True)
class Stray:
    """Something that differs between two runs beside what was to differ.

    `what` is where: in the "plan", in the "environment" around the run, or in the "outcome" of a step that nothing
    before it explains. `node` is "" for the whole run.
    """

    what: Literal["plan", "environment", "outcome"]
    node: str
    name: str
    before: str
    after: str

    def __str__(self) -> str:
        """As in "refine.guidance 4 -> 7"."""
        if self.what == "outcome" and self.before:
            return (
                f"{self.name} came out differently, though nothing that goes into it differs: "
                f"{self.before[:19]} -> {self.after[:19]}"
            )
        where = f"{self.node}.{self.name}" if self.node else self.name
        return f"{where} {self.before} -> {self.after}" if self.before or self.after else where


def strays(before: Snapshot, after: Snapshot, named: Collection[Target]) -> list[Stray]:
    """What differs between two runs beside what is `named`. What follows from the named changes is no stray."""
    return [*_in_plan(before.plan, after.plan, named), *_around(before, after), *_in_outcome(before, after, named)]


def _in_plan(before: Plan, after: Plan, named: Collection[Target]) -> Iterator[Stray]:
    for change in Changes(before, _same_types(before, after, named)).all:
        if (change.node, change.name) not in named:
            yield Stray("plan", change.node, change.name, change.before, change.after)


def _same_types(before: Plan, after: Plan, named: Collection[Target]) -> Plan:
    """`after` with the former types of the nodes whose types were to change, so that the rest of them is compared.

    What the other type takes beside, and was left empty, says nothing.
    """
    old = {step.id: step for step in before.steps}

    def typed(step: Step) -> Step:
        mine = old.get(step.id)
        if mine is None or (step.node, "type") not in named:
            return step
        shared = {name: value for name, value in step.params.items() if name in mine.params}
        added = {
            name: value
            for name, value in step.params.items()
            if name not in mine.params and value != "" and (step.node, owner(name)) not in named
        }
        return replace(step, type=mine.type, type_version=mine.type_version, params=shared | added)

    return replace(after, steps=tuple(typed(step) for step in after.steps))


def _around(before: Snapshot, after: Snapshot) -> Iterator[Stray]:
    for words in environment_changes(before, after):
        yield Stray("environment", "", words, "", "")


def _in_outcome(before: Snapshot, after: Snapshot, named: Collection[Target]) -> Iterator[Stray]:
    then = {result.step: result.outputs for result in before.results}
    explained = downstream(after.plan, {node for node, _ in named})
    for result in after.results:
        step = after.plan.step(result.step)
        if result.step not in then or result.step in explained:
            continue
        if any(source.step in explained for source in step.inputs.values()):
            explained.add(result.step)
            continue
        for name, digest in result.outputs.items():
            old = then[result.step].get(name, "")
            if pixels(before, old) != pixels(after, digest):
                explained.add(result.step)
                yield Stray("outcome", step.node, result.step, old, digest)
                break


def pixels(snapshot: Snapshot, digest: str) -> str:
    """What tells a picture from another: its pixels where they are known, else its bytes."""
    asset = snapshot.assets.get(digest)
    return asset.pixels if asset is not None and asset.pixels else digest

"""Whether only what is named differs between the runs of a variation: read off their records, never assumed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from intaglio.core.changes import Changes, downstream
from intaglio.core.codec import digest as digest_of
from intaglio.core.difference import environment_changes
from intaglio.core.snapshot import Snapshot
from intaglio.core.variation import Cell, Variation
from intaglio.core.variation_rules import Stray, Target, pixels, strays, target
from intaglio.studio.parts import Parts
from intaglio.studio.vary_run import CellRun

CLEAN, CONTAMINATED, UNCHECKED = "only this differs", "contaminated", "nothing was run"


@dataclass(frozen=True)
class Contamination:
    """One thing that differs though it was not to: between which runs (labels), and what in words."""

    runs: tuple[str, ...]
    against: str
    where: str
    words: str


@dataclass(frozen=True)
class Checked:
    """What the records say: the verdict over `runs` of `cells`, the same as a sentence, what was varied, and what else
    was found to differ.

    `no_effect` names changes that left every picture as it was, `failed` the cells that have none, `remarks` what else
    one should know: it does not touch the comparison.
    """

    verdict: str
    claim: str
    runs: int
    cells: int
    varied: tuple[str, ...]
    found: tuple[Contamination, ...]
    no_effect: tuple[str, ...]
    failed: tuple[str, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Run:
    cell: Cell
    snapshot: Snapshot
    named: frozenset[Target]


def check(parts: Parts, variation: Variation, base: Snapshot, states: Sequence[CellRun]) -> Checked:
    """Hold every run against the version, and the arms of a test against each other. Raises Damaged."""
    runs = list(_runs(parts, variation, states))
    found = _grouped(_all(variation, base, runs), len(runs))
    remarks = list(variation.held)
    if variation.what == "ab":
        # What is around all runs alike is no difference between the arms; the version is not one of them.
        for each in [each for each in found if each.against == "the version" and each.where == "environment"]:
            if len(each.runs) == len(runs):
                found.remove(each)
                remarks.append(f"around all runs, not around the version: {each.words}")
    verdict = CONTAMINATED if found else CLEAN if runs else UNCHECKED
    return Checked(
        verdict=verdict,
        claim=_claim(variation, verdict),
        runs=len(runs),
        cells=len(variation.cells),
        varied=varied(variation),
        found=tuple(found),
        no_effect=tuple(_no_effect(variation, base, runs)),
        failed=tuple(
            f"{variation.cells[state.cell].label}: {state.note}" for state in states if state.status == "failed"
        ),
        remarks=tuple(remarks),
    )


def varied(variation: Variation) -> tuple[str, ...]:
    """What differs between the cells by intention, in the order met: "base.guidance", "base.seed".

    The seeds of a test are none of it: the arms of a pair have the same.
    """
    names = (target(change) for cell in variation.cells for change in cell.changes)
    return tuple(dict.fromkeys(f"{node}.{name}" for node, name in names if variation.what != "ab" or name != "seed"))


def _claim(variation: Variation, verdict: str) -> str:
    """The verdict in a sentence: "only base.guidance differs"."""
    if verdict != CLEAN:
        return verdict
    names = varied(variation)
    words = f"only {', '.join(names) or 'nothing'} differ{'' if len(names) > 1 else 's'}"
    return f"{words} within each pair" if variation.what == "ab" else words


def named(cell: Cell) -> frozenset[Target]:
    """What a cell changes."""
    return frozenset(target(change) for change in cell.changes)


def _runs(parts: Parts, variation: Variation, states: Iterable[CellRun]) -> Iterator[_Run]:
    for state in states:
        if state.done:
            cell = variation.cells[state.cell]
            snapshot = parts.documents.get(Snapshot, parts.tasks.get(state.task).snapshot)
            yield _Run(cell, snapshot, named(cell))


def _all(variation: Variation, base: Snapshot, runs: Sequence[_Run]) -> Iterator[tuple[str, str, Stray]]:
    """Label, against what, and the stray."""
    for run in runs:
        if digest_of(run.snapshot.plan) != run.cell.plan:
            yield run.cell.label, "its plan", Stray("plan", "", "what ran is not what was written down for it", "", "")
        for stray in strays(base, run.snapshot, run.named):
            yield run.cell.label, "the version", stray
        if variation.what == "interpolate" and run.cell.place == (0,) and _pictures(run.snapshot) != _pictures(base):
            words = "the frame at position 0 is not the picture of the version"
            yield run.cell.label, "the version", Stray("outcome", "", words, "", "")
    yield from _between_arms(runs) if variation.what == "ab" else _around(runs)


def _between_arms(runs: Sequence[_Run]) -> Iterator[tuple[str, str, Stray]]:
    """What differs within a pair beside the test variable; its seeds are the same, or it is no pair."""
    for first, second in _pairs(runs):
        variables = {each for each in first.named | second.named if each[1] != "seed"}
        for stray in strays(first.snapshot, second.snapshot, variables):
            yield f"pair {first.cell.place[1] + 1}", f"arm {first.cell.arm}", stray


def _around(runs: Sequence[_Run]) -> Iterator[tuple[str, str, Stray]]:
    """What was different around the runs among themselves, as when half of them were made after an upgrade."""
    for run in runs[1:]:
        for words in environment_changes(runs[0].snapshot, run.snapshot):
            yield run.cell.label, runs[0].cell.label, Stray("environment", "", words, "", "")


def _pairs(runs: Sequence[_Run]) -> Iterator[tuple[_Run, _Run]]:
    """The first arm of each pair beside each other arm of it."""
    first: dict[int, _Run] = {}
    for run in runs:
        pair = run.cell.place[1]
        if pair in first:
            yield first[pair], run
        else:
            first[pair] = run


def _grouped(all_of: Iterable[tuple[str, str, Stray]], count: int) -> list[Contamination]:
    """The same stray of many runs as one."""
    groups: dict[tuple[str, str, str], dict[str, None]] = {}
    for label, against, stray in all_of:
        groups.setdefault((against, stray.what, str(stray)), {})[label] = None
    return [Contamination(tuple(labels), against, what, words) for (against, what, words), labels in groups.items()]


def _no_effect(variation: Variation, base: Snapshot, runs: Sequence[_Run]) -> Iterator[str]:
    """Where the variable changed and no picture did."""
    if variation.what == "ab":
        for first, second in _pairs(runs):
            if _pictures(first.snapshot) == _pictures(second.snapshot):
                arms = f"arms {first.cell.arm} and {second.cell.arm}"
                yield f"{arms} gave the same picture in pair {second.cell.place[1] + 1}"
        return
    was = _pictures(base)
    if variation.what == "interpolate":
        runs = runs[1:]  # the first frame is the version's own picture, or it is found above
    for run in runs:
        if _pictures(run.snapshot) == was and Changes(base.plan, run.snapshot.plan).all:
            yield f"{', '.join(run.cell.changes)} had no effect: the pictures are those of the version"


def _pictures(snapshot: Snapshot) -> list[tuple[str, str]]:
    return [(output.step, pixels(snapshot, output.asset)) for output in snapshot.outputs]


def affected(variation: Variation, base: Snapshot) -> list[str]:
    """The steps whose outputs show the change, in the order of the version's outputs; all where nothing follows it."""
    nodes = {node for cell in variation.cells for node, _ in named(cell)}
    follow = downstream(base.plan, nodes)
    outputs = list(dict.fromkeys(output.step for output in base.outputs))
    return [step for step in outputs if step in follow] or outputs

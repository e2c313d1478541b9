"""What differs between two runs: the outputs, the first step that came out differently, and how it was run."""

from __future__ import annotations

from dataclasses import dataclass

from intaglio.core.difference import first_difference, in_words, step_difference
from intaglio.core.fidelity import OutputFidelity, StepDifference, Verdict, worst
from intaglio.core.snapshot import Snapshot
from intaglio.studio.measure import compare_outputs, identical
from intaglio.studio.parts import Parts


@dataclass(frozen=True)
class TaskDifference:
    """Two runs held against each other; `before` and `after` are task ids.

    `verdict` is the worst over the outputs that both have ("missing" when there is none). `first` is the first step
    that came out differently and why, None when none did. `steps` are all steps that were run differently, in the order
    of the plan, without those that only got other pictures; `only_before` and `only_after` are steps that one of the
    two has.
    """

    before: str
    after: str
    verdict: Verdict
    outputs: tuple[OutputFidelity, ...]
    first: StepDifference | None
    first_in_words: str
    steps: tuple[StepDifference, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]


def difference(parts: Parts, before: Snapshot, after: Snapshot) -> TaskDifference:
    """How one run differs from another, by their snapshots."""
    then, now = ([step.id for step in snapshot.plan.steps] for snapshot in (before, after))
    shared = [step for step in then if step in set(now)]
    steps = (step_difference(before, after, step) for step in shared)
    produced = {(output.step, output.index): output.asset for output in after.outputs}
    outputs = tuple(
        compare_outputs(parts, before, after, output, produced[output.step, output.index])
        for output in before.outputs
        if (output.step, output.index) in produced
    )
    first = first_difference(before, after, alike=identical(outputs))
    cause = step_difference(before, after, first) if first else None
    return TaskDifference(
        before=before.task,
        after=after.task,
        verdict=worst([output.verdict for output in outputs]),
        outputs=outputs,
        first=cause,
        first_in_words=in_words(cause) if cause else "",
        steps=tuple(step for step in steps if not all(change.startswith("input ") for change in step.changes)),
        only_before=tuple(step for step in then if step not in set(now)),
        only_after=tuple(step for step in now if step not in set(then)),
    )

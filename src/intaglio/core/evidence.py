"""What was measured about a change of surroundings, held against the gaps it makes: pure rules.

Two kinds of evidence count. This very version came back identical in these very surroundings before; or an envelope
measured this very change, for the same model, node type and libraries, and every one of its pictures came back
identical. Anything less is quoted, and leaves the grade as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from intaglio.core.envelope import Condition, Envelope
from intaglio.core.environment import Environment
from intaglio.core.fidelity import Reproduction, is_identical
from intaglio.core.gaps import pixel_facts
from intaglio.core.grade import SURROUNDINGS, Gap, Measured
from intaglio.core.plan import Step

# So many pictures at least have to come back identical before a change is taken to make no difference.
ENOUGH = 12
# Up to this many 8-bit steps two pictures are called close.
CLOSE = 2
# Which change of an envelope speaks of which gap, by code and subject.
_CONDITIONS = {
    ("threads.changed", "threads"): "threads",
    ("device.changed", "cpu_capability"): "cpu_capability",
    ("precision.changed", "deterministic_algorithms"): "deterministic",
}
# What a change of an envelope changes of the surroundings. Instructions are held back by such switches.
_CHANGED = {
    "threads": ("threads",),
    "cpu_capability": ("cpu_capability", "switches"),
    "deterministic": ("deterministic", "deterministic_algorithms", "float32_precision"),
}


def weighed(
    gaps: Iterable[Gap],
    *,
    then: Environment,
    now: Environment,
    steps: Sequence[Step],
    envelopes: Sequence[Envelope],
    earlier: Sequence[Reproduction],
) -> Iterator[Gap]:
    """The gaps, with what is known about them. `steps` are those that run models; `earlier` are reproductions of all
    of what is graded, in the very surroundings of `now`, the newest last."""
    for gap in gaps:
        if gap.code not in SURROUNDINGS:
            yield gap
        elif earlier:
            yield _seen_before(gap, earlier)
        else:
            yield _by_envelope(gap, then, now, steps, envelopes)


def _seen_before(gap: Gap, earlier: Sequence[Reproduction]) -> Gap:
    """The gap as the reproductions in these surroundings show it: the worst of them counts."""
    failed = [one for one in earlier if not is_identical(one.fidelity.verdict)]
    if not failed:
        last = earlier[-1]
        times = f"{len(earlier)} of {len(earlier)} times" if len(earlier) > 1 else "once"
        evidence = f"this version came back identical in these surroundings {times}, last on {last.created[:10]}"
        return replace(gap, measured="identical", evidence=evidence)
    farthest = max((output.max_difference or 0) for one in failed for output in one.fidelity.outputs)
    measured: Measured = "close" if 0 < farthest <= CLOSE else "different"
    evidence = (
        f"in these surroundings this version came back identical {len(earlier) - len(failed)} of {len(earlier)} times, "
        f"at most {farthest}/255 apart"
    )
    return replace(gap, measured=measured, evidence=evidence)


def _by_envelope(
    gap: Gap, then: Environment, now: Environment, steps: Sequence[Step], envelopes: Sequence[Envelope]
) -> Gap:
    kind = _CONDITIONS.get((gap.code, gap.subject))
    if kind is None:
        return gap
    values = {_value(kind, then), _value(kind, now)}
    conditions: list[Condition] = []
    for step in steps:
        found = _condition(step, kind, values, then, now, envelopes)
        if found is None:
            return gap  # of this step nothing is known, so nothing is of the whole
        conditions.append(found)
    if not conditions:
        return gap
    worst = max(conditions, key=lambda condition: (not condition.same, condition.max_difference))
    alone = all(set(step.models) == {"model"} for step in steps)
    return replace(gap, measured=_measured(worst, alone), evidence=_words(worst, alone))


def _condition(
    step: Step, kind: str, values: set[str], then: Environment, now: Environment, envelopes: Sequence[Envelope]
) -> Condition | None:
    """The newest measurement of this change for the model, type and settings of a step."""
    for envelope in envelopes:
        if not _is_of(envelope, step) or not _same_elsewhere(envelope.environment, then, now, kind):
            continue
        for condition in envelope.conditions:
            if condition.kind == kind and {condition.before, condition.after} == values and condition.runs:
                return condition
    return None


def _is_of(envelope: Envelope, step: Step) -> bool:
    model = step.models.get("model")
    return (
        model is not None
        and envelope.model.digests == model.digests
        and (envelope.node_type, envelope.type_version) == (step.type, step.type_version)
        and step.params.get("dtype") == "float32"
        and step.params.get("device") == envelope.device
    )


def _same_elsewhere(measured: Environment, then: Environment, now: Environment, kind: str) -> bool:
    """Whether an envelope was measured in these surroundings, but for what it changed.

    It changes one thing at a time, so nothing else may differ: two changes at once can do what neither does alone.
    """
    sides = [pixel_facts(environment) for environment in (measured, then, now)]
    for facts in sides:
        for changed in _CHANGED[kind]:
            facts.pop(changed)
    return sides[0] == sides[1] == sides[2]


def _value(kind: str, environment: Environment) -> str:
    if kind == "threads":
        return str(environment.threads)
    if kind == "deterministic":
        return str(environment.deterministic).lower()
    return str(environment.backend.get("cpu_capability", ""))


def _measured(condition: Condition, alone: bool) -> Measured:
    if condition.same and condition.runs >= ENOUGH and alone:
        return "identical"
    return "close" if condition.max_difference <= CLOSE else "different"


def _words(condition: Condition, alone: bool) -> str:
    far = "" if condition.same else f", at most {condition.max_difference}/255 apart"
    without = "" if alone else " without its adapters"
    change = f"{condition.before} -> {condition.after}"
    return f"measured for this model{without} ({change}): {condition.identical} of {condition.runs} identical{far}"

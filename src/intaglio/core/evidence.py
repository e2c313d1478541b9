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
    sized = True
    for step in steps:
        fitting = [one for one in envelopes if _is_of(one, step) and _same_elsewhere(one.environment, then, now, kind)]
        found = [
            condition
            for envelope in fitting
            for condition in envelope.conditions
            if condition.kind == kind and {condition.before, condition.after} == values and condition.runs
        ]
        if not found:
            return gap  # of this step nothing is known, so nothing is of the whole
        conditions += found
        sized = sized and any(_has_size(envelope, step) for envelope in fitting)
    if not conditions:
        return gap
    # Of several measurements the worst counts: what differed once can differ again.
    worst = max(conditions, key=lambda condition: (not condition.same, condition.max_difference))
    lacking = [] if all(set(step.models) == {"model"} for step in steps) else ["without its adapters"]
    lacking += [] if sized else ["at other sizes"]
    return replace(gap, measured=_measured(worst, lacking), evidence=_words(worst, lacking))


def _has_size(envelope: Envelope, step: Step) -> bool:
    """Whether pictures of a step's size were among the probes: another size is other arithmetic."""
    size = f"{step.params.get('width')}x{step.params.get('height')}"
    return any(size in probe.split(", ") for probe in envelope.probes)


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


def _measured(condition: Condition, lacking: Sequence[str]) -> Measured:
    if condition.same and condition.runs >= ENOUGH and not lacking:
        return "identical"
    return "close" if condition.max_difference <= CLOSE else "different"


def _words(condition: Condition, lacking: Sequence[str]) -> str:
    far = "" if condition.same else f", at most {condition.max_difference}/255 apart"
    without = f" {' and '.join(lacking)}" if lacking else ""
    change = f"{condition.before} -> {condition.after}"
    return f"measured for this model{without} ({change}): {condition.identical} of {condition.runs} identical{far}"

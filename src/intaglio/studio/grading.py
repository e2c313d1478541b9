"""The prediction before a reproduction: what is here now, held against what the record names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from intaglio.core.codec import digest as digest_of
from intaglio.core.environment import Environment
from intaglio.core.errors import BackendMissing, Invalid, NotFound
from intaglio.core.evidence import weighed
from intaglio.core.fidelity import Reproduction
from intaglio.core.gaps import (
    ModelState,
    environment_gaps,
    input_gaps,
    model_gaps,
    name_gaps,
    node_gaps,
    record_gaps,
    substitution_gaps,
)
from intaglio.core.grade import Gap, Grade, grade_of
from intaglio.core.model import ModelRef
from intaglio.core.plan import Plan, closure
from intaglio.core.snapshot import Snapshot
from intaglio.studio.assets import Assets
from intaglio.studio.carry_out import environment_of
from intaglio.studio.models import Models, states_of
from intaglio.studio.parts import Parts

State = tuple[ModelState, str]
NOTHING: Mapping[str, ModelRef] = {}
UNKNOWN: Mapping[str, State] = {}


def part_of(snapshot: Snapshot, only: str) -> Plan:
    """The plan, or the part of it that one step needs. Raises NotFound naming the steps there are."""
    return closure(snapshot.plan, wanted_steps(snapshot.plan, only)) if only else snapshot.plan


def wanted_steps(plan: Plan, only: str) -> set[str]:
    """The steps that `only` means: one step, or all pictures of a node. Raises NotFound."""
    wanted = {step.id for step in plan.steps if only in (step.id, step.node)}
    if not wanted:
        steps = ", ".join(step.id for step in plan.steps[:30])
        raise NotFound("step", only, hint=f"The steps are: {steps}.")
    return wanted


def grade(
    parts: Parts,
    snapshot: Snapshot,
    plan: Plan,
    *,
    full: bool = False,
    version: str = "",
    instead: Mapping[str, ModelRef] = NOTHING,
    states: Mapping[str, State] = UNKNOWN,
) -> Grade:
    """The prediction for a plan of this snapshot, from what is here now.

    `full` reads every byte of the models. `version` is the digest of the version it is of: earlier reproductions of it
    count as evidence. `instead` maps recorded model digests to the models that the user wants to run with. `states` are
    those of models that were looked at already, as `states_of` gives them.
    """
    gaps: list[Gap] = [
        *record_gaps(snapshot),
        *node_gaps(plan, parts.types, snapshot.workflow),
        *_model_gaps(parts, snapshot, plan, instead, states, full),
        *_scheduler_gaps(parts, plan),
        *_reference_gaps(parts, plan),
        *_alarm_gaps(parts, snapshot, plan),
    ]
    if not any(gap.code.startswith(("node.", "workflow.")) for gap in gaps):
        gaps += _environment_gaps(parts, snapshot, plan, version)
    return grade_of(gaps)


def _model_gaps(
    parts: Parts,
    snapshot: Snapshot,
    plan: Plan,
    instead: Mapping[str, ModelRef],
    states: Mapping[str, State],
    full: bool,
) -> list[Gap]:
    models = Models(parts)
    used = {model for step in plan.steps for model in step.models.values() if model.digest}
    needed = {digest for model in used if model.digest not in instead for digest in model.digests}
    replaced: dict[str, State] = {
        digest: ("ok", "") for model in used for digest in model.digests if digest not in needed
    }
    looked = states_of(models, sorted(needed - states.keys()), full=full)
    return [
        *model_gaps(plan, snapshot.models, {**states, **looked, **replaced}),
        *name_gaps(plan, by_name(parts, plan)),
        *substitution_gaps(plan, instead),
    ]


def by_name(parts: Parts, plan: Plan) -> dict[str, ModelRef]:
    """The models here that go by the names of those of which the record knows nothing else."""
    models, found = Models(parts), {}
    for model in (model for step in plan.steps for model in step.models.values() if not model.digest):
        try:
            candidate = models.find(model.name, model.kind)
        except NotFound:
            continue
        if models.check(candidate.digest).state == "ok":
            found[model.name] = candidate.ref
    return found


def _scheduler_gaps(parts: Parts, plan: Plan) -> Iterator[Gap]:
    """Schedulers that the tables and libraries here do not know any more."""
    for step in plan.steps:
        node_type = parts.types.meaning(step.type, step.type_version)
        for param in node_type.params if node_type else ():
            value = step.params.get(param.name)
            if param.settled_by != "scheduler" or not isinstance(value, str):
                continue
            try:
                parts.backend(plan.threads, plan.deterministic).check_scheduler(value)
            except (Invalid, BackendMissing) as error:
                yield Gap(
                    code="library.missing" if isinstance(error, BackendMissing) else "parameter.unknown",
                    subject=f"{step.id}.{param.name}",
                    message=f"node {step.id!r} ran with {param.name} {value!r}: {error}",
                    remedy=error.hint or "Install the Intaglio and the libraries that made it.",
                )


def _reference_gaps(parts: Parts, plan: Plan) -> list[Gap]:
    assets = Assets(parts)
    references = {asset.digest for step in plan.steps for asset in step.assets.values()}
    return list(input_gaps(plan, {digest: assets.state(digest) for digest in references}))


def _alarm_gaps(parts: Parts, snapshot: Snapshot, plan: Plan) -> list[Gap]:
    """Steps of which one content key is known to have given different pictures."""
    keys = {result.key: result.step for result in snapshot.results}
    kept = {step.id for step in plan.steps}
    return [
        Gap(
            code="nondeterministic",
            subject=keys[key],
            message=f"node {keys[key]!r} gave {len(results)} different results under one content key "
            f"({', '.join(sorted(results)[:3])})",
            remedy="None for this version; both results are kept: see them with intaglio tasks diff.",
        )
        for key, results in parts.tasks.contradictions(sorted(keys)).items()
        if keys[key] in kept
    ]


def _environment_gaps(parts: Parts, snapshot: Snapshot, plan: Plan, version: str) -> list[Gap]:
    then, now = snapshot.environment, environment_of(parts, plan)
    running = [step for step in plan.steps if step.models]
    devices = {str(step.params["device"]) for step in running if "device" in step.params}
    gaps = list(environment_gaps(then, now, devices=devices))
    if not gaps:
        return gaps
    models = {step.models["model"].digest for step in running if "model" in step.models}
    return list(
        weighed(
            gaps,
            then=then,
            now=now,
            steps=running,
            envelopes=[envelope for model in sorted(models) for envelope in parts.envelopes.of(model)],
            earlier=_earlier(parts, version, now, {output.asset for output in snapshot.outputs}) if version else [],
        )
    )


def _earlier(parts: Parts, version: str, now: Environment, outputs: set[str]) -> list[Reproduction]:
    """Reproductions of all outputs of a version, with its own models, in the very surroundings of now."""
    here = digest_of(now)
    return [
        one
        for one in parts.reproductions.of(version)
        if one.environment == here and not one.models and outputs <= {output.stored for output in one.fidelity.outputs}
    ]

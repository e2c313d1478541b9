"""Finding the gaps between a snapshot and the present: pure rules over facts that others gathered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Literal

from intaglio.core.environment import Environment
from intaglio.core.grade import Gap
from intaglio.core.model import ModelRef, ModelVersion
from intaglio.core.nodegaps import step_gaps
from intaglio.core.nodetype import NodeTypes
from intaglio.core.plan import Plan
from intaglio.core.record import Json, plain
from intaglio.core.snapshot import Snapshot
from intaglio.core.workflow import Workflow

# "restorable": the file is missing or changed, and the library keeps the exact content.
ModelState = Literal["ok", "missing", "changed", "restorable"]
AssetState = Literal["ok", "missing", "damaged"]

# Libraries whose version can change pixels: those every node uses, and those that run models.
_EVERY_NODE = ("numpy", "pillow")
# PyAV, and under "av:libx264" what it brings; recorded where a video was made.
VIDEO = "av"
_MODELS = (
    "accelerate", "diffusers", "peft", "safetensors", "scipy", "tokenizers", "torch", "torchsde", "transformers",
)  # fmt: skip
# What the backend says of itself that can change pixels: everywhere, on a GPU, and in the number formats.
_BACKEND_CPU = ("cpu_capability", "mkl", "mkldnn", "openmp", "switches", "method")
_REMEDIES = {
    "switches": "Set these environment variables as they were, and unset the others.",
    "method": "Install the Intaglio version that made it.",
}
_BACKEND_GPU = ("gpus", "cuda", "cudnn", "driver")
UNMEASURED = "what that changes is not measured"
_BACKEND_PRECISION = ("float32_precision", "deterministic_algorithms")


def node_gaps(plan: Plan, types: NodeTypes, workflow: Workflow | None = None) -> Iterator[Gap]:
    """Node types that are gone, or that would not do what was recorded. `workflow` tells what was left to a default."""
    asked: dict[str, set[str]] = {}
    for step in plan.steps:
        for source in step.inputs.values():
            asked.setdefault(source.step, set()).add(source.output)
    for step in plan.steps:
        node = workflow.nodes.get(step.node) if workflow else None
        yield from step_gaps(step, types, node, asked.get(step.id, set()))


def model_gaps(
    plan: Plan, models: Mapping[str, ModelVersion], states: Mapping[str, tuple[ModelState, str]]
) -> Iterator[Gap]:
    """Models that are not what ran. `states` maps digests to a state and, in words, what was found."""
    used: dict[str, list[str]] = {}
    for step in plan.steps:
        for model in step.models.values():
            for digest in filter(None, model.digests):
                used.setdefault(digest, []).append(step.id)
    for digest, steps in used.items():
        state, found = states.get(digest, ("missing", "it is not in this library"))
        if state == "ok":
            continue
        recorded = models[digest]
        name = f"{recorded.name} {recorded.version}"
        words = {"missing": "is not there", "changed": "is changed", "restorable": "is not where it was"}
        remedy = (
            f"Bring that exact file back, or add it where it is now: intaglio models add PATH --name {recorded.name}"
        )
        if state == "restorable":
            put_back = f"intaglio models restore {recorded.name}:{recorded.version}"
            remedy = f"None needed: the kept copy is used. Put it back with: {put_back}"
        yield Gap(
            code=f"model.{state}",
            subject=recorded.name,
            message=f"model {name} ({digest}), used by {', '.join(steps)}, {words[state]}: {found}",
            remedy=remedy,
        )


def name_gaps(plan: Plan, here: Mapping[str, ModelRef]) -> Iterator[Gap]:
    """Models of which the record knows no digest. `here` are the models that a name finds in this library."""
    for step in plan.steps:
        for param, model in step.models.items():
            if model.digest:
                continue
            subject = f"{step.id}.{param}"
            if model.name in here:
                yield Gap(
                    code="model.name_only",
                    subject=subject,
                    message=f"the record knows model {model.name!r} only by name; "
                    f"here that is {here[model.name].version} ({here[model.name].digest})",
                    remedy="None, unless another record of it has the digest; the result may be another picture.",
                )
            else:
                yield Gap(
                    code="model.unhashed",
                    subject=subject,
                    message=f"the record knows model {model.name!r} only by name, and no model here has that name",
                    remedy=f"Add the one it means: intaglio models add PATH --name {model.name or 'NAME'}",
                )


def substitution_gaps(plan: Plan, instead: Mapping[str, ModelRef]) -> Iterator[Gap]:
    """Models that the user chose to replace. `instead` maps recorded digests to what is used."""
    for digest, now in instead.items():
        used = {step.id: model for step in plan.steps for model in step.models.values() if model.digest == digest}
        for recorded in list(used.values())[:1]:
            yield Gap(
                code="model.substituted",
                subject=recorded.name,
                message=f"{recorded.name} {recorded.version} ({digest}) made {', '.join(used)}; "
                f"{now.name} {now.version} ({now.digest}) is used, as you chose",
                remedy="Bring the recorded model back for the recorded picture.",
            )


def record_gaps(snapshot: Snapshot) -> Iterator[Gap]:
    """What the record itself lacks, whatever is here now: what its import named, and its surroundings."""
    # What somebody measured elsewhere is no measurement here.
    yield from (replace(gap, measured="", evidence="") for gap in snapshot.gaps)
    named = {gap.code for gap in snapshot.gaps}
    if not snapshot.plan.steps and "workflow.unreadable" not in named:
        yield Gap(
            code="workflow.unreadable",
            subject=snapshot.workflow.name,
            message="the record holds no steps that could be run",
            remedy="None, unless another record of it has them.",
        )
    if not snapshot.environment.intaglio and "tool.unknown" not in named:
        yield Gap(
            code="tool.unknown",
            subject="environment",
            message="the record does not say which tool and which surroundings made it",
            remedy="None, unless another record of it does.",
        )


def input_gaps(plan: Plan, states: Mapping[str, AssetState]) -> Iterator[Gap]:
    """Reference files that the store lost. `states` maps asset digests to a state."""
    for step in plan.steps:
        for name, asset in step.assets.items():
            state = states.get(asset.digest, "missing")
            if state != "ok":
                yield Gap(
                    code=f"input.{state}",
                    subject=f"{step.id}.{name}",
                    message=f"reference file {asset.name!r} ({asset.digest}) is {state} in the store",
                    remedy="Put the file back with: intaglio assets add FILE",
                )


def environment_gaps(then: Environment, now: Environment, *, devices: set[str]) -> Iterator[Gap]:
    """Surroundings that changed and can change pixels.

    `devices` are those that models ran on, empty when none did: then only what every node uses counts.
    """
    yield from _library_gaps(then, now, pixel_libraries(then) if devices else (*_EVERY_NODE, *_plugins(then)))
    yield from _library_gaps(then, now, _encoder(then, now))
    if then.python.split(".")[:2] != now.python.split(".")[:2]:
        yield _changed("python.changed", "python", then.python, now.python, f"Use Python {then.python}.")
    if devices:
        yield from _device_gaps(then, now, devices)
        yield from _setting_gaps(then, now)


def pixel_libraries(environment: Environment) -> tuple[str, ...]:
    """The libraries of an environment whose version can change what a model makes."""
    return (*_EVERY_NODE, *_MODELS, *_plugins(environment))


def pixel_facts(environment: Environment) -> dict[str, Json]:
    """All that an environment says and that can change what a model makes, by the subject of the gap it would make."""
    facts: dict[str, Json] = {
        "python": environment.python.split(".")[:2],
        "cpu": (environment.cpu.model, environment.cpu.instruction_set),
        "threads": environment.threads,
        "deterministic": environment.deterministic,
    }
    facts |= {name: environment.libraries.get(name, "") for name in pixel_libraries(environment)}
    backend = (*_BACKEND_CPU, *_BACKEND_GPU, *_BACKEND_PRECISION)
    return facts | {name: plain(_said(environment, name)) for name in backend}


def _plugins(environment: Environment) -> list[str]:
    return [name for name in environment.libraries if name.startswith("plugin:")]


def _encoder(then: Environment, now: Environment) -> list[str]:
    """What made videos, in the order it was recorded, where what is graded makes any: only then `now` names it."""
    if VIDEO not in now.libraries:
        return []
    names = [name for name in sorted({*then.libraries, *now.libraries}) if name.partition(":")[0] == VIDEO]
    return names if now.libraries[VIDEO] else [VIDEO]  # without it, none of what it brings is there


def _device_gaps(then: Environment, now: Environment, devices: set[str]) -> Iterator[Gap]:
    missing = sorted({device.partition(":")[0] for device in devices} - _kinds_of_device(now))
    for device in missing:
        yield Gap(
            code="device.missing",
            subject=device,
            message=f"it ran on {device}, and there is none here",
            remedy="Run it on a machine that has one.",
        )
    if (then.cpu.model, then.cpu.instruction_set) != (now.cpu.model, now.cpu.instruction_set):
        before, after = (f"{e.cpu.model} ({e.cpu.instruction_set})" for e in (then, now))
        yield _changed("device.changed", "cpu", before, after, "Run it on the same kind of processor.")
    for name in (*_BACKEND_CPU, *(_BACKEND_GPU if devices != {"cpu"} else ())):
        if _said(then, name) != _said(now, name):
            before, after = _word(_said(then, name)), _word(_said(now, name))
            yield _changed(
                "device.changed", name, before, after, _REMEDIES.get(name, "Run it on the same kind of device.")
            )


def _kinds_of_device(environment: Environment) -> set[str]:
    return {str(device).partition(":")[0] for device in environment.backend.get("devices", ("cpu",))}


def _setting_gaps(then: Environment, now: Environment) -> Iterator[Gap]:
    if then.threads != now.threads:
        yield _changed(
            "threads.changed", "threads", str(then.threads), str(now.threads), f"Run it with {then.threads} threads."
        )
    for name in _BACKEND_PRECISION:
        if then.backend.get(name) != now.backend.get(name):
            before, after = str(then.backend.get(name)), str(now.backend.get(name))
            yield _changed("precision.changed", name, before, after, "Set it back.")
    if not then.deterministic:
        yield Gap(
            code="nondeterministic",
            subject="deterministic",
            message="it ran with the exact algorithms switched off",
            remedy="None for this version; run a new one with deterministic on.",
        )


def _library_gaps(then: Environment, now: Environment, names: Iterable[str]) -> Iterator[Gap]:
    for name in names:
        before, after = then.libraries.get(name, ""), now.libraries.get(name, "")
        if before == after:
            continue
        if before and not after:
            yield Gap(
                code="library.missing",
                subject=name,
                message=f"{name} {before} made it, and {name} is not installed here",
                remedy=_remedy(then, name),
            )
        else:
            yield _changed("library.changed", name, before, after, _remedy(then, name))


def _remedy(then: Environment, name: str) -> str:
    if name.startswith(f"{VIDEO}:"):
        return f"Install the PyAV that brings it: pip install av=={then.libraries.get(VIDEO, '')}"
    return f"Install it with: pip install {name.removeprefix('plugin:')}=={then.libraries.get(name, '')}"


def _said(environment: Environment, name: str) -> Json:
    """What a backend said of itself. Records from before it named its method were made with the first."""
    return environment.backend.get(name, 1 if name == "method" and environment.backend else None)


def _word(value: Json) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={value[name]}" for name in sorted(value))
    return "" if value is None else str(value)


def _changed(code: str, subject: str, before: str, after: str, remedy: str) -> Gap:
    return Gap(
        code=code,
        subject=subject,
        message=f"{subject} was {before or 'not there'}, is {after or 'not there'}",
        remedy=remedy,
        evidence=UNMEASURED,
    )

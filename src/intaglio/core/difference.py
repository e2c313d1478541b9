"""What differs between two runs, step by step: pure rules over their snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from intaglio.core.entries import owner
from intaglio.core.environment import Environment
from intaglio.core.fidelity import StepDifference
from intaglio.core.model import ModelRef
from intaglio.core.plan import AssetRef, Plan, Step
from intaglio.core.record import plain
from intaglio.core.snapshot import Snapshot, StepResult

_SHOWN = 80


def first_difference(before: Snapshot, after: Snapshot, *, alike: AbstractSet[str] = frozenset()) -> str:
    """The first step, in plan order, whose pictures are not those of the same step in `before`; "" when there is none.

    Steps that only one of the two has are not compared. `alike` are assets of `after` that were measured to show the
    same as before: of clips no record tells that.
    """
    then = {result.step: result for result in before.results}
    for result in after.results:
        if result.step in then and _other_pictures(before, then[result.step], after, result, alike):
            return result.step
    return ""


def _other_pictures(
    before: Snapshot, then: StepResult, after: Snapshot, now: StepResult, alike: AbstractSet[str]
) -> bool:
    for name, digest in now.outputs.items():
        old, new = then.outputs.get(name, ""), digest
        if old != new and new not in alike and _pixels(before, old) != _pixels(after, new):
            return True
    return False


def _pixels(snapshot: Snapshot, digest: str) -> str:
    """What tells a picture from another: its pixels where they are known, else its bytes."""
    asset = snapshot.assets.get(digest)
    return asset.pixels if asset is not None and asset.pixels else digest


def step_difference(before: Snapshot, after: Snapshot, step_id: str) -> StepDifference:
    """How one step was run differently in two runs that both have it. Raises KeyError."""
    old, new = before.plan.step(step_id), after.plan.step(step_id)
    found = {
        "inputs": [*_input_changes(before, after, step_id), *_asset_changes(old, new)],
        "parameters": [*_type_changes(old, new), *_value_changes(old.params, new.params)],
        "seed": list(_seed_changes(old, new)),
        "models": list(_model_changes(old.models, new.models)),
        "environment": [*setting_changes(before.plan, after.plan), *environment_changes(before, after)],
    }
    has = {
        "inputs": bool(old.inputs or old.assets or new.inputs or new.assets),
        "seed": bool(old.seed or new.seed),
        "models": bool(old.models or new.models),
    }
    return StepDifference(
        step=step_id,
        same=tuple(name for name, changes in found.items() if not changes and has.get(name, True)),
        changes=tuple(change for changes in found.values() for change in changes),
    )


def in_words(difference: StepDifference) -> str:
    """One line: "node refine: same inputs, same parameters; torch 2.13.0 -> 2.14.1"."""
    same = ", ".join(f"same {name}" for name in difference.same)
    changes = "; ".join(difference.changes) or "nothing recorded differs, so it comes out differently by itself"
    return f"node {difference.step}: {same}; {changes}" if same else f"node {difference.step}: {changes}"


def setting_changes(before: Plan, after: Plan) -> Iterator[str]:
    """What was set otherwise for the whole run."""
    if before.threads != after.threads:
        yield f"threads {before.threads} -> {after.threads}"
    if before.deterministic != after.deterministic:
        yield f"deterministic {_word(before.deterministic)} -> {_word(after.deterministic)}"


def environment_changes(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """What was different around the run, in words."""
    for name, then, now in environment_differences(before.environment, after.environment):
        yield f"{name} {_word(then)} -> {_word(now)}"


def environment_differences(before: Environment, after: Environment) -> Iterator[tuple[str, Any, Any]]:
    """What was different around the run: its name, and both values, None where there is none."""
    then, now = _facts(before), _facts(after)
    for name in sorted(then.keys() | now.keys()):
        # A library that is not installed, and one that nobody asked about then, are both nothing one could name.
        if (then.get(name) or "") != (now.get(name) or ""):
            yield name, then.get(name), now.get(name)


def _facts(environment: Environment) -> dict[str, Any]:
    """Everything an environment says, by a name that people know; settings of the plan are told by the plan."""
    facts: dict[str, Any] = {
        "intaglio": environment.intaglio,
        "python": environment.python,
        "os": environment.os,
        "machine": environment.machine,
        "cpu": environment.cpu.model,
        "instruction set": environment.cpu.instruction_set,
    }
    facts |= dict(environment.libraries)
    told = {"threads", "interop_threads", "torch"}
    return facts | {name: plain(value) for name, value in environment.backend.items() if name not in told}


def _type_changes(old: Step, new: Step) -> Iterator[str]:
    before, after = f"{old.type}@{old.type_version}", f"{new.type}@{new.type_version}"
    if before != after:
        yield f"type {before} -> {after}"


def _value_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in _names(old, new):
        if old.get(name) != new.get(name):
            yield f"{name} {_word(old.get(name))} -> {_word(new.get(name))}"


def _seed_changes(old: Step, new: Step) -> Iterator[str]:
    before, after = (step.seed.value if step.seed else None for step in (old, new))
    if before != after:
        yield f"seed {before or 'none'} -> {after or 'none'}"


def _model_changes(old: Mapping[str, ModelRef], new: Mapping[str, ModelRef]) -> Iterator[str]:
    for name in _names(old, new):
        before, after = old.get(name), new.get(name)
        if before is None or after is None or before.digests != after.digests:
            yield f"{name} {_model(before)} -> {_model(after)}"


def _model(model: ModelRef | None) -> str:
    return f"{model.name}:{model.version} ({model.digest[:19]})" if model else "none"


def _input_changes(before: Snapshot, after: Snapshot, step_id: str) -> Iterator[str]:
    old, new = _inputs(before, step_id), _inputs(after, step_id)
    changed: dict[str, list[str]] = {}
    for name in sorted(_names(old, new), key=lambda name: (owner(name), len(name), name)):
        then, now = old.get(name, ""), new.get(name, "")
        if then != now and (not then or not now or _pixels(before, then) != _pixels(after, now)):
            changed.setdefault(owner(name), []).append(f"{name} {then[:19] or 'none'} -> {now[:19] or 'none'}")
    for gathers, words in changed.items():
        more = f" and {len(words) - 1} more of {gathers}" if len(words) > 1 else ""
        yield f"input {words[0]}{more}"


def _inputs(snapshot: Snapshot, step_id: str) -> Mapping[str, str]:
    return next((result.inputs for result in snapshot.results if result.step == step_id), {})


def _asset_changes(old: Step, new: Step) -> Iterator[str]:
    for name in _names(old.assets, new.assets):
        before, after = old.assets.get(name), new.assets.get(name)
        if before is None or after is None or before.digest != after.digest:
            yield f"reference {name} {_asset(before)} -> {_asset(after)}"


def _asset(asset: AssetRef | None) -> str:
    return f"{asset.name} ({asset.digest[:19]})" if asset else "none"


def _names(old: Iterable[str], new: Iterable[str]) -> list[str]:
    return sorted({*old, *new})


def _word(value: object) -> str:
    text = "none" if value in (None, "") else str(plain(value))
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."

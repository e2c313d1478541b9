"""Perturbations of an exported record, taken in by another library."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from benchmarks.truth_machine.catalogue import perturbation
from benchmarks.truth_machine.doors import Here
from benchmarks.truth_machine.trial import Expected, Subject, Trial, approximate, partial

Steps = list[dict[str, Any]]


def _taken(trial: Trial, change: Callable[[dict[str, Any]], None] | None, prefix: str = "") -> Here:
    """The version in a library of somebody else, its record changed on the way. `prefix` renames the models there."""
    trial.run()
    folder = trial.folder / "exported"
    trial.studio.versions.export(trial.version, folder)
    if change is not None:
        file = folder / "record.json"
        record = json.loads(file.read_text())
        change(record)
        file.write_text(json.dumps(record))
    trial.studio = trial.open(trial.bench.new_library(trial.folder / "other", author="Grace", prefix=prefix))
    trial.version, _ = trial.studio.versions.import_(folder)
    if trial.draft.reference:  # an export holds what came out, not what went in
        trial.studio.assets.add([trial.reference])
    return Here(trial.studio)


def _steps(record: dict[str, Any]) -> Steps:
    steps: Steps = record["snapshot"]["plan"]["steps"]
    return steps


def _altered(trial: Trial) -> Subject:
    """The gap of an edited record: its subject is the task that made the version where it came from."""
    return "record.altered", trial.task


@perturbation("record imported unchanged")
def _imported(trial: Trial) -> Expected:
    door = _taken(trial, None, prefix=trial.source.choice(("", "their-")))
    return Expected(door=door)


@perturbation("seed removed from an imported record", weight=3)
def _no_seed(trial: Trial) -> Expected:
    removed: list[str] = []

    def change(record: dict[str, Any]) -> None:
        step = trial.source.choice([step for step in _steps(record) if step["seed"] is not None])
        step["seed"] = None
        removed.append(step["id"])

    door = _taken(trial, change)
    return partial(("seed.unknown", removed[0]), _altered(trial), door=door)


@perturbation("seed changed in an imported record", weight=2)
def _other_seed(trial: Trial) -> Expected:
    def change(record: dict[str, Any]) -> None:
        for step in _steps(record):
            if step["seed"] is not None:
                step["seed"]["value"] = str((int(step["seed"]["value"]) + 1) % 2**32)

    door = _taken(trial, change)
    return approximate(_altered(trial), door=door)


@perturbation("model without a digest in an imported record, none of its name here", "models", weight=1)
def _no_digest(trial: Trial) -> Expected:
    named: set[Subject] = set()
    door = _taken(trial, lambda record: _forget_digests(record, named, "model.unhashed"), prefix="their-")
    return partial(*named, _altered(trial), door=door)


@perturbation("model without a digest in an imported record", "models", weight=1)
def _name_only(trial: Trial) -> Expected:
    named: set[Subject] = set()
    door = _taken(trial, lambda record: _forget_digests(record, named, "model.name_only"))
    return approximate(*named, _altered(trial), door=door)


def _forget_digests(record: dict[str, Any], named: set[Subject], code: str) -> None:
    for step in _steps(record):
        for slot, model in step["models"].items():
            model["digest"] = ""
            named.add((code, f"{step['id']}.{slot}"))


@perturbation("surroundings removed from an imported record", weight=1)
def _no_tool(trial: Trial) -> Expected:
    def change(record: dict[str, Any]) -> None:
        record["snapshot"]["environment"]["intaglio"] = ""

    door = _taken(trial, change)
    return approximate(("tool.unknown", "environment"), _altered(trial), door=door)


@perturbation("steps removed from an imported record", weight=1)
def _no_steps(trial: Trial) -> Expected:
    def change(record: dict[str, Any]) -> None:
        record["snapshot"]["plan"]["steps"] = []
        record["snapshot"]["results"] = []
        record["snapshot"]["outputs"] = []

    door = _taken(trial, change)
    return partial(("workflow.unreadable", trial.draft.name), _altered(trial), door=door)

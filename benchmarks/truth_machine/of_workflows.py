"""Perturbations of what a workflow names: its file, its reference pictures, its node types."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from benchmarks.truth_machine.catalogue import perturbation
from benchmarks.truth_machine.doors import Here
from benchmarks.truth_machine.draft import SCHEDULERS
from benchmarks.truth_machine.files import write_reference
from benchmarks.truth_machine.nodetypes import tint, tint_by_another_name, tint_in_percent
from benchmarks.truth_machine.trial import Expected, Trial, partial
from intaglio.core.nodetype import NodeType

# -- the file: what was recorded counts, whatever the file says now ---------------------------------------------------


@perturbation("nothing", weight=6)
def _nothing(trial: Trial) -> Expected:
    trial.run()
    return Expected()


def _edit(trial: Trial, change: Callable[[dict[str, Any]], None]) -> Expected:
    """The workflow file changed after the run; now and then it is run as well, under the same name."""
    trial.run()
    document = json.loads(trial.file.read_text())
    change(document["nodes"]["base"]["params"])
    trial.file.write_text(json.dumps(document))
    if trial.source.random() < 0.5:
        trial.studio.tasks.run(trial.file, annotation="the edited one")
    return Expected()


@perturbation("LoRA weight changed in the file", "loras")
def _lora_weight(trial: Trial) -> Expected:
    return _edit(trial, lambda params: params["loras"][0].update(weight=0.1))


@perturbation("dtype changed in the file", "models")
def _dtype(trial: Trial) -> Expected:
    def other(params: dict[str, Any]) -> None:
        params["dtype"] = "float32" if params.get("dtype") == "bfloat16" else "bfloat16"

    return _edit(trial, other)


@perturbation("scheduler renamed in the file", "models")
def _scheduler(trial: Trial) -> Expected:
    def other(params: dict[str, Any]) -> None:
        params["scheduler"] = next(name for name in SCHEDULERS if name != params["scheduler"])

    return _edit(trial, other)


@perturbation("workflow file deleted", weight=1)
def _no_file(trial: Trial) -> Expected:
    trial.run()
    trial.file.unlink()
    return Expected()


@perturbation("cache on", "fixed", weight=3)
def _cache(trial: Trial) -> Expected:
    """The same again first: every step of that is reused, and none of the reproduction may be."""
    trial.run()
    again = trial.studio.tasks.run(trial.file, annotation="again")
    reused = [step.reused_from for step in trial.studio.tasks.show(again.id).steps]
    assert all(reused), f"the cache was to be on: {reused}"
    return Expected()


# -- reference pictures: the store has them ---------------------------------------------------------------------------


@perturbation("reference changed on disk", "reference")
def _reference_changed(trial: Trial) -> Expected:
    trial.run()
    write_reference(trial.reference, trial.source)
    return Expected()


@perturbation("reference deleted on disk", "reference")
def _reference_deleted(trial: Trial) -> Expected:
    trial.run()
    trial.reference.unlink()
    return Expected()


@perturbation("reference lost from the store", "reference", weight=3)
def _reference_lost(trial: Trial) -> Expected:
    trial.run()
    trial.blob(trial.digest_of_reference()).unlink()
    return partial(("input.missing", "ref.image"), repair=lambda: trial.studio.assets.add([trial.reference]))


@perturbation("reference damaged in the store", "reference")
def _reference_damaged(trial: Trial) -> Expected:
    trial.run()
    blob = trial.blob(trial.digest_of_reference())
    blob.chmod(0o644)
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    return partial(("input.damaged", "ref.image"), repair=lambda: trial.studio.assets.add([trial.reference]))


# -- node types: an old record keeps its meaning or says why not ------------------------------------------------------


def _later(trial: Trial, *types: NodeType) -> Here:
    """Another start of Intaglio with these in the place of what was installed."""
    return Here(trial.install(*types))


def _tinted(trial: Trial, code: str) -> list[tuple[str, str]]:
    return [(code, step) for step in trial.draft.steps("tint")]


@perturbation("node version raised without a migration", "tint")
def _raised(trial: Trial) -> Expected:
    trial.run()
    later = trial.source.choice((tint(version=2), tint(default=0.25, version=2), tint_in_percent(migrates=False)))
    return partial(*_tinted(trial, "node.version_changed"), door=_later(trial, later))


@perturbation("node version raised, its migration refuses", "tint", weight=1)
def _refusing(trial: Trial) -> Expected:
    trial.run()
    later = tint_in_percent(migrates=False, refuses=True)
    return partial(*_tinted(trial, "node.version_changed"), words="another colour space", door=_later(trial, later))


@perturbation("node version raised with a migration", "tint", weight=3)
def _migrated(trial: Trial) -> Expected:
    trial.run()
    return Expected(door=_later(trial, tint_in_percent(migrates=True)))


@perturbation("node version raised, the old one kept beside it", "tint", weight=1)
def _both_versions(trial: Trial) -> Expected:
    trial.run()
    return Expected(door=_later(trial, tint(), tint_in_percent(migrates=False)))


@perturbation("node default changed", "tint")
def _default(trial: Trial) -> Expected:
    trial.run()
    return Expected(door=_later(trial, tint(default=0.25)))


@perturbation("node parameter renamed under the same version", "tint", weight=1)
def _parameter(trial: Trial) -> Expected:
    trial.run()
    gaps = [
        ("parameter.unknown", f"{step}.{name}") for step in trial.draft.steps("tint") for name in ("amount", "strength")
    ]
    return partial(*gaps, door=_later(trial, tint_by_another_name()))


@perturbation("node type removed", "tint")
def _removed(trial: Trial) -> Expected:
    trial.run()
    return partial(*_tinted(trial, "node.unknown"), door=_later(trial))

"""A plan: a workflow with nothing left to decide. It is what runs, what is recorded, and what is run again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from intaglio.core.canonical import digest_value
from intaglio.core.model import ModelRef
from intaglio.core.record import EMPTY, Json, plain, record
from intaglio.core.seeds import ExecutedSeed
from intaglio.core.workflow import Mode


@record
class WorkflowRef:
    """The workflow a plan came from: its name, its version number in the library, and the digest of what was planned.

    `changes` are the settings given for this run only ("base.seed=42"); the digest is of the workflow with them.
    """

    name: str
    version: int
    digest: str
    changes: tuple[str, ...] = ()


@record
class Source:
    """Where an input comes from: an output of a step."""

    step: str
    output: str


@record
class AssetRef:
    """A reference file by content, with its permanent address and the name it had when it was planned."""

    digest: str
    media_type: str
    address: str
    name: str


@record
class Step:
    """One node at work on one picture. `id` is the node's id, with the place in the batch where there is one."""

    id: str
    node: str
    index: int = 0
    type: str
    type_version: int
    params: Mapping[str, Json]
    inputs: Mapping[str, Source] = EMPTY
    seed: ExecutedSeed | None = None
    models: Mapping[str, ModelRef] = EMPTY
    assets: Mapping[str, AssetRef] = EMPTY


@record
class Plan:
    """The steps in an order in which they can run, and the settings they all run under.

    `threads` is the number of CPU threads a step may use; `deterministic` asks libraries for their exact algorithms.
    """

    kind: Literal["plan"] = "plan"
    format: Literal[1] = 1
    workflow: WorkflowRef
    mode: Mode
    threads: int
    deterministic: bool
    steps: tuple[Step, ...]

    def step(self, step_id: str) -> Step:
        """The step of that id. Raises KeyError."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)


def content_key(plan: Plan, step: Step, inputs: Mapping[str, str], environment: str) -> str:
    """What a step's outputs depend on, as one digest: reuse happens only when all of it is the same.

    `inputs` are digests of the input assets by input name; `environment` is the digest of the surroundings.
    """
    what = {
        "type": step.type,
        "type_version": step.type_version,
        "params": plain(step.params),
        "seed": step.seed.value if step.seed else None,
        "models": {name: list(model.digests) for name, model in step.models.items()},
        "assets": {name: asset.digest for name, asset in step.assets.items()},
        "inputs": dict(inputs),
        "threads": plan.threads,
        "deterministic": plan.deterministic,
        "environment": environment,
    }
    return digest_value("step-key", what)


def closure(plan: Plan, wanted: set[str]) -> Plan:
    """The plan cut down to the steps that the `wanted` steps depend on: one picture of a batch, alone."""
    needed = set(wanted)
    for step in reversed(plan.steps):
        if step.id in needed:
            needed.update(source.step for source in step.inputs.values())
    return Plan(
        workflow=plan.workflow,
        mode=plan.mode,
        threads=plan.threads,
        deterministic=plan.deterministic,
        steps=tuple(step for step in plan.steps if step.id in needed),
    )

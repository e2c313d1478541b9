"""A snapshot: the plan that ran and everything needed to run it again. Immutable; its id is its digest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from intaglio.core.asset import Asset
from intaglio.core.environment import Environment
from intaglio.core.grade import Gap
from intaglio.core.model import ModelVersion
from intaglio.core.plan import Plan
from intaglio.core.record import record
from intaglio.core.workflow import Workflow


@record
class StepResult:
    """What went into a step and what came out, by digest; `key` is its content key."""

    step: str
    key: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@record
class Output:
    """A picture the workflow was asked for: the node and step it came out of, and its asset's digest and address."""

    node: str
    step: str
    index: int
    asset: str
    address: str


@record
class Snapshot:
    """Written once, when the run ended. `models` and `assets` describe, by digest, all that the plan and results name.

    `environment_digest` names the surroundings in content keys. `created` is UTC, RFC 3339; `author` is who ran it.
    """

    kind: Literal["snapshot"] = "snapshot"
    format: Literal[1] = 1
    task: str
    created: str
    author: str
    workflow: Workflow
    plan: Plan
    results: tuple[StepResult, ...]
    outputs: tuple[Output, ...]
    assets: Mapping[str, Asset]
    models: Mapping[str, ModelVersion]
    environment: Environment
    gaps: tuple[Gap, ...] = ()

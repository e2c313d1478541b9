"""A run that ended becomes a snapshot: the plan, the results and everything they name, in one immutable record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from intaglio.core.asset import ADDRESS, Asset
from intaglio.core.environment import Environment
from intaglio.core.model import ModelVersion
from intaglio.core.nodetype import NodeTypes
from intaglio.core.plan import Plan
from intaglio.core.snapshot import Output, Snapshot, StepResult
from intaglio.core.task import Task
from intaglio.core.workflow import Workflow


def freeze(
    *,
    task: Task,
    created: str,
    workflow: Workflow,
    plan: Plan,
    results: Sequence[StepResult],
    environment: Environment,
    types: NodeTypes,
    find_asset: Callable[[str], Asset],
    find_model: Callable[[str], ModelVersion],
) -> Snapshot:
    """The snapshot of a finished run. `find_asset` and `find_model` describe what digests name. Raises NotFound."""
    by_step = {result.step: result for result in results}
    named = {digest for result in results for digest in (*result.inputs.values(), *result.outputs.values())}
    named |= {asset.digest for step in plan.steps for asset in step.assets.values()}
    models = {digest for step in plan.steps for model in step.models.values() for digest in model.digests}
    return Snapshot(
        task=task.id,
        created=created,
        author=task.author,
        workflow=workflow,
        plan=plan,
        results=tuple(results),
        outputs=tuple(outputs_of(plan, by_step, types)),
        assets={digest: find_asset(digest) for digest in sorted(named)},
        models={digest: find_model(digest) for digest in sorted(models)},
        environment=environment,
    )


def outputs_of(plan: Plan, results: Mapping[str, StepResult], types: NodeTypes) -> list[Output]:
    """What the workflow was asked for: the pictures of its output nodes, or of the steps nothing follows."""
    asked = [step for step in plan.steps if _role(types, step.type, step.type_version) == "output"]
    if not asked:
        followed = {source.step for step in plan.steps for source in step.inputs.values()}
        asked = [step for step in plan.steps if step.id not in followed]
    return [
        Output(node=step.node, step=step.id, index=step.index, asset=digest, address=ADDRESS + digest)
        for step in asked
        for digest in results[step.id].outputs.values()
    ]


def _role(types: NodeTypes, name: str, version: int) -> str:
    node_type = types.meaning(name, version)
    return node_type.role if node_type else ""

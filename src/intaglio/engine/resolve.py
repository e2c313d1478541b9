"""A workflow becomes a plan: every default written out, every seed drawn, every model and reference file exact.

Pure, given what it is handed: it reads no settings, no clock and no store. The whole workflow is checked before
anything is drawn, so a refused workflow uses up no seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from intaglio.core.entries import slot
from intaglio.core.errors import Unfixed, UnpinnedModel, UnpinnedSeed
from intaglio.core.plan import Plan, Source, Step, WorkflowRef
from intaglio.core.record import plain
from intaglio.core.seeds import ExecutedSeed, derive
from intaglio.core.workflow import Workflow, parse_workflow
from intaglio.engine.checks import Checked, check_kinds, check_nodes, order_of, widths_of
from intaglio.engine.lint import Finding, findings_of
from intaglio.engine.resources import Resources
from intaglio.engine.settle import Settled, fixed_seed, settled
from intaglio.engine.settle import look_up as look_up_node


def resolve(workflow: Workflow, reference: WorkflowRef, resources: Resources) -> Plan:
    """The plan of a workflow.

    Raises InvalidWorkflow, UnpinnedSeed, UnpinnedModel, Unfixed, NotFound, ModelUnavailable.
    """
    checked, order, widths = _checked(workflow, resources)
    if workflow.mode == "production":
        _check_production(workflow, checked, order, resources)
    nodes = [settled(workflow, checked[node_id], resources) for node_id in order]
    steps = [step for item in nodes for step in _steps(workflow, item, widths, resources)]
    return Plan(
        workflow=reference,
        mode=workflow.mode,
        threads=resources.threads,
        deterministic=resources.deterministic,
        steps=tuple(steps),
    )


def check(workflow: Workflow, resources: Resources) -> None:
    """Everything `resolve` checks without drawing a seed or touching a model or file."""
    checked, order, _ = _checked(workflow, resources)
    if workflow.mode == "production":
        _check_production(workflow, checked, order, resources)


def look_up(workflow: Workflow, resources: Resources) -> None:
    """What `resolve` refuses about the models a workflow names, its own checks first. Raises as `resolve`."""
    checked, order, _ = _checked(workflow, resources)
    for node_id in order:
        look_up_node(workflow, checked[node_id], resources)


def lint(workflow: Workflow, resources: Resources) -> list[Finding]:
    """Why two runs of a workflow may give different pictures, in whatever mode it is. Raises InvalidWorkflow."""
    checked, order, _ = _checked(workflow, resources)
    return findings_of(workflow, checked, order, resources)


def _checked(workflow: Workflow, resources: Resources) -> tuple[dict[str, Checked], list[str], dict[str, int]]:
    # One that was never a file (built in Python, or sent) keeps the rules of those that were: names, ids, counts.
    parse_workflow(plain(workflow))
    checked = check_nodes(workflow, resources)
    order = order_of(checked)
    check_kinds(order, checked)
    return checked, order, widths_of(order, checked)


def _check_production(
    workflow: Workflow, checked: Mapping[str, Checked], order: Iterable[str], resources: Resources
) -> None:
    """Production runs only what is fixed, remarks aside."""
    errors = [found for found in findings_of(workflow, checked, order, resources) if found.level == "error"]
    for code, refusal in (("seed.unpinned", UnpinnedSeed), ("model.unpinned", UnpinnedModel)):
        loose = {found.node for found in errors if found.code == code}
        if loose:
            raise refusal([node_id for node_id in checked if node_id in loose])
    if errors:
        raise Unfixed([found.message for found in errors], hint=errors[0].remedy)


def _steps(workflow: Workflow, settled: Settled, widths: Mapping[str, int], resources: Resources) -> Iterable[Step]:
    item = settled.node
    seed = _seed(workflow, item, resources)
    width = widths[item.id]
    for index in range(width):
        yield Step(
            id=_step_id(item.id, index, width),
            node=item.id,
            index=index,
            type=item.type.name,
            type_version=item.type.version,
            params=settled.params,
            inputs=dict(_inputs(item, index, widths)),
            seed=_seed_of_picture(seed, index),
            models={name: model.ref for name, model in settled.models.items()},
            assets=settled.assets,
        )


def _inputs(item: Checked, index: int, widths: Mapping[str, int]) -> Iterator[tuple[str, Source]]:
    """Where each input of one step comes from. What is gathered stands under a name of its own each ("frames[0]"): the
    pictures of one batch in their order, sources in the order in which they are listed."""
    for name, several in item.sources.items():
        if not item.gathers(name):
            origin, output = several[0]
            yield name, Source(step=_step_id(origin, index, widths[origin]), output=output)
            continue
        pictures = [(origin, output, place) for origin, output in several for place in range(widths[origin])]
        for number, (origin, output, place) in enumerate(pictures):
            yield slot(name, number), Source(step=_step_id(origin, place, widths[origin]), output=output)


def _step_id(node_id: str, index: int, width: int) -> str:
    return node_id if width == 1 else f"{node_id}[{index}]"


def _seed(workflow: Workflow, item: Checked, resources: Resources) -> ExecutedSeed | None:
    if not item.type.draws:
        return None
    fixed = fixed_seed(workflow, item)
    return fixed or ExecutedSeed(value=str(resources.draw()), origin="drawn")


def _seed_of_picture(seed: ExecutedSeed | None, index: int) -> ExecutedSeed | None:
    if seed is None or index == 0:
        return seed
    return ExecutedSeed(value=str(derive(seed.number, index)), origin="derived")

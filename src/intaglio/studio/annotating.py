"""What a run waits for before it is final, read from its plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from intaglio.core.errors import Invalid
from intaglio.core.form import ANNOTATION, PLAIN, Form, form_of
from intaglio.core.nodetype import NodeType, NodeTypes
from intaglio.core.plan import Plan
from intaglio.core.record import Json
from intaglio.core.task import Reason, Task
from intaglio.core.version import slug
from intaglio.core.workflow import Workflow
from intaglio.studio.parts import Parts


@dataclass(frozen=True)
class Waiting:
    """What a waiting task waits for: its questions, its fields with what is asked about each, and what is `missing`.

    `taken` is the label it was to have, when another version got it meanwhile. `way_on` is the command that goes on.
    """

    questions: tuple[str, ...]
    fields: Mapping[str, str]
    missing: tuple[str, ...]
    taken: str
    way_on: str


def waiting(parts: Parts, task: Task) -> Waiting:
    """What a waiting task waits for."""
    form, reason = form_of_task(parts, task), task.reason or Reason()
    missing = form.missing(reason)
    label = slug(reason.label)
    taken = label if label and parts.versions.find(label=label, workflow=task.workflow.name) else ""
    words = ["--annotation TEXT"] if ANNOTATION in missing else []
    words += ["--label LABEL"] if taken else []
    words += [f"--field '{name}=...'" for name in missing if name != ANNOTATION]
    return Waiting(form.questions, form.fields, missing, taken, " ".join(["intaglio tasks annotate", task.id, *words]))


def form_of_task(parts: Parts, task: Task) -> Form:
    """What a task's plan asks for; just the annotation when nothing in it makes a version. Raises Invalid."""
    return _form(_planned(parts.types, parts.documents.get(Plan, task.plan))) or PLAIN


def form_of_workflow(types: NodeTypes, workflow: Workflow) -> Form | None:
    """What a workflow asks for, None when a run of it makes no version. What else is wrong with it does not matter.

    Raises Invalid.
    """
    nodes = ((types.get(node.type.partition("@")[0]), node.params) for node in workflow.nodes.values())
    return _form((node_type, params) for node_type, params in nodes if node_type is not None)


def label_in(types: NodeTypes, workflow: Workflow) -> str:
    """The label that a Version Record node itself gives, "" for none."""
    for node in workflow.nodes.values():
        node_type = types.get(node.type.partition("@")[0])
        if node_type is not None and node_type.role == "version":
            return str(node.params.get("label", ""))
    return ""


def _planned(types: NodeTypes, plan: Plan) -> Iterator[tuple[NodeType, Mapping[str, Json]]]:
    for step in plan.steps:
        node_type = types.meaning(step.type, step.type_version)
        if node_type is not None and node_type.role in ("form", "version"):
            yield node_type, node_type.migrate(step.type_version, step.params)


def _form(nodes: Iterator[tuple[NodeType, Mapping[str, Json]]]) -> Form | None:
    try:
        return form_of(nodes)
    except ValueError as error:
        raise Invalid(f"a form's fields: {error}", hint="Correct them in the workflow.") from error

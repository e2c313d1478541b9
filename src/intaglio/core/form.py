"""What a run asks for before it is final, and whether that was given. Pure rules."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from intaglio.core.errors import Invalid
from intaglio.core.nodetype import NodeType
from intaglio.core.record import EMPTY, Json
from intaglio.core.task import Reason

QUESTION = "What is this version, and why?"
ANNOTATION = "annotation"
MAX_FIELDS = 50
MAX_ANSWER = 10_000
_NAME = re.compile(r"\w(?:[\w .-]{0,58}\w)?")
# What every version has anyway.
_OWN = (ANNOTATION, "label")


@dataclass(frozen=True)
class Form:
    """What is asked before a run is final: `questions` about the annotation, and what is asked about each further field
    ("" when its name says it all)."""

    questions: tuple[str, ...] = (QUESTION,)
    fields: Mapping[str, str] = EMPTY

    def missing(self, reason: Reason) -> tuple[str, ...]:
        """What is still to be given: "annotation", then the fields by name."""
        lacking = [] if reason.given else [ANNOTATION]
        return (*lacking, *(name for name in self.fields if not reason.fields.get(name, "").strip()))

    def check(self, reason: Reason) -> None:
        """Raises Invalid for an answer to what is not asked, an empty one, or a contradiction."""
        if reason.annotation.strip() and reason.none:
            raise Invalid("an annotation and going without one were both asked for", hint="Give one of the two.")
        for name, answer in reason.fields.items():
            if name not in self.fields:
                near = difflib.get_close_matches(name, self.fields, n=1)
                asked = f"It asks for: {', '.join(self.fields)}." if self.fields else "It asks for the annotation only."
                hint = f"Did you mean {near[0]!r}?" if near else asked
                raise Invalid(f"the workflow's form has no field {name[:80]!r}", hint=hint)
            if not answer.strip():
                raise Invalid(f"field {name!r} is empty", hint=f"Say something: --field '{name}=...'")
            if len(answer) > MAX_ANSWER:
                raise Invalid(f"field {name!r} has {len(answer)} characters", hint=f"Use at most {MAX_ANSWER}.")


# What is asked where there is no form.
PLAIN = Form()


def form_of(nodes: Iterable[tuple[NodeType, Mapping[str, Json]]]) -> Form | None:
    """What nodes, each with its parameters, ask for together; None when none of them makes a version.

    Everything that any form asks is asked, once, in the order of the nodes; of two questions about a field the first
    counts. Raises ValueError.
    """
    due, questions, fields = False, dict[str, None](), dict[str, str]()
    for node_type, params in nodes:
        due = due or node_type.role in ("form", "version")
        if node_type.role == "form":
            questions[_text(node_type, params, "question").strip() or QUESTION] = None
            fields |= {
                name: asked
                for name, asked in parse_fields(_text(node_type, params, "fields")).items()
                if name not in fields
            }
    return Form(tuple(questions) or (QUESTION,), fields) if due else None


def _text(node_type: NodeType, params: Mapping[str, Json], name: str) -> str:
    param = node_type.param(name)
    value = params.get(name, param.default if param else "")
    return value if isinstance(value, str) else ""


def parse_fields(text: str) -> dict[str, str]:
    """The fields a form demands, with what it asks about each: lines of "client: Which client is it for?", or of names
    alone, "client, channel". Raises ValueError in plain words."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, question = line.partition(":")
        for each in [name] if colon else filter(str.strip, line.split(",")):
            field = each.strip()
            _check_name(field, found)
            found[field] = question.strip()
    if len(found) > MAX_FIELDS:
        raise ValueError(f"asks for {len(found)} fields; the limit is {MAX_FIELDS}")
    return found


def _check_name(field: str, found: Mapping[str, str]) -> None:
    if not _NAME.fullmatch(field):
        raise ValueError(f"{field[:60]!r} is not the name of a field; use letters, digits, spaces and hyphens")
    if field.casefold() in _OWN:
        raise ValueError(f"{field!r} is asked for anyway; name a field otherwise")
    if field.casefold() in map(str.casefold, found):
        raise ValueError(f"field {field!r} is there twice")


def merged(earlier: Reason | None, given: Reason) -> Reason:
    """What was said before together with what is said now; of the same thing, what is said now counts."""
    if earlier is None:
        return given
    annotation = given.annotation if given.annotation.strip() else earlier.annotation
    return replace(
        given,
        label=given.label or earlier.label,
        annotation=annotation,
        none=given.none or (earlier.none and not annotation.strip()),
        fields={**earlier.fields, **given.fields},
    )

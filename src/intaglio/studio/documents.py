"""Workflow files: JSON or YAML on disk, as people write and compare them, to and from a workflow."""

from __future__ import annotations

import os
import re
import stat
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

from intaglio.core.canonical import parse_json
from intaglio.core.errors import InvalidRecord, InvalidWorkflow, NotFound
from intaglio.core.record import plain
from intaglio.core.workflow import Node, Workflow, parse_workflow

MAX_BYTES = 8 * 2**20
# Marks that turn the direction of text: shown raw, a line of the file would read as another one.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
SUFFIXES = (".yaml", ".yml", ".json")


def read_workflow(path: Path) -> Workflow:
    """The workflow in a file. Raises NotFound, InvalidWorkflow (naming line, or node and field)."""
    try:
        text = _read(path).decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound("workflow file", str(path)) from error
    except IsADirectoryError as error:
        raise InvalidWorkflow(f"{path} is a folder") from error
    except UnicodeDecodeError as error:
        raise InvalidWorkflow(f"{path} is not UTF-8 text (byte {error.start})") from error
    except (OSError, ValueError) as error:
        raise InvalidWorkflow(f"{path} cannot be read: {getattr(error, 'strerror', error)}") from error
    return parse_workflow(_parse(path, text))


def _read(path: Path) -> bytes:
    # Not waiting for a writer: a pipe in the place of a file must be refused, not hang.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise InvalidWorkflow(f"{path} is not a file")
        data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            size = os.fstat(file.fileno()).st_size
            raise InvalidWorkflow(f"{path} has {size} bytes; a workflow has at most {MAX_BYTES}")
    return data


def write_text(workflow: Workflow) -> str:
    """A workflow as YAML that a person would write: what is at its default is left out."""
    document: dict[str, Any] = {"name": workflow.name}
    if workflow.description:
        document["description"] = workflow.description
    document["mode"] = workflow.mode
    document["nodes"] = {name: _without_defaults(plain(node)) for name, node in _in_order(workflow)}
    if workflow.pins:
        document["pins"] = {name: _without_defaults(plain(pin)) for name, pin in workflow.pins.items()}
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
    if _TURNING.search(text):
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=False, width=100)
    return text


def _in_order(workflow: Workflow) -> list[tuple[str, Node]]:
    """The nodes in the order in which they work; a record keeps none, because its keys are sorted."""
    sources = {name: sorted(node.origins) for name, node in workflow.nodes.items()}
    try:
        return [(name, workflow.nodes[name]) for name in TopologicalSorter(sources).static_order()]
    except (CycleError, KeyError):  # not one that can run, but one can look at it
        return list(workflow.nodes.items())


def parse_value(text: str) -> Any:
    """A value given on the command line: 7 is a number, true a boolean, "7" in quotes text; anything else stays the
    text it is to the letter, whatever YAML would make of a # or & in a prompt."""
    try:
        node = yaml.compose(text, Loader=_Loader)
        bare = isinstance(node, yaml.ScalarNode) and not node.style and node.value == text.strip()
        quoted = isinstance(node, yaml.ScalarNode) and node.style in ("'", '"') and text.strip()[-1:] == node.style
        value = yaml.load(text, Loader=_Loader) if text and (bare or quoted) else text  # noqa: S506  # a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError):
        return text
    return text if bare and isinstance(value, str) else value


def parse_nested(text: str) -> Any:
    """A value given on the command line that may be a list or a mapping, in YAML or JSON; what is neither is text."""
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506  # a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError):
        return text
    return value if isinstance(value, (list, dict)) else parse_value(text)


def _without_defaults(node: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if value not in ("", {}) and (key, value) != ("count", 1)}


def _parse(path: Path, text: str) -> Any:
    if path.suffix == ".json":
        try:
            return parse_json(text)
        except InvalidRecord as error:
            raise InvalidWorkflow(f"{path}: {error}") from error
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  # a SafeLoader, made stricter
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise InvalidWorkflow(f"{where}: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidWorkflow(f"{path}: {str(error).splitlines()[0]}") from error
    except RecursionError as error:
        raise InvalidWorkflow(f"{path} is nested too deeply") from error


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain values (no octal 010, no yes/no, no dates), without aliases and without double keys."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # PyYAML's own name

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event: Any = self.get_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(
                problem="aliases (*name) are not taken; write the value out", problem_mark=event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (KeyError, AttributeError, TypeError) as error:
            # What PyYAML lets out for a tag that does not fit its value, as in !!bool maybe.
            raise yaml.MarkedYAMLError(
                problem=f"this is no {node.tag.rpartition(':')[2]}", problem_mark=node.start_mark
            ) from error

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be text", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} is there twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf)|\.(nan|NaN)", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", "~nN"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), [*_first, *([""] if _tag == "null" else [])]
    )
# PyYAML reads 010 as octal; YAML 1.2 reads it as ten.
_Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))

"""Write what the documentation takes from the code: docs/schemas/*.json and docs/cli.md.

python docs/generate.py            write them
python docs/generate.py --check    exit code 1, and their names, when some are not what the code says
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from intaglio.cli.main import cli
from intaglio.core.asset import Asset
from intaglio.core.branch import Branch, WorkflowRemark
from intaglio.core.codec import json_schema
from intaglio.core.envelope import Envelope
from intaglio.core.environment import Environment
from intaglio.core.fidelity import Reproduction
from intaglio.core.job import Job
from intaglio.core.journal import Notice
from intaglio.core.model import KeptModel, ModelHashes, ModelPlace, ModelVersion
from intaglio.core.plan import Plan
from intaglio.core.queued import Queued
from intaglio.core.seeds import LARGEST
from intaglio.core.snapshot import Snapshot
from intaglio.core.task import Event, NodeRecord, Task
from intaglio.core.token import Token
from intaglio.core.variation import Variation, VariationRemark, VariationRun
from intaglio.core.version import Remark, Version
from intaglio.core.webhook import Webhook
from intaglio.core.workflow import MAX_NODES, NAME, NODE_ID, Workflow
from intaglio.store.rows import Counter, WorkflowEntry

DOCS = Path(__file__).resolve().parent
RECORDS: tuple[Any, ...] = (
    Asset, Branch, Counter, Envelope, Environment, Event, Job, KeptModel, ModelHashes, ModelPlace, ModelVersion,
    NodeRecord, Notice, Plan, Queued, Remark, Reproduction, Snapshot, Task, Token, Variation, VariationRemark,
    VariationRun, Version, Webhook, Workflow, WorkflowEntry, WorkflowRemark,
)  # fmt: skip
WIDTH = 100


def main(arguments: list[str]) -> int:
    """Write the files, or with --check only compare them."""
    wanted = dict(generated())
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    stale += [path for path in (DOCS / "schemas").glob("*.json") if path not in wanted]
    for path in stale:
        if "--check" in arguments:
            print(f"stale: {path.relative_to(DOCS.parent)}")
        elif path in wanted:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
        else:
            path.unlink()
    return 1 if stale and "--check" in arguments else 0


def generated() -> Iterator[tuple[Path, str]]:
    """Every generated file with its text."""
    for cls in RECORDS:
        # workflow.json is for the files that people write, and their editors; the record is stricter.
        name = "workflow-record" if cls is Workflow else cls.kind
        yield DOCS / "schemas" / f"{name}.json", _written(json_schema(cls))
    yield DOCS / "schemas" / "workflow.json", _written(workflow_file_schema())
    yield DOCS / "cli.md", command_page()


def _written(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


# -- workflow files ---------------------------------------------------------------------------------------------------

SEED = {
    "description": "An integer or decimal digits; left out, empty or 0 asks for a draw.",
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": LARGEST},
        {"type": "string", "pattern": "^[0-9]{0,20}$"},
        {"type": "null"},
    ],
}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
SOURCES = {
    "description": 'Where each input comes from: "node" or "node.output"; several for an input that gathers pictures.',
    "type": "object",
    "additionalProperties": {
        "anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_NODES},
        ]
    },
}


def workflow_file_schema() -> dict[str, Any]:
    """The schema of workflow files: what `parse_workflow` takes, as far as a schema can say it."""
    node = {
        "description": "One use of a node type.",
        "type": "object",
        "required": ["type"],
        "additionalProperties": False,
        "properties": {
            "type": {"type": "string", "description": "A node type's name, or name@version."},
            "inputs": SOURCES,
            "params": {"type": "object", "description": "The node type's parameters."},
            "seed": SEED,
            "count": {"type": "integer", "minimum": 1, "maximum": MAX_NODES, "description": "How many pictures."},
            "title": {"type": "string"},
        },
    }
    pin = {
        "description": "What an approval captured for a node; used in production.",
        "type": "object",
        "additionalProperties": False,
        "properties": {"seed": SEED, "models": TEXTS},
    }
    ids = {"pattern": _pattern(NODE_ID.pattern)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Intaglio workflow",
        "type": "object",
        "required": ["name", "nodes"],
        "additionalProperties": False,
        "properties": {
            "$schema": {"description": "For editors; nothing reads it."},
            "kind": {"const": "workflow"},
            "format": {"const": 1},
            "name": {"type": "string", "pattern": _pattern(NAME.pattern)},
            "description": {"type": "string"},
            "mode": {"enum": ["discovery", "production"]},
            "nodes": {
                "type": "object",
                "minProperties": 1,
                "maxProperties": MAX_NODES,
                "propertyNames": ids,
                "additionalProperties": node,
            },
            "pins": {"type": "object", "propertyNames": ids, "additionalProperties": pin},
        },
    }


def _pattern(python: str) -> str:
    """A Python pattern that is matched from the start and ends in \\Z, as JSON Schema writes it."""
    return "^" + python.removesuffix(r"\Z") + "$"


# -- the command line -------------------------------------------------------------------------------------------------


def command_page() -> str:
    """docs/cli.md: the --help of every command."""
    parts = ["# The command line", "Generated from `--help` by docs/generate.py; change it there."]
    for context in contexts(cli, None, "intaglio"):
        level = "#" * (context.command_path.count(" ") + 2)
        parts += [f"{level} {context.command_path}", f"```text\n{context.get_help().strip()}\n```"]
    return "\n\n".join(parts) + "\n"


def contexts(command: click.Command, parent: click.Context | None, name: str) -> Iterator[click.Context]:
    """The surroundings of a command and of all below it, as click makes them for --help, the same on every terminal."""
    settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH, "color": False}
    context = click.Context(command, parent=parent, info_name=name, **settings)
    yield context
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            if found is not None and not found.hidden:
                yield from contexts(found, context, below)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from unit.core.samples import RECORDS, WORKFLOW

from intaglio.core.errors import InvalidWorkflow
from intaglio.core.record import plain
from intaglio.core.workflow import parse_workflow

from .source import ROOT

SCHEMAS = {path.stem: json.loads(path.read_text()) for path in (ROOT / "docs" / "schemas").glob("*.json")}
SUNSET = yaml.safe_load((ROOT / "examples" / "sunset.yaml").read_text())


def checked(docs: Path) -> subprocess.CompletedProcess[str]:
    """`generate.py --check` in a documents' folder."""
    return subprocess.run(
        [sys.executable, str(docs / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )


def test_nothing_generated_is_stale() -> None:
    done = checked(ROOT / "docs")
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_stale_is_seen(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    shutil.copytree(ROOT / "docs", docs)
    (docs / "cli.md").write_text("nothing")
    (docs / "schemas" / "asset.json").unlink()
    (docs / "schemas" / "gone.json").write_text("{}")
    done = checked(docs)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "stale: docs/schemas/asset.json",
        "stale: docs/cli.md",
        "stale: docs/schemas/gone.json",
    ]


def accepts(schema: str, value: object) -> bool:
    """Whether a schema takes a value."""
    return jsonschema.Draft202012Validator(SCHEMAS[schema]).is_valid(value)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_schema_is_one(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize("kind", sorted(RECORDS))
def test_the_schema_of_a_record_takes_it_and_no_unknown_field(kind: str) -> None:
    schema = "workflow-record" if kind == "workflow" else kind
    document = plain(RECORDS[kind])
    assert accepts(schema, document)
    assert not accepts(schema, {**document, "surprise": 1})
    assert not accepts(schema, {**document, "format": 2})


def node(**more: Any) -> dict[str, Any]:
    """A workflow of one node with what is given."""
    return {"name": "w", "nodes": {"a": {"type": "x", **more}}}


FILES: dict[str, Any] = {
    "the example": SUNSET,
    "a record": plain(WORKFLOW),
    "$schema": {"$schema": "../docs/schemas/workflow.json", **node()},
    "missing defaults": node(),
    "seed 0": node(seed=0),
    "seed 2^53 + 1": node(seed=2**53 + 1),
    "seed 2^64 - 1": node(seed=2**64 - 1),
    "seed as text": node(seed="18446744073709551615"),
    "seed empty": node(seed=""),
    "seed null": node(seed=None),
    "nested parameters": node(params={"x": {"y": [1, 2.5, None, True, "z"]}}),
    "pins": {**node(), "pins": {"a": {"seed": 7, "models": {"model": "blake3:0"}}}},
    "seed 2^64": node(seed=2**64),
    "seed -1": node(seed=-1),
    "seed 1.5": node(seed=1.5),
    "seed true": node(seed=True),
    "seed as a word": node(seed="abc"),
    "count 0": node(count=0),
    "count 10001": node(count=10_001),
    "unknown field": {**node(), "colour": "red"},
    "unknown node field": node(steps=3),
    "no nodes": {"name": "w", "nodes": {}},
    "no name": {"nodes": node()["nodes"]},
    "a name with a slash": {**node(), "name": "a/b"},
    "a node id with a space": {"name": "w", "nodes": {"a b": {"type": "x"}}},
    "no type": {"name": "w", "nodes": {"a": {}}},
    "newer format": {**node(), "format": 2},
    "other mode": {**node(), "mode": "wild"},
    "two sources": node(inputs={"image": ["b", "c"]}),
    "text": "workflow",
}


@pytest.mark.parametrize("case", FILES)
def test_the_schema_of_workflow_files_takes_what_is_read_and_nothing_else(case: str) -> None:
    try:
        parse_workflow(copy.deepcopy(FILES[case]))
    except InvalidWorkflow:
        assert not accepts("workflow", FILES[case])
    else:
        assert accepts("workflow", FILES[case])

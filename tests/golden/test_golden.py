"""Records of every released format still read, byte for byte. A failure here means that people's records are lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from unit.core.samples import RECORDS

from intaglio.core.canonical import parse_json
from intaglio.core.codec import decode, digest, encode
from intaglio.core.errors import InvalidRecord
from intaglio.core.gaps import environment_gaps, input_gaps, model_gaps, node_gaps
from intaglio.core.grade import grade_of
from intaglio.core.nodetype import NodeTypes
from intaglio.core.plan import closure, content_key
from intaglio.core.snapshot import Snapshot
from intaglio.engine.environment import capture
from intaglio.nodes import builtin_types

HERE = Path(__file__).resolve().parent
DIGESTS: dict[str, str] = json.loads((HERE / "DIGESTS.json").read_text())
FORMATS = sorted({name.partition("/")[0] for name in DIGESTS})
CLASSES = {kind: type(record) for kind, record in RECORDS.items()}


def golden(name: str) -> tuple[Any, bytes]:
    """The class and the bytes of a golden record."""
    return CLASSES[name.partition("/")[2]], (HERE / f"{name}.json").read_bytes()


def test_every_file_has_its_digest_and_every_kind_is_there() -> None:
    files = {f"{path.parent.name}/{path.stem}" for path in HERE.glob("*/*.json")}
    assert files == set(DIGESTS)
    assert {name.partition("/")[2] for name in DIGESTS} == set(CLASSES)


@pytest.mark.parametrize("name", DIGESTS)
def test_a_golden_record_reads_and_is_written_the_same(name: str) -> None:
    cls, data = golden(name)
    record = decode(cls, data)
    assert encode(record) == data
    assert digest(record) == DIGESTS[name]


@pytest.mark.parametrize("name", DIGESTS)
def test_a_golden_record_with_one_letter_changed_is_refused_or_another(name: str) -> None:
    cls, data = golden(name)
    changed = data.replace(b'"kind"', b'"kinds"', 1)
    with pytest.raises(InvalidRecord):
        decode(cls, changed)
    assert digest(decode(cls, data.replace(b"2026", b"2025"))) != DIGESTS[name] or b"2026" not in data


@pytest.mark.parametrize("format_name", FORMATS)
def test_the_golden_snapshot_grades(format_name: str) -> None:
    snapshot = decode(Snapshot, golden(f"{format_name}/snapshot")[1])
    now = capture(threads=3, deterministic=True, backend={})
    gaps = [
        *node_gaps(snapshot.plan, NodeTypes(builtin_types())),
        *model_gaps(snapshot.plan, snapshot.models, {}),
        *input_gaps(snapshot.plan, {}),
        *environment_gaps(snapshot.environment, now, devices={"cpu"}),
    ]
    grade = grade_of(gaps)
    assert grade.grade == "partial"
    assert {"model.missing", "input.missing", "threads.changed"} <= {gap.code for gap in gaps}
    assert grade_of(environment_gaps(snapshot.environment, snapshot.environment, devices={"cpu"})).grade == "full"


@pytest.mark.parametrize("format_name", FORMATS)
def test_the_golden_steps_still_mean_what_they_meant(format_name: str) -> None:
    snapshot = decode(Snapshot, golden(f"{format_name}/snapshot")[1])
    types = NodeTypes(builtin_types())
    assert list(node_gaps(snapshot.plan, types, snapshot.workflow)) == []
    for step in snapshot.plan.steps:
        node_type = types.meaning(step.type, step.type_version)
        assert node_type is not None
        params = node_type.migrate(step.type_version, step.params)
        assert {name: params[name] for name in step.params} == step.params, "nothing recorded is changed or dropped"


@pytest.mark.parametrize("format_name", FORMATS)
def test_the_golden_snapshot_is_of_one_piece(format_name: str) -> None:
    snapshot = decode(Snapshot, golden(f"{format_name}/snapshot")[1])
    plan = parse_json(golden(f"{format_name}/plan")[1])
    assert parse_json(encode(snapshot))["plan"] == plan
    assert DIGESTS[f"{format_name}/snapshot"] == parse_json(golden(f"{format_name}/task")[1])["snapshot"]
    for result in snapshot.results:
        step = snapshot.plan.step(result.step)
        key = content_key(snapshot.plan, step, result.inputs, DIGESTS[f"{format_name}/environment"])
        assert key == result.key, "the same things still have the same content key"
        assert closure(snapshot.plan, {result.step}).steps[-1] == step

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.canonical import digest_value, parse_json
from intaglio.core.codec import decode, digest, encode, from_plain, json_schema
from intaglio.core.errors import InvalidRecord
from intaglio.core.record import plain

from .samples import ENTRY, EVENT, NODE_RECORD, PLAN, RECORDS, WORKFLOW

SAFE = 2**53 - 1
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-SAFE, SAFE) | st.floats(-1e9, 1e9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=8),
    int: st.integers(-SAFE, SAFE),
    float: st.floats(-1e9, 1e9),
    bool: st.booleans(),
    type(None): st.none(),
    Any: JSON,
}
# Changing any of these literals changes the identity of every record of that kind that people already have.
PINNED: dict[str, str] = {
    "asset": "blake3:81ce92c3eb2860ec1954ed4ab15cfa8d9af9e272eec6a8a99b74efe7bf5aa204",
    "branch": "blake3:bab7b378efafc447e67d93d11f5070441a67f8b822bd58861d1ccf437ccd02d9",
    "counter": "blake3:7c36772a44b7c16459cdd6964b6aba5bd4f35bacfcc484286dccc3676a44bb16",
    "envelope": "blake3:75352e4e0696c05ce769311585606123a9068359af92ec243b87b0266b3b6944",
    "environment": "blake3:8f1f83e5aedaf3b76c7a014074ea8c6687fd0a53578ed90e768078a35cde6139",
    "event": "blake3:329b10799c3ccc3e0c944aeb9b3d6c732fbafbf9ef09560e04cc40eeef137e18",
    "job": "blake3:32454cbead3dc645893a988cc1cde63d553b4332caff912b0df84e0775e308e5",
    "kept-model": "blake3:5dc97637140f44def26b1c0ebbef294e046997be0c963d0c00a55f74511ac18d",
    "model": "blake3:04a6d032ff4c071df67bb397eae3664586c24b01a63b14d47af6ea5f56f3cdb7",
    "model-hashes": "blake3:33ac0a574f3d26a2aca44f3126ddb03a594e1df89ea1065cff81d41cd4926498",
    "model-place": "blake3:b8ac46f549c882d5394c80f9f42c58a66889c59419b98394f01c59da804ebe28",
    "node-record": "blake3:2164958d54c84f1c15bb9269e077199980ac00d385b90b1ebedaee0c72de7ad3",
    "notice": "blake3:f119f2e2d34e096f8e73458568b3614bd38cc723a10c8866db5bee14deb39e7f",
    "plan": "blake3:f39771ff89d7e7cf5dd5533ee0d309adf3f6875f6fbb47351d7e11d201b17fa4",
    "queued": "blake3:f1b9d60e706f47361da10cc49abb265b990f22000a88fc0d21c1e6c87b9d61c5",
    "remark": "blake3:b741506ceb088ec2c3c8e045b48f9083e3831a996e4b3eeaaae7d41e7bd57a61",
    "reproduction": "blake3:4f4a94073246c8949bf874b90c84cf7a0ec862eefe338cc36fde4d679955f9a9",
    "snapshot": "blake3:84128193840bd97d3557f59a267467ae018c339f5c9366c39aba8b315b33f6f4",
    "task": "blake3:4f05d6453fd99e435d5899888d764e3c0c9ee6be87c66c5d9b620a6d5da945f2",
    "token": "blake3:4750257f38b35c4c26a99b3c8e086fb379a3740dbaef3a0ec08d54d10836de74",
    "variation": "blake3:9f6a62d5a03982f8ab7454f2d23e917f490b1e6add1fed0824a7b54ccec4380a",
    "variation-remark": "blake3:3bc4be95403712ddb292ebf061be0b23620aa780e30a41ada10f104baa1f1265",
    "variation-run": "blake3:fc8ea375bbcf248f70751d9bde40237070040eb6a6a4d8b19b9ac94fe3bfc11b",
    "version": "blake3:bb29b56381031901359c23f546a2871d0679d11aecac95d7cde82fe8815a9ae5",
    "webhook": "blake3:e88a5f9a22566fbd462ad67b6c7e1f62903f4d35e6a6f7adea2b794a1017f517",
    "workflow": "blake3:fae79096c79cb787bfdf28604c74c282ca45b8d9546c081f5247ec784abe2d39",
    "workflow-entry": "blake3:af447f9fb9bf246a487e048c92ea2ef9de7b1af7db56b1e1d4dd467281382750",
    "workflow-remark": "blake3:fabdb95e2e6d6b5e0df7aba1ac090d378b35a6b7f2371ef2f53a812a1f4b872b",
}


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field, by its annotation."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(values_of(arguments[0]), max_size=2).map(tuple)
    if origin is Mapping:
        return st.dictionaries(st.text(max_size=5), values_of(arguments[1]), max_size=2)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(values_of(argument) for argument in arguments))
    return records_of(hint) if dataclasses.is_dataclass(hint) else SCALARS[hint]


def records_of(cls: Any) -> st.SearchStrategy[Any]:
    """Records of a class, every field given."""
    hints = typing.get_type_hints(cls)
    return st.builds(cls, **{field.name: values_of(hints[field.name]) for field in dataclasses.fields(cls)})


@pytest.mark.parametrize("kind", sorted(RECORDS))
@given(data=st.data())
def test_every_record_reads_back_equal_and_is_written_the_same_again(kind: str, data: st.DataObject) -> None:
    cls = type(RECORDS[kind])
    record = data.draw(records_of(cls))
    body = encode(record)
    again = decode(cls, body)
    assert again == record
    assert (encode(again), digest(again)) == (body, digest(record))


@pytest.mark.parametrize("kind", sorted(RECORDS))
def test_the_digest_of_every_kind_is_pinned(kind: str) -> None:
    assert digest(RECORDS[kind]) == PINNED[kind]
    assert digest(RECORDS[kind]) == digest_value(kind, plain(RECORDS[kind]))


@pytest.mark.parametrize("kind", sorted(RECORDS))
def test_an_unknown_field_is_refused_by_name(kind: str) -> None:
    with pytest.raises(InvalidRecord, match=rf"^{kind} record, surprise: "):
        from_plain(type(RECORDS[kind]), {**plain(RECORDS[kind]), "surprise": 1})


@pytest.mark.parametrize("kind", sorted(RECORDS))
def test_a_newer_format_and_another_kind_are_refused(kind: str) -> None:
    cls = type(RECORDS[kind])
    with pytest.raises(InvalidRecord, match=rf"^{kind} record, format: "):
        from_plain(cls, {**plain(RECORDS[kind]), "format": 2})
    with pytest.raises(InvalidRecord, match=rf"^{kind} record, kind: "):
        from_plain(cls, {**plain(RECORDS[kind]), "kind": "other"})


@pytest.mark.parametrize("kind", sorted(RECORDS))
def test_every_required_field_is_missed_by_name(kind: str) -> None:
    cls = type(RECORDS[kind])
    for field in dataclasses.fields(cls):
        if field.default is dataclasses.MISSING:
            document = plain(RECORDS[kind])
            del document[field.name]
            with pytest.raises(InvalidRecord, match=rf"^{kind} record, {field.name}: "):
                from_plain(cls, document)


@pytest.mark.parametrize(
    ("record", "path", "value"),
    [
        (PLAN, ("threads",), "2"),
        (PLAN, ("threads",), 2.5),
        (PLAN, ("deterministic",), 1),
        (PLAN, ("mode",), "wild"),
        (PLAN, ("steps", 0, "seed", "value"), 7),
        (PLAN, ("steps", 1, "type_version"), True),
        (NODE_RECORD, ("seconds",), "soon"),
        (NODE_RECORD, ("notes",), "one"),
        (EVENT, ("facts",), []),
        (ENTRY, ("version",), None),
        (WORKFLOW, ("nodes", "base", "seed"), 7),
        (WORKFLOW, ("nodes", "base", "colour"), "red"),
    ],
)
def test_a_wrong_type_is_refused_naming_the_field(record: Any, path: tuple[str | int, ...], value: object) -> None:
    document = plain(record)
    place = document
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    with pytest.raises(InvalidRecord, match=rf"^{record.kind} record, {'.'.join(map(str, path))}: "):
        from_plain(type(record), document)


@pytest.mark.parametrize("data", [b"", b"[]", b"7", b"null", b'{"kind": "plan", "kind": "plan"}', b"\xff"])
def test_bytes_that_are_no_record_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidRecord):
        decode(type(PLAN), data)


def test_a_float_that_was_written_short_is_the_same_record() -> None:
    record = type(NODE_RECORD)(**{**vars(NODE_RECORD), "seconds": 1.0})
    assert b'"seconds":1,' in encode(record)
    assert type(decode(type(record), encode(record)).seconds) is float


def test_a_schema_is_json_and_refuses_unknown_fields() -> None:
    schema = json_schema(type(WORKFLOW))
    assert json.loads(json.dumps(schema)) == schema
    assert schema["additionalProperties"] is False
    assert parse_json(encode(WORKFLOW)) == plain(WORKFLOW)

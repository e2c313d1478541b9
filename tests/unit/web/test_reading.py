"""RUN 1: a body in JSON is what it says, once, and no more than a record could hold."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.errors import Invalid
from intaglio.web.reading import DEEPEST, read_json

HOSTILE = {
    "nothing": b"",
    "two values": b"1 2",
    "a duplicate key": b'{"a": 1, "a": 2}',
    "a duplicate key inside": b'[{"b": {"a": 1, "\\u0061": 1}}]',
    "NaN": b"[NaN]",
    "infinity": b"-Infinity",
    "an overflow": b"1e999",
    "2^53": b"[9007199254740992]",
    "-2^53": b'{"seed": -9007199254740992}',
    "too many digits": b"1" * 5000,
    "too deep": b"[" * 65 + b"]" * 65,
    "too deep, in objects": b'{"a":' * 65 + b"1" + b"}" * 65,
    "far too deep": b"[" * 100_000,
    "half a character": b'"\\ud800"',
    "half a character as a key": b'{"x": {"\\udfff": 1}}',
    "halves in the wrong order": b'"\\udc00\\ud800"',
    "not UTF-8": b'"\xff"',
    "half a character in UTF-8": b'"\xed\xa0\x80"',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a control character": b'"\x00"',
    "a comment": b"{} // ok",
    "a comma too many": b"[1,]",
    "single quotes": b"{'a': 1}",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_clean_json_is_refused(case: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_json(HOSTILE[case])
    assert len(str(refused.value)) < 300
    assert not any(python in str(refused.value) for python in ("sys.set_int", "utf-8-sig"))


def test_it_says_how_to_send_a_seed() -> None:
    with pytest.raises(Invalid, match=r"2\^53") as refused:
        read_json(b'{"seed": 18446744073709551615}')
    assert "as text" in refused.value.hint
    assert read_json(b'{"seed": "18446744073709551615"}') == {"seed": "18446744073709551615"}


def test_the_largest_and_deepest_is_taken() -> None:
    assert read_json(b"[9007199254740991, -9007199254740991]") == [2**53 - 1, 1 - 2**53]
    value = read_json(b"[" * DEEPEST + b"]" * DEEPEST)
    for _ in range(DEEPEST - 1):
        (value,) = value
    assert value == []
    assert read_json(b"[" + b"[]," * 100 + b"[]]") == [[]] * 101, "wide is not deep"
    assert read_json(b'"\\ud83d\\ude00"') == "\U0001f600"


@given(st.recursive(st.none() | st.booleans() | st.integers(-100, 100) | st.text(), st.lists, max_leaves=20))
def test_what_json_writes_is_read(value: object) -> None:
    assert read_json(json.dumps(value, ensure_ascii=False).encode()) == value
    assert read_json(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail_otherwise(body: bytes) -> None:
    try:
        read_json(body)
    except Invalid:
        return
    json.loads(body)

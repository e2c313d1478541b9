from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.canonical import canonical, digest_bytes, digest_value, is_digest, parse_json
from intaglio.core.errors import InvalidRecord

SAFE = 2**53 - 1
NUMBERS = st.integers(-SAFE, SAFE) | st.floats(-SAFE, SAFE, allow_nan=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_what_is_written_reads_back_equal_and_is_written_the_same_again(value: Any) -> None:
    data = canonical(value)
    assert parse_json(data) == value
    assert canonical(parse_json(data)) == data


@given(JSON)
def test_it_is_what_the_reference_implementation_writes(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(st.dictionaries(st.text(), JSON, max_size=6), st.randoms())
def test_the_order_of_keys_does_not_matter(value: dict[str, Any], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert canonical(dict(items)) == canonical(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_either_written_so_that_it_reads_back_or_refused(value: float) -> None:
    try:
        data = canonical(value)
    except InvalidRecord:
        assert SAFE < abs(value) < 1e21
        return
    assert canonical(json.loads(data)) == data


@pytest.mark.parametrize(
    "value",
    [
        float("nan"), float("inf"), -float("inf"), 2**53, 2**53 + 1, -(2**53) - 1, 1e20, -1e16, "\ud800", "a\udfffb",
        {"\ud800": 1}, {1: 2}, {"a": [1e17]}, b"bytes", object(), {1, 2},
    ],
    ids=repr,
)  # fmt: skip
def test_what_it_cannot_hold_without_loss_is_refused(value: object) -> None:
    with pytest.raises(InvalidRecord, match="cannot be written exactly"):
        canonical(value)


def test_long_digits_in_text_and_in_fractions_are_no_long_numbers() -> None:
    value = {"18446744073709551615": "18446744073709551615", "x": 0.12345678901234567, "y": '9\\"9999999999999999999'}
    assert parse_json(canonical(value)) == value


def test_nesting_beyond_what_can_be_written_is_refused() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidRecord):
        canonical(value)
    with pytest.raises(InvalidRecord):
        parse_json("[" * 100_000)


def test_texts_are_compared_by_code_point_and_numbers_by_value() -> None:
    composed, taken_apart = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")
    assert digest_value("x", composed) != digest_value("x", taken_apart)
    assert digest_value("x", 1e-11) != digest_value("x", 2e-11)
    assert canonical([1.0, -0.0, 1e-11, 0.1, SAFE]) == b"[1,0,1e-11,0.1,9007199254740991]"
    assert canonical({"b": (1, 2), "a": None, "é": True}) == '{"a":null,"b":[1,2],"é":true}'.encode()


def test_the_kind_is_inside_the_digest() -> None:
    assert digest_value("a", {}) != digest_value("b", {})
    assert digest_value("step-key", {"a": 1}) == digest_bytes(b'["step-key",{"a":1}]')
    assert digest_bytes(b"") == "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 1}', "key 'a' is there twice"),
        ('[{"b": {"c": 1, "d": 2, "c": 3}}]', "key 'c' is there twice"),
        ("NaN", "NaN has no place"),
        ("[Infinity]", "Infinity has no place"),
        ("-Infinity", "has no place"),
        ("1e400", "1e400 is too large"),
        ("01", "not valid JSON"),
        ("", "not valid JSON"),
        ("1" * 5000, "not valid JSON"),
        (b"\xff", "not valid JSON"),
    ],
)
def test_reading_is_strict(text: str | bytes, message: str) -> None:
    with pytest.raises(InvalidRecord, match=message):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (digest_bytes(b"x"), True),
        (digest_bytes(b"x")[:-1], False),
        (digest_bytes(b"x") + "0", False),
        (digest_bytes(b"x").removeprefix("blake3:"), False),
        (digest_bytes(b"x").upper(), False),
        ("sha256:" + "0" * 64, False),
        ("blake3:" + "g" * 64, False),
        ("", False),
    ],
)
def test_is_digest(text: str, expected: bool) -> None:
    assert is_digest(text) is expected

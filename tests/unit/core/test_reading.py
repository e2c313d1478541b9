"""Our reader and writer of records, held to the libraries they stand in for."""

from __future__ import annotations

from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from intaglio.core.canonical import canonical
from intaglio.core.codec import from_plain
from intaglio.core.errors import InvalidRecord
from intaglio.core.reading import reader
from intaglio.core.record import plain

from .samples import RECORDS

SAFE = 2**53 - 1
ODD: list[Any] = [None, True, 0, 1, -1, 2.5, 1.0, "", "1", "drawn", [], ["a"], [1], {}, {"a": "b"}, {"a": 1}, {"a": {}}]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-SAFE, SAFE) | st.floats(-1e15, 1e15) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_it_writes_what_rfc8785_writes(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("kind", sorted(RECORDS))
@given(data=st.data())
def test_it_reads_and_refuses_what_pydantic_reads_and_refuses(kind: str, data: st.DataObject) -> None:
    cls = type(RECORDS[kind])
    document = plain(RECORDS[kind])
    place: Any = document
    while True:
        # Not the format: pydantic takes true for 1 there, and ours does not.
        keys = sorted(place.keys() - {"format"}) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(keys))
        inner = place[key]
        if not (isinstance(inner, (dict, list)) and inner and data.draw(st.booleans())):
            break
        place = inner
    place[key] = data.draw(st.sampled_from(ODD))
    try:
        expected = TypeAdapter(cls).validate_json(canonical(document))
    except ValidationError:
        with pytest.raises(InvalidRecord):
            from_plain(cls, document)
    else:
        # Written, 1.0 is 1, and that is how pydantic saw it; ours looks at the value itself.
        if not isinstance(place[key], float) or not place[key].is_integer():
            assert from_plain(cls, document) == expected


@pytest.mark.parametrize("hint", [bytes, dict[str, int], tuple[int, str], int | str, list[int], set[str]], ids=str)
def test_a_declaration_that_it_cannot_check_is_refused(hint: Any) -> None:
    with pytest.raises(TypeError):
        reader(hint)

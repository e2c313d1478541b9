from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.entries import MAX_ENTRIES, Entry, WrongPart, owner, slot
from intaglio.core.param import Param

LORAS = Param("loras", "loras", (), ge=-10, le=10)
EMBEDDINGS = Param("embeddings", "embeddings", ())


@pytest.mark.parametrize(
    ("param", "written", "expected"),
    [
        (LORAS, [], []),
        (LORAS, ["ink", "ink:v2"], [("ink", 1.0), ("ink:v2", 1.0)]),
        (LORAS, [{"model": "ink", "weight": 0}, {"model": "a"}], [("ink", 0.0), ("a", 1.0)]),
        (LORAS, "ink", [("ink", 1.0)]),
        (LORAS, {"model": "ink", "weight": -0.5}, [("ink", -0.5)]),
        (EMBEDDINGS, ("cat", {"model": "dog", "token": "<it>"}), [("cat", ""), ("dog", "<it>")]),
    ],
)
def test_an_entry_is_a_reference_or_a_mapping(param: Param, written: object, expected: list[tuple[str, Any]]) -> None:
    assert param.check(written) == tuple(Entry(model, word) for model, word in expected)


@pytest.mark.parametrize(
    ("param", "written", "part", "message"),
    [
        (LORAS, 7, "", "needs a list"),
        (LORAS, None, "", "needs a list"),
        (LORAS, ["x"] * (MAX_ENTRIES + 1), "", f"the limit is {MAX_ENTRIES}"),
        (LORAS, ["x", 7], "[1]", "needs the name of a model, or a mapping of model and weight"),
        (LORAS, ["x", {"weight": 1}], "[1].model", "needs the name of a model"),
        (LORAS, [{"model": " "}], "[0].model", "needs the name of a model"),
        (LORAS, [""], "[0].model", "needs the name of a model"),
        (LORAS, ["x", {"model": "y", "weight": "much"}], "[1].weight", "needs a number, not 'much'"),
        (LORAS, [{"model": "y", "weight": True}], "[0].weight", "needs a number"),
        (LORAS, [{"model": "y", "weight": 11}], "[0].weight", r"out of range \(-10 to 10\)"),
        (LORAS, [{"model": "y", "weight": float("nan")}], "[0].weight", "nan is not a number"),
        (LORAS, [{"model": "y", "token": "<y>"}], "[0]", "'token' is unknown; it takes: model, weight"),
        (EMBEDDINGS, [{"model": "y", "token": "a b"}], "[0].token", "without spaces"),
        (EMBEDDINGS, [{"model": "y", "token": ""}], "[0].token", "needs a word"),
        (EMBEDDINGS, [{"model": "y", "token": "x" * 101}], "[0].token", "at most 100 characters"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(param: Param, written: object, part: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        param.check(written)
    assert getattr(caught.value, "part", "") == part


@given(st.lists(st.floats(-10, 10)))
def test_a_record_holds_the_weights_alone(weights: list[float]) -> None:
    written = [{"model": "ink", "weight": weight} for weight in weights][:MAX_ENTRIES]
    words = [entry.word for entry in LORAS.check(written)]
    assert list(LORAS.check_recorded(words)) == words == weights[:MAX_ENTRIES]


@pytest.mark.parametrize(
    ("param", "recorded"), [(LORAS, 1.0), (LORAS, ["a"]), (LORAS, [99]), (EMBEDDINGS, [1.0]), (EMBEDDINGS, ["a b"])]
)
def test_a_record_that_holds_something_else_is_refused(param: Param, recorded: object) -> None:
    with pytest.raises(ValueError):
        param.check_recorded(recorded)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["model", "weight", "token", "x"]), inner)
    ),
)


@given(JSON, st.sampled_from([LORAS, EMBEDDINGS]))
def test_whatever_is_written_is_taken_or_refused_in_words(written: object, param: Param) -> None:
    found: tuple[Any, ...] = ()
    said, place = "taken", "[0]"
    try:
        found = param.check(written)
    except WrongPart as error:
        said, place = str(error), error.part
    except ValueError as error:
        said = str(error)
    assert said
    assert re.fullmatch(r"\[\d+\](\.(model|weight|token))?", place)
    assert all(isinstance(entry, Entry) and entry.model.strip() for entry in found)


@given(st.sampled_from(["loras", "embeddings", "mine"]), st.integers(0, 99))
def test_a_place_names_its_parameter(name: str, index: int) -> None:
    assert owner(slot(name, index)) == name
    assert owner(name) == name

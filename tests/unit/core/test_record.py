from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from intaglio.core.codec import decode, encode
from intaglio.core.record import EMPTY, FrozenDict, frozen, plain

from .samples import MODEL, RECORDS

CHANGES: dict[str, Callable[[Any], object]] = {
    "set": lambda found: found.__setitem__("a", 2),
    "delete": lambda found: found.__delitem__("a"),
    "clear": lambda found: found.clear(),
    "pop": lambda found: found.pop("a"),
    "popitem": lambda found: found.popitem(),
    "setdefault": lambda found: found.setdefault("b", 1),
    "update": lambda found: found.update(b=1),
    "or": lambda found: found.__ior__({"b": 1}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_frozen_dict_cannot_be_changed(change: str) -> None:
    found = FrozenDict({"a": 1})
    with pytest.raises(TypeError, match="never changed"):
        CHANGES[change](found)
    assert found == {"a": 1}


def test_a_frozen_dict_is_still_a_dict() -> None:
    found = FrozenDict({"a": 1})
    assert json.dumps(found) == '{"a": 1}'
    assert hash(found) == hash(FrozenDict({"a": 1}))
    assert type(found | {"b": 2}) is dict
    for same in (copy.deepcopy(found), pickle.loads(pickle.dumps(found)), frozen(found)):
        assert type(same) is FrozenDict
        assert same == found


@pytest.mark.parametrize("kind", sorted(RECORDS))
def test_no_field_of_a_record_can_be_set(kind: str) -> None:
    for field in dataclasses.fields(RECORDS[kind]):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(RECORDS[kind], field.name, None)


@pytest.mark.parametrize("kind", sorted(RECORDS))
def test_nothing_inside_a_record_can_be_changed(kind: str) -> None:
    def look(value: Any) -> None:
        assert not isinstance(value, list)
        assert not isinstance(value, dict) or type(value) is FrozenDict
        if dataclasses.is_dataclass(value):
            assert hash(value) == hash(copy.copy(value))
            look(tuple(getattr(value, field.name) for field in dataclasses.fields(value)))
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ():
            look(inner)

    look(RECORDS[kind])
    look(decode(type(RECORDS[kind]), encode(RECORDS[kind])))


def test_a_record_keeps_what_it_was_given_whatever_happens_to_that_later() -> None:
    given = {"width": 64, "list": [1]}
    model = dataclasses.replace(MODEL, defaults=given)
    given["width"] = 1
    given["list"].append(2)  # type: ignore[attr-defined]
    assert model.defaults == {"width": 64, "list": (1,)}
    assert plain(model)["defaults"] == {"width": 64, "list": [1]}
    assert EMPTY == {}

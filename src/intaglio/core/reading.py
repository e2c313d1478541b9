"""Readers of records: plain JSON values to a record, every field checked, unknown ones refused.

Made from a record's own declaration. Not through pydantic, which takes longer to import than a command may take.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal

from intaglio.core.canonical import LARGEST_EXACT
from intaglio.core.record import FrozenDict

Reader = Callable[[Any], Any]


class Refused(Exception):
    """A value that is not what a field takes; `path` leads to it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.path: list[str] = []

    def inside(self, name: object) -> Refused:
        """The same, seen from one level further out."""
        self.path.insert(0, str(name))
        return self


@cache
def reader(hint: Any) -> Reader:
    """What reads a value declared as `hint`: a record, str, int, float, bool, Any, Literal, tuple, Mapping, or
    None, or one text or several.

    It raises Refused. Making one raises TypeError for a declaration that records do not use.
    """
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if dataclasses.is_dataclass(hint):
        return _record(typing.cast(type[Any], hint))
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return _literal(arguments)
    if origin is tuple and arguments[1:] == (...,):
        return _tuple(reader(arguments[0]))
    if origin is Mapping and arguments[0] is str:
        return _mapping(reader(arguments[1]))
    if origin in (typing.Union, types.UnionType) and len(arguments) == 2 and arguments[1] is types.NoneType:
        return _optional(reader(arguments[0]))
    if origin in (typing.Union, types.UnionType) and arguments == (str, tuple[str, ...]):
        return _text_or_texts
    raise TypeError(f"a record cannot hold {hint!r}")


def _record(cls: type[Any]) -> Reader:
    hints = typing.get_type_hints(cls)
    readers = {field.name: reader(hints[field.name]) for field in dataclasses.fields(cls)}
    required = {
        field.name
        for field in dataclasses.fields(cls)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Refused(f"needs an object, not {_shown(value)}")
        if unknown := value.keys() - readers.keys():
            raise Refused("is unknown").inside(min(unknown, key=str))
        if missing := required - value.keys():
            raise Refused("is required").inside(min(missing))
        return cls(**_each(value, readers.__getitem__))

    return read


def _each(value: dict[str, Any], reader_of: Callable[[str], Reader]) -> dict[str, Any]:
    items = {}
    for name, item in value.items():
        try:
            items[name] = reader_of(name)(item)
        except Refused as error:
            raise error.inside(name) from None
    return items


def _mapping(item_reader: Reader) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Refused(f"needs an object, not {_shown(value)}")
        for key in value:
            _text(key)
        return FrozenDict(_each(value, lambda _: item_reader))

    return read


def _tuple(item_reader: Reader) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise Refused(f"needs a list, not {_shown(value)}")
        items = []
        for item in value:
            try:
                items.append(item_reader(item))
            except Refused as error:
                raise error.inside(len(items)) from None
        return tuple(items)

    return read


def _optional(item_reader: Reader) -> Reader:
    return lambda value: None if value is None else item_reader(value)


def _text_or_texts(value: Any) -> Any:
    return _texts(value) if isinstance(value, (list, tuple)) else _text(value)


def _literal(choices: tuple[Any, ...]) -> Reader:
    known = {(type(choice), choice) for choice in choices}

    def read(value: Any) -> Any:
        if isinstance(value, (dict, list, tuple)) or (type(value), value) not in known:
            raise Refused(f"input should be {' or '.join(map(repr, choices))}, not {_shown(value)}")
        return value

    return read


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Refused(f"needs text, not {_shown(value)}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Refused("holds half a character (a lone surrogate)") from None
    return value


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise Refused(f"needs a whole number, not {_shown(value)}")
    if not -LARGEST_EXACT <= value <= LARGEST_EXACT:
        raise Refused(f"{_shown(value)} is beyond 2^53")
    return value


def _number(value: Any) -> float:
    if type(value) is not float:
        return float(_integer(value))
    if not math.isfinite(value):
        raise Refused(f"{value} has no place in a record")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Refused(f"needs true or false, not {_shown(value)}")
    return value


def _json(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, dict):
        return _json_mapping(value)
    return _json_list(value) if isinstance(value, (list, tuple)) else _integer(value)


_json_mapping, _json_list, _texts = _mapping(_json), _tuple(_json), _tuple(_text)
_SIMPLE: dict[Any, Reader] = {str: _text, int: _integer, float: _number, bool: _boolean, Any: _json}


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "a list"
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:60] + "..."

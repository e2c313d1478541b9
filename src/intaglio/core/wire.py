"""What nouns take and give, as plain JSON and back: for calls that leave the process.

Records go as they are written everywhere (`record.plain`); paths as text, bytes in base64, sets in order. What cannot
leave a process (a function) is left out, and is a stand-in on the other side.
"""

from __future__ import annotations

import ast
import base64
import binascii
import builtins
import collections.abc
import dataclasses
import importlib
import inspect
import json
import sys
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path, PurePath
from typing import Any, NoReturn

from intaglio.core.errors import InvalidRecord
from intaglio.core.reading import Reader, Refused, reader
from intaglio.core.record import plain

_LISTS: Mapping[Any, Callable[[Any], Any]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: tuple,
    collections.abc.Iterable: tuple,
    collections.abc.Collection: tuple,
}
_MAPPINGS = (dict, collections.abc.Mapping)
# What records are told by: they are read by `reading`, which checks every field.
_RECORD = "__pydantic_config__"
# Where a record keeps its text, beside its fields.
_TEXT = "_wire_text"


def to_wire(value: Any) -> Any:
    """A value that a noun gave, or is to be given, as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        if hasattr(type(value), _RECORD):
            return plain(value)
        found = ((field.name, getattr(value, field.name)) for field in _sent(type(value)))
        # A class stands for "there is none" (`param.REQUIRED`).
        return {name: to_wire(item) for name, item in found if not isinstance(item, type)}
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {str(key): to_wire(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(to_wire(item) for item in value)
    return [to_wire(item) for item in value]


def wire_text(value: Any) -> str:
    """`to_wire` as JSON text. Records never change: that of one that stands alone is written once and kept with it."""
    if isinstance(value, list):
        return f"[{','.join(map(wire_text, value))}]"
    if not hasattr(type(value), _RECORD) or not hasattr(type(value), "kind"):
        return json_text(to_wire(value))
    text: str | None = vars(value).get(_TEXT)
    if text is None:
        text = vars(value)[_TEXT] = json_text(plain(value))
    return text


def json_text(value: Any) -> str:
    """Plain JSON values as text, in as few characters as can be."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def from_wire(hint: Any, value: Any) -> Any:
    """The value of a declared type that JSON values stand for. Raises InvalidRecord, naming the field."""
    try:
        return wire_reader(hint)(value)
    except Refused as error:
        field = ".".join(error.path)
        raise InvalidRecord(f"{field}: {error}" if field else str(error)) from error
    except RecursionError as error:
        raise InvalidRecord("it is nested too deeply") from error


@cache
def wire_reader(hint: Any) -> Reader:
    """What reads a value declared as `hint`; it raises Refused. Raises TypeError for what cannot leave a process."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    if dataclasses.is_dataclass(hint) and not hasattr(hint, _RECORD):
        return _dataclass(typing.cast(type[Any], hint))
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in _LISTS:
        return _collection(wire_reader(arguments[0]), _LISTS[origin])
    if origin is tuple:
        return _tuple(arguments)
    if origin in _MAPPINGS:
        return _mapping(wire_reader(arguments[1]), dict if origin is dict else plain_mapping)
    if origin in (typing.Union, types.UnionType):
        return _union([wire_reader(each) for each in arguments])
    return reader(hint)


def plain_mapping(value: dict[str, Any]) -> Any:
    """A mapping as records hold them."""
    from intaglio.core.record import frozen

    return frozen(value)


def is_callable(hint: Any) -> bool:
    """Whether a value of that type is a function, or may be one: it stays in its process."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(map(is_callable, arguments))
    if origin in _MAPPINGS:
        return is_callable(arguments[1])
    return origin is collections.abc.Callable


def hints_of(thing: Any) -> Mapping[str, Any]:
    """The type hints of a function or class, also of names that are imported for type checkers only."""
    return _hints_of(thing)


@cache
def _hints_of(thing: Any) -> Mapping[str, Any]:
    modules = [sys.modules[cls.__module__] for cls in getattr(thing, "__mro__", ()) if cls.__module__ != "builtins"]
    names: dict[str, Any] = {}
    for module in modules or [sys.modules[inspect.unwrap(thing).__module__]]:
        names |= _names_for_checkers(module)
    # A noun has methods called list and set; in its annotations these words mean the types.
    names |= {"list": builtins.list, "set": builtins.set}
    return typing.get_type_hints(thing, localns=names)


@cache
def _names_for_checkers(module: types.ModuleType) -> dict[str, Any]:
    """What a module imports under `if TYPE_CHECKING`."""
    found: dict[str, Any] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for line in node.body:
                if isinstance(line, ast.ImportFrom) and line.module:
                    source = importlib.import_module(line.module)
                    found |= {name.asname or name.name: getattr(source, name.name) for name in line.names}
    return found


@cache
def _sent(cls: Any) -> tuple[dataclasses.Field[Any], ...]:
    """The fields of a dataclass that can leave the process."""
    hints = hints_of(cls)
    return tuple(field for field in dataclasses.fields(cls) if not is_callable(hints[field.name]))


def sent_fields(cls: type[Any]) -> Mapping[str, Any]:
    """The names and types of those fields of a dataclass that can leave the process."""
    hints, fields = hints_of(cls), _sent(cls)  # type: ignore[arg-type]  # mypy doubts that a class can be hashed
    return {field.name: hints[field.name] for field in fields}


def _stays(*_: object, **__: object) -> NoReturn:
    raise TypeError("this function stayed in the process of the server")


def _dataclass(cls: type[Any]) -> Reader:
    # Made when it is first used: classes may hold themselves.
    readers: dict[str, Reader] = {}
    fields = {field.name: field for field in dataclasses.fields(cls)}
    missing = dataclasses.MISSING
    required = {n for n, f in fields.items() if f.default is missing and f.default_factory is missing}

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Refused("needs an object")
        if not readers:
            readers.update({name: wire_reader(hint) for name, hint in sent_fields(cls).items()})
        found = {}
        for name, item in value.items():
            if name not in readers:
                raise Refused("is unknown").inside(name)
            found[name] = _inside(name, readers[name], item)
        for name in sorted(required - found.keys()):
            if name in readers:
                raise Refused("is required").inside(name)
            found[name] = {} if _is_mapping(hints_of(cls)[name]) else _stays
        return cls(**found)

    return read


def _is_mapping(hint: Any) -> bool:
    return typing.get_origin(hint) in _MAPPINGS


def _inside(name: object, read: Reader, item: Any) -> Any:
    try:
        return read(item)
    except Refused as error:
        raise error.inside(name) from None


def _collection(item_reader: Reader, make: Callable[[Any], Any]) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise Refused("needs a list")
        return make([_inside(place, item_reader, item) for place, item in enumerate(value)])

    return read


def _tuple(arguments: tuple[Any, ...]) -> Reader:
    if arguments[1:] == (...,):
        return _collection(wire_reader(arguments[0]), tuple)
    readers = [wire_reader(each) for each in arguments]

    def read(value: Any) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) != len(readers):
            raise Refused(f"needs a list of {len(readers)}")
        return tuple(_inside(place, readers[place], item) for place, item in enumerate(value))

    return read


def _mapping(item_reader: Reader, make: Callable[[dict[str, Any]], Any]) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Refused("needs an object")
        return make({reader(str)(key): _inside(key, item_reader, item) for key, item in value.items()})

    return read


def _union(readers: list[Reader]) -> Reader:
    def read(value: Any) -> Any:
        refusals: list[Refused] = []
        for each in readers:
            try:
                return each(value)
            except Refused as error:
                refusals.append(error)
        # The one that got furthest into the value knows best what is wrong with it.
        raise max(refusals, key=lambda error: len(error.path))

    return read


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(reader(str)(value), validate=True)
    except (binascii.Error, ValueError):
        raise Refused("needs bytes in base64") from None


def _nothing(value: Any) -> None:
    if value is not None:
        raise Refused("needs nothing")


_PLAIN: Mapping[Any, Reader] = {
    Path: lambda value: Path(reader(str)(value)),
    bytes: _bytes,
    None: _nothing,
    types.NoneType: _nothing,
}

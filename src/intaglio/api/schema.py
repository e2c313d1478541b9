"""JSON Schemas (2020-12) of what goes over the wire, from the same declarations that read it."""

from __future__ import annotations

import collections.abc
import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from intaglio.api import describe, examples
from intaglio.core.canonical import LARGEST_EXACT
from intaglio.core.wire import hints_of, is_callable, to_wire

Schema = dict[str, Any]

_PLAIN: Mapping[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer", "minimum": -LARGEST_EXACT, "maximum": LARGEST_EXACT},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    Path: {"type": "string"},
    bytes: {"type": "string", "contentEncoding": "base64"},
    type(None): {"type": "null"},
    None: {"type": "null"},
    Any: {},
    object: {},
}
_TYPES = {str: "string", int: "integer", bool: "boolean"}
_LISTS = (
    list,
    set,
    frozenset,
    collections.abc.Sequence,
    collections.abc.Iterable,
    collections.abc.Collection,
)
_MAPPINGS = (dict, collections.abc.Mapping)
_UNIONS = (typing.Union, types.UnionType)


class Schemas:
    """The schemas of one OpenAPI document; those of classes are its components, by name."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}
        self._names: dict[Any, str] = {}

    def of(self, hint: Any) -> Schema:
        """The schema of a type."""
        if hint in _PLAIN:
            return dict(_PLAIN[hint])
        if dataclasses.is_dataclass(hint):
            return {"$ref": f"#/components/schemas/{self._component(hint)}"}
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is Literal:
            return _literal(arguments)
        if origin in _LISTS or (origin is tuple and arguments[1:] == (...,)):
            return {"type": "array", "items": self.of(arguments[0])}
        if origin is tuple:
            items = [self.of(each) for each in arguments]
            return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
        if origin in _MAPPINGS:
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        if origin in _UNIONS:
            return self._union(arguments)
        raise TypeError(f"no schema for {hint!r}")

    def _union(self, arguments: tuple[Any, ...]) -> Schema:
        found: list[Schema] = []
        for each in map(self.of, arguments):
            if each not in found:  # `str | Path` is one text
                found.append(each)
        return found[0] if len(found) == 1 else {"anyOf": found}

    def _component(self, cls: Any) -> str:
        if cls in self._names:
            return self._names[cls]
        name: str = cls.__name__
        if name in self.components:  # two classes of one name: the second says where it is from
            name = f"{cls.__module__.rpartition('.')[2].title().replace('_', '')}{name}"
        self._names[cls] = name
        self.components[name] = {}
        self.components[name] = self._object(cls)
        return name

    def _object(self, cls: Any) -> Schema:
        hints = hints_of(cls)
        properties, required = {}, []
        for field in dataclasses.fields(cls):
            if is_callable(hints[field.name]):
                continue
            schema = self.of(hints[field.name])
            words = describe.field(cls, field.name)
            properties[field.name] = _described(schema, words) | _default(field)
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                required.append(field.name)
        found: Schema = {
            "type": "object",
            "description": describe.summary(cls),
            "properties": properties,
            "additionalProperties": False,
        }
        if required:
            found["required"] = required
        example = examples.example(cls)
        return found if example is None else {**found, "examples": [example]}


def _described(schema: Schema, words: str) -> Schema:
    return {**schema, "description": words}


def _default(field: dataclasses.Field[Any]) -> Schema:
    if field.default is dataclasses.MISSING or isinstance(field.default, type):
        return {}
    return {"default": to_wire(field.default)}


def _literal(choices: tuple[Any, ...]) -> Schema:
    kinds = {type(choice) for choice in choices}
    schema: Schema = {"enum": list(choices)} if len(choices) > 1 else {"const": choices[0]}
    return {"type": _TYPES[kinds.pop()], **schema} if len(kinds) == 1 else schema

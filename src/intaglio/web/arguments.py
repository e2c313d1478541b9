"""From a request to the arguments of a verb: every value checked against its declared type, unknown ones refused."""

from __future__ import annotations

import collections.abc
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.datastructures import QueryParams

from intaglio.api.addresses import from_address
from intaglio.api.routes import Parameter, Route
from intaglio.core.errors import Invalid, InvalidRecord
from intaglio.core.wire import from_wire

_SEVERAL = (list, tuple, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
# As JSON has it: Python takes more for one (1_0, nan).
_NUMBER = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?")
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def arguments(route: Route, path: Mapping[str, str], query: QueryParams, body: Any) -> dict[str, Any]:
    """The arguments that a request gives. Raises Invalid, naming the parameter."""
    if not isinstance(body, dict):
        raise Invalid("the body is not a JSON object", hint='Send an object: {"name": value, ...}.')
    given: dict[str, Any] = {**path}
    at: dict[str, set[str]] = {"path": set(), "query": set(), "body": set()}
    for parameter in route.parameters.values():
        at[parameter.place].add(parameter.name)
    _known("query parameter", query.keys(), at["query"])
    _known("field", body.keys(), at["body"])
    for name in query:
        given[name] = _texts(name, route.parameters[name].hint, query.getlist(name))
    given |= body
    return {each.name: _value(each, given[each.name]) for each in route.parameters.values() if _is_given(each, given)}


def _known(what: str, names: typing.Iterable[str], known: set[str]) -> None:
    for name in names:
        if name not in known:
            there = f"There are: {', '.join(sorted(known))}." if known else "It takes none."
            raise Invalid(f"there is no {what} {name[:80]!r}", hint=there)


def _is_given(parameter: Parameter, given: Mapping[str, Any]) -> bool:
    if parameter.name in given:
        return True
    if parameter.required:
        raise Invalid(f"{parameter.name} is missing", hint=f"Give it in the {parameter.place}.")
    return False


def _value(parameter: Parameter, value: Any) -> Any:
    if parameter.place == "path":
        value = _texts(parameter.name, parameter.hint, [from_address(value)])
    try:
        return from_wire(parameter.hint, value)
    except InvalidRecord as error:
        dot = "" if str(error).startswith(("needs", "input", "is ", "holds")) else "."
        raise Invalid(f"{parameter.name}{dot or ' '}{error}", hint="") from error


def _texts(name: str, hint: Any, texts: Sequence[str]) -> Any:
    """The JSON value that texts in an address stand for."""
    hint = _without_none(hint)
    if typing.get_origin(hint) in _SEVERAL:
        return list(texts)
    if len(texts) > 1:
        raise Invalid(f"{name} is given {len(texts)} times", hint="Give it once.")
    text = texts[0]
    if hint is bool:
        if text.lower() not in _TRUTH:
            raise Invalid(f"{name} is {text[:40]!r}", hint="Give true or false.")
        return _TRUTH[text.lower()]
    if hint is int:
        digits = text.removeprefix("-")
        if not (digits.isdecimal() and digits.isascii() and len(digits) < 17):
            raise Invalid(f"{name} is {text[:40]!r}", hint="Give a whole number.")
        return int(text)
    if hint is float:
        return _number(name, text)
    return text


def _number(name: str, text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise Invalid(f"{name} is {text[:40]!r}", hint="Give a number.")
    return float(text)


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint
    left = [each for each in typing.get_args(hint) if each is not types.NoneType]
    return left[0] if len(left) == 1 else hint

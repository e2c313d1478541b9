"""How a record is declared: frozen for good, unknown fields refused, told apart by kind and format."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any, NoReturn, TypeVar, dataclass_transform

T = TypeVar("T")

_SCALARS = frozenset({str, int, float, bool, type(None)})

# Any JSON value. Canonical JSON refuses what is not one, so nothing else gets into a record.
Json = Any


class FrozenDict(dict[str, Any]):
    """A dict that nobody changes after it was made; JSON writers take it for the dict it is."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("records are never changed; make a new one")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none, because it can change; this cannot
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, Any]]]:
        return (FrozenDict, (dict(self),))


# The default of mapping fields.
EMPTY: Mapping[str, Any] = FrozenDict()

_LATER = "later"
_ALWAYS = object()


def later(default: Any) -> Any:
    """The default of a field that came after its format's first release: written only when it says something else.

    So a record from before keeps its digest when it is read and written again.
    """
    return dataclasses.field(default=default, metadata={_LATER: True})


def frozen(value: Any) -> Any:
    """`value` with every dict and list inside it made unchangeable."""
    if isinstance(value, FrozenDict):
        return value
    if isinstance(value, Mapping):
        return FrozenDict({key: frozen(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(frozen(item) for item in value)
    return value


def plain(value: Any) -> Any:
    """A record, or what is inside one, as plain JSON values."""
    if type(value) in _SCALARS:
        return value
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = ((name, getattr(value, name), silent) for name, silent in _fields_written(type(value)))
        return {name: plain(item) for name, item, silent in found if silent is _ALWAYS or item != silent}
    return value


@cache
def _field_names(cls: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))


@cache
def _fields_written(cls: type[Any]) -> tuple[tuple[str, Any], ...]:
    """Each field's name, and the value at which it is left out."""
    return tuple(
        (field.name, field.default if _LATER in field.metadata else _ALWAYS) for field in dataclasses.fields(cls)
    )


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record(cls: type[T]) -> type[T]:
    """Declare a record, or a part of one: a frozen, keyword-only dataclass whose containers are frozen too.

    A record that stands alone has the fields `kind` and `format`, both constants; a part has neither.
    """

    def freeze(self: Any) -> None:
        for name in _field_names(self.__class__):
            value = getattr(self, name)
            if isinstance(value, (dict, list, tuple)) and not isinstance(value, FrozenDict):
                object.__setattr__(self, name, frozen(value))

    # `codec` makes JSON Schemas of records with pydantic; it allows unknown fields unless it is told not to.
    cls.__pydantic_config__ = {"extra": "forbid", "strict": True}  # type: ignore[attr-defined]
    cls.__post_init__ = freeze  # type: ignore[attr-defined]
    return dataclasses.dataclass(frozen=True, kw_only=True)(cls)

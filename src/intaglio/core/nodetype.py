"""What a node can be, read from the signature of the function that does its work.

Before `*` stand the inputs, which arrive over edges; after it the parameters, which become form fields. A parameter of
type `ModelFile` names a model, one of type `Image` a reference picture; `seed` present means that the node draws.
"""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from intaglio.core.context import ModelFile
from intaglio.core.image import Image

Role = Literal["work", "form", "version", "output"]
REQUIRED = inspect.Parameter.empty
MAX_TEXT = 4 * 2**20


@dataclass(frozen=True)
class Interval:
    """Bounds of a number, each end included; None leaves an end open."""

    ge: float | None = None
    le: float | None = None


@dataclass(frozen=True)
class ModelKind:
    """Which kind of model a `ModelFile` parameter takes."""

    kind: str


@dataclass(frozen=True)
class FromModel:
    """The default is what the node's model says of itself under this name (its native width, its scheduler)."""

    name: str


@dataclass(frozen=True)
class Settle:
    """The value is settled while planning by the rule of this name ("device": auto becomes cuda or cpu)."""

    by: str


@dataclass(frozen=True)
class Port:
    """An input or an output of a node type; `type` is "image"."""

    name: str
    type: str
    optional: bool = False


@dataclass(frozen=True)
class Param:
    """A parameter: its type, default and bounds, and where a missing value comes from.

    `type` is "integer", "number", "boolean", "string", "model" or "image" (a reference picture, given as a path).
    """

    name: str
    type: str
    default: Any = REQUIRED
    ge: float | None = None
    le: float | None = None
    choices: tuple[str, ...] = ()
    model_kind: str = ""
    from_model: str = ""
    settled_by: str = ""
    doc: str = ""

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is REQUIRED

    def check(self, value: object) -> Any:
        """`value` as the function takes it (an int for a number becomes a float). Raises ValueError in plain words."""
        match self.type:
            case "boolean":
                if not isinstance(value, bool):
                    raise ValueError(f"needs true or false, not {_shown(value)}")
            case "integer" | "number":
                value = self._number(value)
            case _:
                self._text(value)
        if self.choices and value not in self.choices:
            raise ValueError(f"{_shown(value)} is not one of: {', '.join(self.choices)}")
        return value

    def _number(self, value: object) -> int | float:
        whole = self.type == "integer"
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise ValueError(f"needs a {'whole ' if whole else ''}number, not {_shown(value)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{value} is not a number one can use")
        if (self.ge is not None and value < self.ge) or (self.le is not None and value > self.le):
            raise ValueError(f"{_shown(value)} is out of range ({self.bounds})")
        # + 0.0 turns -0.0 into 0.0: the written form of a record does not tell them apart.
        return value if whole else float(value) + 0.0

    def _text(self, value: object) -> None:
        if not isinstance(value, str):
            raise ValueError(f"needs text, not {_shown(value)}")
        if len(value) > MAX_TEXT:
            raise ValueError(f"is {len(value)} characters long; the limit is {MAX_TEXT}")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"holds half a character at position {error.start} (a lone surrogate)") from error

    @property
    def bounds(self) -> str:
        """The range in words, "" when there is none."""
        if self.ge is not None and self.le is not None:
            return f"{self.ge:g} to {self.le:g}"
        if self.ge is not None:
            return f"at least {self.ge:g}"
        return f"at most {self.le:g}" if self.le is not None else ""


@dataclass(frozen=True)
class NodeType:
    """A node type: its declaration, and the function that does the work."""

    name: str
    version: int
    function: Callable[..., Any] = field(repr=False)
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    params: tuple[Param, ...]
    draws: bool
    batch: bool
    role: Role
    doc: str

    def param(self, name: str) -> Param | None:
        """The parameter of that name, or None."""
        return next((param for param in self.params if param.name == name), None)


class NodeTypes(Mapping[str, NodeType]):
    """The node types at hand: by name the newest version, by `exact` any version that is still there."""

    def __init__(self, found: Iterable[NodeType]) -> None:
        self._exact: dict[tuple[str, int], NodeType] = {}
        self._newest: dict[str, NodeType] = {}
        for node_type in found:
            if (node_type.name, node_type.version) in self._exact:
                raise ValueError(f"node type {node_type.name}@{node_type.version} is declared twice")
            self._exact[node_type.name, node_type.version] = node_type
            newest = self._newest.get(node_type.name)
            if newest is None or node_type.version > newest.version:
                self._newest[node_type.name] = node_type

    def __getitem__(self, name: str) -> NodeType:
        return self._newest[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._newest))

    def __len__(self) -> int:
        return len(self._newest)

    def exact(self, name: str, version: int) -> NodeType | None:
        """The node type of that name and version, or None."""
        return self._exact.get((name, version))


def node_type(
    name: str, *, version: int, batch: bool = False, role: Role = "work"
) -> Callable[[Callable[..., Any]], NodeType]:
    """Declare a node type by the signature of its function; the name is what workflows say.

    `batch`: the node takes a `count`. Raises TypeError when the signature cannot be a declaration.
    """

    def declare(function: Callable[..., Any]) -> NodeType:
        hints = typing.get_type_hints(function, include_extras=True)
        signature = inspect.signature(function)
        positional = [p for p in signature.parameters.values() if p.kind is not p.KEYWORD_ONLY]
        keyword = [p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
        return NodeType(
            name=name,
            version=version,
            function=function,
            inputs=tuple(_port(p.name, hints[p.name]) for p in positional[1:]),
            outputs=_outputs(hints["return"]),
            params=tuple(_param(p.name, hints[p.name], p.default) for p in keyword if p.name != "seed"),
            draws=any(p.name == "seed" for p in keyword),
            batch=batch,
            role=role,
            doc=inspect.getdoc(function) or "",
        )

    return declare


_SCALARS = {int: "integer", float: "number", bool: "boolean", str: "string", ModelFile: "model", Image: "image"}


def _port(name: str, hint: Any) -> Port:
    base, _ = _unwrap(hint)
    optional = typing.get_origin(base) in (typing.Union, types.UnionType) and type(None) in typing.get_args(base)
    if optional:
        base = next(arg for arg in typing.get_args(base) if arg is not type(None))
    if base is not Image:
        raise TypeError(f"{name}: an edge carries an Image, not {base!r}")
    return Port(name, "image", optional)


def _outputs(hint: Any) -> tuple[Port, ...]:
    fields = getattr(hint, "_fields", None)
    if fields:  # a NamedTuple: one output for each field
        return tuple(_port(name, typing.get_type_hints(hint)[name]) for name in fields)
    return (_port("image", hint),)


def _param(name: str, hint: Any, default: Any) -> Param:
    base, extras = _unwrap(hint)
    choices: tuple[str, ...] = ()
    if typing.get_origin(base) is Literal:
        choices, base = typing.get_args(base), str
    if base not in _SCALARS:
        raise TypeError(f"{name}: {base!r} cannot be a parameter")
    found: dict[type, Any] = {type(extra): extra for extra in extras}
    interval: Interval = found.get(Interval, Interval())
    return Param(
        name=name,
        type=_SCALARS[base],
        default=default,
        ge=interval.ge,
        le=interval.le,
        choices=choices,
        model_kind=found[ModelKind].kind if ModelKind in found else "",
        from_model=found[FromModel].name if FromModel in found else "",
        settled_by=found[Settle].by if Settle in found else "",
        doc=found.get(str, ""),
    )


def _unwrap(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    if typing.get_origin(hint) is Annotated:
        base, *extras = typing.get_args(hint)
        return base, tuple(extras)
    return hint, ()


def _shown(value: object, limit: int = 60) -> str:
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= limit else text[:limit] + "..."

"""What a node can be, read from the signature of the function that does its work.

Before `*` stand the inputs, which arrive over edges; after it the parameters, which become form fields. A parameter of
type `ModelFile` names a model (`ModelFile | None = None` one that may be left out), `tuple[Lora, ...]` several with a
weight each, `tuple[Embedding, ...]` several with a token each; one of type `Image` is a reference picture. `seed`
present means that the node draws.
"""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from intaglio.core import entries
from intaglio.core.context import Embedding, Lora, ModelFile
from intaglio.core.image import Image
from intaglio.core.record import Json, plain

Role = Literal["work", "form", "version", "output"]
REQUIRED = inspect.Parameter.empty
MAX_TEXT = 4 * 2**20

# Takes the parameters a step recorded under one version of a node type to those of the next that mean exactly what
# they meant then; a ValueError says why there are none.
Migration = Callable[[dict[str, Json]], dict[str, Json]]


@dataclass(frozen=True)
class Interval:
    """Bounds of a number, each end included; None leaves an end open."""

    ge: float | None = None
    le: float | None = None


@dataclass(frozen=True)
class ModelKind:
    """Which kind of model a parameter takes."""

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

    `type` is "integer", "number", "boolean", "string", "model", "loras" or "embeddings" (several models; the bounds are
    those of a weight), or "image" (a reference picture, given as a path).
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

    @property
    def several(self) -> bool:
        """Whether it takes several models."""
        return self.type in entries.WORDS

    def check(self, value: object) -> Any:
        """`value` as the function takes it: an int for a number becomes a float, a list of models their entries.

        Raises ValueError in plain words.
        """
        if self.several:
            return entries.parse_entries(self.type, value, self._number)
        if value is None and self.default is None:
            return None
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

    def check_recorded(self, value: object) -> Any:
        """`value` as a step records it: as `check`, and of several models the weights or tokens. Raises ValueError."""
        return entries.check_words(self.type, value, self._number) if self.several else self.check(value)

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
    """A node type: its declaration, and the function that does the work.

    `migrations` lead from a version to the next one. `together` are names of parameters and inputs that are given all
    or none. `deterministic` is False for a type whose pictures its seed and inputs do not decide; `networked` is True
    for one that asks a service.
    """

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
    migrations: Mapping[int, Migration] = field(default_factory=dict, repr=False)
    together: tuple[tuple[str, ...], ...] = ()
    deterministic: bool = True
    networked: bool = False

    def param(self, name: str) -> Param | None:
        """The parameter of that name, or None."""
        return next((param for param in self.params if param.name == name), None)

    def runs(self, version: int) -> bool:
        """Whether it can run what was recorded under `version` of it: the same one, or migrations lead here."""
        return version <= self.version and all(number in self.migrations for number in range(version, self.version))

    def migrate(self, version: int, params: Mapping[str, Json]) -> dict[str, Json]:
        """The parameters that a step recorded under `version`, as this version takes them.

        Raises ValueError saying why nothing here means what they meant.
        """
        values: dict[str, Json] = plain(params)
        for number in range(version, self.version):
            try:
                values = self.migrations[number](values)
            except ValueError:
                raise
            except Exception as error:
                # Somebody else's code on a record of any age: whatever it raises is a reason, never a traceback.
                raise ValueError(f"its migration failed: {type(error).__name__}: {error}") from error
        if version != self.version:
            self._check_migrated(values)
        return values

    def _check_migrated(self, values: Mapping[str, Json]) -> None:
        declared = {param.name: param for param in self.params if param.type not in ("model", "image")}
        for name in sorted(declared.keys() ^ values.keys()):
            raise ValueError(f"its migration {'leaves out' if name in declared else 'makes up'} the parameter {name!r}")
        for name, param in declared.items():
            try:
                param.check_recorded(values[name])
            except ValueError as error:
                raise ValueError(f"parameter {name!r}: {error}") from error


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

    def meaning(self, name: str, version: int) -> NodeType | None:
        """The type that runs what was recorded as name@version: that very one, else the newest if its migrations lead
        there, else None."""
        newest = self._newest.get(name)
        return self.exact(name, version) or (newest if newest is not None and newest.runs(version) else None)


def node_type(
    name: str,
    *,
    version: int,
    batch: bool = False,
    role: Role = "work",
    migrations: Mapping[int, Migration] | None = None,
    together: Sequence[tuple[str, ...]] = (),
    deterministic: bool = True,
    networked: bool = False,
) -> Callable[[Callable[..., Any]], NodeType]:
    """Declare a node type by the signature of its function; the name is what workflows say.

    `batch`: the node takes a `count`. `migrations[n]` takes the parameters of version n to those of n + 1; inputs and
    outputs keep their names over it. Raises TypeError when the signature cannot be a declaration.
    """

    def declare(function: Callable[..., Any]) -> NodeType:
        hints = typing.get_type_hints(function, include_extras=True)
        signature = inspect.signature(function)
        positional = [p for p in signature.parameters.values() if p.kind is not p.KEYWORD_ONLY]
        keyword = [p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
        declared = NodeType(
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
            migrations=dict(migrations or {}),
            together=tuple(together),
            deterministic=deterministic,
            networked=networked,
        )
        _check_declared(declared)
        return declared

    return declare


def _check_declared(declared: NodeType) -> None:
    """Raises TypeError for a migration from no earlier version, or names that belong together and are not there."""
    for number in declared.migrations:
        if not 1 <= number < declared.version:
            raise TypeError(f"{declared.name}@{declared.version}: there is no migration from version {number}")
    known = {port.name for port in declared.inputs} | {param.name for param in declared.params}
    for name in (name for group in declared.together for name in group):
        if name not in known:
            raise TypeError(f"{declared.name}: {name!r} is neither an input nor a parameter")


_SCALARS: dict[Any, str] = {
    int: "integer",
    float: "number",
    bool: "boolean",
    str: "string",
    ModelFile: "model",
    tuple[Lora, ...]: "loras",
    tuple[Embedding, ...]: "embeddings",
    Image: "image",
}


def _port(name: str, hint: Any) -> Port:
    base, optional = _or_none(_unwrap(hint)[0])
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
    if default is None and _or_none(base) == (ModelFile, True):
        base = ModelFile
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


def _or_none(hint: Any) -> tuple[Any, bool]:
    """A type without its `| None`, and whether it had one."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType) and type(None) in typing.get_args(hint):
        return next(arg for arg in typing.get_args(hint) if arg is not type(None)), True
    return hint, False


def _unwrap(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    if typing.get_origin(hint) is Annotated:
        base, *extras = typing.get_args(hint)
        return base, tuple(extras)
    return hint, ()


def _shown(value: object, limit: int = 60) -> str:
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= limit else text[:limit] + "..."

"""What a node can be, read from the signature of the function that does its work.

Before `*` stand the inputs, which arrive over edges; after it the parameters, which become form fields. A parameter of
type `ModelFile` names a model (`ModelFile | None = None` one that may be left out), `tuple[Lora, ...]` several with a
weight each, `tuple[Embedding, ...]` several with a token each; one of type `Image` is a reference picture. A `Fraction`
is a number kept exactly ("24000/1001"). `seed` present means that the node draws.

An input of type `Image` or `Video` works on one at a time; `Media` takes either and hands it on; `tuple[Image, ...]`
gathers all the pictures of its sources, in order.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Annotated, Any, Literal

from intaglio.core.context import Embedding, Lora, ModelFile
from intaglio.core.image import Image
from intaglio.core.param import Param
from intaglio.core.record import Json, plain
from intaglio.core.video import Media, Video

Role = Literal["work", "form", "version", "output"]
PortType = Literal["image", "video", "media", "images"]

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
class Rule:
    """What a text has to be: `check` raises ValueError in plain words for one that it is not."""

    check: Callable[[str], object]


@dataclass(frozen=True)
class Port:
    """An input or an output of a node type.

    `type` is "image", "video" or "media" (either of them; an output of that type hands on what the input of that type
    got). An input of type "images" gathers: it gets every picture of its sources at once.
    """

    name: str
    type: PortType
    optional: bool = False

    @property
    def gathers(self) -> bool:
        """Whether it takes all the pictures of its sources at once."""
        return self.type == "images"

    def takes(self, kind: str) -> bool:
        """Whether what comes over an edge, of kind "image" or "video", may go in here."""
        return kind in {"media": ("image", "video"), "images": ("image",)}.get(self.type, (self.type,))


@dataclass(frozen=True)
class NodeType:
    """A node type: its declaration, and the function that does the work.

    `migrations` lead from a version to the next one. `together` are names of parameters and inputs that are given all
    or none. `deterministic` is False for a type whose pictures its seed and inputs do not decide; `networked` is True
    for one that asks a service; `encodes_video` for one whose output is what a video encoder makes of it.
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
    encodes_video: bool = False

    def port(self, name: str) -> Port | None:
        """The input of that name, or None."""
        return next((port for port in self.inputs if port.name == name), None)

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
    encodes_video: bool = False,
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
            inputs=tuple(_input(p.name, hints[p.name]) for p in positional[1:]),
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
            encodes_video=encodes_video,
        )
        _check_declared(declared)
        return declared

    return declare


def _check_declared(declared: NodeType) -> None:
    """Raises TypeError for a migration from no earlier version, names that belong together and are not there, or an
    output that hands on nobody knows what."""
    for number in declared.migrations:
        if not 1 <= number < declared.version:
            raise TypeError(f"{declared.name}@{declared.version}: there is no migration from version {number}")
    known = {port.name for port in declared.inputs} | {param.name for param in declared.params}
    for name in (name for group in declared.together for name in group):
        if name not in known:
            raise TypeError(f"{declared.name}: {name!r} is neither an input nor a parameter")
    handed_on = [port for port in declared.inputs if port.type == "media"]
    if any(port.type == "media" for port in declared.outputs) and len(handed_on) != 1:
        raise TypeError(f"{declared.name}: it hands on what it gets, so it needs one input of type Media")


_SCALARS: dict[Any, str] = {
    int: "integer",
    float: "number",
    bool: "boolean",
    str: "string",
    Fraction: "rational",
    ModelFile: "model",
    tuple[Lora, ...]: "loras",
    tuple[Embedding, ...]: "embeddings",
    Image: "image",
}


_PORTS: dict[Any, PortType] = {Image: "image", Video: "video", Media: "media"}
_GATHERED = tuple[Image, ...]


def _input(name: str, hint: Any) -> Port:
    base, optional = _or_none(_unwrap(hint)[0])
    if base == _GATHERED:
        return Port(name, "images", optional)
    return _port(name, hint)


def _port(name: str, hint: Any) -> Port:
    base, optional = _or_none(_unwrap(hint)[0])
    if base not in _PORTS:
        raise TypeError(f"{name}: an edge carries an Image or a Video, not {base!r}")
    return Port(name, _PORTS[base], optional)


def _outputs(hint: Any) -> tuple[Port, ...]:
    fields = getattr(hint, "_fields", None)
    if fields:  # a NamedTuple: one output for each field
        return tuple(_port(name, typing.get_type_hints(hint)[name]) for name in fields)
    # What may be either keeps the name it had when there were only pictures: records name it.
    return (_port("video" if hint is Video else "image", hint),)


def _param(name: str, hint: Any, default: Any) -> Param:
    base, extras = _unwrap(hint)
    if default is None and _or_none(base) == (ModelFile, True):
        base = ModelFile
    choices: tuple[str, ...] = ()
    if typing.get_origin(base) is Literal:
        choices, base = typing.get_args(base), str
    if base is Fraction and isinstance(default, Fraction):
        default = str(default)  # as a step records it
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
        rule=found[Rule].check if Rule in found else None,
    )


def _or_none(hint: Any) -> tuple[Any, bool]:
    """A type without its `| None`, and whether it had one."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType) and type(None) in typing.get_args(hint):
        return typing.Union[tuple(arg for arg in typing.get_args(hint) if arg is not type(None))], True  # noqa: UP007
    return hint, False


def _unwrap(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    if typing.get_origin(hint) is Annotated:
        base, *extras = typing.get_args(hint)
        return base, tuple(extras)
    return hint, ()

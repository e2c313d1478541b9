"""The nouns of a studio behind a server: each verb makes the request that the table of routes says it is."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from intaglio.api.addresses import in_address
from intaglio.api.routes import BY_VERB, COMPANIONS, PLACES, Route, noun_class
from intaglio.client import files
from intaglio.client.connection import Connection, Hear
from intaglio.core.errors import IntaglioError, InvalidRecord, NotFound, ServerGone
from intaglio.core.job import Job
from intaglio.core.nodetype import NodeType
from intaglio.core.wire import from_wire, hints_of, to_wire
from intaglio.studio.files import UPLOAD_FIRST, expanded

# Parameters that may name a folder of this machine; any other names a file, or something in the library.
FOLDERS = frozenset({"path", "config"})


class Noun:
    """One noun; its verbs are those of the local one, and give the same types."""

    def __init__(self, line: Connection, noun: str) -> None:
        self._line = line
        self._noun = noun

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        route = BY_VERB.get(f"{self._noun}.{name}")
        if route is not None:
            return partial(self._call, route)
        if hasattr(noun_class(self._noun), name):
            raise IntaglioError(
                f"studio.{self._noun}.{name} works on files of the library's own machine",
                hint="Use it there: intaglio.open(PATH).",
            )
        raise AttributeError(f"a studio's {self._noun} have no {name!r}")

    def _call(self, route: Route, /, *positional: Any, **named: Any) -> Any:
        names: dict[str, str] = {}
        try:
            return self._called(route, bound(route, positional, named), names)
        except IntaglioError as error:
            if isinstance(error, NotFound) and error.hint == UPLOAD_FIRST:  # it would have been, had it been there
                error.hint = NotFound(error.kind, "").hint
            vars(error).update(files.renamed(vars(error), names))
            error.args = files.renamed(error.args, names)
            raise

    def _called(self, route: Route, given: dict[str, Any], names: dict[str, str]) -> Any:
        ears = {name: given.pop(name) for name in COMPANIONS & given.keys()}
        folder = given.pop(route.folder or "to", None) if route.folder or "to" in route.aside else None
        for name in route.aside:
            given.pop(name, None)
        words = {
            name: to_wire(self._sent(route, name, value, names)) for name, value in given.items() if value is not None
        }
        path, query, body = addressed(route, words)
        if folder is not None:
            return self._with_files(route, path, query, body, expanded(folder), partial(_told, route, ears))
        answer = self._line.ask(route.method, path, query=query, body=body, hear=partial(_told, route, ears))
        if route.work:
            from intaglio.client.jobs import finished

            answer = finished(self._line, from_wire(Job, answer), route, ears)
        return self._read(route, files.renamed(answer, names))

    def _sent(self, route: Route, name: str, value: Any, names: dict[str, str]) -> Any:
        """An argument, with the files of this machine that it names sent first."""
        hint = str(route.parameters[name].hint) if name in route.parameters else ""
        if "Workflow" in hint and not isinstance(value, (list, tuple)):
            return files.workflow_of(self._line, value, lambda: self._images)
        if name in ("set", "changes") and not isinstance(value, str):
            pictures = set().union(*self._images.values())
            return [files.setting_of(self._line, each, pictures) for each in value]
        if "Path" not in hint and f"{route.noun}.{name}" != "assets.reference":
            return value
        if isinstance(value, (str, Path)):
            return files.sent(self._line, value, names, folders=name in FOLDERS)
        return [files.sent(self._line, each, names, folders=name in FOLDERS) for each in value]

    @cached_property
    def _images(self) -> Mapping[str, set[str]]:
        """By node type, the parameters that are reference pictures."""
        types = from_wire(list[NodeType], self._line.ask("GET", "/api/nodes")["items"])
        return {each.name: {param.name for param in each.params if param.type == "image"} for each in types}

    def _with_files(self, route: Route, path: str, query: Any, body: Any, folder: Path, hear: Hear) -> Any:
        """A call that writes files: they come in a zip, with what the verb gives beside them."""
        written, result = files.fetched(self._line, route.method, path, query, body, folder, hear)
        if route.folder:
            return written
        return self._read(route, json.loads(result, object_hook=partial(_placed, folder)))

    def _read(self, route: Route, value: Any) -> Any:
        try:
            return from_wire(route.result, unnamed(route, value))
        except InvalidRecord as error:
            raise ServerGone(
                f"the server's answer is not what this version understands: {error}",
                hint="Use the same version of Intaglio on both sides.",
            ) from error


def bound(route: Route, positional: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name, as Python would bind them. Raises TypeError."""
    call = inspect.signature(route.function).bind(None, *positional, **named)
    return dict(list(call.arguments.items())[1:])


def addressed(route: Route, words: Mapping[str, Any]) -> tuple[str, dict[str, Any], Any]:
    """The address, query and body that carry these arguments."""
    in_path = PLACES.findall(route.path)
    path = "/api" + PLACES.sub(lambda found: in_address(words[found[1]], parts=":" in found[0]), route.path)
    rest = {name: value for name, value in words.items() if name not in in_path}
    if route.method == "GET":
        return path, {name: _in_query(value) for name, value in rest.items()}, None
    return path, {}, rest


def _told(route: Route, ears: Mapping[str, Any], name: str, words: list[Any]) -> None:
    """Call the callback of a name with what its verb told."""
    ear = ears.get(name)
    if ear is not None:
        takes = typing.get_args(hints_of(route.function)[name])[0]
        ear(*(from_wire(each, word) for each, word in zip(takes, words, strict=True)))


def unnamed(route: Route, value: Any) -> Any:
    """An answer in the shape that the verb gives: without pages, and with tuples for what has named members."""
    if isinstance(value, dict) and value.keys() == {"items", "next"}:
        value = value["items"]
        return [_members(route, item) for item in value] if route.names else value
    return _members(route, value) if route.names else value


def _members(route: Route, item: Any) -> Any:
    return [item[name] for name in route.names]


def _in_query(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _placed(folder: Path, found: dict[str, Any]) -> dict[str, Any]:
    """What was written, where it lies on this machine."""
    if isinstance(found.get("written"), list):
        found["written"] = [str(folder / name) for name in found["written"]]
    return found

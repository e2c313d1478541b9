"""The verbs that take long and are not simply one task: a worker carries out calls of them, as jobs."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

from intaglio.core.errors import Invalid, InvalidRecord
from intaglio.core.record import Json
from intaglio.core.wire import from_wire, hints_of

VERBS = frozenset(
    {
        "versions.reproduce",
        "versions.bisect",
        "versions.reindex",
        "variations.walk",
        "variations.sweep",
        "variations.ab",
        "variations.interpolate",
        "variations.more",
        "variations.resume",
        "models.add",
        "models.scan",
        "models.hash_pending",
        "models.verify",
        "models.verify_all",
        "models.envelope",
        "models.keep",
        "models.restore",
        "library.check",
        "library.gc",
        "library.heal",
        "library.lost",
    }
)


def check_call(verb: str, arguments: Mapping[str, Json]) -> None:
    """Raises Invalid for a verb that is no job, and for arguments that it does not take."""
    if verb not in VERBS:
        raise Invalid(f"{verb[:80]!r} is no job", hint=f"There are: {', '.join(sorted(VERBS))}.")
    function = method(verb)
    hints, parameters = hints_of(function), list(inspect.signature(function).parameters.values())[1:]
    known = {parameter.name: parameter for parameter in parameters}
    for name, value in arguments.items():
        if name not in known:
            raise Invalid(f"{verb} takes no {name[:80]!r}", hint=f"It takes: {', '.join(known)}.")
        hint = hints[name]
        if known[name].kind is inspect.Parameter.VAR_POSITIONAL:
            hint = cast(Any, tuple)[hint, ...]
        try:
            from_wire(hint, value)
        except (InvalidRecord, TypeError) as error:
            raise Invalid(f"{verb}, {name}: {error}", hint="Correct it there.") from error
    for name, parameter in known.items():
        if parameter.default is parameter.empty and not parameter.kind.name.startswith("VAR") and name not in arguments:
            raise Invalid(f"{verb} needs {name!r}", hint=f"It takes: {', '.join(known)}.")


def method(verb: str) -> Callable[..., Any]:
    """The method of a noun that a verb is."""
    noun, _, name = verb.partition(".")
    cls = getattr(importlib.import_module(f"intaglio.studio.{noun}"), noun.capitalize())
    found: Callable[..., Any] = getattr(cls, name)
    return found

"""What an error knows beside its words, as JSON values: for records and for answers of a server."""

from __future__ import annotations

import math
from collections.abc import Mapping

from intaglio.core.errors import IntaglioError
from intaglio.core.record import Json, plain

_PLACED = ("step", "field", "way_on")


def facts(error: IntaglioError) -> dict[str, Json]:
    """What an error knows, by the names its class gives them; where it happened only when that is known."""
    own = {name: value for name, value in vars(error).items() if name != "hint" and not name.startswith("_")}
    placed = {name: value for name in _PLACED if (value := own.pop(name, getattr(error, name)))}
    return {name: _jsonable(value) for name, value in {**placed, **own}.items()}


def _jsonable(value: object) -> Json:
    """A fact as JSON; what is none is said in words."""
    value = plain(value)
    if isinstance(value, Mapping):
        return {str(key): _jsonable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_jsonable(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, (str, int, float, type(None))) else str(value)

"""What a server answers when it does not do something, as the error that a local studio would raise."""

from __future__ import annotations

from typing import Any

from intaglio.core import errors
from intaglio.core.errors import IntaglioError, InvalidRecord
from intaglio.core.grade import Grade
from intaglio.core.record import plain
from intaglio.core.task import Failure
from intaglio.core.wire import from_wire

_CLASSES: dict[str, type[IntaglioError]] = {
    cls.code: cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, IntaglioError)
}


def error_of(code: str, message: str, hint: str, facts: dict[str, Any]) -> IntaglioError:
    """The error with that code; one that this version does not know is a plain IntaglioError that says the same."""
    cls = _CLASSES.get(code, IntaglioError)
    found = cls.__new__(cls)
    found.args = (message,)
    if cls is IntaglioError:
        found.code = code
    found.hint = hint
    for name, value in facts.items():
        setattr(found, name, _fact(name, value))
    return found


def failure(error: Failure) -> IntaglioError:
    """The error that ended a task or job."""
    found = error_of(error.code, error.message, error.hint, plain(error.facts))
    found.step = error.step
    return found


def _fact(name: str, value: Any) -> Any:
    if name == "grade":
        try:
            return from_wire(Grade, value)
        except InvalidRecord:
            return None
    return tuple(value) if isinstance(value, list) else value

"""What is tried again by itself, when, and how often."""

from __future__ import annotations

from intaglio.core.errors import (
    BackendMissing,
    CannotReproduce,
    Damaged,
    IntaglioError,
    LibraryTooNew,
    ModelUnavailable,
    Unavailable,
)

# A task is tried so often without getting a step further; then it has failed.
MAX_TRIES = 3
# Seconds to wait after the first try, the second, and every later one.
_DELAYS = (1.0, 5.0, 30.0)
# What is not usable now, and will not be by itself.
_LASTING = (ModelUnavailable, Damaged, LibraryTooNew, BackendMissing, CannotReproduce)


def is_transient(error: IntaglioError) -> bool:
    """Whether the same may go well a little later, with nobody doing anything."""
    return isinstance(error, Unavailable) and not isinstance(error, _LASTING)


def delay(tries: int) -> float:
    """How many seconds to wait after so many tries in a row that went wrong."""
    return _DELAYS[min(max(tries, 1), len(_DELAYS)) - 1]


def again_in(error: IntaglioError, tries: int) -> float | None:
    """In how many seconds to try again what was tried `tries` times and ended in `error`; None when it has failed."""
    return delay(tries) if is_transient(error) and tries < MAX_TRIES else None

"""Seeds: what may be asked, what runs, and how one is drawn. Always integers from 0 to 2^64-1, written in decimal."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Literal

from intaglio.core.errors import Invalid, InvalidSeed
from intaglio.core.record import record

LARGEST = 2**64 - 1
FIRST_IN_SEQUENCE = 1001
Origin = Literal["fixed", "pinned", "drawn", "derived"]
POLICIES = ("random", "date", "sequence")


@record
class ExecutedSeed:
    """The seed a step runs with and where it came from.

    fixed: typed by a person. pinned: captured on approval. drawn: nobody had chosen one. derived: the node's seed plus
    the picture's place in its batch.
    """

    value: str
    origin: Origin

    @property
    def number(self) -> int:
        """The seed as an integer."""
        return int(self.value)


def parse_seed(value: object) -> int | None:
    """A seed as a person gives it: an integer, decimal digits, or nothing. None means "draw one"; so does 0.

    Raises InvalidSeed for anything else (negative, fractional, a word, beyond 2^64-1).
    """
    if value is None or value == "":
        return None
    number = exact_seed(value)
    return number or None


def exact_seed(value: object) -> int:
    """A seed that is one: 0 stays 0. Raises InvalidSeed."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= len(str(LARGEST)):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidSeed(f"{_shortened(value)} is not a seed")
    if not 0 <= value <= LARGEST:
        raise InvalidSeed(f"seed {_shortened(value)} is out of range")
    return value


def _shortened(value: object, limit: int = 40) -> str:
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**limit else f"{value.bit_length()}-bit number"
    return text if len(text) <= limit else text[:limit] + "..."


def derive(seed: int, index: int) -> int:
    """The seed of picture `index` of a batch: the node's seed plus its place, past 2^64-1 from 0 again."""
    return (seed + index) % (LARGEST + 1)


def draw_random() -> int:
    """A seed from the operating system's source, 1 to 2^32-1.

    32 bits, because that is what every tool takes (AUTOMATIC1111 and InvokeAI stop there) and all that torch's CPU
    generator looks at.
    """
    return secrets.randbelow(2**32 - 1) + 1


def draw_by_date(now: datetime) -> int:
    """A seed one can read: year, month, day, hour, minute, second, then four random digits."""
    return int(now.strftime("%Y%m%d%H%M%S")) * 10_000 + secrets.randbelow(10_000)


def drawer(policy: str, *, now: Callable[[], datetime], next_in_sequence: Callable[[], int]) -> Callable[[], int]:
    """The function that draws seeds under `policy` ("random", "date" or "sequence"). Raises Invalid for another."""
    match policy:
        case "random":
            return draw_random
        case "date":
            return lambda: draw_by_date(now())
        case "sequence":
            return next_in_sequence
    raise Invalid(f"no way to draw seeds is called {policy!r}", hint=f"Choose one of: {', '.join(POLICIES)}.")

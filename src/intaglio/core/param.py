"""A parameter of a node type: which values it takes, and how each is written in a record."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from intaglio.core import entries

REQUIRED = inspect.Parameter.empty
MAX_TEXT = 4 * 2**20

_RATIONAL = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6}|/[0-9]{1,9})?", re.ASCII)


@dataclass(frozen=True)
class Param:
    """A parameter: its type, default and bounds, and where a missing value comes from.

    `type` is "integer", "number", "rational" (a fraction in lowest terms, as text), "boolean", "string", "model",
    "loras" or "embeddings" (several models; the bounds are those of a weight), or "image" (a reference picture, given
    as a path).
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
    rule: Callable[[str], object] | None = field(default=None, repr=False)

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
            case "rational":
                value = self._rational(value)
            case _:
                self._text(value)
                if self.rule is not None and isinstance(value, str):
                    self.rule(value)
        if self.choices and value not in self.choices:
            raise ValueError(f"{_shown(value)} is not one of: {', '.join(self.choices)}")
        return value

    def check_recorded(self, value: object) -> Any:
        """`value` as a step records it: as `check`, and of several models the weights or tokens. Raises ValueError."""
        return entries.check_words(self.type, value, self._number) if self.several else self.check(value)

    def _rational(self, value: object) -> str:
        """The one way in which a fraction is written: in lowest terms, "24" or "24000/1001"."""
        written = str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
        # Longer ones are refused before they are read: "1e999999999" would fill the memory.
        if not isinstance(written, str) or not _RATIONAL.fullmatch(written):
            raise ValueError(
                f'needs a number of at most 6 decimals or a fraction like "24000/1001", not {_shown(value)}'
            )
        try:
            exact = Fraction(written)
        except ZeroDivisionError as error:
            raise ValueError(f"{_shown(value)} divides by zero") from error
        if (self.ge is not None and exact < self.ge) or (self.le is not None and exact > self.le):
            raise ValueError(f"{_shown(value)} is out of range ({self.bounds})")
        return str(exact)

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


def _shown(value: object, limit: int = 60) -> str:
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= limit else text[:limit] + "..."

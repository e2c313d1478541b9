"""What one writes to find versions: `cfg>7 seed:42 model:tiny* approved after:2026-06 "blue hour" -rejected`.

    query  = term ("OR" term | ["AND"] term)*       OR binds closer: a OR b c  is  (a or b) and c
    term   = ["-"] (text | flag | name ":" value | name compare number)
    text   = a word, a pattern (warm*), or "words in quotes": in prompt, annotation, label, comments, tags, form
    value  = a word, a pattern, or "words in quotes"
    compare: = != < <= > >=, also after a colon (cfg:>7)

In patterns * stands for any characters and ? for one; in quotes they stand for themselves. What the names and flags
are is in `NAMES` and `FLAGS`; any other name is a parameter's, of any node, or of one (base.guidance). Times are UTC.
This module reads and writes queries; `conditions` says what they mean.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from intaglio.core.errors import Invalid, InvalidSeed
from intaglio.core.seeds import exact_seed

MAX_QUERY, MAX_TERMS = 4000, 64
MIN_DIGITS = 4

FLAGS = ("approved", "rejected", "annotated", "unannotated", "archived", "legacy")
GRADES = ("full", "approximate", "partial")
REPRODUCED = ("identical", "similar", "different", "missing", "never")
# Each name, and what it is called here.
NAMES = {
    "seed": "seed", "model": "model", "label": "label", "branch": "branch", "workflow": "branch", "tag": "tag",
    "by": "by", "author": "by", "task": "task", "version": "version", "snapshot": "snapshot", "grade": "grade",
    "reproduced": "reproduced", "after": "after", "before": "before", "on": "on", "is": "is",
}  # fmt: skip
# What other tools call a parameter, and what it is called in our nodes.
ALIASES = {
    "cfg": "guidance", "cfg_scale": "guidance", "cfgscale": "guidance", "guidance_scale": "guidance",
    "sampler": "scheduler", "sampler_name": "scheduler", "denoise": "strength", "denoising_strength": "strength",
    "negative": "negative_prompt", "num_inference_steps": "steps",
}  # fmt: skip

_TERM = re.compile(
    r"""(?P<minus>-)?
    (?:(?P<name>[^\W\d][\w.-]*) (?P<compare>:?(?:<=|>=|!=|<|>|=)|:))?
    (?P<value>"(?:[^"\\]|\\.)*"|[^\s"]*)
    (?=\s|$)""",
    re.VERBOSE | re.DOTALL,
)
_JOIN = 'Write it between two terms, or quote it: "OR".'
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?", re.ASCII)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_HEX = re.compile(r"[0-9a-f]+")
_BARE = re.compile(r'[^\s":<>=!-][^\s":<>=!]*')
_BARE_VALUE = re.compile(r'[^\s"<>=!][^\s"]*')


@dataclass(frozen=True)
class Term:
    """One thing that is asked. `name` is "" for text; `compare` is ":" or a comparison; `literal` is that * and ? in
    `value` stand for themselves."""

    name: str
    compare: str
    value: str
    negated: bool = False
    literal: bool = False

    def __str__(self) -> str:
        sign = "-" if self.negated else ""
        if self.name == "is":
            return sign + self.value
        if self.compare != ":":
            return f"{sign}{self.name}{self.compare}{self.value}"
        reserved = not self.name and self.value in ("AND", "OR", "NOT", *FLAGS)
        bare = (_BARE_VALUE if self.name else _BARE).fullmatch(self.value) and not self.literal and not reserved
        value = self.value if bare else '"' + self.value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return f"{sign}{self.name}:{value}" if self.name else f"{sign}{value}"


@dataclass(frozen=True)
class Query:
    """What is asked: in each of `clauses`, at least one term holds."""

    clauses: tuple[tuple[Term, ...], ...] = ()

    def __str__(self) -> str:
        return " ".join(" OR ".join(map(str, clause)) for clause in self.clauses)


def parse(text: str) -> Query:
    """The query in a text. Raises Invalid, which names the term that cannot be meant and says what can."""
    if len(text) > MAX_QUERY:
        raise Invalid(f"a query of {len(text)} characters", hint=f"Use at most {MAX_QUERY}.")
    clauses: list[tuple[Term, ...]] = []
    joining = ""
    for word in _words(text.replace("“", '"').replace("”", '"')):
        if word[0] in ("OR", "AND"):
            if not clauses or joining:
                raise Invalid(f"{word[0]} has nothing before it", hint=_JOIN)
            joining = word[0]
            continue
        term = _term(*word)
        if joining == "OR":
            clauses[-1] = (*clauses[-1], term)
        else:
            clauses.append((term,))
        joining = ""
    if joining:
        raise Invalid(f"{joining} has nothing after it", hint=_JOIN)
    if sum(map(len, clauses)) > MAX_TERMS:
        raise Invalid(f"a query of more than {MAX_TERMS} terms", hint="Ask for less at once.")
    return Query(tuple(clauses))


def _words(text: str) -> list[tuple[str, re.Match[str]]]:
    """Each term as it is written, with its parts."""
    found, at = [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        match = _TERM.match(text, at)
        if match is None or not match[0]:
            rest = text[at : at + 60]
            hint = 'Quote whole words, and close the quotes: "blue hour" or prompt:"blue hour".'
            raise Invalid(f"term {rest!r}: a quote that does not open or close one", hint=hint)
        found.append((match[0], match))
        at = match.end()
    return found


def _term(text: str, match: re.Match[str]) -> Term:
    value, negated = match["value"], bool(match["minus"])
    quoted = value.startswith('"')
    if quoted:
        value = _ESCAPED.sub(r"\1", value[1:-1])
    # What is no plain word is taken as it stands, as if it were quoted.
    plain = not quoted and (_BARE_VALUE if match["name"] else _BARE).fullmatch(value)
    literal = not plain and bool(set("*?") & set(value))
    name, compare = (match["name"] or "").casefold(), (match["compare"] or ":").lstrip(":")
    if not name and not quoted:
        if value == "NOT":
            raise Invalid(f"term {text!r}: there is no NOT", hint="Put a minus before what must not hold: -rejected")
        if value in FLAGS:
            return Term("is", ":", value, negated)
    term = Term(NAMES.get(name, name), ":" if compare in ("", "=") else compare, value, negated, literal)
    _check(text, term)
    return term


def _check(text: str, term: Term) -> None:
    """Raises Invalid for a term that cannot be meant."""
    if not term.value.strip():
        raise _invalid(text, "nothing to look for", "Give a word, or a name and a value: label:warm*")
    if term.name in ("after", "before", "on"):
        period(term)
    elif is_seed(term):
        seed(term)
    elif term.name in _CHOICES and term.value not in _CHOICES[term.name]:
        raise _invalid(text, f"no {term.name} is called {term.value!r}", f"Use {', '.join(_CHOICES[term.name])}.")
    elif term.name in ("version", "snapshot"):
        _check_digest(text, term)
    elif term.compare != ":" and is_parameter(term.name):
        number(term)
    if term.compare != ":" and not (is_parameter(term.name) or is_seed(term)):
        raise _invalid(text, f"{term.name} is not a number", f"Write {term.name}:{term.value}")


_CHOICES = {"grade": GRADES, "reproduced": REPRODUCED, "is": FLAGS}


def _check_digest(text: str, term: Term) -> None:
    digits = hex_digits(term.value)
    if term.name == "version" and re.fullmatch(r"v\d{1,15}", term.value, re.ASCII):
        return
    if len(digits) < MIN_DIGITS or not _HEX.fullmatch(digits):
        also = " or a number (v3)" if term.name == "version" else ""
        raise _invalid(text, "not the beginning of a digest", f"Give {MIN_DIGITS} or more of its digits{also}.")


def _invalid(text: str, why: str, hint: str) -> Invalid:
    return Invalid(f"term {text[:80]!r}: {why}", hint=hint)


def hex_digits(text: str) -> str:
    """The digits of a digest that is given with or without "blake3:"."""
    return text.removeprefix("blake3:")


def is_parameter(name: str) -> bool:
    """Whether a name is that of a parameter."""
    return bool(name) and name not in NAMES.values()


def is_seed(term: Term) -> bool:
    """Whether a term is about a seed: of any node, or of one (base.seed)."""
    return term.name == "seed" or term.name.endswith(".seed")


def seed(term: Term) -> int:
    """The seed a term names. Raises Invalid."""
    try:
        return exact_seed(term.value)
    except InvalidSeed as error:
        raise _invalid(str(term), f"{term.value[:40]!r} is not a seed", error.hint) from error


def as_number(text: str) -> float | None:
    """A decimal number; None for what is none."""
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    return value if math.isfinite(value) else None


def number(term: Term) -> float:
    """The number a term compares with. Raises Invalid."""
    value = as_number(term.value)
    if value is None:
        raise _invalid(str(term), f"{term.value[:40]!r} is not a number", f"Write it like {term.name}>7 or steps<=20.")
    return value


def period(term: Term) -> tuple[datetime | None, datetime | None]:
    """When a term's versions were made: from the first on, before the second; None is without end. Raises Invalid.

    after:X begins with the first moment of X, before:X ends before it, on:X is X.
    """
    match = _DATE.fullmatch(term.value)
    try:
        if match is None:
            raise ValueError
        year, month, day = (int(part) if part else 0 for part in match.groups())
        start = datetime(year, month or 1, day or 1, tzinfo=UTC)
        end = start + timedelta(days=1) if day else _next_month(start) if month else start.replace(year=year + 1)
    except ValueError as error:
        hint = "Give a year, month or day: 2026, 2026-06 or 2026-06-12."
        raise _invalid(str(term), f"{term.value[:40]!r} is not a date", hint) from error
    return {"after": (start, None), "before": (None, start), "on": (start, end)}[term.name]


def _next_month(start: datetime) -> datetime:
    return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)

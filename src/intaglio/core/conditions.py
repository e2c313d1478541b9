"""What a query means: conditions on the facts of a version, joined by all, any and not.

`holds` answers for one version; `store.search` answers for all of them from its tables, and must say the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from intaglio.core.errors import Invalid
from intaglio.core.findable import (
    PROMPT,
    SAID,
    Facts,
    folded,
    name_key,
    number_key,
    pairs,
    seed_key,
    time_key,
    words_of,
)
from intaglio.core.query import (
    ALIASES,
    Query,
    Term,
    as_number,
    hex_digits,
    is_parameter,
    is_seed,
    number,
    period,
    seed,
)

LEAST_KEY, MOST_KEY = -(2**63), 2**63 - 1
_WILD = re.compile(r"[*?]")


@dataclass(frozen=True)
class Word:
    """The version has this word in this field."""

    field: str
    word: str


@dataclass(frozen=True)
class Phrase:
    """A text in this field has these words in a row, three or more."""

    field: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Pattern:
    """A word (or, when `named`, a name) of this field fits: * is any characters, ? is one. It begins with `start`."""

    field: str
    pattern: str
    named: bool = False

    @property
    def start(self) -> str:
        """What comes before the first * or ?."""
        return _WILD.split(self.pattern, maxsplit=1)[0]

    def fits(self, text: str) -> bool:
        """Whether a word fits."""
        return bool(_expression(self.pattern).fullmatch(text))


@dataclass(frozen=True)
class Named:
    """The version has exactly this name in this field."""

    field: str
    name: str


@dataclass(frozen=True)
class Between:
    """A number of this field lies from the first key to the last."""

    field: str
    first: int
    last: int


@dataclass(frozen=True)
class Begins:
    """The version's digest, or its snapshot's (`of`), begins with these digits."""

    of: str
    digits: str


@dataclass(frozen=True)
class All:
    """Every one of these holds; of none, everything does."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Some:
    """At least one of these holds; of none, nothing does."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Not:
    """This does not hold."""

    part: Condition


Condition = Word | Phrase | Pattern | Named | Between | Begins | All | Some | Not


@dataclass(frozen=True)
class Known:
    """What a library adds to a query: the digests of models (without "blake3:") that a text may be a hash of, and the
    names of the archived workflows."""

    hashes: Callable[[str], Iterable[str]] = lambda text: ()
    archived: Callable[[], Iterable[str]] = lambda: ()


@lru_cache(maxsize=64)
def _expression(pattern: str) -> re.Pattern[str]:
    parts = (".*" if each == "*" else "." if each == "?" else re.escape(each) for each in pattern)
    return re.compile("".join(parts), re.DOTALL)


def condition(query: Query, known: Known | None = None) -> Condition:
    """What a query asks of a version. Raises Invalid for a term that cannot be looked for."""
    known = known or Known()
    return All(tuple(Some(tuple(_signed(term, known) for term in clause)) for clause in query.clauses))


def _signed(term: Term, known: Known) -> Condition:
    asked = _term(term, known)
    return Not(asked) if term.negated else asked


def _term(term: Term, known: Known) -> Condition:
    if not term.name:
        return Some((_text(PROMPT, term), _text(SAID, term)))
    if is_seed(term):
        return _seed(term)
    if is_parameter(term.name):
        return _parameter(term)
    return _OWN[term.name](term, known)


def _text(field: str, term: Term) -> Condition:
    """A word, a pattern, or words in a row, in a text."""
    if _WILD.search(term.value) and not term.literal:
        pattern = folded(term.value)
        if words_of(_WILD.sub("x", pattern)) != (_WILD.sub("x", pattern),):
            raise Invalid(f"term {str(term)!r}: a pattern is one word", hint="Look for each word by itself: blue hou*")
        asked = Pattern(field, pattern)
        if len(asked.start) < 2 and not (pattern == "*" and field not in (PROMPT, SAID)):
            raise Invalid(f"term {str(term)!r}: a pattern begins with two letters or more", hint="Give more: wa*")
        return asked
    words = words_of(term.value)
    if not words:
        raise Invalid(f"term {str(term)!r}: it has no letter or digit", hint="Give a word of it.")
    if len(words) > 2:
        return Phrase(field, words)
    return Word(field, words[0] if len(words) == 1 else next(pairs(words)))


def _parameter(term: Term) -> Condition:
    """A parameter by each of its names; of one node where a node is named."""
    node, dot, name = term.name.rpartition(".")
    names = dict.fromkeys((name, ALIASES.get(name, name)))
    if not dot:
        return Some(tuple(_value(each, term) for each in names))
    own = ((each, f"{node}.{each}") for each in names)
    return Some(tuple(Some((All((Word(":only", full), _value(each, term))), _value(full, term))) for each, full in own))


def _value(field: str, term: Term) -> Condition:
    if term.compare != ":":
        return _compared(field, term.compare, number_key(number(term)))
    asked = as_number(term.value)
    text = _text(field, term) if asked is None or words_of(term.value) else None
    same = () if asked is None else (Between(field, number_key(asked), number_key(asked)),)
    return Some((*same, *(() if text is None else (text,))))


def _compared(field: str, compare: str, key: int) -> Condition:
    below, above = Between(field, LEAST_KEY, key - 1), Between(field, key + 1, MOST_KEY)
    same = Between(field, key, key)
    asked: dict[str, Condition] = {
        "<": below,
        "<=": Between(field, LEAST_KEY, key),
        ">": above,
        ">=": Between(field, key, MOST_KEY),
        "!=": Some((below, above)),
        ":": same,
    }
    return asked[compare]


def _seed(term: Term) -> Condition:
    field, asked = f":{term.name}", seed(term)
    return Word(field, str(asked)) if term.compare == ":" else _compared(field, term.compare, seed_key(asked))


def _by_name(field: str, *, named: bool = False) -> Callable[[Term, Known], Condition]:
    """A whole name, or a pattern."""

    def asked(term: Term, known: Known) -> Condition:
        name = name_key(term.value)
        if not _WILD.search(name) or term.literal:
            return Named(field, name) if named else Word(field, name)
        found = Pattern(field, name, named)
        if not found.start and name != "*":
            raise Invalid(f"term {str(term)!r}: a pattern begins with a letter or digit", hint="Give more: wa*")
        return found

    return asked


def _model(term: Term, known: Known) -> Condition:
    """A name, with or without its version label, or the beginning of any hash."""
    names = [_by_name(":model")(term, known)]
    digests = () if _WILD.search(term.value) else tuple(sorted(set(known.hashes(term.value))))
    digits = hex_digits(term.value.casefold())
    if len(digits) >= 6 and not set(digits) - set("0123456789abcdef"):
        names.append(Pattern(":model-digest", f"{digits}*"))
    return Some((*names, *(Word(":model-digest", digest) for digest in digests)))


def _digest(term: Term, known: Known) -> Condition:
    if term.value.startswith("v"):
        return Word(":number", str(int(term.value[1:])))
    return Begins(term.name, hex_digits(term.value))


def _archived(term: Term, known: Known) -> Condition:
    if term.value != "archived":
        return Word(":is", term.value)
    return Some(tuple(Word(":branch", name_key(name)) for name in known.archived()))


def _made(term: Term, known: Known) -> Condition:
    start, end = period(term)
    first = LEAST_KEY if start is None else time_key(start)
    return Between(":created", first, MOST_KEY if end is None else time_key(end) - 1)


_OWN: dict[str, Callable[[Term, Known], Condition]] = {
    "model": _model,
    "label": _by_name(":label", named=True),
    "task": lambda term, known: Pattern(":task", name_key(term.value).rstrip("*") + "*", named=True),
    "branch": _by_name(":branch"),
    "tag": _by_name(":tag"),
    "by": lambda term, known: _text(":by", term),
    "version": _digest,
    "snapshot": _digest,
    "grade": lambda term, known: Word(":grade", term.value),
    "reproduced": lambda term, known: Word(":reproduced", term.value),
    "is": _archived,
    "after": _made,
    "before": _made,
    "on": _made,
}


def parameters(query: Query) -> list[Term]:
    """The terms about parameters."""
    return [term for clause in query.clauses for term in clause if is_parameter(term.name) or "." in term.name]


def fields_of(term: Term) -> tuple[str, ...]:
    """The fields that a term about a parameter or one node's seed looks into."""
    if is_seed(term):
        return (f":{term.name}",)
    node, dot, name = term.name.rpartition(".")
    return tuple(f"{node}{dot}{each}" for each in dict.fromkeys((name, ALIASES.get(name, name))))


def holds(asked: Condition, facts: Facts, *, digest: str = "", snapshot: str = "") -> bool:
    """Whether a condition holds for the version with these facts and digests."""
    match asked:
        case All(parts):
            return all(holds(part, facts, digest=digest, snapshot=snapshot) for part in parts)
        case Some(parts):
            return any(holds(part, facts, digest=digest, snapshot=snapshot) for part in parts)
        case Not(part):
            return not holds(part, facts, digest=digest, snapshot=snapshot)
        case Begins(of, digits):
            return hex_digits(snapshot if of == "snapshot" else digest).startswith(digits)
    return _has(asked, facts)


def _has(asked: Condition, facts: Facts) -> bool:
    match asked:
        case Word(field, word):
            return (field, word) in facts.words
        case Named(field, name):
            return (field, name) in facts.names
        case Between(field, first, last):
            return any(each == field and first <= key <= last for each, key in facts.numbers)
        case Pattern(field, _, named):
            among = facts.names if named else facts.words
            return any(each == field and " " not in word and asked.fits(word) for each, word in among)
        case Phrase(field, words):
            return any(_runs(words, text) for text in facts.texts.get(field, ()))
    raise TypeError(asked)


def _runs(words: tuple[str, ...], text: tuple[str, ...]) -> bool:
    return any(text[at : at + len(words)] == words for at in range(len(text) - len(words) + 1))

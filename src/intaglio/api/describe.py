"""What the API says of itself: of fields and parameters from `api.words`, of verbs from their docstrings.

Docstrings are written for who calls from Python; what HTTP has not (functions that follow a call) or says otherwise
(errors, by the status) is left out here.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from itertools import takewhile
from types import ModuleType
from typing import Any

from intaglio.api.routes import COMPANIONS, noun_class
from intaglio.api.words import COMMON, COMMON_PARAMETERS, FIELDS, MEMBERS, PARAMETERS
from intaglio.core import errors
from intaglio.core.errors import IntaglioError

_RAISES = re.compile(r"\b[Rr]aises ")
_AS = re.compile(r"\bas `(\w+)`")
_ERROR = re.compile(r"\b[A-Z][A-Za-z]+\b")
_COMPANION = re.compile(rf"`(?:{'|'.join(sorted(COMPANIONS))})\b")
_JSON = {"None": "null", "True": "true", "False": "false"}
_CONSTANT = re.compile(rf"\b(?:{'|'.join(_JSON)})\b")


def field(cls: type[Any], name: str) -> str:
    """What a field of a record or result holds. Raises KeyError for one without words."""
    for key in (f"{place(cls)}.{name}", f"{cls.__name__}.{name}"):
        if key in FIELDS:
            return FIELDS[key]
    return COMMON[name]


def place(cls: type[Any]) -> str:
    """The name of a class with the room and module it is in, which no other class has."""
    return f"{cls.__module__.removeprefix('intaglio.')}.{cls.__name__}"


def parameter(noun: str, verb: str, name: str) -> str:
    """What a parameter of a verb is for. Raises KeyError for one without words."""
    for key in (f"{noun}.{verb.rstrip('_')}.{name}", f"{noun}.{name}"):
        if key in PARAMETERS:
            return PARAMETERS[key]
    return COMMON_PARAMETERS[name]


def member(noun: str, name: str) -> str:
    """What one of several things is that a verb gives beside each other. Raises KeyError for one without words."""
    return MEMBERS[f"{noun}.{name}"]


def noun(name: str) -> str:
    """What the verbs of a noun are about, in one sentence."""
    return summary(sys.modules[noun_class(name).__module__])


def summary(thing: Callable[..., Any] | type[Any] | ModuleType) -> str:
    """What a verb does, a class is or a module holds, in one sentence."""
    first = next(_paragraphs(thing))[0]
    return _as_json(_without_companions(first) or first)


def description(method: Callable[..., Any]) -> str:
    """What a verb does, paragraph by paragraph."""
    return "\n\n".join(" ".join(sentences) for sentences in _told(method))


def raises(method: Callable[..., Any]) -> tuple[type[IntaglioError], ...]:
    """The errors that a verb's docstring names, those of a verb that it refers to among them."""
    found: dict[type[IntaglioError], None] = {}
    for sentence in (each for paragraph in _paragraphs(method) for each in paragraph):
        words = "".join(_RAISES.split(sentence, maxsplit=1)[1:])
        named = [getattr(errors, word, None) for word in _ERROR.findall(words)]
        found |= dict.fromkeys(each for each in named if isinstance(each, type) and issubclass(each, IntaglioError))
        for other in _AS.findall(words):
            found |= dict.fromkeys(raises(_beside(method, other)))
    return tuple(found)


def _beside(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Another verb of the same noun."""
    noun = getattr(sys.modules[method.__module__], method.__qualname__.partition(".")[0])
    found: Callable[..., Any] = getattr(noun, name)
    return found


def _told(thing: Any) -> Iterator[list[str]]:
    """The sentences of each paragraph that mean something over HTTP."""
    for paragraph in _paragraphs(thing):
        kept = [_without_companions(each) for each in paragraph if not _RAISES.search(each)]
        if any(kept):
            yield [_as_json(sentence) for sentence in kept if sentence]


def _as_json(text: str) -> str:
    """A text with the constants that JSON has other words for."""
    return _CONSTANT.sub(lambda word: _JSON[word[0]], text)


def _without_companions(sentence: str) -> str:
    """A sentence up to where it speaks of a function that follows the call."""
    clauses = sentence.split("; ")
    kept = list(takewhile(lambda clause: not _COMPANION.search(clause), clauses))
    return sentence if kept == clauses else "; ".join(kept) + "." * bool(kept)


def _paragraphs(thing: Any) -> Iterator[list[str]]:
    for text in (inspect.getdoc(thing) or "").split("\n\n"):
        yield list(_sentences(" ".join(text.split())))


def _sentences(text: str) -> Iterator[str]:
    """A text cut after each full stop that ends a sentence: outside brackets, before a capital or a name."""
    start = depth = 0
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        follows = text[at + 1 : at + 3]
        if letter == "." and not depth and follows[:1] == " " and (follows[1:].isupper() or follows[1:] == "`"):
            yield text[start : at + 1]
            start = at + 2
    if text[start:]:
        yield text[start:]

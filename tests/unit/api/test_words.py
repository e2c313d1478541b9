"""Everything the API takes or gives has words, and no words are left of what is gone."""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import re
import typing
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from intaglio.api import describe
from intaglio.api.routes import COMPANIONS, NOUNS, ROUTES, noun_class
from intaglio.api.words import COMMON, COMMON_PARAMETERS, FIELDS, MEMBERS, PARAMETERS
from intaglio.api.words.results import RESULTS
from intaglio.api.words.server import SERVER
from intaglio.api.words.things import THINGS
from intaglio.api.words.told import TOLD
from intaglio.api.words.work import WORK
from intaglio.core import errors
from intaglio.core.wire import hints_of, sent_fields

# Words of Python that mean nothing to who reads JSON.
PYTHON = re.compile(r"\b(None|True|str|tuple|dict|int|bool|self|callable|dataclass)\b|\bFalse\b(?! (to|when|while)\b)")


def verbs() -> Iterator[tuple[str, str, Callable[..., Any]]]:
    for noun in NOUNS:
        for name, function in vars(noun_class(noun)).items():
            if not name.startswith("_") and inspect.isfunction(function):
                yield noun, name, function


def parameters() -> Iterator[tuple[str, str, str]]:
    for noun, verb, function in verbs():
        for name in list(inspect.signature(function).parameters)[1:]:
            if name not in COMPANIONS:
                yield noun, verb, name


def reached(hint: Any) -> Iterator[Any]:
    """The types that a type is made of."""
    yield hint
    if typing.get_origin(hint) is not collections.abc.Callable:
        for each in typing.get_args(hint):
            yield from reached(each)


@cache
def classes() -> tuple[type[Any], ...]:
    """Every dataclass that a verb takes or gives, however deep."""
    found: dict[type[Any], None] = {}
    waiting = [
        hint for _, _, function in verbs() for name, hint in hints_of(function).items() if name not in COMPANIONS
    ]
    while waiting:
        for hint in reached(waiting.pop()):
            if dataclasses.is_dataclass(hint) and isinstance(hint, type) and hint not in found:
                found[hint] = None
                waiting += sent_fields(hint).values()
    return tuple(found)


def fields() -> Iterator[tuple[type[Any], str]]:
    return ((cls, name) for cls in classes() for name in sent_fields(cls))


def key(cls: type[Any]) -> str:
    """What a class is called in `FIELDS`: with its place where another has its name."""
    shared = Counter(each.__name__ for each in classes())[cls.__name__] > 1
    return describe.place(cls) if shared else cls.__name__


def texts() -> dict[str, str]:
    return {**FIELDS, **PARAMETERS, **COMMON, **COMMON_PARAMETERS, **MEMBERS}


def test_the_walk_meets_what_the_api_is_known_for() -> None:
    names = {cls.__name__ for cls in classes()}
    assert {"Task", "Snapshot", "Asset", "Grade", "VersionDifference", "Restored", "Port", "Job", "Notice"} <= names
    assert "Watch" not in names and "Follow" not in names
    assert ("tasks", "list", "before") in set(parameters())


def test_API_1_every_field_has_words() -> None:
    missing = []
    for cls, name in fields():
        try:
            describe.field(cls, name)
        except KeyError:
            missing.append(f"{key(cls)}.{name}")
    assert missing == []


def test_API_1_every_parameter_has_words() -> None:
    missing = []
    for noun, verb, name in parameters():
        try:
            describe.parameter(noun, verb, name)
        except KeyError:
            missing.append(f"{noun}.{verb}.{name}")
    assert missing == []


def test_API_1_every_member_of_an_answer_has_words_and_no_other() -> None:
    wanted = {(route.noun, name) for route in ROUTES for name in route.names}
    assert {f"{noun}.{name}" for noun, name in wanted} == set(MEMBERS)
    assert all(describe.member(noun, name) for noun, name in wanted)


def test_there_are_no_words_for_fields_that_are_gone() -> None:
    assert set(FIELDS) - {f"{key(cls)}.{name}" for cls, name in fields()} == set()
    used = {name for cls, name in fields() if f"{key(cls)}.{name}" not in FIELDS}
    assert set(COMMON) - used == set()


def test_there_are_no_words_for_parameters_that_are_gone() -> None:
    used = set()
    for noun, verb, name in parameters():
        keys = (f"{noun}.{verb.rstrip('_')}.{name}", f"{noun}.{name}")
        used.add(next((each for each in keys if each in PARAMETERS), name))
    assert {*PARAMETERS, *COMMON_PARAMETERS} - used == set()


def test_nothing_has_words_in_two_places() -> None:
    assert len(FIELDS) == sum(map(len, (WORK, THINGS, TOLD, RESULTS, SERVER)))


@pytest.mark.parametrize("where", ["field", "parameter"])
def test_what_has_no_words_is_a_key_error(where: str) -> None:
    with pytest.raises(KeyError):
        describe.field(errors.IntaglioError, "nothing") if where == "field" else describe.parameter("tasks", "x", "y")


def test_words_are_one_plain_sentence() -> None:
    wrong = []
    for name, text in texts().items():
        plain = text == text.strip() and len(text) >= 8 and text[0].isupper() | (text[0] == "`") and text[-1] == "."
        said = text.rstrip(".").casefold() != name.rpartition(".")[2].replace("_", " ").casefold()
        if not (plain and said) or "\n" in text or PYTHON.search(text) or len(text) > 120:
            wrong.append(f"{name}: {text}")
    assert wrong == []


def test_every_verb_says_what_it_does_without_what_http_has_not() -> None:
    for noun, verb, function in verbs():
        assert len(describe.summary(function)) >= 8, f"{noun}.{verb}"
    for route in ROUTES:
        text = describe.description(route.function)
        assert text.startswith(describe.summary(route.function)), route.verb
        assert not re.search(r"\b[Rr]aises\b|\bNone\b", text), f"{route.verb}: {text}"
        for name in COMPANIONS - set(route.parameters):
            assert f"`{name}" not in text, f"{route.verb}: {text}"


def test_every_noun_says_what_it_is_about() -> None:
    assert len({describe.noun(noun) for noun in NOUNS}) == len(NOUNS)
    assert describe.noun("tasks") == "Tasks: running workflows, following and resuming runs."


def test_every_class_says_what_it_is() -> None:
    for cls in classes():
        assert not describe.summary(cls).startswith(f"{cls.__name__}("), "a dataclass without a docstring gets its own"


def test_every_error_that_a_verb_names_is_one() -> None:
    for noun, verb, function in verbs():
        for words in re.findall(r"\bRaises (.*?)(?:\. |\.?$|\.\n)", inspect.getdoc(function) or "", re.DOTALL):
            for name in re.findall(r"(?<![(`\"\w])[A-Z][a-z]\w+", re.sub(r"\([^)]*\)", "", words)):
                assert issubclass(getattr(errors, name), errors.IntaglioError), f"{noun}.{verb}: {name}"


class Stove:
    """A noun to read."""

    def boil(self) -> None:
        """Boil water (in a pot. Or not), `far` None for all; True is said. It is hot.

        `progress` hears of it. Steam rises; `told(text)` hears how much. Raises NotFound, Conflict (no pot).
        """

    def cook(self) -> None:
        """Cook. Raises as `boil`, and InvalidSeed
        for a seed that cannot be cooked.
        """


def test_a_docstring_is_read_sentence_by_sentence() -> None:
    assert describe.summary(Stove.boil) == "Boil water (in a pot. Or not), `far` null for all; true is said."
    assert describe.description(Stove.boil).endswith("true is said. It is hot.\n\nSteam rises.")
    assert describe.description(Stove.cook) == "Cook."
    assert describe.raises(Stove.boil) == (errors.NotFound, errors.Conflict)
    assert set(describe.raises(Stove.cook)) == {errors.InvalidSeed, errors.NotFound, errors.Conflict}

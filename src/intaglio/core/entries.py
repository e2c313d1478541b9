"""Parameters that take several models: what a person writes for each, and where each stands in a record.

A person writes a reference ("ink", "ink:v2", a digest), or a mapping with the reference and one word about it:
`{model: ink, weight: 0.8}` for a LoRA, `{model: cat, token: <cat>}` for an embedding. In a step the models stand under
`loras[0]`, `loras[1]`, ... and the parameter `loras` holds the weights alone, so that a renamed LoRA changes no key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# Parameter type -> the word that goes with each of its models, and its value where none is given.
WORDS: dict[str, tuple[str, float | str]] = {"loras": ("weight", 1.0), "embeddings": ("token", "")}
MAX_ENTRIES = 64
_MAX_TOKEN = 100


class WrongPart(ValueError):
    """A value is wrong in one place of it: `part` says where, as in "[1].weight"."""

    def __init__(self, part: str, message: str) -> None:
        super().__init__(message)
        self.part = part


@dataclass(frozen=True)
class Entry:
    """One of several models: its reference, and its weight or token; an empty token is settled while planning."""

    model: str
    word: float | str


def slot(parameter: str, index: int) -> str:
    """The name under which a step, and a pin, holds one of several models: "loras[0]"."""
    return f"{parameter}[{index}]"


def owner(name: str) -> str:
    """The parameter a model of a step belongs to: "loras" for "loras[0]", "model" for "model"."""
    return name.partition("[")[0]


def parse_entries(kind: str, value: object, number: Callable[[object], float]) -> tuple[Entry, ...]:
    """The entries of a parameter of type `kind`; a lone one needs no list. `number` checks a weight.

    Raises WrongPart, or ValueError for a value that is no list at all.
    """
    items = [value] if isinstance(value, (str, Mapping)) else value
    if not isinstance(items, (list, tuple)):
        raise ValueError("needs a list of models")
    if len(items) > MAX_ENTRIES:
        raise ValueError(f"lists {len(items)} models; the limit is {MAX_ENTRIES}")
    return tuple(_entry(kind, f"[{index}]", item, number) for index, item in enumerate(items))


def check_words(kind: str, value: object, number: Callable[[object], float]) -> tuple[Any, ...]:
    """What a step records for a parameter of type `kind`: weights or tokens alone. Raises ValueError."""
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"needs a list of {WORDS[kind][0]}s")
    return tuple(_word(kind, f"[{index}]", word, number) for index, word in enumerate(value))


def _entry(kind: str, place: str, item: object, number: Callable[[object], float]) -> Entry:
    name, default = WORDS[kind]
    if isinstance(item, str):
        item = {"model": item}
    if not isinstance(item, Mapping):
        raise WrongPart(place, f"needs the name of a model, or a mapping of model and {name}")
    for key in item:
        if key not in ("model", name):
            raise WrongPart(place, f"{str(key)[:60]!r} is unknown; it takes: model, {name}")
    model = item.get("model")
    if not isinstance(model, str) or not model.strip():
        raise WrongPart(f"{place}.model", "needs the name of a model")
    word = _word(kind, f"{place}.{name}", item[name], number) if name in item else default
    return Entry(model, word)


def _word(kind: str, place: str, word: object, number: Callable[[object], float]) -> float | str:
    if kind == "loras":
        try:
            return number(word)
        except ValueError as error:
            raise WrongPart(place, str(error)) from error
    if not isinstance(word, str) or not word or len(word) > _MAX_TOKEN or any(letter.isspace() for letter in word):
        raise WrongPart(place, f"needs a word of at most {_MAX_TOKEN} characters without spaces")
    return word

"""Finding which of several changes make a difference, with few tries: pure search over a test that others run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

T = TypeVar("T")

# What a try came out like: as without any change, as with all of them, or like neither.
Like = Literal["good", "bad", "neither"]


def isolate(changes: Sequence[T], test: Callable[[frozenset[T]], Like]) -> tuple[T, ...] | None:
    """Changes that give "bad" with all others left out; None when all of them together do not.

    First the changes are halved, which finds a single one with few tries; what it finds is tried by itself. Where
    several work together, all are tried, and then each is left out in turn, for good where it is not missed.
    `test` is asked about no set twice.
    """
    known: dict[frozenset[T], Like] = {}

    def tried(chosen: Sequence[T]) -> Like:
        wanted = frozenset(chosen)
        if wanted not in known:
            known[wanted] = test(wanted)
        return known[wanted]

    single = _halved(list(changes), tried)
    if single is not None:
        return (single,)
    if tried(changes) != "bad":
        return None
    needed = list(changes)
    for change in changes:
        others = [other for other in needed if other != change]
        if others and tried(others) == "bad":
            needed = others
    return tuple(needed)


def most_tries(count: int) -> int:
    """How many tries `isolate` makes at most with `count` changes, and trying each of its answer alone after it."""
    if count == 0:
        return 0
    halves = (count - 1).bit_length()
    return min(halves + 2 + 2 * count, (1 << count) - 1)


def _halved(changes: list[T], tried: Callable[[Sequence[T]], Like]) -> T | None:
    """The one change that alone gives "bad", if halving leads to it."""
    while len(changes) > 1:
        half, rest = changes[: len(changes) // 2], changes[len(changes) // 2 :]
        match tried(half):
            case "bad":
                changes = half
            case "good":
                changes = rest
            case "neither":
                return None
    return changes[0] if changes and tried(changes) == "bad" else None

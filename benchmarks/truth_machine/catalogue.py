"""The catalogue: everything that is done to a version, and what must be said of it afterwards.

What is expected is written here by hand, from the table of gap codes in docs/format.md and from what a user would call
true. It never asks the code that is tested.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from benchmarks.truth_machine.trial import Expected, Trial

Perturb = Callable[[Trial], Expected]


@dataclass(frozen=True)
class Perturbation:
    """A name, what the workflow must have for it, how often it comes in a round, and what it does.

    `slow` ones start another process, which loads everything anew.
    """

    name: str
    wants: frozenset[str]
    weight: int
    slow: bool
    work: Perturb


_ALL: dict[str, Perturbation] = {}


def perturbation(name: str, *wants: str, weight: int = 2, slow: bool = False) -> Callable[[Perturb], Perturb]:
    """Enter a function in the catalogue."""

    def enter(work: Perturb) -> Perturb:
        assert name not in _ALL, name
        _ALL[name] = Perturbation(name, frozenset(wants), weight, slow, work)
        return work

    return enter


@cache
def catalogue() -> dict[str, Perturbation]:
    """All perturbations by name."""
    from benchmarks.truth_machine import of_models, of_records, of_surroundings, of_workflows

    assert of_models and of_records and of_surroundings and of_workflows
    return dict(_ALL)


@cache
def _round() -> tuple[str, ...]:
    """One round: each perturbation as often as it weighs, spread out, so that a few trials see many of them."""
    spread = [
        ((turn + 0.5) / each.weight, place, name)
        for place, (name, each) in enumerate(catalogue().items())
        for turn in range(each.weight)
    ]
    return tuple(name for _, _, name in sorted(spread))


def perturbation_of(seed: int) -> Perturbation:
    """What is done in the trial of this seed."""
    names = _round()
    return catalogue()[names[seed % len(names)]]


def seed_for(name: str, nth: int = 0) -> int:
    """The nth trial seed that comes to a perturbation."""
    names = _round()
    places = [place for place, each in enumerate(names) if each == name]
    return places[nth % len(places)] + nth // len(places) * len(names)

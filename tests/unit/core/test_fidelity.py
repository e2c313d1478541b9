from __future__ import annotations

import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.fidelity import Verdict, is_identical, worst

BEST_FIRST: list[Verdict] = ["identical bytes", "identical pixels", "similar", "different", "missing"]


@given(st.lists(st.sampled_from(BEST_FIRST), min_size=1))
def test_the_worst_of_several(verdicts: list[Verdict]) -> None:
    assert worst(verdicts) == max(verdicts, key=BEST_FIRST.index)


def test_nothing_compared_shows_nothing() -> None:
    assert worst([]) == "missing"
    assert set(typing.get_args(Verdict)) == set(BEST_FIRST)


@pytest.mark.parametrize("verdict", BEST_FIRST)
def test_identical_means_every_pixel(verdict: Verdict) -> None:
    assert is_identical(verdict) is (verdict in BEST_FIRST[:2])

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.grade import CEILING, Gap, grade_of


def gap(code: str) -> Gap:
    """A gap of that code."""
    return Gap(code=code, subject="it", message="it changed", remedy="Change it back.")


def test_without_gaps_the_grade_is_full() -> None:
    assert grade_of([]).grade == "full"


@pytest.mark.parametrize("code", CEILING)
def test_one_gap_leaves_its_ceiling(code: str) -> None:
    grade = grade_of([gap(code)])
    assert grade.grade == CEILING[code]
    assert grade.gaps == (gap(code),)


@given(st.lists(st.sampled_from(sorted(CEILING)), min_size=1))
def test_the_lowest_ceiling_counts(codes: list[str]) -> None:
    grade = grade_of(gap(code) for code in codes)
    assert grade.grade == ("partial" if "partial" in {CEILING[code] for code in codes} else "approximate")
    assert [found.code for found in grade.gaps] == codes


def test_a_code_that_nobody_declared_is_no_grade() -> None:
    with pytest.raises(KeyError):
        grade_of([gap("weather.changed")])
    assert set(CEILING.values()) == {"partial", "approximate"}, "no gap leaves a full grade"

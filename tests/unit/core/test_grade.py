from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.codec import decode, encode
from intaglio.core.grade import CODES, Gap, Measured, grade_of

LOWEST_FIRST = ["partial", "approximate", "full"]


def gap(code: str, measured: Measured = "") -> Gap:
    """A gap of that code."""
    return Gap(code=code, subject="it", message="it changed", remedy="Change it back.", measured=measured)


def test_without_gaps_the_grade_is_full() -> None:
    assert grade_of([]).grade == "full"


@pytest.mark.parametrize("code", CODES)
def test_one_gap_leaves_what_its_code_allows(code: str) -> None:
    grade = grade_of([gap(code)])
    assert grade.grade == CODES[code].best
    assert grade.gaps == (gap(code),)
    assert CODES[code].why


@given(st.lists(st.sampled_from(sorted(CODES)), min_size=1))
def test_the_lowest_counts(codes: list[str]) -> None:
    grade = grade_of(gap(code) for code in codes)
    assert grade.grade == min((CODES[code].best for code in codes), key=LOWEST_FIRST.index)
    assert [found.code for found in grade.gaps] == codes


def test_a_difference_measured_to_make_none_leaves_a_full_grade() -> None:
    assert grade_of([gap("threads.changed", "identical")]).grade == "full"
    assert grade_of([gap("threads.changed", "close")]).grade == "approximate"
    assert grade_of([gap("threads.changed", "identical"), gap("model.missing")]).grade == "partial"


def test_only_surroundings_can_be_measured_to_make_no_difference() -> None:
    assert grade_of([gap("seed.unknown", "identical")]).grade == "partial"
    assert grade_of([gap("record.altered", "identical")]).grade == "approximate"


def test_a_code_that_only_a_later_intaglio_knows_is_never_full() -> None:
    assert grade_of([gap("weather.changed")]).grade == "partial"
    assert grade_of([gap("weather.changed", "identical")]).grade == "partial"
    assert [code for code, meaning in CODES.items() if meaning.best == "full"] == ["model.restorable"]


def test_a_gap_written_before_there_were_measurements_keeps_its_digest() -> None:
    before = b'{"code":"model.missing","message":"it changed","remedy":"Change it back.","subject":"it"}'
    assert encode(decode(Gap, before)) == before
    assert b'"measured":"close"' in encode(gap("threads.changed", "close"))

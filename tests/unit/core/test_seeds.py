from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.errors import Invalid, InvalidSeed
from intaglio.core.seeds import LARGEST, derive, draw_by_date, draw_random, drawer, exact_seed, parse_seed

REFUSED = [
    -1, 2**64, 10**400, 1.5, 1.0, float("nan"), True, False, "abc", "-1", "1.5", "1e3", " 7", "7 ", "+7", "0x7", "१२",
    "\uff17", "²", str(2**64), "0" * 21, [], {}, b"7", "\ud800",
]  # fmt: skip


@given(st.integers(0, LARGEST))
def test_every_seed_is_taken_as_a_number_and_as_text(seed: int) -> None:
    assert exact_seed(seed) == exact_seed(str(seed)) == seed
    assert parse_seed(seed) == parse_seed(str(seed)) == (seed or None)


@pytest.mark.parametrize("seed", [1, 2**53 + 1, LARGEST])
def test_large_seeds_stay_exact(seed: int) -> None:
    assert parse_seed(str(seed)) == seed


@pytest.mark.parametrize("value", [None, "", 0, "0", "000"])
def test_nothing_and_zero_ask_for_a_draw(value: object) -> None:
    assert parse_seed(value) is None


def test_zero_as_an_executed_seed_is_zero() -> None:
    assert exact_seed(0) == exact_seed("0") == 0


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: repr(value)[:20])
def test_what_no_generator_takes_is_refused(value: object) -> None:
    with pytest.raises(InvalidSeed) as caught:
        parse_seed(value)
    assert len(str(caught.value)) < 80
    assert "18446744073709551615" in caught.value.hint


@given(st.integers(0, LARGEST), st.integers(0, 10_000))
def test_derived_seeds_are_in_range_and_differ(seed: int, index: int) -> None:
    assert 0 <= derive(seed, index) <= LARGEST
    assert (derive(seed, index) == seed) is (index == 0)
    assert derive(derive(seed, index), 1) == derive(seed, index + 1)


def test_derived_seeds_go_round() -> None:
    assert [derive(LARGEST, index) for index in range(3)] == [LARGEST, 0, 1]


def test_random_draws_fit_32_bits_and_are_never_zero() -> None:
    drawn = [draw_random() for _ in range(1000)]
    assert all(1 <= seed < 2**32 for seed in drawn)
    assert len(set(drawn)) > 990


def test_a_seed_by_date_reads_as_one() -> None:
    seed = draw_by_date(datetime(2026, 11, 20, 20, 45, 1))
    assert str(seed)[:14] == "20261120204501"
    assert len(str(seed)) == 18
    assert draw_by_date(datetime(9999, 12, 31, 23, 59, 59)) <= LARGEST


def test_the_policy_chooses_how_to_draw() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5)

    def draw(policy: str) -> int:
        return drawer(policy, now=lambda: now, next_in_sequence=lambda: 1001)()

    assert draw("sequence") == 1001
    assert str(draw("date")).startswith("20260102030405")
    assert 1 <= draw("random") < 2**32
    with pytest.raises(Invalid, match="'dice'") as caught:
        draw("dice")
    assert "random, date, sequence" in caught.value.hint

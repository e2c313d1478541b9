"""An envelope in words says what was measured and no more."""

from __future__ import annotations

import pytest

from intaglio.core.envelope import KINDS, Condition, ConditionKind, in_words


def condition(
    kind: ConditionKind, after: str = "", *, before: str = "before", runs: int = 12, identical: int = 12, far: int = 0
) -> Condition:
    """A condition whose pictures were at most `far` steps apart."""
    return Condition(
        kind=kind,
        before=before,
        after=after,
        runs=runs,
        identical=identical,
        max_difference=far,
        mean_difference=far / 10,
        changed_share=far / 1000,
        psnr=50.0 if far else None,
        ssim=1.0,
    )


def test_what_came_back_identical_is_told_together_with_how_often() -> None:
    found = in_words([condition("repeat"), condition("process"), condition("threads", "1", identical=9, far=1)])
    assert found == (
        "identical on this machine in the same process and in a new process (12 of 12 each); "
        "within 1/255 with 1 thread (9 of 12 identical)"
    )


def test_different_counts_are_not_thrown_together() -> None:
    found = in_words([condition("repeat"), condition("cpu_capability", "AVX2", runs=24, identical=24)])
    assert found == "identical on this machine in the same process (12 of 12), with AVX2 instructions (24 of 24)"


def test_the_nearest_comes_first_and_one_picture_apart_is_not_identical() -> None:
    found = in_words(
        [condition("dtype", "float16", identical=0, far=40), condition("deterministic", "false", identical=11, far=2)]
    )
    assert found == (
        "within 2/255 with exact algorithms off (11 of 12 identical); within 40/255 in float16 (0 of 12 identical)"
    )
    assert not condition("threads", runs=0, identical=0).same


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_condition_has_words(kind: ConditionKind) -> None:
    assert "identical on this machine" in in_words([condition(kind, "something")])


def test_nothing_measured_is_not_identical() -> None:
    assert in_words([]) == "nothing was measured"

from __future__ import annotations

import pytest

from intaglio.core import errors
from intaglio.core.errors import IntaglioError
from intaglio.core.grade import Grade
from intaglio.core.retry import MAX_TRIES, again_in, delay, is_transient

PASSING = [
    errors.StorageFailed("full"),
    errors.Unavailable("busy"),
    errors.WorkerLost("died"),
    errors.TooMany("too many"),
    errors.ServerGone("gone"),
]
LASTING: list[IntaglioError] = [
    errors.Invalid("no"),
    errors.InvalidWorkflow("no"),
    errors.NotFound("task", "x"),
    errors.Conflict("no"),
    errors.NodeFailed("grain", "MemoryError"),
    errors.Cancelled("cancelled"),
    errors.ModelUnavailable("gone"),
    errors.Damaged("rotten"),
    errors.LibraryTooNew("new"),
    errors.BackendMissing("no torch"),
    errors.CannotReproduce("no", grade=Grade(grade="partial", gaps=())),
    IntaglioError("a bug"),
]


@pytest.mark.parametrize("error", PASSING, ids=lambda error: error.code)
def test_RUN_4_what_may_pass_is_tried_again_a_little_later_each_time_and_not_for_ever(error: IntaglioError) -> None:
    assert is_transient(error)
    pauses = [again_in(error, tries) for tries in range(1, MAX_TRIES + 2)]
    assert pauses == [1.0, 5.0, None, None]


@pytest.mark.parametrize("error", LASTING, ids=lambda error: error.code)
def test_RUN_4_what_will_not_pass_is_not_tried_again(error: IntaglioError) -> None:
    assert not is_transient(error)
    assert again_in(error, 1) is None


def test_waiting_has_a_bound() -> None:
    assert [delay(tries) for tries in (0, 1, 2, 3, 4, 1000)] == [1.0, 1.0, 5.0, 30.0, 30.0, 30.0]

from __future__ import annotations

import typing
from itertools import product

import pytest

from intaglio.core.errors import Conflict
from intaglio.core.task import FORWARD, Status, check_forward

STATUSES: tuple[Status, ...] = typing.get_args(Status)
ALLOWED = {
    ("queued", "running"),
    ("queued", "cancelled"),
    ("queued", "interrupted"),
    ("running", "waiting"),
    ("waiting", "done"),
    ("waiting", "cancelled"),
    ("running", "done"),
    ("running", "failed"),
    ("running", "cancelled"),
    ("running", "interrupted"),
    ("interrupted", "running"),
    ("interrupted", "cancelled"),
    ("cancelled", "running"),
    ("failed", "running"),
    ("interrupted", "queued"),
    ("interrupted", "failed"),
    ("cancelled", "queued"),
    ("failed", "queued"),
}


@pytest.mark.parametrize(("old", "new"), list(product(STATUSES, STATUSES)))
def test_a_task_goes_only_forward(old: Status, new: Status) -> None:
    if (old, new) in ALLOWED:
        check_forward("t", old, new)
    else:
        with pytest.raises(Conflict, match=f"task 't' is {old}; it cannot become {new}"):
            check_forward("t", old, new)


def test_every_status_has_its_line_and_only_done_is_final() -> None:
    assert set(FORWARD) == set(STATUSES)
    assert {status for status, following in FORWARD.items() if not following} == {"done"}

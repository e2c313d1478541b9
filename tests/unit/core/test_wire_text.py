"""A value as text is what it is as JSON values, written once for a record that stands alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from unit.core.samples import NODE_RECORD, PLAN, REFERENCE, TASK

from intaglio.core.wire import to_wire, wire_text


@dataclass(frozen=True)
class View:
    """What a noun gives that is no record."""

    task: Any
    steps: list[Any]
    size: tuple[int, int]


@pytest.mark.parametrize(
    "value",
    [
        TASK,
        [TASK, NODE_RECORD, None, 'a "quoted" word, \u00fc and \u2028'],
        REFERENCE,
        (TASK, 1),
        View(PLAN, [TASK, 0.5, b"bytes"], (2, 1)),
        {"a": [TASK]},
        [],
    ],
)
def test_text_says_what_the_values_say(value: Any) -> None:
    assert json.loads(wire_text(value)) == json.loads(wire_text(value)) == to_wire(value)


def test_a_changed_record_has_a_text_of_its_own() -> None:
    before = wire_text(TASK)
    changed = replace(TASK, attempt=7)
    assert json.loads(wire_text(changed))["attempt"] == 7
    assert (wire_text(TASK), changed == TASK, replace(changed, attempt=1) == TASK) == (before, False, True)

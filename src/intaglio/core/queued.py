"""What waits until a worker takes it."""

from __future__ import annotations

from typing import Literal

from intaglio.core.record import record

What = Literal["task", "job"]
# Whose earlier steps may stand for a step: anybody's, only this task's own, or nobody's.
Reuse = Literal["any", "own", "none"]


@record
class Queued:
    """A task or a job (`id`) in the queue. The lowest `place` is taken first; places have gaps between them.

    It is not taken before the time `not_before` ("" = at once); `tries` is how often it was tried. `reuse` and
    `paranoid` are how a task is to be carried out.
    """

    kind: Literal["queued"] = "queued"
    format: Literal[1] = 1
    id: str
    what: What
    place: int
    not_before: str = ""
    tries: int = 0
    reuse: Reuse = "any"
    paranoid: bool = False

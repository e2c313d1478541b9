"""Webhooks: addresses that are told what happens in a library."""

from __future__ import annotations

from typing import Literal

from intaglio.core.record import record


@record
class Webhook:
    """An address that lines of the journal are sent to, those whose `what` begins with one of `events` (none = all).

    Each is signed with `secret`. `delivered` is the number of the last line that it has, or did not want. While it
    refuses, `failures` counts how often since `failing_since`, and it is tried again at the time `again_at`; `paused`
    says why nothing is sent any more ("" = it is).
    """

    kind: Literal["webhook"] = "webhook"
    format: Literal[1] = 1
    id: str
    address: str
    events: tuple[str, ...] = ()
    secret: str
    created: str
    author: str
    delivered: int
    failures: int = 0
    failing_since: str = ""
    again_at: str = ""
    paused: str = ""

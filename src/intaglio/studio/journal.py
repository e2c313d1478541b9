"""Following the journal: what happened in a library, in order, without a gap."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from threading import Event

from intaglio.core.errors import Invalid
from intaglio.core.journal import Notice
from intaglio.studio.parts import Parts

# The most lines a page has.
MOST = 1000
# How late a follower may hear of a line, in seconds.
POLL_S = 0.05
# SQLite's numbers end there, and so do the ones that JSON carries exactly.
_HIGHEST = 2**53


def page(parts: Parts, *, after: int, limit: int, subject: str, what: Sequence[str]) -> list[Notice]:
    """Up to `limit` lines above the number `after`; `subject` "" is any, `what` are beginnings of words (none = all).

    Raises Invalid, Damaged.
    """
    if not 0 <= after <= _HIGHEST:
        raise Invalid(f"no line of the journal has the number {after}", hint="Give 0, or the number of one you have.")
    if not 1 <= limit <= MOST:
        raise Invalid(f"a page of {limit} lines", hint=f"Ask for 1 to {MOST}.")
    return parts.journal.list(after, limit, subject or None, _words(what))


def follow(
    parts: Parts, *, after: int | None, subject: str, what: Sequence[str], stop: Event | None
) -> Iterator[Notice]:
    """The lines above `after` (None: those from now on), then each new one, until `stop` is set.

    Raises Invalid and Damaged, the first at once.
    """
    start = parts.journal.last() if after is None else after
    page(parts, after=start, limit=1, subject=subject, what=what)  # what is asked for makes sense
    return _follow(parts, start, subject, what, stop.wait if stop else _slept)


def _follow(
    parts: Parts, after: int, subject: str, what: Sequence[str], waited: Callable[[float], bool]
) -> Iterator[Notice]:
    while True:
        # Lines are numbered in the order of their commits: once the last one is seen, so are all before it.
        last = parts.journal.last()
        lines = page(parts, after=after, limit=MOST, subject=subject, what=what) if last > after else []
        yield from lines
        if len(lines) == MOST:
            after = lines[-1].number
            continue
        after = max(after, last, *(line.number for line in lines[-1:]))
        if waited(POLL_S):
            return


def _slept(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _words(what: Sequence[str]) -> tuple[str, ...]:
    for word in what:
        if not word or len(word) > 100:
            raise Invalid(f"no line of the journal is called {word[:60]!r}", hint="Give task.done, version. or such.")
    return tuple(what)

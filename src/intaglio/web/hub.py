"""What is new in a library, found once for all who wait for it: new lines of the journal, and how running work goes.

One poller asks; whoever waits is woken. The newest lines are kept at hand, so that a thousand followers cost one read;
who is further behind reads its own pages.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from intaglio.core.codec import encode
from intaglio.core.errors import IntaglioError, Unavailable
from intaglio.core.journal import Notice
from intaglio.core.progress import Progress
from intaglio.studio import progress as shown
from intaglio.studio.open import Studio

T = TypeVar("T")

POLL_S = 0.05
# Nobody listens but webhooks.
IDLE_POLL_S = 0.5
PROGRESS_S = 0.2
AFTER_FAILURE_S = 1.0
PAGE = 200
KEPT = 2000
_ENDING = ".progress"

_log = logging.getLogger("intaglio.web")


@dataclass(frozen=True)
class Line:
    """A line of the journal, and how it is sent."""

    notice: Notice
    block: bytes


@dataclass(frozen=True)
class Live:
    """How a running task or job is; `turn` counts the changes of all of them."""

    turn: int
    id: str
    block: bytes


def line(notice: Notice) -> Line:
    """A line of the journal as an event."""
    block = b"id: %d\nevent: %s\ndata: %s\n\n" % (notice.number, notice.what.encode(), encode(notice))
    return Line(notice, block)


class Hub:
    """The news of one library. All of it belongs to one event loop; only reads happen in threads."""

    def __init__(self, studio: Studio, preview: Callable[[str], str]) -> None:
        self.studio = studio
        self.last = 0
        self.turn = 0
        self.closing = False
        self.trouble: IntaglioError | None = None
        self.streams = 0
        self.news = asyncio.Event()
        self._preview = preview
        self._kept: deque[Line] = deque(maxlen=KEPT)
        self._live: dict[str, tuple[object, Live]] = {}
        self._hurry = asyncio.Event()
        self._threads = CapacityLimiter(4)
        self._task: asyncio.Task[None] | None = None
        self._progress_at = 0.0

    async def start(self) -> None:
        """Begin to look. Raises Damaged, Unavailable."""
        self.last = await self.read(self.studio.parts.journal.last)
        self._task = asyncio.create_task(self._run(), name="events")

    def close(self) -> None:
        """Tell all who wait that it is over."""
        self.closing = True
        self._hurry.set()
        self._wake()

    async def stop(self) -> None:
        """Close, and wait until nothing is looked for any more."""
        self.close()
        if self._task is not None:
            await self._task

    async def read(self, function: Callable[..., T], *arguments: object, **named: object) -> T:
        """What a blocking read gives, off the event loop; few at a time, so that requests are never kept waiting."""
        return await to_thread.run_sync(partial(function, *arguments, **named), limiter=self._threads)

    def enter(self) -> None:
        """Count a stream that begins."""
        self.streams += 1
        self._hurry.set()

    def leave(self) -> None:
        """Count a stream that ended."""
        self.streams -= 1

    def since(self, after: int) -> Sequence[Line] | None:
        """The lines above `after` that have been seen; None when they are no longer at hand."""
        if after >= self.last:
            return ()
        if not self._kept or self._kept[0].notice.number > after + 1:
            return None
        missing = self.last - after
        return [self._kept[at] for at in range(len(self._kept) - missing, len(self._kept))]

    def live(self, turn: int) -> Iterator[Live]:
        """What changed of running work after `turn`, the latest of each."""
        return (live for _, live in self._live.values() if live.turn > turn)

    async def _run(self) -> None:
        while not self.closing:
            full = False
            try:
                full, self.trouble = await self._look(), None
            except IntaglioError as error:
                _log.error("the journal cannot be read: %s", error)
                self.trouble = error
                self._wake()
            except Exception:
                # Whatever it is, streams must not fall silent for it.
                _log.exception("looking for news failed")
                self.trouble = Unavailable("the news cannot be read", hint="See the server's log.")
                self._wake()
            if not full:
                await self._pause()

    async def _pause(self) -> None:
        self._hurry.clear()
        if self.closing:
            return
        seconds = AFTER_FAILURE_S if self.trouble else POLL_S if self.streams else IDLE_POLL_S
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), seconds)

    async def _look(self) -> bool:
        """Find what is new, and wake who waits; True when there may be more."""
        now, before = asyncio.get_running_loop().time(), (self.last, self.turn)
        if self.streams and now >= self._progress_at:
            self._progress_at = now + PROGRESS_S
            self._take(await self.read(self._shown))
        notices = await self.read(self.studio.parts.journal.list, self.last, PAGE)
        for notice in notices:
            self._kept.append(line(notice))
            self.last = notice.number
        if (self.last, self.turn) != before:
            self._wake()
        return len(notices) == PAGE

    def _wake(self) -> None:
        woken, self.news = self.news, asyncio.Event()
        woken.set()

    def _shown(self) -> dict[str, tuple[object, Progress]]:
        """What is shown of each running task and job now, and when it was written."""
        found: dict[str, tuple[object, Progress]] = {}
        with suppress(OSError), os.scandir(self.studio.root / "locks") as entries:
            for entry in entries:
                if entry.name.endswith(_ENDING):
                    with suppress(OSError):
                        status = entry.stat(follow_symlinks=False)
                        name = entry.name.removesuffix(_ENDING)
                        progress = shown.read(self.studio.parts, name)
                        if progress is not None:
                            found[name] = ((status.st_mtime_ns, status.st_ino), progress)
        return found

    def _take(self, found: dict[str, tuple[object, Progress]]) -> None:
        for name in self._live.keys() - found.keys():
            del self._live[name]
        for name, (written, progress) in found.items():
            if name not in self._live or self._live[name][0] != written:
                self.turn += 1
                self._live[name] = (written, Live(self.turn, name, self._told(name, progress)))

    def _told(self, name: str, progress: Progress) -> bytes:
        told = replace(progress, preview=self._preview(name) if progress.preview else "")
        return b"event: progress\ndata: %s\n\n" % encode(told)

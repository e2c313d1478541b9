"""When a worker is to stop: told by a signal, or because the process that looks after it ended."""

from __future__ import annotations

import math
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread

# A step that does not come to a check so many seconds after it should have is not waited for.
PATIENCE_S = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LONGEST_S = 86_400.0


class Stopping:
    """Once asked to stop, a worker takes nothing new, and what it is at gets `grace` seconds to end; asked twice, none.

    `wait` and `now` are asked by who works, from any thread.
    """

    def __init__(self, grace: float = 10.0) -> None:
        self.grace = grace
        self._asked = Event()
        self._ends = math.inf
        self._at_once = False

    @property
    def asked(self) -> bool:
        """Whether to take nothing new."""
        return self._asked.is_set()

    def now(self) -> bool:
        """Whether to stop what is at work, at its next check."""
        return time.monotonic() >= self._ends

    def wait(self, seconds: float) -> bool:
        """Return after so many seconds, or as soon as it is asked to stop; then True."""
        return self._asked.wait(seconds)

    def ask(self) -> None:
        """Ask it to stop; the second time, at once."""
        now = time.monotonic()
        self._at_once = self.asked
        self._ends = now if self._at_once else now + self.grace
        self._asked.set()

    def listen(self, abandon: Callable[[], None], parent: int | None = None) -> None:
        """Be asked by SIGTERM and SIGINT, and when the other end of `parent` (a descriptor) is closed; a number written
        there first is the new grace. `abandon()` is called, once, when what is at work does not stop when it should.
        """
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        # The system writes there even while the main thread is in a library and could not run a handler.
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, lambda number, frame: None)
        descriptors = [reading] if parent is None else [reading, parent]
        Thread(target=self._listen, args=(descriptors, abandon), name="intaglio-stopping", daemon=True).start()

    def _listen(self, descriptors: list[int], abandon: Callable[[], None]) -> None:
        signals, *rest = descriptors
        while True:
            patience = 0.0 if self._at_once else PATIENCE_S
            left = max(0.0, self._ends + patience - time.monotonic()) if self.asked else None
            readable, _, _ = select.select([signals, *rest], [], [], left)
            if signals in readable:
                for number in os.read(signals, 64):
                    if number in _SIGNALS:
                        self.ask()
            elif readable:
                rest = rest if self._heard(os.read(rest[0], 64)) else []
            elif self.asked:
                abandon()
                return

    def _heard(self, said: bytes) -> bool:
        """What came from the parent: a number of seconds; or nothing, because it ended or wants this one to end."""
        with suppress(ValueError):
            self.grace = min(max(0.0, float(said)), _LONGEST_S)
        if not said and not self.asked:
            self.ask()
        return bool(said)

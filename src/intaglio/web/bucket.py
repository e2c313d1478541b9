"""How often somebody may do something: a bucket of tokens for each, filled again at a steady rate."""

from __future__ import annotations

import time
from collections.abc import Callable

_MOST = 10_000


class Buckets:
    """Buckets by name, each of `burst` tokens at most and `rate` new ones a second; a rate of 0 means without limit."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, name: str) -> float:
        """Take one token; 0 when there was one, else how many seconds it is until there is."""
        if not self._rate:
            return 0.0
        left = self._now(name)
        enough = left >= 1
        self._left[name] = (left - enough, self._clock())
        self._forget()
        return 0.0 if enough else (1 - left) / self._rate

    def _now(self, name: str) -> float:
        left, when = self._left.get(name, (float(self._burst), self._clock()))
        return min(self._burst, left + (self._clock() - when) * self._rate)

    def _forget(self) -> None:
        """Let go of buckets that are full again, and of all when that is not enough."""
        if len(self._left) > _MOST:
            self._left = {name: kept for name, kept in self._left.items() if self._now(name) < self._burst}
        if len(self._left) > _MOST:
            self._left.clear()

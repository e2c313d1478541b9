"""The library of a server: what happens in it, as it happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Event

from intaglio.client.nouns import Noun
from intaglio.core.journal import Notice


class Library(Noun):
    """`studio.library`, behind a server."""

    def follow(
        self, *, after: int | None = None, subject: str = "", what: Sequence[str] = (), stop: Event | None = None
    ) -> Iterator[Notice]:
        """As the local one; a line that breaks is taken up again without a gap."""
        for happened in self._line.events(after=after, subject=subject, what=what):
            if stop is not None and stop.is_set():
                return
            if isinstance(happened, Notice):
                yield happened

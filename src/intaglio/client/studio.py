"""A studio behind a server: what `intaglio.connect` gives."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from intaglio.api.routes import NOUNS
from intaglio.client.assets import Assets
from intaglio.client.connection import Connection
from intaglio.client.library import Library
from intaglio.client.nouns import Noun
from intaglio.client.tasks import Tasks

if TYPE_CHECKING:
    from intaglio.studio.open import Studio

# What takes more than one request.
_OWN: dict[str, type[Noun]] = {"tasks": Tasks, "assets": Assets, "library": Library}


class RemoteStudio:
    """The nouns of a library behind a server; close it, or use it as a context manager."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self.url = line.url

    def __getattr__(self, name: str) -> Noun:
        if name not in NOUNS:
            raise AttributeError(f"a studio behind a server has no {name!r}")
        noun = _OWN.get(name, Noun)(self._line, name)
        setattr(self, name, noun)
        return noun

    def close(self) -> None:
        """Close the connections."""
        self._line.close()

    def __enter__(self) -> RemoteStudio:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(url: str, token: str = "") -> Studio:
    """The studio of the server at `url`. Raises Invalid, ServerGone, Unauthorized."""
    line = Connection(url, token)
    line.ask("GET", "/api/nodes")
    studio: Studio = cast(Any, RemoteStudio(line))
    return studio

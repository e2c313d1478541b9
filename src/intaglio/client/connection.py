"""The line to a server: requests, what they answer, bytes, and events as they happen."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import quote, urlsplit

import httpx2

from intaglio.api.routes import SAID
from intaglio.client.errors import error_of
from intaglio.core.canonical import parse_json
from intaglio.core.errors import Invalid, InvalidRecord, ServerGone, StillAtWork, TooMany
from intaglio.core.journal import Notice
from intaglio.core.progress import Progress
from intaglio.core.wire import from_wire

CHUNK = 1 << 20
# So often a request is sent when the line breaks; each carries the same Idempotency-Key, so that it is done once.
TRIES = 4
PAUSE_S = 0.25
CONNECT_S = 10.0
# So long the answer to a request is waited for that the server is at work at when the line is there again.
LONGEST_S = 600.0
# Longer than the server ever takes to say something: it sends a sign of life along an open stream every 15 s.
SILENCE_S = 90.0
T = TypeVar("T", Notice, Progress)
Hear = Callable[[str, list[Any]], None]
LOCAL = ("127.0.0.1", "localhost", "::1")


class Connection:
    """One server. Threads may share it."""

    def __init__(self, url: str, token: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise Invalid(
                f"{url[:200]!r} is not the address of a server", hint="Write http://HOST:PORT or https://HOST."
            )
        if token and not (token.isascii() and token.isprintable()):
            raise Invalid("the token is no token", hint="Copy it as it was printed by: intaglio tokens create")
        self.url = url.rstrip("/")
        self._http = httpx2.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx2.Timeout(SILENCE_S, connect=CONNECT_S),
            trust_env=parts.hostname not in LOCAL,  # no proxy stands between a machine and itself
        )

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        key: str = "",
        hear: Hear | None = None,
    ) -> Any:
        """The JSON that a request is answered with; None for an empty answer. Raises what the server says, ServerGone.

        With `key` as Idempotency-Key, else one of its own, so that it is done once however often it is sent. `hear`
        is told what its verb told.
        """
        headers = {"Idempotency-Key": key or secrets.token_urlsafe(18)} if method == "POST" else {}
        response = self._send(method, path, query, body, headers)
        _heard(response, hear)
        return _json(response) if response.content else None

    def _send(self, method: str, path: str, query: Any, body: Any, headers: dict[str, str]) -> httpx2.Response:
        given, tries, end = body if method != "GET" else None, 0, time.monotonic() + LONGEST_S
        while True:
            try:
                with _plain(self.url):
                    response = self._http.request(method, quoted(path), params=query, json=given, headers=headers)
                    _refuse(response)
                    return response
            except StillAtWork:
                # The line broke, and the server goes on with what was asked: its answer is waited for.
                if time.monotonic() > end:
                    raise
                time.sleep(PAUSE_S)
            except (ServerGone, TooMany) as error:
                tries += 1
                if tries == TRIES:
                    raise
                time.sleep(max(PAUSE_S * 2**tries / 2, getattr(error, "after_s", 0.0)))

    def read(self, path: str, query: Mapping[str, Any] | None = None) -> bytes:
        """The bytes at an address."""
        return self._send("GET", path, query, None, {}).content

    def fetch(
        self,
        method: str,
        path: str,
        target: BinaryIO,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        accept: str = "*/*",
        hear: Hear | None = None,
    ) -> None:
        """Write the bytes that a request is answered with into a file; `hear` is told what its verb told."""
        with (
            _plain(self.url),
            self._http.stream(method, quoted(path), params=query, json=body, headers={"Accept": accept}) as response,
        ):
            if response.status_code >= 400:
                response.read()
            _refuse(response)
            for chunk in response.iter_bytes(CHUNK):
                target.write(chunk)
            _heard(response, hear)

    def put(self, method: str, path: str, file: Path, headers: Mapping[str, str], query: Mapping[str, str]) -> Any:
        """The JSON that sending a file is answered with."""
        with _plain(self.url), file.open("rb") as source:
            response = self._http.request(
                method,
                quoted(path),
                content=iter(lambda: source.read(CHUNK), b""),
                params=query,
                headers={"Content-Type": "application/octet-stream", **headers},
            )
            _refuse(response)
        return _json(response)

    def events(
        self, *, after: int | None = None, subject: str = "", what: Sequence[str] = ()
    ) -> Iterator[Notice | Progress]:
        """What happens, as it happens, from the journal number `after` on (None: from now).

        A line that breaks is taken up again where it broke: nothing is left out, nothing comes twice.
        """
        broken = 0
        while True:
            try:
                for found in self._stream(after, subject, what):
                    broken = 0
                    if isinstance(found, Notice):
                        after = found.number
                    yield found
            except (ServerGone, TooMany):
                broken += 1
                if broken >= TRIES * 2:
                    raise
            time.sleep(min(PAUSE_S * 2**broken, 5.0))

    def _stream(self, after: int | None, subject: str, what: Sequence[str]) -> Iterator[Notice | Progress]:
        given: dict[str, Any] = {"what": list(what)}
        given |= ({"subject": subject} if subject else {}) | ({} if after is None else {"after": after})
        with _plain(self.url), self._http.stream("GET", "/api/events", params=given) as response:
            if response.status_code >= 400:
                response.read()
            _refuse(response)
            for event in httpx2.EventSource(response):
                if event.event == "progress":
                    yield self._happened(Progress, event.data)
                elif event.id and event.data:
                    yield self._happened(Notice, event.data)

    def _happened(self, kind: type[T], text: str) -> T:
        try:
            return cast(T, from_wire(kind, parse_json(text)))
        except InvalidRecord as error:  # one that was cut off in the middle
            raise ServerGone(f"the server at {self.url} does not answer as an Intaglio server does: {error}") from error


def quoted(path: str) -> str:
    """An address with what is not text of an address written out."""
    return quote(path, safe="/-._~:@")


@contextmanager
def _plain(url: str) -> Iterator[None]:
    try:
        yield
    except (httpx2.TransportError, httpx2.StreamError, httpx2.SSEError) as error:
        what = str(error) or type(error).__name__
        raise ServerGone(f"the server at {url} does not answer: {what}") from error
    except httpx2.InvalidURL as error:
        raise Invalid(f"{url!r} cannot be asked for that: {error}", hint="Give a shorter name.") from error


def _heard(response: httpx2.Response, hear: Hear | None) -> None:
    """Tell who called what a verb told while it was at work."""
    if hear is not None:
        for name, *words in parse_json(response.headers.get(SAID, "[]")):
            hear(name, words)


def _refuse(response: httpx2.Response) -> None:
    """Raise what a server says when it does not do something."""
    if response.status_code < 400:
        return
    try:
        said = parse_json(response.content)["error"]
        error = error_of(said["code"], said["message"], said["hint"], said["facts"])
    except (InvalidRecord, KeyError, TypeError):
        raise ServerGone(
            f"{response.url.host} answers with status {response.status_code}, and not as an Intaglio server does"
        ) from None
    if isinstance(error, TooMany):
        error.after_s = float(response.headers.get("Retry-After", "1"))
    raise error


def _json(response: httpx2.Response) -> Any:
    try:
        return parse_json(response.content)
    except InvalidRecord as error:
        raise ServerGone(f"{response.url.host} does not answer as an Intaglio server does: {error}") from error

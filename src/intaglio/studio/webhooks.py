"""Webhooks: addresses that an administrator lets the server tell what happens."""

from __future__ import annotations

import builtins
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from intaglio.core.errors import Conflict, Invalid
from intaglio.core.journal import Notice
from intaglio.core.webhook import Webhook
from intaglio.studio import clock
from intaglio.studio.parts import Parts

MOST = 100
MOST_EVENTS = 50
LONGEST_ADDRESS = 2000
MOST_WAITING = 100
# What the journal calls a trial; it goes to the one webhook it is about, whatever that wants to hear.
TEST = "webhook.test"
# What the lines of the journal begin with.
FAMILIES = ("task", "version", "workflow", "variation", "job")


@dataclass(frozen=True)
class Hook:
    """A webhook as it is shown, without its secret. `waiting` is how many lines it is yet to be told, as far as 100.

    The rest is as in the record: see `core.webhook.Webhook`.
    """

    id: str
    address: str
    events: tuple[str, ...]
    created: str
    author: str
    delivered: int
    waiting: int
    failures: int
    failing_since: str
    again_at: str
    paused: str


class Webhooks:
    """`studio.webhooks`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def add(self, address: str, *, events: Sequence[str] = (), author: str = "") -> Webhook:
        """Have the server send what happens from now on to `address`; `events` are words of the journal or their
        beginnings ("task.done", "version."), none for all.

        The only time its secret is shown. An address is as an administrator gives it, in a private network too: nothing
        else ever names one. Raises Invalid, Conflict (too many, or that one is there).
        """
        address, events = _checked_address(address), _checked_events(events)
        with self._parts.database.write():
            there = self._parts.webhooks.list()
            if len(there) >= MOST:
                raise Conflict(f"there are {len(there)} webhooks", hint="Remove one that is not needed.")
            if any((hook.address, hook.events) == (address, events) for hook in there):
                raise Conflict(f"{address} is told that already", hint="See it with: intaglio webhooks list")
            webhook = Webhook(
                id=f"hook-{secrets.token_hex(4)}",
                address=address,
                events=events,
                secret=secrets.token_hex(32),
                created=clock.now(),
                author=author.strip() or self._parts.settings.author,
                delivered=self._parts.journal.last(),
            )
            self._parts.webhooks.add(webhook)
        return webhook

    def list(self) -> builtins.list[Hook]:
        """Every webhook and how far it was told, oldest first. Raises Damaged."""
        return [_shown(self._parts, webhook) for webhook in self._parts.webhooks.list()]

    def remove(self, id: str) -> None:
        """Send nothing there any more. Raises NotFound."""
        self._parts.webhooks.remove(id)

    def resume(self, id: str) -> Hook:
        """Go on with one that refused, or was paused for that, now: from the line it did not take. Raises NotFound."""
        again = {"failures": 0, "failing_since": "", "again_at": "", "paused": ""}
        return _shown(self._parts, self._parts.webhooks.change(id, **again))

    def test(self, id: str) -> Notice:
        """Send it a line of its own, after what waits for it: `list` shows then whether it took it. Raises NotFound."""
        with self._parts.database.write():
            self._parts.webhooks.get(id)
            return self._parts.journal.note(TEST, id)  # never the address: some are secrets, and many read the journal


def to_tell(parts: Parts, webhook: Webhook, after: int, limit: int) -> tuple[list[Notice], int]:
    """The lines above `after` that a webhook is to be told, up to `limit`, and the last line that was looked at.

    Raises Damaged.
    """
    last = parts.journal.last()
    words = (*webhook.events, TEST) if webhook.events else ()
    lines = parts.journal.list(after, limit, None, words)
    # Commits are in the order of numbers: whoever sees `last` sees all before it, so a page that is not full is all.
    looked = lines[-1].number if len(lines) == limit else max(after, last, *(line.number for line in lines[-1:]))
    return [line for line in lines if line.what != TEST or line.subject == webhook.id], looked


def _shown(parts: Parts, webhook: Webhook) -> Hook:
    return Hook(
        id=webhook.id,
        address=webhook.address,
        events=webhook.events,
        created=webhook.created,
        author=webhook.author,
        delivered=webhook.delivered,
        waiting=len(to_tell(parts, webhook, webhook.delivered, MOST_WAITING)[0]),
        failures=webhook.failures,
        failing_since=webhook.failing_since,
        again_at=webhook.again_at,
        paused=webhook.paused,
    )


def _checked_address(text: str) -> str:
    """An address that can be sent to. Raises Invalid."""
    hint = "Give it as https://host/path."
    if len(text) > LONGEST_ADDRESS or not text.isprintable() or " " in text:
        raise Invalid(f"{text[:80]!r} is no address", hint=hint)
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise Invalid(f"{text[:80]!r} is no address ({error})", hint=hint) from error
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise Invalid(f"{_without_credentials(parts)[:80]!r} is no http or https address", hint=hint)
    if "@" in parts.netloc:
        raise Invalid("the address holds a name or a password", hint="Leave them out; what is sent is signed.")
    if parts.fragment:
        raise Invalid(f"{text[:80]!r} has a part that is never sent (#...)", hint=hint)
    try:
        host.encode("idna" if not host.isascii() else "ascii")
    except UnicodeError as error:
        raise Invalid(f"{host[:80]!r} is no host", hint=hint) from error
    return text


def _without_credentials(parts: SplitResult) -> str:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _checked_events(events: Sequence[str]) -> tuple[str, ...]:
    """The words to be told, each once. Raises Invalid for one that no line of the journal begins with."""
    if len(events) > MOST_EVENTS:
        raise Invalid(f"{len(events)} kinds of events", hint=f"Name at most {MOST_EVENTS}, or their beginnings.")
    for word in events:
        if word.partition(".")[0] not in FAMILIES or not word.replace(".", "").isalpha() or len(word) > 100:
            raise Invalid(
                f"nothing in the journal is called {word[:60]!r}",
                hint=f"Name words or beginnings of words such as task.done, version., or {', '.join(FAMILIES)}.",
            )
    return tuple(dict.fromkeys(events))

"""intaglio webhooks ..."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from intaglio.cli.app import App, common, say, table

if TYPE_CHECKING:
    from intaglio.studio.webhooks import Hook


@click.group()
def webhooks() -> None:
    """Addresses that a server tells what happens."""


@webhooks.command()
@click.argument("address")
@click.option(
    "--events",
    multiple=True,
    metavar="WORD",
    help="What to tell: a word of the journal or its beginning (task.done, version.); may be given several times.",
)
@common
def add(app: App, address: str, events: tuple[str, ...]) -> None:
    """Have the server send what happens from now on to ADDRESS; the secret that signs it is shown this once."""
    with app.open() as studio:
        made = studio.webhooks.add(address, events=events)

    def words() -> None:
        say(made.secret)
        say(f"{made.id}: {made.address}, {', '.join(made.events) or 'everything'}", err=True)
        say("What is sent is signed with this secret; it is not shown again.", err=True)

    app.show(made, words)


@webhooks.command("list")
@common
def list_(app: App) -> None:
    """Every webhook, and how far it was told."""
    with app.open() as studio:
        found = studio.webhooks.list()
    app.show(found, lambda: table([_row(hook) for hook in found]))


@webhooks.command()
@click.argument("webhook")
@common
def remove(app: App, webhook: str) -> None:
    """Send nothing to a webhook, by its id, any more."""
    with app.open() as studio:
        studio.webhooks.remove(webhook)
    app.show({"removed": webhook}, lambda: say(f"removed {webhook}"))


@webhooks.command()
@click.argument("webhook")
@common
def resume(app: App, webhook: str) -> None:
    """Go on at once with one that refused or was paused, from the line it did not take."""
    with app.open() as studio:
        hook = studio.webhooks.resume(webhook)
    app.show(hook, lambda: table([_row(hook)]))


@webhooks.command()
@click.argument("webhook")
@common
def test(app: App, webhook: str) -> None:
    """Send it a line of its own, after what waits for it; `list` shows then whether it took it."""
    with app.open() as studio:
        notice = studio.webhooks.test(webhook)
    app.show(notice, lambda: say(f"line {notice.number} is on its way to {webhook} as soon as a server runs"))


def _row(hook: Hook) -> tuple[str, ...]:
    return hook.id, hook.address, ", ".join(hook.events) or "everything", f"{hook.waiting} waiting", _state(hook)


def _state(hook: Hook) -> str:
    if hook.paused:
        return f"paused: {hook.paused}"
    return f"refused {hook.failures} times, again at {hook.again_at[:19]}" if hook.failures else "well"

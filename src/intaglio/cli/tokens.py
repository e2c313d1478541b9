"""intaglio tokens ..."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from intaglio.cli.app import App, common, say, table

if TYPE_CHECKING:
    from intaglio.core.token import Scope
    from intaglio.studio.tokens import Grant


@click.group()
def tokens() -> None:
    """Who may ask a server for what."""


@tokens.command()
@click.argument("person")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(["read", "run", "approve", "admin"]),
    help="What it is good for; may be given several times. run and approve hold read, admin holds all.",
)
@click.option("--days", type=int, metavar="N", help="For how many days; else until it is revoked.")
@common
def create(app: App, person: str, scopes: tuple[Scope, ...], days: int | None) -> None:
    """Make a token for a person; it is shown this once."""
    with app.open() as studio:
        made = studio.tokens.create(person, scopes, expires_days=days)

    def words() -> None:
        say(made.token)
        say(f"{made.record.id}: {_what(made.record)}", err=True)
        say("Give it to them now: it is not shown again.", err=True)

    app.show(made, words)


@tokens.command("list")
@common
def list_(app: App) -> None:
    """Every token that was made, without the token itself."""
    with app.open() as studio:
        found = studio.tokens.list()
    app.show(found, lambda: table([(each.id, each.person, ", ".join(each.scopes), _end(each)) for each in found]))


@tokens.command()
@click.argument("token")
@common
def revoke(app: App, token: str) -> None:
    """Let a token, by its id, be good for nothing from now on."""
    with app.open() as studio:
        revoked = studio.tokens.revoke(token)
    app.show(revoked, lambda: say(f"revoked {revoked.id}: {_what(revoked)}"))


def _what(grant: Grant) -> str:
    return f"{grant.person}, {', '.join(grant.scopes)}, {_end(grant)}"


def _end(grant: Grant) -> str:
    if grant.revoked:
        return f"revoked {grant.revoked[:10]}"
    return f"until {grant.expires[:10]}" if grant.expires else "without end"

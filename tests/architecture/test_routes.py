"""What can be done from the command line can be done over HTTP, and the other way round."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click
import pytest

from intaglio.api.routes import BY_VERB, NOUNS, ROUTES, Route, noun_class
from intaglio.cli.main import cli
from intaglio.studio.verbs import VERBS
from intaglio.web import assets, uploads

# Commands that make or run something on one's own machine; over HTTP there is nothing that they could mean.
OWN_MACHINE = {
    "init": "a server serves a library that is there",
    "serve": "it is the server",
    "worker": "it is the server's other half",
    "models watch": "it looks at folders of the library's own machine until it is stopped",
}
# Commands whose verb has another name, or that are made of several.
CALLS = {
    "tasks run": ("tasks.submit", "tasks.wait"),
    "tasks resume": ("tasks.retry", "tasks.wait"),
    "tasks show": ("tasks.show", "tasks.progress", "tasks.waits_for", "tasks.get", "tasks.snapshot"),
    "tasks annotate": ("tasks.annotate", "tasks.form"),
    "versions import": ("versions.import_",),
    "versions rollback": ("versions.roll_back",),
    "versions show": (
        "versions.find",
        "versions.snapshot",
        "versions.standing",
        "versions.remarks",
        "versions.history",
    ),
    "versions list": ("versions.list", "versions.search", "versions.standings"),
    "versions find": ("versions.find", "versions.matches"),
    "versions bisect": ("versions.bisect", "versions.prospect"),
    "variations show": ("variations.show", "variations.get", "variations.export"),
    "workflows check": ("workflows.check", "workflows.lint", "workflows.warnings", "workflows.find"),
    "workflows show": ("workflows.show", "workflows.history"),
    "assets import": ("assets.import_",),
    "assets show": ("assets.show", "assets.state", "assets.as_made"),
    "models find": ("models.search",),
    "models hash": ("models.hash_pending",),
    "models impact": ("library.impact",),
    "models rm": ("library.remove_model",),
    "models show": ("models.about", "models.find", "models.envelopes", "models.kept"),
    "models verify": ("models.verify", "models.verify_all"),
    "library heal": ("library.heal", "library.lost"),
    "jobs show": ("jobs.get",),
}
# Verbs with routes of their own: what they take or give is bytes.
BYTES = {
    "assets add": uploads,
    "assets get": assets,
    "assets thumbnail": assets,
}


def commands(command: click.Command, *names: str) -> Iterator[str]:
    """Every command that does something, by its words."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, *names, name)
    else:
        yield " ".join(names)


COMMANDS = sorted(commands(cli))


def calls(command: str) -> tuple[str, ...]:
    noun, _, verb = command.partition(" ")
    return CALLS.get(command, (f"{noun}.{verb.replace('-', '_')}",))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_route(command: str) -> None:
    if command in OWN_MACHINE or command in BYTES:
        return
    for verb in calls(command):
        assert verb in BY_VERB, f"intaglio {command}: nothing at /api does {verb}"


@pytest.mark.parametrize("verb", sorted(BY_VERB))
def test_every_route_has_its_command(verb: str) -> None:
    assert any(verb in calls(command) for command in COMMANDS if command not in OWN_MACHINE), (
        f"{verb} can be done over HTTP, and by no command"
    )


def test_what_is_said_here_of_commands_is_still_so() -> None:
    named = {*OWN_MACHINE, *CALLS, *BYTES}
    assert named <= set(COMMANDS), named - set(COMMANDS)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.verb)
def test_a_route_is_a_verb_of_its_noun(route: Route) -> None:
    assert route.noun in NOUNS
    assert callable(getattr(noun_class(route.noun), route.name))
    for place in route.parameters.values():
        assert place.name in inspect.signature(route.function).parameters


def test_jobs_are_the_verbs_that_the_table_sends_to_a_worker() -> None:
    assert {route.verb for route in ROUTES if route.work} == VERBS


def test_addresses_are_unique() -> None:
    addresses = [(route.method, route.path) for route in ROUTES]
    assert len(set(addresses)) == len(addresses)


def test_no_address_hides_another() -> None:
    """One with a whole path in it ("sunset/v3") comes after what goes on behind that path."""
    from starlette.routing import Match
    from starlette.routing import Route as Address

    made = [Address(f"/api{route.path}", lambda request: None, methods=[route.method]) for route in ROUTES]
    for index, route in enumerate(ROUTES):
        path = "/api" + route.path.replace(":path", "").replace("{", "x").replace("}", "x")
        scope = {"type": "http", "path": path, "method": route.method, "headers": []}
        first = next(at for at, each in enumerate(made) if each.matches(scope)[0] == Match.FULL)
        assert first == index, f"{route.verb} is hidden by {ROUTES[first].verb}"

from __future__ import annotations

import ast
import importlib

import click
import pytest

from intaglio.cli.main import COMMANDS, cli

from .source import PACKAGE

NOUNS = (
    "workflows",
    "tasks",
    "versions",
    "variations",
    "assets",
    "models",
    "nodes",
    "library",
    "jobs",
    "tokens",
    "webhooks",
)


def attributes() -> dict[str, str]:
    """The attributes of an open studio that are nouns, and the classes they are made of."""
    tree = ast.parse((PACKAGE / "studio" / "open.py").read_text())
    studio = next(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == "Studio")
    return {
        node.targets[0].attr: node.value.func.id
        for node in ast.walk(studio)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Attribute)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
    }


def test_the_studio_has_these_nouns_and_no_others() -> None:
    assert attributes() == {noun: noun.capitalize() for noun in NOUNS}


def test_the_command_has_these_nouns_and_init() -> None:
    assert set(COMMANDS) == {*NOUNS, "init", "worker", "serve"}


@pytest.mark.parametrize("noun", NOUNS)
def test_each_noun_is_one_module_in_each_room(noun: str) -> None:
    found = importlib.import_module(f"intaglio.studio.{noun}")
    assert getattr(found, noun.capitalize()).__doc__ == f"`studio.{noun}`."
    group = cli.get_command(click.Context(cli), noun)
    assert isinstance(group, click.Group)
    assert group.name == noun
    assert COMMANDS[noun][0] == f"intaglio.cli.{noun}:{noun}"
    assert COMMANDS[noun][1] == (group.help or "").strip(), "`intaglio --help` says of it what it says of itself"

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import click
import pytest

from intaglio.cli.main import cli
from intaglio.core.errors import EXIT_CODES
from intaglio.core.grade import CODES
from intaglio.studio.settings import PREFIX, Settings

from .source import ROOT

DOCUMENTS = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
EVERYTHING = "\n".join([*DOCUMENTS.values(), (ROOT / "README.md").read_text(encoding="utf-8")])
NOT_IDENTICAL = 10


def commands(group: click.Group, path: str) -> Iterator[str]:
    """Every command as one types it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from commands(found, f"{path} {name}")
        else:
            yield f"{path} {name}"


@pytest.mark.parametrize("command", list(commands(cli, "intaglio")))
def test_every_command_is_in_the_documents(command: str) -> None:
    assert f"{command}\n" in DOCUMENTS["cli.md"]


@pytest.mark.parametrize("name", [field.name for field in fields(Settings)])
def test_every_setting_is_in_the_documents(name: str) -> None:
    assert f"`{PREFIX}{name.upper()}`" in EVERYTHING


@pytest.mark.parametrize(("code", "ceiling"), list((code, CODES[code].best) for code in CODES))
def test_every_gap_is_in_the_documents_with_its_ceiling(code: str, ceiling: str) -> None:
    assert f"| `{code}` | {ceiling} |" in EVERYTHING


@pytest.mark.parametrize("code", sorted({0, NOT_IDENTICAL, *EXIT_CODES.values()}))
def test_every_exit_code_is_in_the_documents(code: int) -> None:
    assert f"\n| {code} | " in EVERYTHING


def test_no_gap_is_in_the_documents_that_there_is_not() -> None:
    rows = [line.split("`")[1] for line in EVERYTHING.splitlines() if line.startswith("| `") and "| partial |" in line]
    assert set(rows) <= set(CODES)

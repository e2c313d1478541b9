"""The `intaglio` command: its nouns, loaded when they are asked for, and the place where errors become words."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from typing import Any

import click

from intaglio.cli.app import App, say_error
from intaglio.core.errors import IntaglioError, exit_code

# Noun or command -> where it is and what --help says of it, so that --help loads none of them.
COMMANDS = {
    "init": ("intaglio.cli.library:init", "Make a library here, or in a folder."),
    "workflows": ("intaglio.cli.workflows:workflows", "Graphs that say what is wanted."),
    "tasks": ("intaglio.cli.tasks:tasks", "Runs of workflows."),
    "versions": ("intaglio.cli.versions:versions", "Runs kept with their reason; bring one back."),
    "variations": (
        "intaglio.cli.variations:variations",
        "Many runs from one version that differ in one thing.",
    ),
    "assets": ("intaglio.cli.assets:assets", "Pictures and other files, by content."),
    "models": ("intaglio.cli.models:models", "Models, by content."),
    "nodes": ("intaglio.cli.nodes:nodes", "What a node can be."),
    "library": ("intaglio.cli.library:library", "Check and tidy the library."),
    "jobs": ("intaglio.cli.jobs:jobs", "Calls that take long, carried out by a worker."),
    "worker": ("intaglio.cli.worker:worker", "Carry out the tasks that wait in the queue, until Ctrl-C."),
    "serve": ("intaglio.cli.serve:serve", "Serve the library to a team, a studio and scripts."),
    "webhooks": ("intaglio.cli.webhooks:webhooks", "Addresses that a server tells what happens."),
    "tokens": ("intaglio.cli.tokens:tokens", "Who may ask a server for what."),
}


class _ReaderGone(Exception):
    """The reader of our output went away, as `head` does."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # click would end the process here, with exit code 1.
            raise _ReaderGone from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--library", metavar="DIR", help="The library; else INTAGLIO_LIBRARY, else the nearest one above.")
@click.option("--server", metavar="URL", help="The server whose library to work on; else INTAGLIO_SERVER.")
@click.version_option(package_name="intaglio", prog_name="intaglio")
@click.pass_context
def cli(ctx: click.Context, library: str | None, server: str | None) -> None:
    """Run generative workflows, keep everything that made each picture, bring any of them back.

    Exit codes: 0 done (reproduce: identical), 1 a node failed, 2 bad input, 3 not found, 4 unavailable,
    10 compared or reproduced and not identical, 130 cancelled.
    """
    ctx.obj = App(library=library, server=server)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code. No exception and no traceback leaves it."""
    as_json = "--json" in (sys.argv[1:] if arguments is None else arguments)
    try:
        return _ended(arguments, as_json)
    except _ReaderGone:
        _discard_output()
        return 0
    except (click.exceptions.Abort, KeyboardInterrupt):
        say_error("cancelled", "cancelled", "", as_json)
        return 130
    except IntaglioError as error:
        say_error(error.code, _located(error), _way_out(error), as_json, grade=getattr(error, "grade", None))
        return exit_code(error)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        say_error(
            "system", f"{(error.strerror or str(error)).lower()}{where}", "See that it is there and free.", as_json
        )
        return 4
    except Exception as error:
        # Our own bug: the user gets one sentence and a file to send, never a traceback on the screen.
        say_error("internal", f"Intaglio failed: {type(error).__name__}: {error}", _reported(), as_json)
        return 1


def _ended(arguments: Sequence[str] | None, as_json: bool) -> int:
    """The exit code of a command that ran, or that click stopped."""
    try:
        result = cli.main(args=arguments, prog_name="intaglio", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        if as_json:
            say_error("usage", "a command is missing", f"Read: {error.ctx.command_path} --help", as_json)
        else:
            error.show()
        return error.exit_code
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "intaglio"
        say_error("usage", error.format_message(), f"Read: {where} --help", as_json)
        return error.exit_code


def _located(error: IntaglioError) -> str:
    """The message with the node it is about in front, unless it names it already."""
    named = not error.step or str(error).startswith(("node ", "workflow"))
    where = f"node {error.step!r}, {error.field}" if error.field else f"node {error.step!r}"
    return str(error) if named else f"{where}: {error}"


def _way_out(error: IntaglioError) -> str:
    """The hint, and how to go on with a task that stopped half-way."""
    resume = f"What was finished is kept; go on with: {error.way_on}" if error.way_on else ""
    # A command that a hint ends with is on a line of its own.
    between = " " if error.hint.endswith(".") else "\n"
    return between.join(filter(None, (error.hint, resume)))


def _discard_output() -> None:
    """Let what is still to be written go nowhere; Python would complain on its way out."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # it is no file
        return


def _reported() -> str:
    try:
        with tempfile.NamedTemporaryFile("w", prefix="intaglio-", suffix=".txt", delete=False) as report:
            traceback.print_exc(file=report)
    except OSError:
        return "Report it, with what you did."
    return f"Report it, with the file {report.name}."


def run() -> None:
    """The entry point of the installed command."""
    sys.exit(main())

"""What a version is made for, as options of a command and as questions on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from intaglio.cli.app import App, is_terminal, say, watching
from intaglio.core.errors import Conflict, Invalid

if TYPE_CHECKING:
    from intaglio.core.form import Form
    from intaglio.core.task import Reason, Task
    from intaglio.studio.annotating import Waiting
    from intaglio.studio.carry_out import Watch
    from intaglio.studio.tasks import Ask

F = TypeVar("F", bound=Callable[..., Any])


def reason_options(command: F) -> F:
    """Add --label, --annotation, --no-annotation and --field: what a version is made for."""
    options = (
        click.option("--label", default="", help="Label of the version: a word or two."),
        click.option("--annotation", default="", help="Why this version is made."),
        click.option("--no-annotation", is_flag=True, help="Go without a reason, on purpose; that is recorded."),
        click.option("--field", "fields", multiple=True, metavar="NAME=VALUE", help="Answer a field of its form."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def signed(command: F) -> F:
    """Add --as: who says it."""
    return click.option("--as", "author", default="", metavar="NAME", help="Who says so, if not INTAGLIO_AUTHOR.")(
        command
    )


def fields_of(given: Sequence[str]) -> dict[str, str]:
    """The answers in words like "client=Acme", by field. Raises Invalid, Conflict (a field twice)."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, answer = text.partition("=")
        if not equals or not name.strip():
            raise Invalid(f"{text[:80]!r} is not the answer of a field", hint="Write --field NAME=VALUE.")
        if name.strip() in found:
            raise Conflict(f"field {name.strip()[:80]!r} is given twice", hint="Give each once.")
        found[name.strip()] = answer.strip()
    return found


@contextmanager
def watching_and_asking(app: App) -> Iterator[tuple[Watch, Ask | None]]:
    """Follow a task, and ask the person at the terminal when it ended; None for asking when nobody is there, or a
    program reads the answer."""
    with ExitStack() as stack:
        watch = stack.enter_context(watching(app))

        def ask_after(form: Form, task: Task) -> Iterator[Reason]:
            stack.close()  # the bars are done, and Ctrl-C stops the question, not the run
            return ask(form, task)

        yield watch, ask_after if can_ask(app) else None


def can_ask(app: App) -> bool:
    """Whether a person is there to be asked."""
    return is_terminal(sys.stdin) and not app.as_json


def ask(form: Form, task: Task) -> Iterator[Reason]:
    """Ask on the terminal for what is still missing, one answer after the other. Going without an annotation has to be
    confirmed."""
    from intaglio.core.form import ANNOTATION
    from intaglio.core.task import Reason

    given = task.reason or Reason()
    missing = form.missing(given)
    say()
    say(f"Task {task.id} waits for an answer. (Ctrl-C keeps what was said; intaglio tasks annotate {task.id} goes on.)")
    annotation = given.annotation.strip()
    if ANNOTATION in missing:
        for question in form.questions:
            say(question, keep="\n")
        annotation = click.prompt("Annotation (empty to go without)", default="", show_default=False).strip()
        if not annotation:
            click.confirm("Save the version without a reason?", abort=True)
        yield Reason(annotation=annotation, none=not annotation)
    for name in missing:
        if name != ANNOTATION:
            yield Reason(fields={name: _answer(name, form.fields[name])})
    if annotation and not given.label:
        yield Reason(label=click.prompt("Label", default="", show_default=False).strip())


def _answer(name: str, question: str) -> str:
    if question:
        say(question, keep="\n")
    while not (answer := str(click.prompt(name, default="", show_default=False)).strip()):
        say(f"{name} has to be given.")
    return answer


def say_waiting(waiting: Waiting) -> None:
    """What a task waits for, and how to go on."""
    from intaglio.core.form import ANNOTATION

    if waiting.missing:
        say(f"waits for {', '.join(waiting.missing)}")
    if waiting.taken:
        say(f"waits for another label: {waiting.taken!r} is taken")
    if ANNOTATION in waiting.missing:
        for question in waiting.questions:
            say(f"  {question}", keep="\n")
    for name in waiting.missing:
        if waiting.fields.get(name):
            say(f"  {name}: {waiting.fields[name]}", keep="\n")
    say(f"go on with: {waiting.way_on}")
    if ANNOTATION in waiting.missing:
        say("            (or without a reason, on purpose: --no-annotation)")

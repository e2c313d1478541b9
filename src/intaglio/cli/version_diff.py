"""intaglio versions diff"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from intaglio.cli.app import NOT_IDENTICAL, App, common, say, short, table
from intaglio.cli.fidelity import output_words

if TYPE_CHECKING:
    from intaglio.core.version_difference import Difference, LoneNode, PlanDifference
    from intaglio.studio.version_diff import Compared, Fact, VersionDifference

_SHOWN = 120
Row = tuple[str, ...]


@click.command()
@click.argument("before")
@click.argument("after")
@click.option("--to", "folder", metavar="DIR", help="Write a side-by-side sheet of every two outputs that differ.")
@common
def diff(app: App, before: str, after: str, folder: str | None) -> int:
    """How two versions (or tasks) differ: parameters, seeds, models, structure, surroundings and pictures.

    They may be of different workflows. A node that was only renamed or moved is the same node. Exit code 10 when
    something of content differs: what is done, or what came of it.
    """
    with app.open() as studio:
        found = studio.versions.diff(before, after, to=folder)
    app.show(found, lambda: _words(found))
    return 0 if found.same else NOT_IDENTICAL


def _words(found: VersionDifference) -> None:
    table([("before", *_side(found.before)), ("after", *_side(found.after))])
    if found.same:
        say("the same content: the work and the pictures are the same")
    for title, rows in _sections(found):
        if rows:
            say()
            say(title)
            table(rows, "  ")
    _pictures(found)


def _side(side: Compared) -> Row:
    return side.name, f"task {side.task}" if side.version else "no version", side.created[:19], side.author


def _sections(found: VersionDifference) -> Iterator[tuple[str, list[Row]]]:
    """Everything but the pictures: a title, and a row for each thing."""
    plan = found.plan
    yield "structure", list(_structure(plan))
    for node in plan.nodes:
        called = node.after if node.before == node.after else f"{node.before}, now {node.after}"
        rows: list[Row] = [(one.name, _change(one)) for one in node.differences if one.kind not in ("input", "count")]
        yield f"{called} ({node.type})", rows
    yield "settings", [(one.name, _change(one)) for one in plan.settings]
    yield (
        "renamed, with the same content",
        [
            (one.what, f"{one.where}: {one.before} -> {one.after}" if one.where else f"{one.before} -> {one.after}")
            for one in plan.renamed
        ],
    )
    yield "surroundings", list(_facts(found.environment))
    yield "said of them", list(_facts(found.facts))


def _structure(plan: PlanDifference) -> Iterator[Row]:
    for what, nodes in (("taken away", plan.taken_away), ("added", plan.added)):
        for lone in nodes:
            yield what, _lone(lone)
    for node in plan.nodes:
        for one in node.differences:
            if one.kind == "input":
                yield "rewired", f"{node.after}.{one.name}: {one.before or 'nothing'} -> {one.after or 'nothing'}"
            elif one.kind == "count":
                yield "pictures", f"{node.after}: {one.before} -> {one.after}"


def _lone(node: LoneNode) -> str:
    settings = ", ".join(f"{name} {_value(value)}" for name, value in node.settings.items())
    wires = [f"{word} {', '.join(names)}" for word, names in (("takes", node.takes), ("feeds", node.feeds)) if names]
    return "; ".join([f"{node.node} ({node.type})" + (f": {settings}" if settings else ""), *wires])


def _facts(facts: Sequence[Fact]) -> Iterator[Row]:
    for fact in facts:
        yield fact.name, fact.words or f"{_value(fact.before)} -> {_value(fact.after)}"


def _change(one: Difference) -> str:
    if one.words:
        return one.words
    told = [_told(one, value) for value in (one.before, one.after)]
    if told[0] == told[1]:  # the same name, and yet not the same content
        told = [_told(one, value, exact=True) for value in (one.before, one.after)]
    return " -> ".join(told)


def _told(one: Difference, value: Any, *, exact: bool = False) -> str:
    """A value as people read it."""
    if value is None:
        return "none"
    match one.kind:
        case "seed":
            return f"{value['value']} ({value['origin']})"
        case "model":
            return ", ".join(_model(model, exact) for model in (value if isinstance(value, list) else [value]))
        case "reference":
            return f"{value['name']} ({short(value['digest'])})"
    return _value(value)


def _model(model: dict[str, Any], exact: bool) -> str:
    weight = f" {_value(model['with'])}" if model.get("with") is not None else ""
    return f"{model['name']}:{model['version']}" + (f" ({short(model['digest'])})" if exact else "") + weight


def _value(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _pictures(found: VersionDifference) -> None:
    if not (found.pictures or found.only_before or found.only_after):
        return
    say()
    say("pictures")
    for pair in found.pictures:
        called = pair.after if pair.before == pair.after else f"{pair.before} -> {pair.after}"
        say(f"  {called}: {output_words(pair.fidelity)}")
        for path in pair.written:
            say(f"    wrote {path}")
    for name, steps in (("before", found.only_before), ("after", found.only_after)):
        if steps:
            say(f"  only {name}: {', '.join(steps)}")

"""intaglio assets lineage"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from intaglio.cli.app import App, common, say, short, size
from intaglio.core.errors import Invalid

if TYPE_CHECKING:
    from intaglio.core.lineage import Lineage, Link, Thing

_LINES = ("├─ ", "└─ ", "│  ", "   ")
_PLAIN = ("|- ", "`- ", "|  ", "   ")


# How a link reads from its cause, where its role by itself does not tell.
_LED_TO = {
    "parent": "followed by",
    "restored": "gone back to as",
    "in branch": "version",
    "copy": "brought in again as",
}

# A line, and the thing whose own lines stand below it ("" for none).
_Row = tuple[str, str]


@click.command()
@click.argument("asset")
@click.option("--depth", type=click.IntRange(1, 1000), help="How many steps away from it; otherwise all of them.")
@click.option("--dot", "as_dot", is_flag=True, help="Print the graph in the language of Graphviz.")
@common
def lineage(app: App, asset: str, depth: int | None, as_dot: bool) -> None:
    """What made an asset, and what was made from it: a file, a digest or the beginning of one.

    Across versions, branches, variations and tasks. Below "made from" each line came from those that stand under it;
    below "used for" those that stand under it came from it.
    """
    from intaglio.core.lineage import dot

    if as_dot and app.as_json:
        raise Invalid("--dot and --json at once", hint="Give one of them.")
    with app.open() as studio:
        found = studio.assets.lineage(asset, depth=depth)
    if as_dot:
        say(dot(found).rstrip("\n"), keep="\n")
        return
    app.show(found, lambda: _words(asset, found))


def _words(given: str, found: Lineage) -> None:
    tree = _Tree(found)
    root = found.things[found.root]
    kept = [link.effect for link in tree.effects[found.root] if link.role == "kept as"]
    named = "; ".join(_version(found.things[version]) for version in kept)
    file = f"{given}  " if is_name(given, root.facts["digest"]) else ""
    copy = root.facts["asked"]
    if copy:
        say(f"{file}{short(copy)}  is a copy of:")
        file = ""
    say(f"{file}{short(root.facts['digest'])}  {_picture(root)}" + (f"  ({named})" if named else ""))
    history = [told for version in kept if " <- " in (told := tree.history(version))]
    sections = (
        ("made from", list(tree.above(found.root))),
        ("history", history),
        ("used for", list(tree.below(found.root))),
    )
    for title, lines in sections:
        if lines:
            say(title)
        for line in lines:
            say(f"  {line}")
    if not sections[0][1]:
        say("made from nothing that is known here" + ("" if kept else ": it was brought in"))
    for what in found.cut:
        say(f"left out: {what}")


def is_name(given: str, digest: str) -> bool:
    """Whether somebody named a file, and not a digest."""
    return given.rpartition(":")[2] not in digest


def _picture(asset: Thing) -> str:
    facts = asset.facts
    if "type" not in facts:
        return "not in this library"
    pixels = f" {facts['width']}x{facts['height']}" if facts["width"] else ""
    return f"{facts['type']}{pixels}, {size(facts['size'])}"


def _version(version: Thing) -> str:
    approval = version.facts["approval"]
    return f"{version.name}, {approval}" if approval else version.name


def _step(step: Thing) -> str:
    """A step with what makes it what it is."""
    facts = step.facts
    about = [facts["type"], *([f"seed {facts['seed']}"] if facts["seed"] else []), *facts["models"]]
    more = facts["alike"]
    alike = f", and in {more} more {'task' if more == 1 else 'tasks'}" if more else ""
    return f"{step.name} ({', '.join(about)}) in task {facts['task']}{alike}"


def _branch(branch: Thing) -> str:
    return f"branch {branch.name} of {branch.facts['base']}"


def _variation(variation: Thing) -> str:
    facts = variation.facts
    over = f" over {', '.join(facts['axes'])}" if facts["axes"] else ""
    return (
        f"variation {variation.name} ({facts['type']}{over}, {facts['runs']} {'run' if facts['runs'] == 1 else 'runs'})"
    )


class _Tree:
    """A graph as lines; what hangs on a thing is shown where that is met first."""

    def __init__(self, found: Lineage) -> None:
        self.things = found.things
        self.causes: dict[str, list[Link]] = defaultdict(list)
        self.effects: dict[str, list[Link]] = defaultdict(list)
        for link in found.links:
            self.causes[link.effect].append(link)
            self.effects[link.cause].append(link)
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        self.lines = _LINES if _fits("".join(_LINES), encoding) else _PLAIN

    def above(self, root: str) -> Iterator[str]:
        """What it was made from."""
        return self._walk(root, lambda thing: [self._cause(link) for link in self.causes[thing]])

    def below(self, root: str) -> Iterator[str]:
        """What was made from it."""
        return self._walk(root, lambda thing: [self._effect(link) for link in self.effects[thing]])

    def history(self, version: str) -> str:
        """A version and those before it, back to where its branch was taken."""
        told, seen = [_version(self.things[version])], {version}
        while True:
            before = [link for link in self.causes[version] if self.things[link.cause].kind in ("version", "branch")]
            back = [self.things[link.cause].name for link in before if link.role == "restored"]
            told[-1] += f" (goes back to {', '.join(back)})" if back else ""
            further = [link.cause for link in before if link.role != "restored" and link.cause not in seen]
            if not further:
                return " <- ".join(told)
            version = further[0]
            seen.add(version)
            thing = self.things[version]
            told.append(_branch(thing) if thing.kind == "branch" else _version(thing))

    def _walk(self, root: str, children: Callable[[str], list[_Row]]) -> Iterator[str]:
        """The lines under a thing. Not by recursion: a chain may be as long as the graph."""
        fork, end, past, gap = self.lines
        seen = {root}
        waiting = [("", row, place == 0) for place, row in enumerate(reversed(children(root)))]
        while waiting:
            prefix, (text, thing), last = waiting.pop()
            under = children(thing) if thing else []
            known = thing in seen
            yield prefix + (end if last else fork) + text + ("  (see above)" if known and under else "")
            if not known:
                seen.add(thing)
                inner = prefix + (gap if last else past)
                waiting += [(inner, row, place == 0) for place, row in enumerate(reversed(under))]

    def _cause(self, link: Link) -> _Row:
        """One thing that another was made from, in one line with the step that made it."""
        thing = self.things[link.cause]
        match thing.kind:
            case "step":
                return _step(thing), thing.id
            case "model":
                return f"{link.role}: {thing.name} ({short(thing.facts['digest'])})", ""
            case "version":
                return f"of {_version(thing)}", ""
            case "variation":
                return f"{link.role}, a run of {_variation(thing)}", thing.id
            case "sheet":
                return thing.name, thing.id
        return self._asset("the same picture as" if link.role == "copy" else link.role, thing)

    def _asset(self, role: str, asset: Thing) -> _Row:
        made_by = self.causes[asset.id]
        kept = f", kept as {', '.join(asset.facts['versions'])}" if asset.facts["versions"] else ""
        named = short(asset.facts["digest"]) + kept
        if len(made_by) == 1 and self.things[made_by[0].cause].kind == "step":
            return f"{role}: {_step(self.things[made_by[0].cause])} -> {named}", made_by[0].cause
        if made_by:
            return f"{role}: {_file(asset)}{named}", asset.id
        return f"{role}: {_file(asset) or 'a file, '}brought in ({named})", ""

    def _effect(self, link: Link) -> _Row:
        """One thing that was made from another, in one line with what came out of it."""
        thing = self.things[link.effect]
        match thing.kind:
            case "step" | "sheet":
                made = [one.effect for one in self.effects[thing.id]]
                text = _step(thing) if thing.kind == "step" else f"{thing.name} ({link.role})"
                if len(made) == 1:
                    return f"{text} -> {short(self.things[made[0]].facts['digest'])}", made[0]
                return text, thing.id
            case "version":
                return f"{_LED_TO.get(link.role, link.role)} {_version(thing)}", thing.id
            case "variation":
                return _variation(thing), thing.id
            case "branch":
                return f"branch {thing.name}", thing.id
        return f"{_LED_TO.get(link.role, link.role)}: {short(thing.facts['digest'])}", thing.id


def _file(asset: Thing) -> str:
    return f"{asset.facts['file']}, " if asset.facts["file"] else ""


def _fits(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True

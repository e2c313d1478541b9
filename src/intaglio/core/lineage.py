"""What something was made from and what was made from it: the graph around one thing, never without an end.

Pure: what lies next to a thing is asked of whoever knows it. Records may be forged, and a picture may rightly be made
from one that was made from it, so nothing is visited twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# asset: bytes by digest. step: a node at work in a task. model. version. variation: many runs from a version. sheet:
# the laying out of their pictures. branch: a workflow derived from another.
Kind = Literal["asset", "step", "model", "version", "variation", "sheet", "branch"]

MOST_THINGS = 2_000
# Going over one of these is a step away; what belongs to it is no further.
_AWAY = frozenset({"step", "sheet", "version", "variation", "branch"})
_SHORT = len("blake3:") + 12
_SHAPES: Mapping[Kind, str] = {
    "asset": "box",
    "step": "ellipse",
    "model": "cylinder",
    "version": "tab",
    "variation": "box3d",
    "sheet": "note",
    "branch": "cds",
}


@dataclass(frozen=True)
class Thing:
    """Something with a place in the graph: `id` names it there, `name` says what it is, `facts` what is known of it."""

    id: str
    kind: Kind
    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Link:
    """That `effect` came from `cause` (both ids); `role` says as what: an input, a model, the parent, ..."""

    cause: str
    effect: str
    role: str


@dataclass(frozen=True)
class Near:
    """A thing next to another. `ends` says that it is named and not followed."""

    thing: Thing
    role: str
    ends: bool = False


@dataclass(frozen=True)
class Around:
    """What is next to a thing on one side; `left_out` says in words what else there is."""

    near: tuple[Near, ...] = ()
    left_out: str = ""


@dataclass(frozen=True)
class Lineage:
    """The graph around `root`. `cut` says in words where it was not followed any further."""

    root: str
    things: Mapping[str, Thing]
    links: tuple[Link, ...]
    cut: tuple[str, ...]

    def causes(self, thing: str) -> list[Link]:
        """The links from what it was made from."""
        return [link for link in self.links if link.effect == thing]

    def effects(self, thing: str) -> list[Link]:
        """The links to what was made from it."""
        return [link for link in self.links if link.cause == thing]


Look = Callable[[Thing], Around]


def closure(
    root: Thing,
    causes: Look,
    effects: Look,
    *,
    also: Iterable[Thing] = (),
    depth: int | None = None,
    most: int = MOST_THINGS,
) -> Lineage:
    """All that `root` came from and all that came from it, at most `depth` steps away and `most` things.

    What the things `also` came from belongs to it too: the versions that keep the root have a history of their own.
    """
    found = _Closure(root, depth, most)
    found.follow([root, *also], causes, up=True)
    found.follow([root], effects, up=False)
    return Lineage(root.id, found.things, tuple(found.links), tuple(dict.fromkeys(found.cut)))


class _Closure:
    """What was found so far."""

    def __init__(self, root: Thing, depth: int | None, most: int) -> None:
        self.depth, self.most = depth, most
        self.things: dict[str, Thing] = {root.id: root}
        self.links: dict[Link, None] = {}
        self.cut: list[str] = []

    def follow(self, starts: Iterable[Thing], look: Look, *, up: bool) -> None:
        """Go on from each thing to those next to it, the nearest first."""
        waiting = deque((thing, 0) for thing in starts)
        seen = {thing.id for thing, _ in waiting}
        while waiting:
            thing, away = waiting.popleft()
            around = look(thing)
            if around.left_out:
                self.cut.append(around.left_out)
            for near in around.near:
                further = away + (near.thing.kind in _AWAY)
                if not self._is_within(near.thing, further):
                    continue
                self.things.setdefault(near.thing.id, near.thing)
                ends = (near.thing.id, thing.id) if up else (thing.id, near.thing.id)
                self.links[Link(*ends, near.role)] = None
                if near.thing.id not in seen and not near.ends:
                    seen.add(near.thing.id)
                    waiting.append((near.thing, further))

    def _is_within(self, thing: Thing, away: int) -> bool:
        if self.depth is not None and away > self.depth:
            self.cut.append(f"what is more than {self.depth} {'step' if self.depth == 1 else 'steps'} away")
            return False
        if thing.id not in self.things and len(self.things) >= self.most:
            self.cut.append(f"what goes beyond {self.most} things")
            return False
        return True


def dot(lineage: Lineage) -> str:
    """The graph in the language of Graphviz, from causes on the left to effects on the right."""
    lines = [
        "digraph lineage {",
        "  rankdir=LR;",
        '  node [fontname="Helvetica", fontsize=11];',
        '  edge [fontname="Helvetica", fontsize=9];',
    ]
    for thing in lineage.things.values():
        more = ", penwidth=2.5" if thing.id == lineage.root else ""
        label = _quoted(thing.name, *_told(thing))
        lines.append(f"  {_quoted(thing.id)} [shape={_SHAPES[thing.kind]}, label={label}{more}];")
    for link in lineage.links:
        lines.append(f"  {_quoted(link.cause)} -> {_quoted(link.effect)} [label={_quoted(link.role)}];")
    if lineage.cut:
        lines.append(f"  label={_quoted('Left out: ' + '; '.join(lineage.cut))};")
    return "\n".join([*lines, "}", ""])


def _told(thing: Thing) -> list[str]:
    """What a box says below the name of a thing."""
    facts = thing.facts
    seed = f"seed {facts['seed']}" if facts.get("seed") else ""
    digest = str(facts.get("digest", ""))[:_SHORT] if thing.kind in ("model", "sheet", "version") else ""
    kind = thing.kind if thing.kind in ("variation", "branch") else ""
    told = (kind, facts.get("type"), seed, facts.get("task"), facts.get("approval"), digest)
    return [str(one) for one in told if one]


def _quoted(*lines: str) -> str:
    """Lines of text as one quoted string: nothing in them is an instruction, and what cannot be shown is left out."""
    shown = ("".join(letter for letter in line if letter.isprintable()) for line in lines)
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in shown)
    return '"' + "\\n".join(escaped) + '"'

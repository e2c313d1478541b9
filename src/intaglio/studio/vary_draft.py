"""What each kind of variation runs: its cells, planned before the first of them is carried out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from intaglio.core.codec import digest as digest_of
from intaglio.core.errors import Conflict, Invalid
from intaglio.core.plan import Plan
from intaglio.core.seeds import LARGEST
from intaglio.core.variation import Axis, Cell, Variation, What
from intaglio.core.variation_rules import full_grid, one_at_a_time, split_values, target, walked
from intaglio.core.workflow import Workflow
from intaglio.studio import clock
from intaglio.studio.parts import Parts
from intaglio.studio.planning import resources
from intaglio.studio.queue import new_task_id
from intaglio.studio.vary_plan import Ground, Planned, targets

MAX_CELLS = 2000
_ARM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_BASE = "base"


@dataclass(frozen=True)
class Draft:
    """A variation that is not written down yet, with the plans and workflows its cells name."""

    variation: Variation
    plans: tuple[Plan, ...]
    workflows: tuple[Workflow, ...]


@dataclass(frozen=True)
class Wanted:
    """One cell to be: its place, its label, its arm, and how its plan differs from the base's."""

    place: tuple[int, ...]
    label: str
    settings: tuple[str, ...] = ()
    seeds: Mapping[str, int] = field(default_factory=dict)
    arm: str = ""


def walk(parts: Parts, ground: Ground, *, node: str, count: int, step: int, note: str) -> Draft:
    """Seeds n, n + step, n + 2 * step, ... on one node that draws, from its recorded seed on. Raises Invalid."""
    _check_count(count)
    if not 0 < abs(step) <= LARGEST:
        raise Invalid(f"step {step} walks nowhere", hint="Give a whole number other than 0.")
    if not node and len(ground.seeds()) > 1:
        raise Invalid(
            f"several nodes of {ground.name} draw: {', '.join(ground.seeds())}", hint="Name one of them with --node."
        )
    [(node, first)] = ground.seeds(node).items()
    seeds = walked(first, count, step)
    wanted = [Wanted((place,), f"seed {seed}", seeds={node: seed}) for place, seed in enumerate(seeds)]
    axis = Axis(name=f"{node}.seed", values=tuple(str(seed) for seed in seeds))
    return _drafted(parts, ground, "walk", [axis], wanted, [node, str(count), str(step)], note)


def sweep(parts: Parts, ground: Ground, *, settings: Sequence[str], grid: bool, note: str) -> Draft:
    """Each value of "base.guidance=3,5,7" by itself, the base beside them; or every combination. Raises Invalid."""
    found = _axes(parts, ground, settings)
    axes = [[f"{name}={value}" for value in values] for name, values in found.items()]
    makes = sum(map(len, axes)) + 1
    if grid:
        makes = 1
        for values in axes:
            makes *= len(values)
    _check_count(makes)
    wanted = [
        Wanted(place, _short_label(changes), settings=changes)
        for place, changes in (full_grid(axes) if grid else one_at_a_time(axes))
    ]
    named = [Axis(name=name, values=tuple(values)) for name, values in found.items()]
    request = [*(f"{name}={value}" for name, values in found.items() for value in values), *(["grid"] if grid else [])]
    return _drafted(parts, ground, "sweep", named, wanted, request, note)


def ab(
    parts: Parts,
    ground: Ground,
    *,
    arms: Mapping[str, Sequence[str]],
    count: int,
    walk: bool,
    node: str,
    note: str,
) -> Draft:
    """The same seeds for each arm, pair by pair: fresh ones, or (`walk`) the recorded ones and those that follow.

    Raises Invalid.
    """
    _check_arms(arms)
    _check_count(count * len(arms))
    seeds = _walked_pairs(ground, node, count) if walk else fresh_seeds(parts, ground, node, count)
    wanted = [
        Wanted((side, pair), f"{arm} {pair + 1}", tuple(settings), seeds[pair], arm)
        for pair in range(count)
        for side, (arm, settings) in enumerate(arms.items())
    ]
    axes = [
        Axis(name="arm", values=tuple(arms)),
        Axis(name="pair", values=tuple(str(pair + 1) for pair in range(count))),
    ]
    request = [f"{arm} {setting}" for arm, settings in arms.items() for setting in settings]
    request += [str(count), "walk" if walk else "fresh", node]
    return _drafted(parts, ground, "ab", axes, wanted, request, note)


def more(
    parts: Parts, ground: Ground, *, settings: Sequence[str], count: int, node: str, note: str, of: str = ""
) -> Draft:
    """Many runs with these settings and fresh seeds, all else pinned. `of` is the variation that chose the settings."""
    _check_count(count)
    seeds = fresh_seeds(parts, ground, node, count)
    wanted = [Wanted((place,), _run_label(place, each), tuple(settings), each) for place, each in enumerate(seeds)]
    axis = Axis(name="run", values=tuple(str(place + 1) for place in range(count)))
    return _drafted(parts, ground, "more", [axis], wanted, [*settings, str(count), node, of], note)


def fresh_seeds(parts: Parts, ground: Ground, node: str, count: int) -> list[dict[str, int]]:
    """`count` times a new seed for each node that draws (or the one named), no two of a node the same."""
    draw = resources(parts, None).draw
    nodes = ground.seeds(node)
    taken = {name: {seed} for name, seed in nodes.items()}
    found = []
    for _ in range(count):
        each = {}
        for name in nodes:
            seed = draw()
            while seed in taken[name]:
                seed = draw()
            taken[name].add(seed)
            each[name] = seed
        found.append(each)
    return found


def _walked_pairs(ground: Ground, node: str, count: int) -> list[dict[str, int]]:
    runs = {name: walked(first, count, 1) for name, first in ground.seeds(node).items()}
    return [{name: seeds[pair] for name, seeds in runs.items()} for pair in range(count)]


def _check_arms(arms: Mapping[str, Sequence[str]]) -> None:
    if len(arms) < 2:
        raise Invalid("a test needs two arms or more", hint="Give --arm A node.x=1 --arm B node.x=2.")
    for arm in arms:
        if not _ARM.fullmatch(arm):  # it becomes a part of file names
            raise Invalid(f"{arm[:60]!r} is no name for an arm", hint="Use letters, digits, _ and -, at most 40.")
    together = {arm: targets(settings) for arm, settings in arms.items()}
    everything = set().union(*together.values())
    for arm, settings in arms.items():
        if len(together[arm]) < len(settings):
            raise Conflict(f"arm {arm} sets the same thing twice", hint="Give each setting once.")
        missing = sorted(everything - together[arm])
        if missing:
            names = ", ".join(f"{node}.{name}" for node, name in missing)
            raise Invalid(f"arm {arm} does not set {names}", hint="Every arm sets the test variable; give its value.")
    if len({frozenset(settings) for settings in arms.values()}) < len(arms):
        raise Invalid("two arms are the same")


def _check_count(count: int) -> None:
    if not 1 <= count <= MAX_CELLS:
        raise Invalid(f"{count} runs; a variation makes 1 to {MAX_CELLS}", hint="Ask for fewer, or in parts.")


def _axes(parts: Parts, ground: Ground, settings: Sequence[str]) -> dict[str, list[str]]:
    """What is swept, with its values in the order given. Raises Invalid."""
    found: dict[str, list[str]] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or "." not in name:
            raise Invalid(f"{setting[:80]!r} is not a sweep", hint="Write node.parameter=value,value,...")
        for value in split_values(text, "|" if _is_prose(parts, ground, name) else ","):
            if value in found.setdefault(name, []):
                raise Conflict(f"{name}={value[:60]} is given twice", hint="Give each value once.")
            found[name].append(value)
    if not found:
        raise Invalid("nothing to sweep", hint="Give --set node.parameter=value,value,...")
    return found


def _is_prose(parts: Parts, ground: Ground, name: str) -> bool:
    """Whether commas belong to the value: a prompt is text that is not settled by a rule and has no choices."""
    node, parameter = target(name)
    kind = ground.workflow.nodes[node].type.partition("@")[0] if node in ground.workflow.nodes else ""
    param = parts.types[kind].param(parameter) if kind in parts.types else None
    return param is not None and param.type == "string" and not (param.choices or param.settled_by)


def _short_label(changes: Sequence[str]) -> str:
    """ "guidance=3", the node left out as it is on the axis; "base" where nothing is changed."""
    return ", ".join(change.partition(".")[2] for change in changes) or _BASE


def _run_label(place: int, seeds: Mapping[str, int]) -> str:
    """The seed, where it is one; several are too long for a label."""
    return f"seed {next(iter(seeds.values()))}" if len(seeds) == 1 else f"run {place + 1}"


def _drafted(
    parts: Parts,
    ground: Ground,
    what: What,
    axes: Sequence[Axis],
    wanted: Sequence[Wanted],
    request: Sequence[str],
    note: str,
) -> Draft:
    """The record of a variation: each cell planned; one that comes to the same plan as another is left out."""
    cells: dict[str, tuple[Wanted, Planned]] = {}
    for each in wanted:
        made = ground.planned(each.settings, each.seeds)
        work = digest_of(replace(made.plan, workflow=ground.plan.workflow))
        cells.setdefault(f"{each.arm} {work}", (each, made))
    return drafted(parts, ground, what, axes, list(cells.values()), request, note)


def drafted(
    parts: Parts,
    ground: Ground,
    what: What,
    axes: Sequence[Axis],
    cells: Sequence[tuple[Wanted, Planned]],
    request: Sequence[str],
    note: str,
) -> Draft:
    """A variation of these cells, not written down yet."""
    variation = Variation(
        id=new_task_id(),
        what=what,
        version=ground.digest,
        axes=tuple(axes),
        cells=tuple(
            Cell(
                place=each.place,
                label=each.label,
                changes=(*each.settings, *(f"{node}.seed={seed}" for node, seed in each.seeds.items())),
                plan=digest_of(made.plan),
                arm=each.arm,
            )
            for each, made in cells
        ),
        note=note,
        created=clock.now(),
        author=parts.settings.author,
        request=tuple(request),
        held=tuple(ground.held),
    )
    return Draft(variation, tuple(made.plan for _, made in cells), tuple(made.workflow for _, made in cells))

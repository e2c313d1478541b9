"""Variations: many runs made from one version, which differ from it in one thing, or in a few that are named."""

from __future__ import annotations

from typing import Literal

from intaglio.core.record import later, record

What = Literal["walk", "sweep", "interpolate", "ab", "more"]


@record
class Axis:
    """What is varied ("base.guidance", "base.seed"), and the values it takes, in words."""

    name: str
    values: tuple[str, ...]


@record
class Cell:
    """One run: its place on each axis, its label, what it changes ("base.guidance=3"), and the digest of its plan.

    `arm` names the side of an A/B test it belongs to.
    """

    place: tuple[int, ...]
    label: str
    changes: tuple[str, ...]
    plan: str
    arm: str = later("")


@record
class Variation:
    """What is to be run, written down before the first run; `version` is the digest of the version it starts from.

    Its id is made as that of a task. It may hold more than its runs need to be told apart: `note` says why it was made.
    `request` is what was asked for, in words: the same request finds what is unfinished of it. `held` names what stays
    as it was recorded, although it would be planned otherwise today.
    """

    kind: Literal["variation"] = "variation"
    format: Literal[1] = 1
    id: str
    what: What
    version: str
    axes: tuple[Axis, ...]
    cells: tuple[Cell, ...]
    note: str = ""
    created: str
    author: str
    request: tuple[str, ...] = later(())
    held: tuple[str, ...] = later(())


@record
class VariationRun:
    """The task that carried out a cell of a variation; `cell` is its place in the list."""

    kind: Literal["variation-run"] = "variation-run"
    format: Literal[1] = 1
    variation: str
    cell: int
    task: str
    created: str


@record
class VariationRemark:
    """What came of a variation, with name and date: `what` is "sheet" or "clip" (`value` is the asset's digest),
    "verdict" ("only this differs", "contaminated"), or "winner" (`value` is the arm or the version)."""

    kind: Literal["variation-remark"] = "variation-remark"
    format: Literal[1] = 1
    variation: str
    what: str
    value: str = ""
    note: str = ""
    created: str
    author: str

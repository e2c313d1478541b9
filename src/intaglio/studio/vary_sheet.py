"""The contact sheet of a variation: its axes as heads of rows and columns, kept as an asset."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from intaglio.core.asset import Asset
from intaglio.core.canonical import digest_bytes
from intaglio.core.errors import Damaged, InvalidImage, NotFound
from intaglio.core.record import plain
from intaglio.core.snapshot import Snapshot
from intaglio.core.variation import Variation
from intaglio.studio.parts import Parts
from intaglio.studio.thumbnails import first_frame
from intaglio.studio.vary_check import Checked, affected
from intaglio.studio.vary_run import CellRun

if TYPE_CHECKING:
    from intaglio.imaging.grid import Place

MOST_SHEETS = 4
# The longest row, and the largest and smallest picture; a sheet grows no larger than about this many pixels.
_WRAP, _LARGEST, _SMALLEST, _ROOM = 10, 256, 48, 24_000_000


@dataclass(frozen=True)
class Sheet:
    """A kept sheet: its asset, and the step whose pictures it shows."""

    asset: Asset
    step: str


def sheets(
    parts: Parts, variation: Variation, name: str, base: Snapshot, states: Sequence[CellRun], checked: Checked
) -> Iterator[Sheet]:
    """A sheet for each output that the change can be seen in, the first few of them; kept as assets."""
    if not any(state.done for state in states):
        return
    steps = affected(variation, base)[:MOST_SHEETS]
    for step in steps:
        title = f"{name}: {_what(variation)}" + (f", {step}" if len(steps) > 1 else "")
        yield Sheet(_kept(parts, _Sheet(parts, variation, base, states, step).png(title, _claim(checked))), step)


def _what(variation: Variation) -> str:
    if variation.what == "ab":
        return "A/B test"
    if variation.what == "more":
        return f"{len(variation.cells)} more"
    if variation.what == "interpolate":
        node, end = variation.request[:2]
        return f"{node} {end.replace('_', ' ').replace('=', ' ')}"
    return ", ".join(axis.name for axis in variation.axes)


def _claim(checked: Checked) -> str:
    """What the sheet says of itself: it is what the records say."""
    missing = checked.cells - checked.runs
    where = f": {checked.found[0].words}" if checked.found else ""
    return checked.claim + where + (f"; {missing} not there" if missing else "")


class _Sheet:
    def __init__(
        self, parts: Parts, variation: Variation, base: Snapshot, states: Sequence[CellRun], step: str
    ) -> None:
        self._parts, self._variation, self._base, self._states, self._step = parts, variation, base, states, step

    def png(self, title: str, subtitle: str) -> bytes:
        """The bytes of the sheet."""
        from intaglio.imaging.grid import Line, grid_sheet
        from intaglio.imaging.png import encode

        rows, heads, captions = self._laid_out()
        longest = max(len(row) for _, row in rows)
        wrap = -(-longest // -(-longest // _WRAP)) if len(rows) > 1 else _columns(longest)
        cell = _cell_size(len(rows) * -(-longest // wrap) * wrap)
        lines = [
            Line(head, [self._place(index, cell, self._caption(index, head) if captions else "") for index in row])
            for head, row in rows
        ]
        return encode(grid_sheet(lines, heads=heads, cell=cell, title=title, subtitle=subtitle, wrap=wrap))

    def _laid_out(self) -> tuple[list[tuple[str, list[int | None]]], list[str], bool]:
        """Rows of cells (None: no such cell) with their heads, the heads of columns, and whether each has a caption."""
        variation = self._variation
        at = {cell.place: index for index, cell in enumerate(variation.cells)}
        axes = variation.axes
        everything = list(range(len(variation.cells)))
        if any(-1 in cell.place for cell in variation.cells):
            return self._around_base(), [], True
        if len(axes) == 1:
            return [("", list(everything))], [], True
        if variation.what == "ab":
            arms = [
                (self._arm(arm), [at.get((side, pair)) for pair in range(len(axes[1].values))])
                for side, arm in enumerate(axes[0].values)
            ]
            return arms, [f"pair {pair}" for pair in axes[1].values], False
        # The last axis makes the columns, all others together the rows.
        rows: dict[tuple[int, ...], list[int | None]] = {}
        for index, cell in enumerate(variation.cells):
            rows.setdefault(cell.place[:-1], [None] * len(axes[-1].values))[cell.place[-1]] = index
        last = axes[-1].name.partition(".")[2]
        heads = [f"{last}={value}" for value in axes[-1].values]
        return [(self._row_head(place), row) for place, row in rows.items()], heads, False

    def _arm(self, arm: str) -> str:
        """The name of an arm and what it sets, for the head of its row."""
        cell = next(cell for cell in self._variation.cells if cell.arm == arm)
        own = (change.partition(".")[2] for change in cell.changes)
        return f"{arm}: {', '.join(_short(change) for change in own if not change.startswith('seed='))}"

    def _around_base(self) -> list[tuple[str, list[int | None]]]:
        """One row for each parameter, the base first in each."""
        cells = list(enumerate(self._variation.cells))
        base = next(index for index, cell in cells if not cell.changes)
        rows = []
        for which, axis in enumerate(self._variation.axes):
            own: list[int | None] = [index for index, cell in cells if cell.place[which] >= 0]
            rows.append((axis.name, [base, *own]))
        return rows

    def _row_head(self, place: Sequence[int]) -> str:
        axes = self._variation.axes
        return ", ".join(
            f"{axis.name.partition('.')[2]}={axis.values[at]}" for axis, at in zip(axes, place, strict=False)
        )

    def _caption(self, index: int | None, axis: str) -> str:
        """The label of a cell; of the base the value that it has on this axis."""
        if index is None:
            return ""
        cell = self._variation.cells[index]
        if cell.changes or not axis:
            return cell.label
        node, _, name = axis.partition(".")
        step = next(step for step in self._base.plan.steps if step.node == node)
        value = step.models[name].name if name in step.models else plain(step.params.get(name, ""))
        return f"{name}={value} ({cell.label})" if isinstance(value, (str, int, float)) else cell.label

    def _place(self, index: int | None, size: int, caption: str) -> Place:
        from intaglio.imaging.grid import Place, thumbnail

        if index is None:
            return Place(None)
        state = self._states[index]
        if not state.done:
            return Place(None, caption, state.status if state.task else "not run")
        snapshot = self._parts.documents.get(Snapshot, self._parts.tasks.get(state.task).snapshot)
        output = next((output for output in snapshot.outputs if output.step == self._step), None)
        if output is None:
            return Place(None, caption, "no such output")
        try:
            return Place(thumbnail(first_frame(self._parts, output.asset), size), caption)
        except (NotFound, Damaged, InvalidImage):
            return Place(None, caption, "cannot be read")


def _columns(count: int) -> int:
    """A row for few, about a square for many."""
    return count if count <= _WRAP // 2 else min(_WRAP * 2, -(-count // math.isqrt(count)))


def _cell_size(count: int) -> int:
    return max(_SMALLEST, min(_LARGEST, math.isqrt(_ROOM // max(1, count))))


def _kept(parts: Parts, png: bytes) -> Asset:
    """The picture as an asset of the library."""
    from intaglio.imaging.decode import decode

    image = decode(png)
    asset = Asset(
        digest=digest_bytes(png),
        size=len(png),
        media_type="image/png",
        width=image.width,
        height=image.height,
        pixels=image.digest,
    )
    parts.blobs.put_many([png])
    parts.assets.add_many([asset])
    return asset


def _short(change: str) -> str:
    """A setting in few words: of a path the file's name."""
    name, equals, value = change.partition("=")
    return f"{name}{equals}{PurePath(value).name}" if PurePath(value).suffix and "/" in value else change

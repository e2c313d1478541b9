"""Variations: many runs from one version that differ in one thing, the proof that they do, and what came of them."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from intaglio.core.errors import Conflict, Invalid, NotFound
from intaglio.core.plan import Plan
from intaglio.core.snapshot import Snapshot
from intaglio.core.variation import Variation, VariationRemark
from intaglio.core.version import Version
from intaglio.studio import clock, vary_draft
from intaglio.studio.carry_out import Watch
from intaglio.studio.files import named
from intaglio.studio.parts import Parts
from intaglio.studio.vary_between import clip, interpolate
from intaglio.studio.vary_brief import brief, write
from intaglio.studio.vary_check import Checked, check
from intaglio.studio.vary_cost import Cost, cost
from intaglio.studio.vary_draft import Draft
from intaglio.studio.vary_plan import Ground
from intaglio.studio.vary_run import CellRun, carry_on, states, write_down
from intaglio.studio.vary_sheet import sheets
from intaglio.studio.versions import Versions

# Among so many of a version's newest variations the same request is looked for.
_LOOKED_AT = 50


@dataclass(frozen=True)
class Ahead:
    """What carrying a variation out takes, told before its first run. `begun`: an earlier call left it unfinished."""

    variation: Variation
    version: str
    cost: Cost
    begun: bool


@dataclass(frozen=True)
class VariationView:
    """A variation, the name of its version, how each cell stands, what the records say, and what came of it."""

    variation: Variation
    version: str
    runs: tuple[CellRun, ...]
    checked: Checked
    remarks: tuple[VariationRemark, ...]


@dataclass(frozen=True)
class Follow:
    """How a caller follows a variation: `told` hears what it takes before the first run, and may raise to stop it;
    `ran` hears of each cell as it ends; `watch` is that of its tasks."""

    told: Callable[[Ahead], None] = lambda ahead: None
    ran: Callable[[Variation, CellRun], None] = lambda variation, run: None
    watch: Watch = field(default_factory=Watch)


class Variations:
    """`studio.variations`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def walk(
        self,
        version: str | Path,
        *,
        node: str = "",
        count: int = 9,
        step: int = 1,
        note: str = "",
        dry_run: bool = False,
        follow: Follow | None = None,
    ) -> VariationView | Ahead:
        """Run a version with the seeds n, n + step, n + 2 * step, ... on one node, n being its recorded seed.

        With `dry_run` nothing is run or kept; what it would take is returned. Raises NotFound, Conflict, Invalid,
        Cancelled (what was run is kept; the same call goes on), and what else stops a run.
        """
        ground = self._ground(version)
        draft = vary_draft.walk(self._parts, ground, node=node, count=count, step=step, note=note)
        return self._run(ground, draft, dry_run, follow)

    def sweep(
        self,
        version: str | Path,
        *,
        set: Sequence[str],
        grid: bool = False,
        note: str = "",
        dry_run: bool = False,
        follow: Follow | None = None,
    ) -> VariationView | Ahead:
        """Run a version with other values: "base.guidance=3,5,7". Several parameters are varied one at a time, the
        others as recorded; with `grid` in every combination. Values of a prompt are separated by "|".

        Raises as `walk`, and InvalidWorkflow for a value the node does not take.
        """
        ground = self._ground(version)
        draft = vary_draft.sweep(self._parts, ground, settings=set, grid=grid, note=note)
        return self._run(ground, draft, dry_run, follow)

    def ab(
        self,
        version: str | Path,
        arms: Mapping[str, Sequence[str]],
        *,
        count: int = 20,
        walk: bool = False,
        node: str = "",
        note: str = "",
        dry_run: bool = False,
        follow: Follow | None = None,
    ) -> VariationView | Ahead:
        """Run a version with the settings of each arm, `count` times; each pair of arms has the same seeds.

        Every node that draws (or only `node`) gets a fresh seed for each pair; with `walk` the recorded seeds and those
        that follow them. What is before the test variable runs once for a pair. Raises as `sweep`.
        """
        ground = self._ground(version)
        draft = vary_draft.ab(self._parts, ground, arms=arms, count=count, walk=walk, node=node, note=note)
        return self._run(ground, draft, dry_run, follow)

    def interpolate(
        self,
        version: str | Path,
        *,
        node: str = "",
        to_seed: str = "",
        to_prompt: str = "",
        frames: int = 9,
        fps: str = "8",
        note: str = "",
        dry_run: bool = False,
        follow: Follow | None = None,
    ) -> VariationView | Ahead:
        """Frames from a text-to-image node's recorded seed to another, or from its prompt to another, and an MP4.

        The first frame is the version's own picture, the last that of the far end. Raises as `walk`, and BackendMissing
        where no video can be made: the frames are kept then.
        """
        ground = self._ground(version)
        draft = interpolate(
            self._parts, ground, node=node, to_seed=to_seed, to_prompt=to_prompt, frames=frames, fps=fps, note=note
        )
        return self._run(ground, draft, dry_run, follow)

    def more(
        self,
        reference: str | Path,
        *,
        count: int = 100,
        node: str = "",
        note: str = "",
        dry_run: bool = False,
        follow: Follow | None = None,
    ) -> VariationView | Ahead:
        """Run a version, or the winner of a variation, at volume: fresh recorded seeds, everything else pinned.

        Raises as `walk`, and Conflict for a variation without a winner.
        """
        variation = self._variation(str(reference))
        if variation is None:
            ground, of = self._ground(reference), ""
            settings: tuple[str, ...] = ()
        else:
            ground, settings, of = self._ground(variation.version), self._won(variation), variation.id
        draft = vary_draft.more(self._parts, ground, settings=settings, count=count, node=node, note=note, of=of)
        return self._run(ground, draft, dry_run, follow)

    def resume(self, reference: str, *, follow: Follow | None = None) -> VariationView:
        """Carry on with a variation that was cancelled or failed: only what is not done is run. Raises as `walk`."""
        variation = self.get(reference)
        return self._carried(variation, follow or Follow(), begun=True)

    def show(self, reference: str) -> VariationView:
        """A variation, with what its records say now. Raises NotFound, Conflict, Damaged."""
        variation = self.get(reference)
        _, version = self._version(variation)
        stand = states(self._parts, variation)
        return VariationView(
            variation=variation,
            version=f"{version.workflow.name}/{version.name}",
            runs=tuple(stand),
            checked=check(self._parts, variation, self._base(version), stand),
            remarks=tuple(self._parts.variations.remarks(variation.id)),
        )

    def get(self, reference: str) -> Variation:
        """A variation by its id or the beginning of it. Raises NotFound, Conflict."""
        found = self._variation(reference)
        if found is None:
            raise NotFound("variation", reference, hint="See them with: intaglio variations list")
        return found

    def list(
        self, *, version: str | Path | None = None, limit: int = 50, before: str | None = None
    ) -> builtins.list[Variation]:
        """The newest variations, newest first; those of one version, those before another. Raises NotFound."""
        digest = None if version is None else Versions(self._parts).find(version)[0]
        return self._parts.variations.list(limit=limit, before=before, version=digest)

    def winner(self, reference: str, name: str, *, note: str = "") -> VariationRemark:
        """Name the winner of a variation: an arm of an A/B test, else the number or label of a run. Said again, the
        last counts. Raises NotFound, Invalid."""
        variation = self.get(reference)
        self._chosen(variation, name)
        return self._remark(variation, "winner", name, note)

    def brief(self, reference: str) -> dict[str, Any]:
        """The brief of a variation as JSON values: variables, verdict, and seeds, models and outputs of each run.

        Raises as `show`.
        """
        view = self.show(reference)
        _, version = self._version(view.variation)
        return brief(self._parts, view.variation, version, view.runs, view.checked, view.remarks)

    def export(self, reference: str, folder: str | Path, *, pictures: bool = False) -> builtins.list[Path]:
        """Write the brief as JSON and Markdown with its sheets, and with `pictures` every picture, into a folder.

        Raises NotFound, Damaged, Conflict (other files of these names are there).
        """
        place = named(folder, self._parts.reach, "folder")
        return write(self._parts, self.get(reference), self.brief(reference), place, pictures=pictures)

    # -- how they are carried out

    def _ground(self, version: str | Path) -> Ground:
        return Ground(self._parts, *Versions(self._parts).find(version))

    def _run(self, ground: Ground, draft: Draft, dry_run: bool, follow: Follow | None) -> VariationView | Ahead:
        """Carry out what was asked for, or go on with what an earlier call of the same left unfinished."""
        begun = self._unfinished(draft.variation)
        if begun is not None:
            return self._ahead(begun, begun=True) if dry_run else self.resume(begun.id, follow=follow)
        follow = follow or Follow()
        taken = cost(self._parts, ground.snapshot, draft.plans)
        ahead = Ahead(draft.variation, ground.name, taken, begun=False)
        if dry_run:
            return ahead
        follow.told(ahead)
        with self._parts.database.write():
            # Somebody may have asked for the same meanwhile: two of one are of no use.
            begun = self._unfinished(draft.variation)
            if begun is None:
                write_down(self._parts, draft)
        return self._carried(begun or draft.variation, follow, begun=False)

    def _unfinished(self, wanted: Variation) -> Variation | None:
        """What is unfinished of an earlier request of the same."""
        for found in self._parts.variations.list(limit=_LOOKED_AT, version=wanted.version):
            if (found.what, found.request) == (wanted.what, wanted.request):
                return None if all(state.done for state in states(self._parts, found)) else found
        return None

    def _ahead(self, variation: Variation, *, begun: bool) -> Ahead:
        _, version = self._version(variation)
        open_cells = [
            self._parts.documents.get(Plan, variation.cells[state.cell].plan)
            for state in states(self._parts, variation)
            if not state.done
        ]
        taken = cost(self._parts, self._base(version), open_cells)
        return Ahead(variation, f"{version.workflow.name}/{version.name}", taken, begun)

    def _carried(self, variation: Variation, follow: Follow, *, begun: bool) -> VariationView:
        if begun and not all(state.done for state in states(self._parts, variation)):
            follow.told(self._ahead(variation, begun=True))
        carry_on(self._parts, variation, watch=follow.watch, ran=lambda run: follow.ran(variation, run))
        self._conclude(variation, follow.watch)
        return self.show(variation.id)

    def _conclude(self, variation: Variation, watch: Watch) -> None:
        """Keep the verdict, the sheets and the clip, once for each state that a variation comes to."""
        view = self.show(variation.id)
        checked, said = view.checked, {(remark.what, remark.value, remark.note) for remark in view.remarks}
        note = f"{checked.runs} of {checked.cells} runs"
        if ("verdict", checked.verdict, note) not in said:
            self._remark(variation, "verdict", checked.verdict, note)
        _, version = self._version(variation)
        for sheet in sheets(self._parts, variation, view.version, self._base(version), view.runs, checked):
            if ("sheet", sheet.asset.digest, sheet.step) not in said:
                self._remark(variation, "sheet", sheet.asset.digest, sheet.step)
        if variation.what == "interpolate" and not any(remark.what == "clip" for remark in view.remarks):
            film = clip(self._parts, variation, version.workflow.name, self._base(version), view.runs, watch)
            if film is not None:
                self._remark(variation, "clip", film)

    def _remark(self, variation: Variation, what: str, value: str, note: str = "") -> VariationRemark:
        remark = VariationRemark(
            variation=variation.id,
            what=what,
            value=value,
            note=note.strip(),
            created=clock.now(),
            author=self._parts.settings.author,
        )
        self._parts.variations.remark(remark)
        return remark

    def _variation(self, reference: str) -> Variation | None:
        found = self._parts.variations.find(reference) if reference else []
        if len(found) > 1 and reference not in found:
            raise Conflict(f"{reference!r} fits {len(found)} variations", hint="Give more of the id.")
        if not found:
            return None
        return self._parts.variations.get(reference if reference in found else found[0])

    def _version(self, variation: Variation) -> tuple[str, Version]:
        return Versions(self._parts).find(variation.version)

    def _base(self, version: Version) -> Snapshot:
        return self._parts.documents.get(Snapshot, version.snapshot)

    def _won(self, variation: Variation) -> tuple[str, ...]:
        """The settings of the winner, without its seeds. Raises Conflict."""
        named = [remark for remark in self._parts.variations.remarks(variation.id) if remark.what == "winner"]
        if not named:
            raise Conflict(
                f"no winner of variation {variation.id} is named",
                hint=f"Name it with: intaglio variations winner {variation.id} NAME",
            )
        changes = self._chosen(variation, named[-1].value)
        return tuple(change for change in changes if change.partition("=")[0].partition(".")[2] != "seed")

    def _chosen(self, variation: Variation, name: str) -> tuple[str, ...]:
        """The changes of the arm or run of that name. Raises Invalid."""
        for place, cell in enumerate(variation.cells):
            if name == cell.arm if variation.what == "ab" else name in (str(place + 1), cell.label):
                return cell.changes
        names = builtins.list(dict.fromkeys(cell.arm or cell.label for cell in variation.cells))
        raise Invalid(
            f"variation {variation.id} has no {'arm' if variation.what == 'ab' else 'run'} {name[:60]!r}",
            hint=f"It has: {', '.join(names[:20])}.",
        )

"""Plans that differ from a version's recorded one in what is named, and in nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from intaglio.core.changes import Change, Changes
from intaglio.core.codec import digest as digest_of
from intaglio.core.entries import owner
from intaglio.core.errors import Invalid, InvalidWorkflow
from intaglio.core.pins import in_mode, pinned
from intaglio.core.plan import Plan
from intaglio.core.record import plain
from intaglio.core.snapshot import Snapshot
from intaglio.core.variation_rules import Target, drawing, in_recorded_terms, target, with_pinned_seeds, with_seeds
from intaglio.core.version import Version
from intaglio.core.workflow import Pin, Workflow, parse_workflow
from intaglio.engine.resolve import resolve
from intaglio.engine.resources import Resources
from intaglio.studio.parts import Parts
from intaglio.studio.planning import resources
from intaglio.studio.workflows import Workflows, apply_changes


@dataclass(frozen=True)
class Planned:
    """A plan, and the workflow that says the same; its pins hold what the plan was settled on."""

    plan: Plan
    workflow: Workflow


class Ground:
    """A version as that which is varied: its recorded plan, pinned.

    `held` collects what would be otherwise if it were planned anew, and stays as it was recorded.
    """

    def __init__(self, parts: Parts, digest: str, version: Version) -> None:
        self._parts = parts
        self.digest, self.version = digest, version
        self.snapshot = parts.documents.get(Snapshot, version.snapshot)
        self.plan = with_pinned_seeds(self.snapshot.plan)
        self.workflow = in_mode(pinned(self.snapshot.workflow, self.plan), "production")
        self.held: dict[str, None] = {}
        self._settled: dict[tuple[str, ...], Planned] = {}

    @property
    def name(self) -> str:
        """ "sunset/v3-warmer"."""
        return f"{self.version.workflow.name}/{self.version.name}"

    def seeds(self, node: str = "") -> dict[str, int]:
        """The nodes that draw with their recorded seeds, or one of them. Raises Invalid."""
        found = drawing(self.plan)
        if not found:
            raise Invalid(f"nothing in {self.name} draws, so it has no seed to vary")
        if not node:
            return found
        if node not in found:
            raise Invalid(
                f"node {node!r} of {self.name} draws nothing" if node in self.workflow.nodes else f"no node {node!r}",
                hint=f"The nodes that draw: {', '.join(found)}.",
            )
        return {node: found[node]}

    def planned(self, settings: Sequence[str] = (), seeds: Mapping[str, int] | None = None) -> Planned:
        """The recorded plan with these settings ("base.guidance=3") made, and these seeds in the place of its own.

        Raises InvalidWorkflow, NotFound, ModelUnavailable and what else planning refuses.
        """
        key = tuple(settings)
        if key not in self._settled:
            self._settled[key] = self._agreed(self._set(key) if key else Planned(self.plan, self.workflow))
        settled = self._settled[key]
        plan = with_seeds(settled.plan, seeds or {})
        said = [*settings, *(f"{node}.seed={seed}" for node, seed in (seeds or {}).items())]
        return self._named(Planned(plan, pinned(settled.workflow, plan)), said)

    def changed(self, made: Planned, said: Sequence[str]) -> Planned:
        """A plan that was put together otherwise, its workflow made to say the same, with its changes named."""
        return self._named(self._agreed(made), said)

    def _named(self, made: Planned, said: Sequence[str]) -> Planned:
        """The same, saying of itself what was changed; an earlier setting of the same thing no longer holds."""
        over = {change.partition("=")[0] for change in said}
        kept = [change for change in self.plan.workflow.changes if change.partition("=")[0] not in over]
        reference = replace(made.plan.workflow, digest=digest_of(made.workflow), changes=(*kept, *said))
        return Planned(replace(made.plan, workflow=reference), made.workflow)

    def _set(self, settings: tuple[str, ...]) -> Planned:
        """Let the ordinary checks settle the new values, and take only those from what comes of it."""
        workflow = apply_changes(loosened(self.workflow, settings), settings, Workflows(self._parts).setting)
        planned = in_recorded_terms(self.plan, self._resolved(workflow, names=True))
        changes = Changes(self.plan, planned)
        wanted = {target(setting) for setting in settings}
        chosen = [change for change in changes.all if (change.node, change.name) in wanted]
        for node, name in wanted - {(change.node, change.name) for change in chosen}:
            self._check_known(node, name)
        self._note([change for change in changes.all if (change.node, change.name) not in wanted])
        plan = changes.plan(chosen)
        return Planned(plan, pinned(workflow, plan))

    def _check_known(self, node: str, name: str) -> None:
        """Raises Invalid unless a setting that changed nothing is of something that the record has."""
        step = next(step for step in self.plan.steps if step.node == node)
        if name == "seed" and step.seed is not None:
            return
        if name not in {owner(held) for group in (step.params, step.models, step.assets) for held in group}:
            raise Invalid(f"{node}.{name} cannot be varied: {step.type}@{step.type_version}, as recorded, has none")

    def _agreed(self, made: Planned) -> Planned:
        """The workflow made to say what the plan says: what it would be planned as otherwise is written out in it."""
        again = in_recorded_terms(made.plan, self._resolved(made.workflow, names=False))
        drift = Changes(made.plan, again).all
        self._note(drift)
        document = plain(made.workflow)
        for change in drift:
            if change.kind == "parameter":
                step = next(step for step in made.plan.steps if step.node == change.node)
                if change.name in step.params:
                    document["nodes"][change.node]["params"][change.name] = plain(step.params[change.name])
        return Planned(made.plan, parse_workflow(document) if drift else made.workflow)

    def _note(self, changes: Sequence[Change]) -> None:
        for change in changes:
            where = f"{change.node}.{change.name}" if change.node else change.name
            self.held[f"{where} stays {change.before}, as recorded (planned anew: {change.after})"] = None

    def _resolved(self, workflow: Workflow, *, names: bool) -> Plan:
        """The workflow planned anew under the recorded settings of the whole run. With `names`, models may be named
        by name alone: what that means now is captured at once."""
        found: Resources = replace(
            resources(self._parts, None), threads=self.plan.threads, deterministic=self.plan.deterministic
        )
        if names:
            found = replace(found, is_exact=lambda reference: True)
        return resolve(workflow, self.plan.workflow, found)


def loosened(workflow: Workflow, settings: Sequence[str]) -> Workflow:
    """The workflow without the pins that would run in the place of these settings. Raises InvalidWorkflow."""
    pins = dict(workflow.pins)
    for setting in settings:
        node, dot, rest = setting.partition("=")[0].partition(".")
        if not dot or "=" not in setting:
            raise InvalidWorkflow(f"{setting[:80]!r} is not a setting", hint="Write node.parameter=value.")
        if rest in ("seed", "count", "type", "title"):
            raise Invalid(f"{node}.{rest} is not for a sweep", hint=_INSTEAD.get(rest, "Vary a parameter."))
        slot, _, part = rest.partition(".")
        if node in pins and part in ("", "model"):
            pin = pins[node]
            pins[node] = replace(
                pin,
                models={name: held for name, held in pin.models.items() if slot not in (name, owner(name))},
                assets={name: held for name, held in pin.assets.items() if name != slot},
            )
    return replace(workflow, pins={node: pin for node, pin in pins.items() if pin != Pin()})


_INSTEAD = {
    "seed": "Vary seeds with: intaglio variations walk",
    "count": "More pictures of the same: intaglio variations more",
}


def targets(changes: Sequence[str]) -> set[Target]:
    """What these settings are about."""
    return {target(change) for change in changes}

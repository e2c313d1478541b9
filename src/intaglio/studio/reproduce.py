"""Bringing a version back: grade it, run its plan through the ordinary door with nothing reused, and compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from intaglio.core.asset import Asset
from intaglio.core.errors import CannotReproduce, Damaged, InvalidImage, NotFound
from intaglio.core.fidelity import SIMILAR_SSIM, Fidelity, OutputFidelity, Reproduction, Verdict, worst
from intaglio.core.gaps import environment_gaps, input_gaps, model_gaps, node_gaps
from intaglio.core.grade import Gap, Grade, grade_of
from intaglio.core.image import Image
from intaglio.core.plan import Plan, closure
from intaglio.core.snapshot import Output, Snapshot
from intaglio.core.task import Task
from intaglio.core.version import Version
from intaglio.studio import clock
from intaglio.studio.assets import Assets
from intaglio.studio.carry_out import Watch, carry_out, environment_of
from intaglio.studio.models import Models, states_of
from intaglio.studio.parts import Parts
from intaglio.studio.queue import queue


@dataclass(frozen=True)
class Reproduced:
    """What a reproduction came to: the version, the prediction, the task that ran, and the measurement."""

    digest: str
    version: Version
    grade: Grade
    task: Task
    fidelity: Fidelity


def part_of(snapshot: Snapshot, only: str) -> Plan:
    """The plan, or the part of it that one step needs. Raises NotFound naming the steps there are."""
    if not only:
        return snapshot.plan
    return closure(snapshot.plan, _wanted(snapshot.plan, only))


def _wanted(plan: Plan, only: str) -> set[str]:
    """The steps that `only` means: one step, or all pictures of a node. Raises NotFound."""
    wanted = {step.id for step in plan.steps if only in (step.id, step.node)}
    if not wanted:
        steps = ", ".join(step.id for step in plan.steps[:30])
        raise NotFound("step", only, hint=f"The steps are: {steps}.")
    return wanted


def grade(parts: Parts, snapshot: Snapshot, plan: Plan, *, full: bool) -> Grade:
    """The prediction for a plan of this snapshot, from what is here now. `full` reads every byte of the models."""
    models = sorted({digest for step in plan.steps for model in step.models.values() for digest in model.digests})
    assets = Assets(parts)
    references = {asset.digest for step in plan.steps for asset in step.assets.values()}
    gaps: list[Gap] = [
        *node_gaps(plan, parts.types),
        *model_gaps(plan, snapshot.models, states_of(Models(parts), models, full=full)),
        *input_gaps(plan, {digest: assets.state(digest) for digest in references}),
    ]
    devices = {str(step.params["device"]) for step in plan.steps if step.models and "device" in step.params}
    if not any(gap.code.startswith("node.") for gap in gaps):
        gaps += environment_gaps(snapshot.environment, environment_of(parts, plan), devices=devices)
    return grade_of(gaps)


def reproduce(parts: Parts, digest: str, version: Version, *, only: str, watch: Watch, full: bool) -> Reproduced:
    """Run the version's plan again and hold the outputs against the stored ones. Raises CannotReproduce."""
    snapshot = parts.documents.get(Snapshot, version.snapshot)
    plan = part_of(snapshot, only)
    predicted = grade(parts, snapshot, plan, full=full)
    if predicted.grade == "partial":
        reasons = "; ".join(gap.message for gap in predicted.gaps[:3])
        raise CannotReproduce(
            f"{version.workflow.name}/{version.name} cannot be reproduced now: {reasons}",
            grade=predicted,
            hint=predicted.gaps[0].remedy,
        )
    task, lock = queue(parts, plan, reproduces=digest)
    task = carry_out(parts, task.id, lock, reuse="none", watch=watch, paranoid=full)
    again = parts.documents.get(Snapshot, task.snapshot)
    fidelity = measure(parts, snapshot, again, only=only)
    parts.reproductions.add(
        Reproduction(version=digest, task=task.id, created=clock.now(), grade=predicted, fidelity=fidelity)
    )
    return Reproduced(digest, version, predicted, task, fidelity)


def measure(parts: Parts, stored: Snapshot, again: Snapshot, *, only: str) -> Fidelity:
    """Every output that was to come back held against the stored one; then the first step that differs."""
    outputs = list(stored.outputs)
    if only:
        wanted = _wanted(stored.plan, only)
        outputs = [output for output in outputs if output.step in wanted] or _outputs_of_steps(stored, wanted)
    before = {result.step: result.outputs for result in stored.results}
    produced = {result.step: result.outputs for result in again.results}
    compared = [
        _compare(parts, stored, again, output, _again(before[output.step], produced[output.step], output.asset))
        for output in outputs
    ]
    return Fidelity(
        verdict=worst([output.verdict for output in compared]),
        outputs=tuple(compared),
        first_difference=_first_difference(stored, again),
    )


def _again(before: Mapping[str, str], produced: Mapping[str, str], asset: str) -> str:
    """What came out this time where `asset` came out then."""
    return next(produced[name] for name, digest in before.items() if digest == asset)


def _outputs_of_steps(stored: Snapshot, steps: set[str]) -> list[Output]:
    return [
        Output(
            node=stored.plan.step(result.step).node,
            step=result.step,
            index=stored.plan.step(result.step).index,
            asset=digest,
            address=stored.assets[digest].address,
        )
        for result in stored.results
        if result.step in steps
        for digest in result.outputs.values()
    ]


def _compare(parts: Parts, stored: Snapshot, again: Snapshot, output: Output, new: str) -> OutputFidelity:
    before, after = stored.assets[output.asset], again.assets[new]
    same_bytes = before.digest == after.digest
    same_pixels = same_bytes or (before.pixels != "" and before.pixels == after.pixels)
    if same_pixels:
        return OutputFidelity(
            node=output.node,
            step=output.step,
            stored=before.digest,
            produced=after.digest,
            verdict="identical bytes" if same_bytes else "identical pixels",
            same_bytes=same_bytes,
            same_pixels=True,
            max_difference=0,
            mean_difference=0.0,
            changed_share=0.0,
            ssim=1.0,
        )
    return _measured(parts, output, before, after)


def _measured(parts: Parts, output: Output, before: Asset, after: Asset) -> OutputFidelity:
    from intaglio.imaging.metrics import compare, difference_picture

    old, note = _stored_image(parts, before)
    new, _ = _stored_image(parts, after)
    if old is None or new is None or (old.mode, old.width, old.height) != (new.mode, new.width, new.height):
        return OutputFidelity(
            node=output.node,
            step=output.step,
            stored=before.digest,
            produced=after.digest,
            verdict="missing" if old is None else "different",
            same_bytes=False,
            same_pixels=False,
            note=note or f"{before.width}x{before.height} became {after.width}x{after.height}",
        )
    difference = compare(old, new)
    verdict: Verdict = "similar" if difference.ssim >= SIMILAR_SSIM else "different"
    return OutputFidelity(
        node=output.node,
        step=output.step,
        stored=before.digest,
        produced=after.digest,
        verdict=verdict,
        same_bytes=False,
        same_pixels=False,
        max_difference=difference.max_difference,
        mean_difference=difference.mean_difference,
        changed_share=difference.changed_share,
        psnr=difference.psnr,
        ssim=difference.ssim,
        difference=_kept(parts, difference_picture(old, new)),
    )


def _kept(parts: Parts, picture: Image) -> str:
    """Keep a picture as an asset and return its digest."""
    from intaglio.imaging.png import encode

    data = encode(picture)
    digest = parts.blobs.put(data)
    parts.assets.add(
        Asset(
            digest=digest,
            size=len(data),
            media_type="image/png",
            width=picture.width,
            height=picture.height,
            pixels=picture.digest,
        )
    )
    return digest


def _stored_image(parts: Parts, asset: Asset) -> tuple[Image | None, str]:
    from intaglio.imaging.decode import decode

    try:
        return decode(parts.blobs.read(asset.digest)), ""
    except (NotFound, Damaged, InvalidImage) as error:
        return None, f"the stored picture cannot be read: {error}"


def _first_difference(stored: Snapshot, again: Snapshot) -> str:
    """The first step, in plan order, whose pictures are not the recorded ones."""
    before = {result.step: result.outputs for result in stored.results}
    for result in again.results:
        for name, digest in result.outputs.items():
            old = stored.assets[before[result.step][name]]
            new = again.assets[digest]
            if old.digest != new.digest and (not old.pixels or old.pixels != new.pixels):
                return result.step
    return ""

"""The measurement after a run: its outputs held against stored ones, and the first step that came out differently."""

from __future__ import annotations

from collections.abc import Mapping

from intaglio.core.asset import Asset
from intaglio.core.difference import first_difference, step_difference
from intaglio.core.errors import Damaged, InvalidImage, NotFound
from intaglio.core.fidelity import SIMILAR_SSIM, Fidelity, OutputFidelity, Verdict, worst
from intaglio.core.image import Image
from intaglio.core.snapshot import Output, Snapshot
from intaglio.studio.grading import wanted_steps
from intaglio.studio.parts import Parts


def measure(parts: Parts, stored: Snapshot, again: Snapshot, *, only: str) -> Fidelity:
    """Every output that was to come back held against the stored one; then the first step that differs, and why."""
    outputs = list(stored.outputs)
    if only:
        wanted = wanted_steps(stored.plan, only)
        outputs = [output for output in outputs if output.step in wanted] or _outputs_of_steps(stored, wanted)
    before = {result.step: result.outputs for result in stored.results}
    produced = {result.step: result.outputs for result in again.results}
    compared = [
        compare_outputs(parts, stored, again, output, _again(before[output.step], produced[output.step], output.asset))
        for output in outputs
    ]
    first = first_difference(stored, again)
    return Fidelity(
        verdict=worst([output.verdict for output in compared]),
        outputs=tuple(compared),
        first_difference=first,
        cause=step_difference(stored, again, first) if first else None,
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


def compare_outputs(parts: Parts, stored: Snapshot, again: Snapshot, output: Output, new: str) -> OutputFidelity:
    """One output of `stored` held against the picture `new` of `again`."""
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
    from intaglio.imaging.sheet import side_by_side

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
    heat = difference_picture(old, new)
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
        flip=difference.flip,
        hash_distance=difference.phash_distance,
        difference=_kept(parts, heat),
        sheet=_kept(parts, side_by_side(old, new, heat)),
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

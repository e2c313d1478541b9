"""The measurement after a run: its outputs held against stored ones, and the first step that came out differently."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from intaglio.core.asset import Asset
from intaglio.core.difference import first_difference, step_difference
from intaglio.core.errors import Damaged, InvalidImage, NotFound
from intaglio.core.fidelity import SIMILAR_SSIM, Fidelity, OutputFidelity, Verdict, worst
from intaglio.core.image import Image
from intaglio.core.snapshot import Output, Snapshot
from intaglio.core.video import MEDIA_TYPES
from intaglio.studio.grading import wanted_steps
from intaglio.studio.parts import Parts

if TYPE_CHECKING:
    from intaglio.imaging.clips import ClipDifference, ClipNumbers


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
    first = first_difference(stored, again, alike=identical(compared))
    return Fidelity(
        verdict=worst([output.verdict for output in compared]),
        outputs=tuple(compared),
        first_difference=first,
        cause=step_difference(stored, again, first) if first else None,
    )


def identical(compared: Iterable[OutputFidelity]) -> frozenset[str]:
    """The outputs that came out with every pixel the same, by digest: of a clip only measuring it tells that."""
    return frozenset(output.produced for output in compared if output.same_pixels)


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
    """One output of `stored` held against the picture or clip `new` of `again`. Raises BackendMissing (a clip, and no
    PyAV)."""
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
    if before.media_type in MEDIA_TYPES or after.media_type in MEDIA_TYPES:
        return _measured_clips(parts, output, before, after)
    return _measured(parts, output, before, after)


def _measured(parts: Parts, output: Output, before: Asset, after: Asset) -> OutputFidelity:
    from intaglio.imaging.metrics import compare

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
    heat, sheet = _pictures(parts, (old, new))
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
        difference=heat,
        sheet=sheet,
    )


def _measured_clips(parts: Parts, output: Output, before: Asset, after: Asset) -> OutputFidelity:
    """Two clips, or a clip and a picture, frame by frame; the pictures are those of the worst frame."""
    try:
        found = compare_assets(parts, before, after)
    except (NotFound, Damaged, InvalidImage) as error:
        return OutputFidelity(
            node=output.node,
            step=output.step,
            stored=before.digest,
            produced=after.digest,
            verdict="different" if _is_readable(parts, before) else "missing",
            same_bytes=False,
            same_pixels=False,
            note=f"a stored clip cannot be read: {error}",
        )
    numbers, worst = found.numbers, found.numbers.worst
    difference, sheet = _worst_pictures(parts, found)
    return OutputFidelity(
        node=output.node,
        step=output.step,
        stored=before.digest,
        produced=after.digest,
        verdict=clip_verdict(numbers),
        same_bytes=False,
        same_pixels=clip_verdict(numbers) == "identical pixels",
        max_difference=numbers.max_difference,
        mean_difference=numbers.mean_difference,
        changed_share=numbers.changed_share,
        psnr=numbers.psnr,
        ssim=numbers.lowest_ssim,
        flip=worst.difference.flip if worst is not None else None,
        hash_distance=numbers.phash_distance,
        difference=difference,
        sheet=sheet,
        note=_clip_note(numbers),
    )


def compare_assets(parts: Parts, old: Asset, new: Asset, *, flip: bool = True) -> ClipDifference:
    """Two stored clips, or a clip and a picture, frame by frame. Raises NotFound, Damaged, InvalidImage,
    BackendMissing."""
    from intaglio.imaging.clips import compare_clips
    from intaglio.imaging.frames import frames

    with parts.blobs.open_verified(old.digest) as first, parts.blobs.open_verified(new.digest) as second:
        return compare_clips(frames(first), frames(second), flip=flip)


def clip_verdict(numbers: ClipNumbers) -> Verdict:
    """What the numbers of two clips of other bytes come to: the worst frame counts, and every one must be there."""
    whole = numbers.old.frames == numbers.new.frames and not numbers.other_sizes
    if numbers.same_pixels and max(numbers.old.bit_depth, numbers.new.bit_depth) <= 8:
        return "identical pixels"
    return "similar" if whole and (numbers.lowest_ssim or 0) >= SIMILAR_SSIM else "different"


def _clip_note(numbers: ClipNumbers) -> str:
    """What no number says: which frame is the worst, how many are equal, and what could not be compared."""
    old, new = numbers.old, numbers.new
    said = [f"{numbers.identical} of {numbers.compared} frames identical"] if numbers.compared else []
    if numbers.worst is not None:
        said.insert(0, f"worst frame {numbers.worst.index} at {numbers.worst.seconds:.3f} s")
    if old.frames != new.frames:
        said.append(f"{old.frames} frames became {new.frames}")
    elif not numbers.same_times:
        said.append("shown at other times")
    if numbers.other_sizes:
        said.append(f"{old.width}x{old.height} became {new.width}x{new.height}")
    return "; ".join(said)


def _worst_pictures(parts: Parts, found: ClipDifference) -> tuple[str, str]:
    """The heat map and the sheet of the worst frame, as assets; "" where no frame differs or none was compared."""
    worst = found.numbers.worst
    if found.worst_pictures is None or worst is None:
        return "", ""
    return _pictures(parts, found.worst_pictures, title=f"worst frame {worst.index} at {worst.seconds:.3f} s")


def _pictures(parts: Parts, pair: tuple[Image, Image], *, title: str = "") -> tuple[str, str]:
    """The heat map and the sheet of two pictures, as assets; "" in a library that can only be read."""
    from intaglio.imaging.metrics import difference_picture
    from intaglio.imaging.sheet import side_by_side

    if parts.database.read_only:
        return "", ""
    heat = difference_picture(*pair)
    return _kept(parts, heat), _kept(parts, side_by_side(*pair, heat, title=title))


def _is_readable(parts: Parts, asset: Asset) -> bool:
    from intaglio.imaging.frames import frames

    try:
        with parts.blobs.open_verified(asset.digest) as file:
            return any(True for _ in frames(file))
    except (NotFound, Damaged, InvalidImage):
        return False


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

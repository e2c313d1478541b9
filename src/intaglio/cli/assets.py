"""intaglio assets ..."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intaglio.cli.app import NOT_IDENTICAL, App, common, counting, say, short, size, table
from intaglio.core.errors import Conflict, Invalid, StorageFailed

if TYPE_CHECKING:
    from intaglio.core.asset import Asset
    from intaglio.imaging.clips import ClipNumbers
    from intaglio.imaging.metrics import Difference
    from intaglio.studio.compare import Comparison, Side


@click.group()
def assets() -> None:
    """Pictures and other files, by content."""


@assets.command()
@click.argument("files", nargs=-1, required=True)
@common
def add(app: App, files: tuple[str, ...]) -> None:
    """Keep pictures in the library."""
    with app.open() as studio, counting("adding", str) as progress:
        found = studio.assets.add(files, progress=progress)
    app.show(found, lambda: table([(*_row(asset), name) for asset, name in zip(found, files, strict=True)]))


@assets.command()
@click.argument("asset")
@common
def show(app: App, asset: str) -> None:
    """The record of an asset: by digest, the beginning of one, address, or a file."""
    with app.open() as studio:
        found = studio.assets.show(asset)

    rows = [("digest", found.digest), ("type", found.media_type), ("size", size(found.size))]
    if found.width:
        rows += [("picture", f"{found.width} x {found.height}"), ("pixels", found.pixels or "not known")]
    app.show(found, lambda: table([*rows, ("address", found.address)]))


@assets.command()
@click.argument("asset")
@click.option("-o", "--output", metavar="FILE", help="Where to write it; - for standard output.", required=True)
@common
def get(app: App, asset: str, output: str) -> None:
    """Write the verified bytes of an asset to a file."""
    with app.open() as studio:
        data = studio.assets.get(asset)
        record = studio.assets.show(asset)
    if output == "-":
        if sys.stdout is not None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        return
    path = Path(output)
    _write_new(path, data)
    app.show(record, lambda: say(f"{path}  {size(len(data))}"))


@assets.command()
@click.argument("a")
@click.argument("b")
@click.option("--to", "folder", metavar="DIR", help="Write a heat map and a side-by-side sheet there.")
@common
def compare(app: App, a: str, b: str, folder: str | None) -> int:
    """Say how far two pictures or clips are apart: files, or assets by digest. Exit code 10 unless identical."""
    with app.open() as studio:
        found = studio.assets.compare(a, b, to=folder)
    app.show(found, lambda: _compared(found))
    return 0 if found.same_pixels else NOT_IDENTICAL


def _compared(found: Comparison) -> None:
    rows = [("verdict", found.verdict), *(_side(name, side) for name, side in (("a", found.a), ("b", found.b)))]
    if found.difference is not None:
        rows += _differences(found.difference)
    if found.clip is not None:
        rows += _clips(found.clip)
    rows.append(("perceptual hashes", f"{found.phash_distance} of 64 bits differ"))
    table([*rows, *(("note", note) for note in found.notes), *(("written", path) for path in found.written)])


def _side(name: str, side: Side) -> tuple[str, str]:
    frames = f", {side.frames} frames" if side.frames > 1 else ""
    return name, f"{side.name}  {side.width} x {side.height}{frames}, {size(side.size)}, {short(side.digest)}"


def _differences(found: Difference) -> list[tuple[str, str]]:
    return [
        ("largest difference", f"{found.max_difference} of 255"),
        ("mean difference", f"{found.mean_difference:.4g}"),
        ("changed pixels", f"{100 * found.changed_share:.4g} %"),
        ("PSNR", "infinite" if found.psnr is None else f"{found.psnr:.2f} dB"),
        ("SSIM", f"{found.ssim:.5f}"),
        ("FLIP", "not measured" if found.flip is None else f"{found.flip:.5f}"),
    ]


def _clips(found: ClipNumbers) -> list[tuple[str, str]]:
    rows = [
        ("frames", f"{found.old.frames} and {found.new.frames}; {found.compared} compared, {found.identical} identical")
    ]
    if found.other_sizes:
        rows.append(("other sizes", f"{found.other_sizes} frames could not be compared"))
    if found.compared:
        rows += [
            ("largest difference", f"{found.max_difference} of 255"),
            ("mean difference", f"{found.mean_difference:.4g}"),
            ("changed pixels", f"{100 * (found.changed_share or 0):.4g} %"),
            ("lowest PSNR", "infinite" if found.psnr is None else f"{found.psnr:.2f} dB"),
            ("SSIM", f"{found.lowest_ssim:.5f} at worst, {found.mean_ssim:.5f} on average"),
        ]
    if found.worst is not None:
        rows.append(("worst frame", f"{found.worst.index}, at {found.worst.seconds:.3f} s"))
        rows += [(f"  {name}", value) for name, value in _differences(found.worst.difference)]
    return rows


def _write_new(path: Path, data: bytes) -> None:
    try:
        file = path.open("xb")
    except FileExistsError as error:
        raise Conflict(f"{path} is there already", hint="Name a file that is not there yet.") from error
    except OSError as error:
        raise Invalid(
            f"{path} cannot be written: {error.strerror}", hint="Name a file in a folder that is there."
        ) from error
    try:
        with file:
            file.write(data)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StorageFailed(f"{path} cannot be written: {error.strerror}") from error


def _row(asset: Asset) -> tuple[str, ...]:
    return (short(asset.digest), asset.media_type, f"{asset.width}x{asset.height}", size(asset.size))

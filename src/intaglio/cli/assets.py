"""intaglio assets ..."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intaglio.cli.app import NOT_IDENTICAL, App, common, counting, say, short, size, table
from intaglio.cli.lineage import lineage
from intaglio.cli.thumbnail import thumbnail
from intaglio.cli.writing import STANDARD_OUTPUT, write_new, write_out
from intaglio.core.errors import Conflict, Invalid, exit_code

if TYPE_CHECKING:
    from intaglio.core.asset import Asset
    from intaglio.imaging.clips import ClipNumbers
    from intaglio.imaging.metrics import Difference
    from intaglio.studio.arrivals import Arrival
    from intaglio.studio.compare import Comparison, Side
    from intaglio.studio.inside import Written


@click.group()
def assets() -> None:
    """Pictures and other files, by content."""


assets.add_command(thumbnail)
assets.add_command(lineage)


@assets.command()
@click.argument("files", nargs=-1, required=True)
@common
def add(app: App, files: tuple[str, ...]) -> None:
    """Keep pictures and videos in the library."""
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
        rows.append(("video" if found.frames else "picture", f"{found.width} x {found.height}"))
    if found.frames:
        rows += [("frames", str(found.frames)), ("lasts", f"{found.seconds:.3f} s")]
    elif found.width:
        rows.append(("pixels", found.pixels or "not known"))
    app.show(found, lambda: table([*rows, ("address", found.address)]))


@assets.command()
@click.argument("asset")
@click.option("-o", "--output", metavar="FILE", help="Where to write it; - for standard output.", required=True)
@click.option("--with-record", is_flag=True, help="With the record of its version inside, or else beside it.")
@common
def get(app: App, asset: str, output: str, with_record: bool) -> None:
    """Write the verified bytes of an asset to a file."""
    with app.open() as studio:
        record = studio.assets.show(asset)
        written = studio.assets.with_record(asset) if with_record else None
        data = written.data if written else studio.assets.get(asset)
    beside = written.beside if written else b""
    if output == STANDARD_OUTPUT:
        if beside:
            raise Invalid("its record cannot go inside, and standard output has no beside", hint="Name a file.")
        write_out(data)
        return
    path = Path(output)
    if written and beside:
        _write_beside(path, written)
    write_new(path, data)
    app.show(record, lambda: say(f"{path}  {size(len(data))}"))


@assets.command("import")
@click.argument("files", nargs=-1, required=True)
@common
def import_(app: App, files: tuple[str, ...]) -> int:
    """Take in FILES with the record inside or beside them; say what each is.

    Exit code 2 when one carries a record that is not its own, or is no picture or video; the others are taken in.
    """
    with app.open() as studio, counting("taking in", str) as progress:
        found = studio.assets.import_(files, progress=progress)
    app.show(found, lambda: _arrived(found))
    return exit_code(Invalid("refused")) if any(one.code for one in found) else 0


def _arrived(found: list[Arrival]) -> None:
    for one in found:
        say(one.path)
        table([row for row in (_refused(one) if one.code else _taken(one)) if row[1]], "  ")


def _refused(one: Arrival) -> list[tuple[str, str]]:
    return [("refused", one.message), ("", one.hint)]


def _taken(one: Arrival) -> list[tuple[str, str]]:
    from intaglio.studio.inside import SIDECAR

    how = {"bytes": "byte for byte", "pixels": "the same pixels, other bytes", "": ""}[one.match]
    record = {"inside": "inside", "beside": f"in {Path(one.path).name}{SIDECAR}", "none": ""}[one.record]
    return [
        ("kept", f"{short(one.asset)}  {one.media_type}"),
        ("record", record + (f" ({one.note})" if record and one.note else "") or one.note),
        ("version", f"{one.name}  {'was here already' if one.known else 'new here'}" if one.name else ""),
        ("output", f"{one.step}, {how}" if one.name else ""),
        ("altered", f"{', '.join(one.altered)}: not as it was written" if one.altered else ""),
        ("missing", f"{one.missing} of its reference files" if one.missing else ""),
        ("next", f"intaglio versions grade {one.name}" if one.record != "none" and not one.known else ""),
    ]


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


def _write_beside(path: Path, written: Written) -> None:
    from intaglio.studio.inside import SIDECAR

    if os.path.lexists(path):
        raise Conflict(f"{path} is there already", hint="Name a file that is not there yet.")
    sidecar = path.with_name(path.name + SIDECAR)
    write_new(sidecar, written.beside)
    say(f"its record is beside it, in {sidecar.name}: {written.why}", err=True)


def _row(asset: Asset) -> tuple[str, ...]:
    clip = f", {asset.frames} frames, {asset.seconds:.3f} s" if asset.frames else ""
    return (short(asset.digest), asset.media_type, f"{asset.width}x{asset.height}{clip}", size(asset.size))

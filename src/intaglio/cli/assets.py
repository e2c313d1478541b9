"""intaglio assets ..."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intaglio.cli.app import App, common, counting, say, short, size, table
from intaglio.core.errors import Conflict, Invalid, StorageFailed

if TYPE_CHECKING:
    from intaglio.core.asset import Asset


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

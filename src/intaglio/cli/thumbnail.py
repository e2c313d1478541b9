"""intaglio assets thumbnail"""

from __future__ import annotations

from pathlib import Path

import click

from intaglio.cli.app import App, common, say, size
from intaglio.cli.writing import STANDARD_OUTPUT, write_new, write_out


@click.command()
@click.argument("asset")
@click.option("-o", "--output", metavar="FILE", help="Where to write the PNG; - for standard output.", required=True)
@click.option("--size", "side", type=int, default=256, show_default=True, help="Of the longer side, in pixels.")
@click.option("--frames", type=int, default=1, show_default=True, help="So many frames of a clip, side by side.")
@common
def thumbnail(app: App, asset: str, output: str, side: int, frames: int) -> None:
    """Write a small picture of an asset: of a clip its first frame, or several from the first to the last."""
    with app.open() as studio:
        data = studio.assets.thumbnail(asset, size=side, frames=frames)
        record = studio.assets.show(asset)
    if output == STANDARD_OUTPUT:
        write_out(data)
        return
    path = Path(output)
    write_new(path, data)
    app.show(record, lambda: say(f"{path}  {size(len(data))}"))

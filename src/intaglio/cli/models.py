"""intaglio models ..."""

from __future__ import annotations

import click

from intaglio.cli import model_archive
from intaglio.cli.app import App, common, counting, say, short, size, table
from intaglio.core.errors import ModelUnavailable


@click.group()
def models() -> None:
    """Models, by content."""


@models.command()
@click.argument("path")
@click.option("--name", required=True, help="What workflows call it.")
@click.option("--version", "label", default="", help="Version label; else v1, v2, ...")
@click.option(
    "--config", default="", metavar="DIR", help="Pipeline folder that says how a single file is put together."
)
@click.option("--source", default="", help="Where it came from (hub id and revision, Civitai id, address).")
@click.option(
    "--allow-pickle", default="", metavar="DIGEST", help="Allow exactly this pickle file although it can run code."
)
@common
def add(app: App, path: str, name: str, label: str, config: str, source: str, allow_pickle: str) -> None:
    """Hash a model (pipeline folder or safetensors file) and keep it under a name.

    PATH may be hub:ORG/NAME@REVISION, with the exact revision: only then is anything downloaded.
    """
    with app.open() as studio, counting("hashing", size) as progress:
        model = studio.models.add(
            path,
            name=name,
            version=label,
            config=config,
            source=source,
            allow_pickle=allow_pickle,
            progress=progress,
        )
    app.show(
        model,
        lambda: say(
            f"{model.name}:{model.version}  {model.model_kind}, {model.family}, {size(model.size)}  {model.digest}"
        ),
    )


@models.command("list")
@common
def list_(app: App) -> None:
    """Model versions, newest first."""
    with app.open() as studio:
        found = studio.models.list()
    rows = [
        (
            f"{model.name}:{model.version}",
            model.model_kind,
            model.family,
            size(model.size),
            short(model.digest),
            str(path),
        )
        for model, path in found
    ]
    app.show([model for model, _ in found], lambda: table(rows))


@models.command()
@click.argument("model")
@common
def show(app: App, model: str) -> None:
    """The record of a model: NAME (the newest), NAME:VERSION, or a digest."""
    with app.open() as studio:
        found = studio.models.find(model)

    def words() -> None:
        rows = [
            ("model", f"{found.name}:{found.version}"),
            ("digest", found.digest),
            ("kind", f"{found.model_kind}, {found.family}, {found.layout}"),
            ("size", size(found.size)),
            ("added", found.added),
        ]
        rows += [(name, str(value)) for name, value in found.defaults.items()]
        table(rows)
        table([(part.path, size(part.size), short(part.digest)) for part in found.files], "  ")

    app.show(found, words)


@models.command()
@click.argument("model")
@click.option("--paranoid", is_flag=True, help="Read every byte again, whatever the file system says.")
@common
def verify(app: App, model: str, paranoid: bool) -> None:
    """Check that a model's file is still the recorded content."""
    with app.open() as studio, counting("reading", size) as progress:
        checked = studio.models.verify(model, full=paranoid, progress=progress)
    found = checked.model
    if checked.state != "ok":
        raise ModelUnavailable(f"model {found.name}:{found.version} is {checked.state}: {checked.found}")
    app.show(found, lambda: say(f"{found.name}:{found.version} is what was recorded: {found.digest}"))


for _command in (model_archive.keep, model_archive.restore, model_archive.impact, model_archive.rm):
    models.add_command(_command)

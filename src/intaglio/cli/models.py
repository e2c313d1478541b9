"""intaglio models ..."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from intaglio.cli import model_archive, model_files
from intaglio.cli.app import App, common, counting, say, short, size, table
from intaglio.cli.model_envelope import envelope
from intaglio.core.errors import Invalid, ModelUnavailable

if TYPE_CHECKING:
    from intaglio.studio.modelcheck import About

_HASHES = ("sha256", "autov1", "tensors")


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
@model_files.no_background
@common
def add(
    app: App, path: str, name: str, label: str, config: str, source: str, allow_pickle: str, no_background: bool
) -> None:
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
        if not no_background:
            model_files.start_hashing(app)
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
        found, kept = studio.models.list(), studio.models.kept()
    rows = [
        (
            f"{model.name}:{model.version}",
            model.model_kind,
            model.family,
            size(model.size),
            short(model.digest),
            "kept" if model.digest in kept else "",
            str(path),
        )
        for model, path in found
    ]
    app.show([model for model, _ in found], lambda: table(rows))


@models.command()
@click.argument("model")
@common
def show(app: App, model: str) -> None:
    """The record of a model, where it is, and its hashes: NAME (the newest), NAME:VERSION, or a digest."""
    from intaglio.core.record import plain

    with app.open() as studio:
        known = studio.models.about(model)
    found = known.model

    def words() -> None:
        rows = [
            ("model", f"{found.name}:{found.version}"),
            ("digest", found.digest),
            ("kind", f"{found.model_kind}, {found.family}, {found.layout}"),
            ("size", size(found.size)),
            ("added", found.added),
        ]
        rows += [(name, str(value)) for name, value in found.defaults.items()]
        rows += [("file", f"{path}{'' if os.path.lexists(path) else ' (gone)'}") for path in known.places]
        rows.append(("kept", f"yes, as a {known.kept}" if known.kept else "no"))
        table([*rows, *_hashes(known)])
        table([(part.path, size(part.size), short(part.digest)) for part in found.files], "  ")

    others = {} if known.hashes is None else {name: getattr(known.hashes, name) for name in _HASHES}
    places = [str(path) for path in known.places]
    app.show({**plain(found), "places": places, "kept": known.kept, "hashes": others}, words)


def _hashes(known: About) -> list[tuple[str, str]]:
    """Other tools' names for a single file; a folder has none."""
    if known.hashes is None:
        return [] if known.model.files else [("SHA-256", "not computed yet: intaglio models hash")]
    hashes = known.hashes
    rows = [("SHA-256", hashes.sha256), ("AutoV1", hashes.autov1), ("AutoV2", hashes.sha256[:10])]
    return [(name, text) for name, text in (*rows, ("AutoV3", hashes.tensors[:12])) if text]


@models.command()
@click.argument("model", default="")
@click.option("--all", "every", is_flag=True, help="Check every model, by what the file system says of its file.")
@click.option("--paranoid", is_flag=True, help="Read every byte again, whatever the file system says.")
@common
def verify(app: App, model: str, every: bool, paranoid: bool) -> int:
    """Check that a model's file, or every model's (--all), is still the recorded content."""
    if bool(model) == every:
        raise Invalid("name one MODEL or give --all", hint="Read: intaglio models verify --help")
    if every:
        return _verify_all(app, paranoid)
    with app.open() as studio, counting("reading", size) as progress:
        checked = studio.models.verify(model, full=paranoid, progress=progress)
    found = checked.model
    if checked.state != "ok":
        raise ModelUnavailable(
            f"model {found.name}:{found.version} is {checked.state}: {checked.found}", hint=checked.hint or None
        )
    app.show(found, lambda: say(f"{found.name}:{found.version} is what was recorded: {found.digest}"))
    return 0


def _verify_all(app: App, paranoid: bool) -> int:
    with app.open() as studio, counting("checking", str) as progress:
        checked = studio.models.verify_all(full=paranoid, progress=progress)
    problems = [
        {
            "model": f"{each.model.name}:{each.model.version}",
            "digest": each.model.digest,
            "path": str(each.path),
            "state": each.state,
            "found": each.found,
        }
        for each in checked.problems
    ]

    def words() -> None:
        table([(each["model"], each["state"], each["found"]) for each in problems])
        say(f"{checked.models - len(problems)} of {checked.models} models are what was recorded")

    app.show({"models": checked.models, "problems": problems}, words)
    return 4 if problems else 0


for _command in (model_archive.keep, model_archive.restore, model_archive.impact, model_archive.rm):
    models.add_command(_command)
models.add_command(envelope)
for _command in (model_files.scan, model_files.watch, model_files.hash_, model_files.find, model_files.allow):
    models.add_command(_command)

"""What keeping a model under a name takes: its identity, its label, its place in the index."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from os import PathLike
from pathlib import Path

from intaglio.core.canonical import PREFIX
from intaglio.core.errors import Invalid, NotFound, Unavailable, UnsafeModel
from intaglio.core.model import ModelPart, ModelVersion
from intaglio.core.workflow import NAME
from intaglio.store import disk, filehash
from intaglio.store.model_index import Seen
from intaglio.studio import clock
from intaglio.studio.files import is_below, placed
from intaglio.studio.modelfiles import model_folder_of
from intaglio.studio.parts import Parts
from intaglio.studio.settings import model_folders

Progress = Callable[[int, int], None]
LATEST = "latest"


def place_of(parts: Parts, given: str | PathLike[str], kind: str = "model file", *, uploaded: bool = False) -> Path:
    """The whole path of a model, of a folder of models or of a configuration that a caller names.

    Where there is a reach it lies in a folder that the setting `models` names, or (with `uploaded`) was uploaded.
    Raises Invalid for a name no file can have, NotFound (of that `kind`).
    """
    if parts.reach is None:
        return placed(given, None)
    path = Path(given)
    if any(is_below(path, folder) for folder in model_folders(parts.settings)):
        return path
    if uploaded:
        return placed(given, parts.reach, kind)
    raise NotFound(kind, str(path), hint="A server takes models from the folders of its setting INTAGLIO_MODELS only.")


def at_home(parts: Parts, place: Path, digest: str) -> Path:
    """Where a model stays that is at `place` now: one that was uploaded is moved into the library, under its digest."""
    if parts.reach is None or not place.is_relative_to(parts.reach):
        return place
    home = parts.root / "models" / "uploaded" / digest.removeprefix(PREFIX) / place.name
    if os.path.lexists(home):
        with suppress(Invalid, NotFound, Unavailable):
            if identity(parts, home)[0] == digest:
                return home
        disk.remove_tree(home)
    disk.make_tree(home.parent)
    for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
        (disk.sync_folder if file.is_dir() else disk.sync_file)(file)
    disk.rename(place, home)
    disk.sync_folder(home.parent)
    return home


def identity(
    parts: Parts, path: Path, progress: Progress | None = None, *, full: bool = False
) -> tuple[str, int, tuple[ModelPart, ...]]:
    """Digest, size in bytes and files of the model at `path`; a single file has none. Raises as `filehash`."""
    if path.is_dir():
        folder = filehash.hash_folder(path, proofs=parts.proofs, progress=progress, full=full)
        return folder.digest, folder.size, parts_of(folder)
    file = filehash.hash_file(path, proofs=parts.proofs, progress=progress, full=full)
    return file.digest, file.size, ()


def parts_of(folder: filehash.FolderIdentity) -> tuple[ModelPart, ...]:
    """The files of a folder as a model's record has them."""
    return tuple(ModelPart(path=name, digest=digest, size=size) for name, digest, size in folder.files)


def keep(parts: Parts, model: ModelVersion, place: Path) -> None:
    """Keep a model under its name, and its place in the index, in one transaction. Raises Conflict, Invalid."""
    with parts.database.write():
        parts.models.add(model, place)
        parts.model_index.note([Seen(str(place), model.digest, model.size, model.model_kind)], (), clock.now())


def check_names(name: str, version: str) -> None:
    """Raises Invalid unless these can be a model's name and its version label, "" for the next."""
    check_name(name, "name")
    if version:
        check_name(version, "version")


def check_name(text: str, what: str) -> None:
    """Raises Invalid unless `text` can be a model's name or version label."""
    if not NAME.match(text) or ":" in text or text == LATEST:
        raise Invalid(f"{text[:120]!r} is not a {what} for a model", hint="Use letters, digits, space, dot, _ and -.")


def next_label(parts: Parts, name: str, digest: str, config: str = "") -> str:
    """The label under which `name` has this content already, else the next one that is free."""
    held = [each for each in parts.models.labels() if each.name == name]
    for each in held:
        if each.digest == digest and parts.models.get(name, each.version)[0].config == config:
            return each.version
    return free_label({each.version for each in held})


def free_label(labels: set[str]) -> str:
    """v1, v2, ...: the first that is not taken."""
    return next(label for number in range(1, len(labels) + 2) if (label := f"v{number}") not in labels)


def add_config(parts: Parts, folder: Path) -> str:
    """Keep the pipeline folder that goes with a single file; it is content of its own, with a digest of its own."""
    from intaglio.backends.inspect import inspect_config

    facts = inspect_config(folder)
    digest, size, files = identity(parts, folder)
    try:
        known = parts.models.by_digest(digest)[0]
    except NotFound:
        name = f"{folder.name}-config" if NAME.match(folder.name) else "config"
        known = ModelVersion(
            name=name,
            version=next_label(parts, name, digest),
            digest=digest,
            model_kind="config",
            layout=facts.layout,
            family=facts.family,
            size=size,
            files=files,
            defaults=facts.defaults,
            added=clock.now(),
        )
    keep(parts, known, at_home(parts, folder, digest))
    return digest


def check_outside(path: Path) -> None:
    """Raises Invalid for a path inside a folder that holds one model: a file more would make it another model."""
    folder = model_folder_of(str(path), ("/",))
    if folder != str(path):
        raise Invalid(f"{folder} holds one model; {path.name} would become a part of it", hint="Name another place.")


def check_allowed(parts: Parts, path: Path, allowed: str) -> None:
    """Raises UnsafeModel unless the file at `path` is the very content that was allowed."""
    found = filehash.hash_file(path, proofs=parts.proofs).digest
    if found != allowed:
        raise UnsafeModel(
            f"{path} is {found}, not the file that was allowed ({allowed})",
            hint="Allow exactly this file by giving its digest, if you trust it.",
        )


def fetched(parts: Parts, reference: str) -> Path:
    """Download a model from the hub into the library's `models` folder; returns where it is."""
    from intaglio.backends import hub

    repository, revision = hub.parse_reference(reference)
    folder = parts.root / "models" / repository / revision
    hub.fetch(reference, folder)
    return folder

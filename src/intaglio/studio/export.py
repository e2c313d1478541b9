"""Writing a version out: its files with their record inside, what went into them, its seed record, and its record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from intaglio.core.canonical import PREFIX
from intaglio.core.errors import Damaged, NotFound
from intaglio.core.snapshot import Snapshot
from intaglio.core.version import Version
from intaglio.studio.files import write_into
from intaglio.studio.inside import INPUTS, RECORD, SIDECAR, as_json, record_of, with_record
from intaglio.studio.parts import Parts

_SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "video/mp4": ".mp4",
    "video/quicktime": ".mov",
    "video/webm": ".webm",
    "video/x-matroska": ".mkv",
}


def export(
    parts: Parts, digest: str, version: Version, folder: Path, told: Callable[[str], None] = lambda text: None
) -> list[Path]:
    """Write outputs, `inputs`, `seeds.json` and `record.json`. Nothing of other content is overwritten.

    `told` hears, in words, of each record that is beside its file instead of inside, and of each reference file that
    the library lost. Raises Conflict, Damaged.
    """
    snapshot = parts.documents.get(Snapshot, version.snapshot)
    return write_into(folder, _files(parts, digest, version, snapshot, told))


def seed_record(digest: str, version: Version, snapshot: Snapshot) -> dict[str, Any]:
    """Step id to executed seed, with the exact models it belongs to: a seed means nothing without its model."""
    return {
        "version": digest,
        "name": f"{version.workflow.name}/{version.name}",
        "snapshot": version.snapshot,
        "seeds": {
            step.id: {
                "node": step.node,
                "seed": step.seed.value,
                "origin": step.seed.origin,
                "models": {
                    name: {"name": model.name, "version": model.version, "digest": model.digest}
                    for name, model in step.models.items()
                },
            }
            for step in snapshot.plan.steps
            if step.seed is not None
        },
    }


def suffix(media_type: str) -> str:
    """How the name of a file of that type ends."""
    return _SUFFIXES.get(media_type, ".bin")


def file_names(snapshot: Snapshot) -> list[str]:
    """A file name for each output: the node's id, with the place in its batch where there are several.

    No two are the same, on file systems that ignore case either.
    """
    names: list[str] = []
    taken: set[str] = set()
    for output in snapshot.outputs:
        stem = output.node if output.step == output.node else f"{output.node}-{output.index}"
        ending = suffix(snapshot.assets[output.asset].media_type)
        name, count = stem + ending, 1
        while name.casefold() in taken:
            count += 1
            name = f"{stem}_{count}{ending}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _files(
    parts: Parts, digest: str, version: Version, snapshot: Snapshot, told: Callable[[str], None]
) -> dict[str, bytes]:
    """Every file of an export, by its path in the folder."""
    files: dict[str, bytes] = {}
    for name, output in zip(file_names(snapshot), snapshot.outputs, strict=True):
        written = with_record(parts.blobs.read(output.asset), digest, version, snapshot, output)
        files[name] = written.data
        if written.beside:
            files[name + SIDECAR] = written.beside
            told(f"the record of {name} is beside it, in {name + SIDECAR}: {written.why}")
    files |= _inputs(parts, snapshot, told)
    files["seeds.json"] = as_json(seed_record(digest, version, snapshot))
    files[RECORD] = as_json(record_of(digest, version, snapshot))
    return files


def _inputs(parts: Parts, snapshot: Snapshot, told: Callable[[str], None]) -> dict[str, bytes]:
    """The reference files that a run took, by digest."""
    files = {}
    references = (reference for step in snapshot.plan.steps for reference in step.assets.values())
    for reference in {reference.digest: reference for reference in references}.values():
        name = f"{INPUTS}/{reference.digest.removeprefix(PREFIX)}{suffix(reference.media_type)}"
        try:
            files[name] = parts.blobs.read(reference.digest)
        except (NotFound, Damaged) as error:
            told(f"the reference picture {reference.name or reference.digest} is not among the files: {error}")
    return files

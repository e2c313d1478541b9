"""Writing a version out: its pictures with their claim inside, its seed record, and its whole record."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from intaglio.core.errors import Conflict
from intaglio.core.record import plain
from intaglio.core.snapshot import Snapshot
from intaglio.core.version import Version
from intaglio.store import disk
from intaglio.studio.files import is_file, write_whole
from intaglio.studio.parts import Parts


def export(parts: Parts, digest: str, version: Version, folder: Path) -> list[Path]:
    """Write outputs, `seeds.json` and `record.json`. Nothing of other content is overwritten. Raises Conflict."""
    snapshot = parts.documents.get(Snapshot, version.snapshot)
    files = _pictures(parts, digest, version, snapshot)
    files["seeds.json"] = _json(seed_record(digest, version, snapshot))
    files["record.json"] = _json({"digest": digest, "version": plain(version), "snapshot": plain(snapshot)})
    for name, data in files.items():
        path = folder / name
        if os.path.lexists(path) and not (is_file(path) and path.read_bytes() == data):
            raise Conflict(f"{path} is there already, with other content", hint="Export into an empty folder.")
    if folder.exists() and not folder.is_dir():
        raise Conflict(f"{folder} is a file", hint="Export into a folder.")
    disk.make_tree(folder)
    for name, data in files.items():
        write_whole(folder / name, data)
    disk.sync_folder(folder)
    return [folder / name for name in files]


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


def file_names(snapshot: Snapshot) -> list[str]:
    """A file name for each output: the node's id, with the place in its batch where there are several.

    No two are the same, on file systems that ignore case either.
    """
    names: list[str] = []
    taken: set[str] = set()
    for output in snapshot.outputs:
        stem = output.node if output.step == output.node else f"{output.node}-{output.index}"
        name, count = f"{stem}.png", 1
        while name.casefold() in taken:
            count += 1
            name = f"{stem}_{count}.png"
        taken.add(name.casefold())
        names.append(name)
    return names


def _pictures(parts: Parts, digest: str, version: Version, snapshot: Snapshot) -> dict[str, bytes]:
    from intaglio.imaging.decode import decode
    from intaglio.imaging.png import encode
    from intaglio.imaging.record import attach_claim

    pictures = {}
    for name, output in zip(file_names(snapshot), snapshot.outputs, strict=True):
        data = parts.blobs.read(output.asset)
        if snapshot.assets[output.asset].media_type != "image/png":
            data = encode(decode(data))
        claim = {
            "version": digest,
            "name": f"{version.workflow.name}/{version.name}",
            "snapshot": version.snapshot,
            "step": output.step,
            "asset": output.asset,
        }
        pictures[name] = attach_claim(data, claim)
    return pictures


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()

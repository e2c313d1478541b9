"""Write one record of every kind, from a real small run of this release, for later releases to read.

    python tests/golden/make.py tests/golden/format-1

Run once for a format, never again: what is there is what people have.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from intaglio.core.codec import digest, encode
from intaglio.core.image import Image
from intaglio.core.plan import Plan
from intaglio.core.snapshot import Snapshot
from intaglio.core.workflow import Workflow
from intaglio.imaging.png import encode as encode_png
from intaglio.store.rows import Counter, WorkflowEntry
from intaglio.studio.clock import written
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings

SCENES = Path(__file__).resolve().parents[2] / "models" / "scenes"
PROMPT = "a white sailboat in the middle, blue sea, orange sky at sunset"
NODES: dict[str, Any] = {
    "base": {"type": "text-to-image", "count": 2, "params": {"model": "scenes", "prompt": PROMPT, "steps": 2}},
    "grain": {"type": "film-grain@1", "inputs": {"image": "base.image"}, "seed": 2**64 - 1, "title": "Körnung"},
    "frame": {"type": "reference-image", "params": {"image": "frame.png"}},
    "both": {"type": "composite", "inputs": {"base": "grain", "overlay": "frame"}, "params": {"opacity": 0.25}},
    "out": {"type": "output", "inputs": {"image": "both"}},
}


def main(folder: Path) -> None:
    """Write the records, and the digests beside the folder."""
    settings = Settings(author="Ada", seeds="sequence", threads=2)
    with fixed_times(), tempfile.TemporaryDirectory() as place, init(place, settings) as studio:
        found = {record.kind: record for record in records(studio, Path(place))}
    folder.mkdir(parents=True)
    for kind, record in found.items():
        (folder / f"{kind}.json").write_bytes(encode(record))
    beside = folder.parent / "DIGESTS.json"
    digests = json.loads(beside.read_text()) if beside.exists() else {}
    digests |= {f"{folder.name}/{kind}": digest(record) for kind, record in sorted(found.items())}
    beside.write_text(json.dumps(digests, indent=2) + "\n")


@contextmanager
def fixed_times() -> Iterator[None]:
    """Every look at the clock is one second after the one before, from noon on; the task's id is fixed."""
    looks = iter(range(100_000))
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)

    def now(*_: object) -> str:
        return written(noon + timedelta(seconds=next(looks)))

    with ExitStack() as stack:
        for name in ("studio.clock.now", "studio.clock.written_timestamp", "store.tasks.now", "store.workflows.now"):
            stack.enter_context(mock.patch(f"intaglio.{name}", now))
        ids = (f"20261120-120000-{number:08x}" for number in range(1, 100))
        stack.enter_context(mock.patch("intaglio.studio.queue.new_task_id", side_effect=ids))
        yield


def records(studio: Studio, place: Path) -> Iterator[Any]:
    """One record of every kind."""
    (place / "frame.png").write_bytes(encode_png(Image("RGB", 64, 64, bytes(range(256)) * 48)))
    (place / "golden.json").write_text(
        json.dumps({"name": "golden", "description": "é, and e\u0301", "nodes": NODES}), encoding="utf-8"
    )
    studio.models.add(SCENES, name="scenes", source="models/train")
    task = studio.tasks.run(place / "golden.json", label="First", annotation="first light", set=["both.opacity=0.5"])
    view = studio.tasks.show(task.id)
    snapshot = studio.tasks.snapshot(task.id)
    documents = studio._parts.documents
    yield documents.get(Workflow, task.workflow.digest)
    yield documents.get(Plan, task.plan)
    yield task
    yield next(record for record in view.steps if record.step == "grain[1]")
    yield next(event for event in view.events if event.facts)
    yield documents.get(Snapshot, task.snapshot)
    yield snapshot.environment
    yield studio.assets.show(snapshot.outputs[0].asset)
    yield studio.models.find("scenes")
    yield studio.versions.find(task.version)[1]
    reproduced = studio.versions.reproduce(task.version)
    yield studio.versions.history(task.version)[0]
    assert reproduced.fidelity.verdict == "identical bytes"
    reference = task.workflow
    yield WorkflowEntry(name=reference.name, version=1, digest=reference.digest, created=task.created)
    yield Counter(name="seed", value=1002)
    yield from _about_models(studio, place, task.version)


def _about_models(studio: Studio, place: Path, version: str) -> Iterator[Any]:
    """What came with models by content: a remark, an envelope, a place, hashes, a kept model."""
    yield studio.versions.legacy(version, note="the vendor withdrew it")
    yield studio.models.envelope("scenes", repeats=1, kinds=("process",))[0]
    (place / "models").mkdir()
    shutil.copy(SCENES / "vae" / "diffusion_pytorch_model.safetensors", place / "models" / "vae.safetensors")
    studio.models.scan(place / "models")
    studio.models.hash_pending()
    found = studio.models.find("vae")
    index = studio._parts.model_index
    yield index.of(found.digest)[0]
    hashes = index.hashes(found.digest)
    assert hashes is not None
    yield hashes
    studio.models.keep("vae", copy=True)
    kept = studio._parts.kept.get(found.digest)
    assert kept is not None
    yield kept


if __name__ == "__main__":
    main(Path(sys.argv[1]))

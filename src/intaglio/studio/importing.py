"""Taking in a version that another library wrote out. What it says is believed only as far as it can be checked."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from intaglio.core.asset import Asset
from intaglio.core.canonical import digest_bytes, is_digest
from intaglio.core.codec import digest, from_plain
from intaglio.core.errors import BackendMissing, InvalidImage, InvalidRecord, NotFound
from intaglio.core.grade import CODES, Gap
from intaglio.core.plan import Plan, WorkflowRef
from intaglio.core.record import plain
from intaglio.core.snapshot import Snapshot
from intaglio.core.task import TASK_ID, Task
from intaglio.core.version import Version, slug
from intaglio.core.workflow import NODE_ID, parse_workflow
from intaglio.studio.deciding import keep_workflow
from intaglio.studio.inside import INPUTS, RECORD, read_json
from intaglio.studio.parts import Parts
from intaglio.studio.queue import new_task_id
from intaglio.studio.saving import version_record

_GIVE = NotFound("record", "").hint
MAX_FILE = 2**30
MAX_FILES = 10_000
# What a record inside may add to a file: 1 MiB, and the frames around it.
MAX_ADDED = 2 * 2**20
# A record from elsewhere decides how many threads run here, and more than any machine has would only harm.
MOST_THREADS = 512


@dataclass(frozen=True)
class Read:
    """A record that was read and makes sense; `altered` says in words what of it is not as it was written."""

    digest: str
    version: Version
    snapshot: Snapshot
    altered: tuple[str, ...]


def import_record(parts: Parts, path: Path) -> tuple[str, Version]:
    """Keep the version in an exported folder (or its record.json), with the pictures that are beside it.

    An unaltered record keeps its snapshot, so that it is found by the same digest; one that does not match its own
    digests is kept as another record, with the gap `record.altered`. Its step results are never reused: they are
    another library's word. Raises NotFound, InvalidRecord, Conflict.
    """
    file = path / RECORD if path.is_dir() else path
    if not file.is_file():
        raise NotFound("record", str(file), hint=_GIVE)
    try:
        read = read_record(read_json(file), str(file))
    except InvalidRecord as error:
        raise InvalidRecord(str(error), hint=_GIVE) from error
    take_files(parts, file.parent, read.snapshot)
    take_files(parts, file.parent / INPUTS, read.snapshot)
    digest, version, _ = keep(parts, read)
    return digest, version


def read_record(value: Any, where: str) -> Read:
    """The record of a version that stands `where` (for messages), if it makes sense. Raises InvalidRecord, Invalid."""
    if not isinstance(value, dict) or not {"digest", "version", "snapshot"} <= value.keys():
        raise InvalidRecord(f"{where} is not a version's record: it lacks digest, version or snapshot")
    version = from_plain(Version, value["version"])
    snapshot = from_plain(Snapshot, value["snapshot"])
    if version.restores and not is_digest(version.restores):
        raise InvalidRecord(f"version record: it goes back to {version.restores[:80]!r}, which is not a digest")
    _check(snapshot)
    altered = tuple(_alterations(value["digest"], version, snapshot))
    if altered:
        snapshot = _as_altered(snapshot, altered)
    return Read(str(value["digest"]), version, snapshot, altered)


def _alterations(claimed: Any, version: Version, snapshot: Snapshot) -> Iterator[str]:
    if digest(snapshot) != version.snapshot:
        yield "the snapshot"
    if digest(version) != claimed:
        yield "the version"
    if digest(snapshot.workflow) != snapshot.plan.workflow.digest:
        yield "the workflow"


def _as_altered(snapshot: Snapshot, altered: tuple[str, ...]) -> Snapshot:
    """The snapshot as a record of its own, that says it is not the one that was written."""
    reference = replace(snapshot.plan.workflow, digest=digest(snapshot.workflow))
    gap = Gap(
        code="record.altered",
        subject=snapshot.task,
        message=f"{CODES['record.altered'].why} ({', '.join(altered)})",
        remedy="Import the record as it was exported.",
    )
    kept = tuple(one for one in snapshot.gaps if one.code != gap.code)
    return replace(snapshot, plan=replace(snapshot.plan, workflow=reference), gaps=(*kept, gap))


# -- does it make sense? ----------------------------------------------------------------------------------------------


def _check(snapshot: Snapshot) -> None:
    """Refuse what no Intaglio writes and what would lead astray: impossible names, edges and digests."""
    parse_workflow(plain(snapshot.workflow))
    _check_plan(snapshot.plan)
    if not TASK_ID.fullmatch(snapshot.task):
        raise InvalidRecord(f"snapshot record: {snapshot.task[:80]!r} is not the id of a task")
    if snapshot.plan.steps and not snapshot.outputs:
        raise InvalidRecord("snapshot record: it has no outputs, so there is nothing to bring back")
    steps = {step.id: step for step in snapshot.plan.steps}
    for output in snapshot.outputs:
        if output.step not in steps or output.node != steps[output.step].node:
            raise InvalidRecord(f"snapshot record: output {output.step[:80]!r} belongs to no step of the plan")
        if output.asset not in snapshot.assets:
            raise InvalidRecord(
                f"snapshot record: output {output.step[:80]!r} names an asset that it does not describe"
            )
    _check_results(snapshot)
    _check_described(snapshot)


def _check_results(snapshot: Snapshot) -> None:
    """One result for each step, which holds what other steps and the outputs take from it."""
    results = {result.step: result for result in snapshot.results}
    if sorted(results) != sorted(step.id for step in snapshot.plan.steps) or len(results) != len(snapshot.results):
        raise InvalidRecord("snapshot record: it does not have one result for each step of its plan")
    for result in snapshot.results:
        if not set(result.outputs.values()) <= snapshot.assets.keys():
            raise InvalidRecord(
                f"snapshot record: result {result.step[:80]!r} names an asset that it does not describe"
            )
    for output in snapshot.outputs:
        if output.asset not in results[output.step].outputs.values():
            raise InvalidRecord(f"snapshot record: output {output.step[:80]!r} is not what its step made")
    for source in (source for step in snapshot.plan.steps for source in step.inputs.values()):
        if source.output not in results[source.step].outputs:
            raise InvalidRecord(f"snapshot record: step {source.step!r} made no {source.output[:80]!r}")


def _check_described(snapshot: Snapshot) -> None:
    """Assets and models stand under their own digests, and every model that is used is described."""
    described = {name: asset.digest for name, asset in snapshot.assets.items()}
    described |= {name: model.digest for name, model in snapshot.models.items()}
    for name, held in described.items():
        if name != held or not is_digest(name):
            raise InvalidRecord(f"snapshot record: {name[:80]!r} is not the digest of what it describes")
    needed = {digest for step in snapshot.plan.steps for model in step.models.values() for digest in model.digests}
    if unknown := sorted(needed - snapshot.models.keys() - {""}):
        raise InvalidRecord(f"snapshot record: model {unknown[0][:80]!r} is used and not described")


def _check_plan(plan: Plan) -> None:
    seen: dict[str, str] = {}
    for step in plan.steps:
        expected = {step.node, f"{step.node}[{step.index}]"}
        if not NODE_ID.match(step.node) or step.id not in expected or step.id in seen:
            raise InvalidRecord(f"plan record: {step.id[:80]!r} is not a step's id, or is there twice")
        for source in step.inputs.values():
            if source.step not in seen:
                raise InvalidRecord(
                    f"plan record: step {step.id!r} waits for {source.step[:80]!r}, which does not run before"
                )
        if step.seed is not None and not (step.seed.value.isascii() and step.seed.value.isdecimal()):
            raise InvalidRecord(f"plan record: the seed of step {step.id!r} is not a number")
        seen[step.id] = step.node
    if not 1 <= plan.threads <= MOST_THREADS:
        raise InvalidRecord(f"plan record: {plan.threads} threads; {MOST_THREADS} is the most")


# -- keeping ----------------------------------------------------------------------------------------------------------


def keep(parts: Parts, read: Read) -> tuple[str, Version, bool]:
    """Keep the version of a record, if it is not here yet. Returns what is here, and whether it is new.

    Raises InvalidRecord for one that goes back to a version here which is of another snapshot.
    """
    with parts.database.write():
        # Looked for in the same transaction, so that two who import it at once keep it once.
        same = parts.versions.find(snapshot_prefix=digest(read.snapshot))
        known = next((one for one in same if _is_same(read, *one)), None)
        if known:
            return *known, False
        # What it goes back to, when that is here: no run of its own belongs to it then.
        ran = next((one for one in same if not one[1].restores), None) if _goes_back(read) else None
        restores = _restored(parts, read, ran[0] if ran else "")
        task = parts.tasks.get(ran[1].task) if ran else _imported_task(parts, read)
        saved = parts.versions.save(
            task.workflow.name,
            lambda given: _version(parts, read, task, given, restores),
            task=None if ran else task.id,
        )
        # Its own signature is as it came, and proves nothing here; who took it in is known.
        parts.journal.note("version.imported", saved[0], {"by": parts.settings.author, "author": saved[1].author})
        return *saved, True


def _goes_back(read: Read) -> bool:
    """Whether it says, as it was written, that it goes back to an earlier version."""
    return bool(read.version.restores) and not read.altered


def _is_same(read: Read, name: str, version: Version) -> bool:
    """Whether a version here (digest `name`) of a record's snapshot is what the record is of.

    A run is a version once, but any number of versions go back to it: they are told apart by when and why.
    """
    if not _goes_back(read):
        return not version.restores
    when_and_why = (read.version.created, read.version.annotation)
    return name == read.digest or (bool(version.restores) and (version.created, version.annotation) == when_and_why)


def _restored(parts: Parts, read: Read, ran: str) -> str:
    """What the version goes back to: as the record says, or under the name `ran` it has here. Raises InvalidRecord."""
    if not _goes_back(read):
        return ""
    try:
        restored = parts.versions.get(read.version.restores)
    except NotFound:
        return ran or read.version.restores
    if restored.snapshot != read.version.snapshot:
        raise InvalidRecord(
            f"version record: it is of another run than {restored.workflow.name}/{restored.name}, "
            "which it says it goes back to"
        )
    return read.version.restores


def _imported_task(parts: Parts, read: Read) -> Task:
    """The run of a record, kept as one that was carried out elsewhere."""
    snapshot = read.snapshot
    number, document = keep_workflow(parts, snapshot.workflow)
    task = Task(
        id=new_task_id() if read.altered or _is_task(parts, snapshot.task) else snapshot.task,
        status="done",
        purpose="import",
        workflow=WorkflowRef(
            name=snapshot.workflow.name, version=number, digest=document, changes=snapshot.plan.workflow.changes
        ),
        plan=parts.documents.put(snapshot.plan),
        author=snapshot.author,
        created=snapshot.created,
        started=snapshot.created,
        finished=snapshot.created,
        snapshot=parts.documents.put(snapshot),
    )
    parts.tasks.add(task)
    return task


def _is_task(parts: Parts, task: str) -> bool:
    with suppress(NotFound):
        return parts.tasks.get(task) is not None
    return False


def _version(parts: Parts, read: Read, task: Task, number: int, restores: str) -> Version:
    """The version record itself where it fits in here unchanged, else a new one of the same snapshot."""
    label = slug(read.version.label)
    if parts.versions.find(label=label, workflow=task.workflow.name) if label else []:
        label = ""
    reference = (read.version.workflow.name, read.version.workflow.digest)
    fits = (read.version.number, read.version.label, read.version.task) == (number, label, task.id)
    # Of one that goes back, the workflow can be another document than the one that ran, which did not come with it.
    if not read.altered and fits and reference == (task.workflow.name, task.workflow.digest):
        return read.version
    made = version_record(
        task,
        read.snapshot,
        number=number,
        label=label,
        annotation=read.version.annotation,
        parent="",
        author=read.version.author,
        fields=read.version.fields,
    )
    # When somebody went back is kept, because that is what it is known by when it comes again.
    return replace(made, created=read.version.created, restores=restores) if restores else made


def take_files(parts: Parts, folder: Path, snapshot: Snapshot) -> None:
    """Keep those files in a folder that are, byte for byte and without their records, assets a snapshot describes."""
    from intaglio.imaging.record import without_claim

    sizes = sorted(asset.size for asset in snapshot.assets.values())
    for file in islice(sorted(folder.glob("*")), MAX_FILES):
        if file.is_symlink() or not file.is_file() or not _may_be(file.stat().st_size, sizes):
            continue
        data = file.read_bytes()
        with suppress(InvalidImage):
            data = without_claim(data)
        if digest_bytes(data) in snapshot.assets:
            with suppress(InvalidImage, BackendMissing):
                take(parts, data)


def _may_be(size: int, sizes: list[int]) -> bool:
    """Whether a file of that size can be one of the assets of these sizes, with a record inside or without."""
    return size <= MAX_FILE and any(size - MAX_ADDED <= described <= size for described in sizes)


def take(parts: Parts, data: bytes) -> Asset:
    """Keep one file; what is said of it is read from the file itself.

    Raises InvalidImage, BackendMissing (a video other than MP4 and MOV, and no PyAV).
    """
    asset = _described(data)
    parts.blobs.put(data)
    parts.assets.add(asset)
    return parts.assets.get(asset.digest)


def _described(data: bytes) -> Asset:
    from intaglio.imaging.decode import decode, inspect
    from intaglio.imaging.frames import clip_info
    from intaglio.imaging.isobmff import measured
    from intaglio.imaging.video import MP4, format_of, media_type

    digest, kind = digest_bytes(data), format_of(data[:64])
    if kind == MP4:
        # From its header, so that PyAV is not needed; that of a fragmented one does not tell the frames.
        told = measured(data)
        if not told.frames:
            with suppress(InvalidImage, BackendMissing):
                return Asset(digest=digest, size=len(data), **vars(clip_info(io.BytesIO(data))))
        return Asset(digest=digest, size=len(data), media_type=media_type(data[:64]), **vars(told))
    if kind:
        return Asset(digest=digest, size=len(data), **vars(clip_info(io.BytesIO(data))))
    info, image = inspect(data), decode(data)
    return Asset(
        digest=digest,
        size=len(data),
        media_type=info.media_type,
        width=image.width,
        height=image.height,
        pixels=image.digest if info.bit_depth <= 8 else "",
    )

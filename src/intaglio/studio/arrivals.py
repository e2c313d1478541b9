"""Files that are given back to a library: what is in them is taken in as far as it can be checked.

A file of ours carries its record inside or beside it. The record must be about this very file, and goes through the
same checks as one that was exported by itself; then the file is kept as the output it is, and the version with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from intaglio.core.asset import Asset
from intaglio.core.canonical import digest_bytes
from intaglio.core.errors import BackendMissing, Conflict, Invalid, NotFound, RecordMismatch
from intaglio.core.snapshot import Output
from intaglio.core.version import Version
from intaglio.studio.importing import Read, keep, read_record, take, take_files
from intaglio.studio.inside import INPUTS, SIDECAR, Carried, carried
from intaglio.studio.parts import Parts
from intaglio.studio.recognise import assets_of

Match = Literal["bytes", "pixels", ""]
_ALONE = "Keep the file without its record with: intaglio assets add FILE"


@dataclass(frozen=True)
class Arrival:
    """What one file turned out to be.

    `asset` is the digest of what was kept of it, "" when it was refused; then `code`, `message` and `hint` say why.
    `record` is where its record was ("none" also when only its name is inside); `match` how far the file is the output
    that the version (`version`, its digest, and `name`) has as `step`. `known` says that the version was here before,
    `altered` what of the record is not as it was written, `missing` how many reference files of it are not here.
    """

    path: str
    asset: str = ""
    media_type: str = ""
    record: Literal["inside", "beside", "none"] = "none"
    match: Match = ""
    version: str = ""
    name: str = ""
    step: str = ""
    known: bool = False
    altered: tuple[str, ...] = ()
    missing: int = 0
    note: str = ""
    code: str = ""
    message: str = ""
    hint: str = ""


def arrive(parts: Parts, path: Path, read: Callable[[Path], bytes], add: Callable[[Path], Asset]) -> Arrival:
    """Take in one file; `add` keeps a file as it is. What is wrong with it is said, not raised."""
    try:
        data = read(path)
        found = carried(path, data)
        if found is None:
            return _without_record(parts, path, data, add, "no record inside")
        if "record" not in found.claim:
            return _named_only(parts, path, found, add)
        return _with_record(parts, path, found, add)
    except (Invalid, Conflict, NotFound, BackendMissing) as error:
        hint = error.hint if error.hint and not isinstance(error, RecordMismatch) else _ALONE
        return Arrival(path=str(path), code=error.code, message=str(error), hint=hint)


def file_of(path: Path) -> Path:
    """The file that is meant: of a sidecar, the one it lies beside."""
    return path.with_name(path.name.removesuffix(SIDECAR)) if path.name.endswith(SIDECAR) else path


def _with_record(parts: Parts, path: Path, found: Carried, add: Callable[[Path], Asset]) -> Arrival:
    place = "inside" if found.where == "inside" else f"beside it ({path.name}{SIDECAR})"
    read = read_record(found.claim["record"], f"what is {place}")
    output, match = _output(found, read)
    asset = take(parts, found.held) if match == "bytes" else add(path)
    take_files(parts, path.parent / INPUTS, read.snapshot)
    digest, version, new = keep(parts, read)
    return Arrival(
        path=str(path),
        asset=asset.digest,
        media_type=asset.media_type,
        record=found.where,
        match=match,
        version=digest,
        name=_name(version),
        step=output.step,
        known=not new,
        altered=read.altered,
        missing=_missing(parts, read),
        note=str(found.claim.get("why", ""))[:200] if found.where == "beside" else "",
    )


def _output(found: Carried, read: Read) -> tuple[Output, Match]:
    """Which output of the recorded run the file is, and how exactly. Raises RecordMismatch when it is none."""
    from intaglio.imaging.record import PIXELS, binding

    claim = found.claim
    if (claim.get("version"), claim.get("snapshot")) != (read.digest, read.version.snapshot):
        raise RecordMismatch("the record is of another version than the file says it is an output of")
    made = [
        each for each in read.snapshot.outputs if (each.step, each.asset) == (claim.get("step"), claim.get("asset"))
    ]
    if not made:
        raise RecordMismatch("the record is of a run that did not make this file")
    described = read.snapshot.assets[made[0].asset]
    if digest_bytes(found.held) == described.digest:
        return made[0], "bytes"
    if described.pixels and binding(found.held).get(PIXELS) == described.pixels:
        return made[0], "pixels"
    raise RecordMismatch("the file is not the output that the record describes: neither its bytes nor its pixels are")


def _named_only(parts: Parts, path: Path, found: Carried, add: Callable[[Path], Asset]) -> Arrival:
    """A file that says which version it is of, and does not hold its record."""
    named = str(found.claim.get("version", ""))
    try:
        version = parts.versions.get(named)
    except NotFound:
        note = f"only the name of its version is inside ({named[:80]}), and that is not here"
        return _without_record(parts, path, found.held, add, note)
    return _without_record(parts, path, found.held, add, f"only its name is inside ({_name(version)})")


def _without_record(parts: Parts, path: Path, held: bytes, add: Callable[[Path], Asset], note: str) -> Arrival:
    """A file that is kept as it is; it may still be known by what it shows."""
    known = [(each, pair) for each in assets_of(parts, held) for pair in parts.versions.find(output=each.digest)]
    asset = add(path)
    if not known:
        return Arrival(path=str(path), asset=asset.digest, media_type=asset.media_type, note=note)
    same, (digest, version) = known[0]
    return Arrival(
        path=str(path),
        asset=asset.digest,
        media_type=asset.media_type,
        match="bytes" if same.digest == digest_bytes(held) else "pixels",
        version=digest,
        name=_name(version),
        step=next(output.step for output in version.outputs if output.asset == same.digest),
        known=True,
        note=note,
    )


def _missing(parts: Parts, read: Read) -> int:
    """How many of the run's reference files are not in the library."""
    wanted = {reference.digest for step in read.snapshot.plan.steps for reference in step.assets.values()}
    return sum(not parts.blobs.has(digest) for digest in wanted)


def _name(version: Version) -> str:
    return f"{version.workflow.name}/{version.name}"

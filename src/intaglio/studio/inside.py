"""A version's record inside the files it is about, or beside those that cannot take it in.

So a file alone can be given to a library that never heard of it, and the version is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from intaglio.core.canonical import digest_bytes, parse_json
from intaglio.core.errors import InvalidImage, InvalidRecord, NoPlaceInside, RecordMismatch
from intaglio.core.record import plain
from intaglio.core.snapshot import Output, Snapshot
from intaglio.core.version import Version
from intaglio.studio.files import is_file

SIDECAR = ".intaglio.json"
# The names in a folder that `versions export` wrote.
RECORD, INPUTS = "record.json", "inputs"
MAX_RECORD = 256 * 2**20


@dataclass(frozen=True)
class Written:
    """A file as it goes out: its bytes, and, where its record cannot be inside, the sidecar's and why."""

    data: bytes
    beside: bytes = b""
    why: str = ""


@dataclass(frozen=True)
class Carried:
    """A file as it comes in: its bytes without the claim, the claim, which belongs to them, and where it was."""

    held: bytes
    claim: Mapping[str, Any]
    where: Literal["inside", "beside"]


def record_of(digest: str, version: Version, snapshot: Snapshot) -> dict[str, Any]:
    """All that another library needs to have the version too."""
    return {"digest": digest, "version": plain(version), "snapshot": plain(snapshot)}


def with_record(data: bytes, digest: str, version: Version, snapshot: Snapshot, output: Output) -> Written:
    """The bytes of a version's output with its record inside; nothing of them is encoded anew."""
    from intaglio.imaging.record import attach_claim

    claim: dict[str, Any] = {
        "version": digest,
        "name": f"{version.workflow.name}/{version.name}",
        "snapshot": version.snapshot,
        "step": output.step,
        "asset": output.asset,
    }
    whole = {**claim, "record": record_of(digest, version, snapshot)}
    try:
        return Written(attach_claim(data, whole))
    except (NoPlaceInside, InvalidImage) as error:
        why = str(error)
    beside = as_json({**whole, **_binding(data), "why": why})
    try:
        return Written(attach_claim(data, claim), beside, why)  # the record was too large; its name is not
    except (NoPlaceInside, InvalidImage):
        return Written(data, beside, why)


def carried(path: Path, data: bytes) -> Carried | None:
    """The claim in a file, whole where the record is in the sidecar; None when it has none in either place.

    Raises InvalidImage for what is no picture or video, InvalidRecord, RecordMismatch (it belongs to another file).
    """
    from intaglio.imaging.record import read_claim, without_claim

    try:
        claim, held = read_claim(data), without_claim(data)
    except InvalidImage:
        whole = _beside(path, data)
        if whole is None:
            raise
        return Carried(data, whole, "beside")
    if claim is not None and "record" in claim:
        return Carried(held, claim, "inside")
    whole = _beside(path, held)
    if whole is None:
        return None if claim is None else Carried(held, claim, "inside")
    if claim is not None and claim.get("version") != whole.get("version"):
        raise RecordMismatch(f"the record beside {path.name} is of another version than the one that is named inside")
    return Carried(held, whole, "beside")


def as_json(value: Any) -> bytes:
    """A record as people read it."""
    return (json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()


def read_json(file: Path) -> Any:
    """The JSON in a record's file. Raises InvalidRecord, for one too large for a record too."""
    if file.stat().st_size > MAX_RECORD:
        raise InvalidRecord(f"{file} is larger than {MAX_RECORD // 2**20} MiB")
    return parse_json(file.read_bytes())


def _binding(data: bytes) -> dict[str, str]:
    """What ties a sidecar to its file, which may be damaged."""
    from intaglio.imaging.record import BYTES, binding, without_claim

    try:
        return binding(without_claim(data))
    except InvalidImage:
        return {BYTES: digest_bytes(data)}


def _beside(path: Path, held: bytes) -> dict[str, Any] | None:
    """The claim in a file's sidecar, which is checked to be about that file."""
    from intaglio.imaging.record import check_claim

    sidecar = path.with_name(path.name + SIDECAR)
    if not is_file(sidecar):
        return None
    try:
        claim = read_json(sidecar)
    except InvalidRecord as error:
        raise InvalidRecord(f"{sidecar}: {error}") from error
    check_claim(held, claim, f"beside it ({sidecar.name})")
    return dict(claim)

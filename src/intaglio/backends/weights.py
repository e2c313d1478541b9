"""Reading what a weights file is, without loading it: safetensors headers checked, pickles known by content.

Nothing here unpickles. The extension of a file is never believed.
"""

from __future__ import annotations

import io
import json
import math
import pickletools
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeGuard

from intaglio.core.errors import InvalidModel, UnsafeModel

HEADER_LIMIT = 100_000_000
PROBE = 64 * 1024
METADATA_ENTRIES = 200
METADATA_CHARS = 4096
PREFIX_BYTES = 8
HIGHEST_PROTOCOL = 9  # room for protocols to come

# Bits per element; a type that is missing here is let through unmeasured, since the format grows.
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip

# Opcodes that make a pickle call or import something, and the one that ends it.
_TELLING_OPCODES = {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD", "STOP"}


@dataclass(frozen=True)
class Header:
    """The header of a safetensors file: shape by tensor name, and its `__metadata__` strings (bounded)."""

    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]


def is_pickle(path: Path) -> str:
    """Why the file at `path` counts as a pickle ("a torch zip archive holding data.pkl"), or "" when it does not."""
    with path.open("rb") as file:
        head = file.read(PROBE)
        return _pickle_reason(head, file)


def read_header(path: Path) -> Header:
    """The checked header of the safetensors file at `path`.

    Raises UnsafeModel for a pickle under any name, and InvalidModel for a file that is empty, cut off, damaged or of
    another format.
    """
    size = path.stat().st_size
    if not size:
        raise InvalidModel(f"{path} is empty")
    with path.open("rb") as file:
        head = file.read(PREFIX_BYTES + 1)
        problem = _prefix_problem(path, head, size)
        if problem is None:
            file.seek(PREFIX_BYTES)
            (length,) = struct.unpack("<Q", head[:PREFIX_BYTES])
            return _parse(path, file.read(length), length, size)
        file.seek(0)
        reason = _pickle_reason(file.read(PROBE), file)
    if reason:
        raise UnsafeModel(f"{path} is {reason}: loading it can run code")
    raise problem


def _prefix_problem(path: Path, head: bytes, size: int) -> InvalidModel | None:
    """What is wrong with the length that opens the file, or None when a header follows it."""
    if len(head) <= PREFIX_BYTES or head[PREFIX_BYTES:] != b"{":
        return InvalidModel(f"{path} is no safetensors file: nothing in it is recognised as a model")
    (length,) = struct.unpack("<Q", head[:PREFIX_BYTES])
    if length > HEADER_LIMIT:
        return InvalidModel(f"{path} claims a header of {length} bytes; the format allows {HEADER_LIMIT}")
    if PREFIX_BYTES + length > size:
        return _cut_off(path, PREFIX_BYTES + length, size)
    return None


def _cut_off(path: Path, promised: int, size: int) -> InvalidModel:
    return InvalidModel(
        f"{path} is cut off: the header promises {promised} bytes, the file has {size}", hint="Download it again."
    )


def _parse(path: Path, raw: bytes, length: int, size: int) -> Header:
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InvalidModel(f"{path} has a damaged safetensors header: {_unparsed(error)}") from None
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(entry, dict) for entry in header.values()):
        raise InvalidModel(f"{path} has a damaged safetensors header: an entry is not an object")
    if not header:
        raise InvalidModel(f"{path} holds no tensors")
    shapes: dict[str, tuple[int, ...]] = {}
    ranges: list[tuple[int, int, str]] = []
    for name, entry in header.items():
        shapes[name], first, last = _tensor(path, name, entry)
        ranges.append((first, last, name))
    _check_layout(path, sorted(ranges), PREFIX_BYTES + length, size)
    return Header(shapes, _bounded(metadata))


def _unparsed(error: ValueError | RecursionError) -> str:
    """Why a header cannot be read, in words."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "it is not Unicode" if isinstance(error, UnicodeDecodeError) else "it is not JSON"


def _tensor(path: Path, name: str, entry: Mapping[str, object]) -> tuple[tuple[int, ...], int, int]:
    """One tensor's shape and the bytes [first, last) it takes, counted from the end of the header."""
    shape, offsets, dtype = entry.get("shape"), entry.get("data_offsets"), entry.get("dtype")
    if not (_naturals(shape) and _naturals(offsets) and len(offsets) == 2 and isinstance(dtype, str)):
        raise InvalidModel(f"{path} has a damaged safetensors header: tensor {name[:80]!r} is not described")
    first, last = offsets
    bits = _BITS.get(dtype)
    if last < first or (bits is not None and math.prod(shape) * bits != (last - first) * 8):
        raise InvalidModel(f"{path} is damaged: the size of tensor {name[:80]!r} contradicts its shape")
    return tuple(shape), first, last


def _naturals(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _check_layout(path: Path, ranges: list[tuple[int, int, str]], start: int, size: int) -> None:
    promised = start + max(last for _, last, _ in ranges)
    if promised > size:
        raise _cut_off(path, promised, size)
    if promised < size:
        raise InvalidModel(f"{path} is damaged: the header describes {promised} bytes, the file has {size}")
    position = 0
    for first, last, name in ranges:
        if first != position:
            raise InvalidModel(f"{path} is damaged: tensor {name[:80]!r} leaves a hole or overlaps another")
        position = last


def _bounded(metadata: Mapping[str, object]) -> dict[str, str]:
    strings = ((key, value) for key, value in metadata.items() if isinstance(value, str))
    kept = [pair for pair, _ in zip(strings, range(METADATA_ENTRIES), strict=False)]
    return {key[:METADATA_CHARS]: value[:METADATA_CHARS] for key, value in kept}


def _pickle_reason(head: bytes, file: BinaryIO) -> str:
    if head.startswith(b"PK\x03\x04"):
        return _zip_reason(file)
    if head[257:262] == b"ustar":
        return _tar_reason(file)
    if head[:1] == b"\x80" and head[1:2] and head[1] <= HIGHEST_PROTOCOL:
        return f"a pickle (protocol {head[1]})"
    return "a pickle (protocol 0 or 1)" if _runs_as_pickle(head) else ""


def _zip_reason(file: BinaryIO) -> str:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        # A torch archive that lost its end still opens with its own first entry.
        file.seek(0)
        return "a cut off torch zip archive (a pickle)" if b"data.pkl" in file.read(PROBE) else ""
    found = next((name for name in names if name.endswith((".pkl", ".pickle"))), "")
    return f"a zip archive holding the pickle {found[:80]!r}" if found else ""


def _tar_reason(file: BinaryIO) -> str:
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            names = archive.getnames()
    except (tarfile.TarError, ValueError, OSError):
        return ""
    return "a legacy torch tar archive holding a pickle" if "pickle" in {Path(name).name for name in names} else ""


def _runs_as_pickle(head: bytes) -> bool:
    """Whether `head` reads as opcodes of an unframed pickle. Reading opcodes runs nothing."""
    if not head or head[:1] not in b"(]}lc\x85\x86\x87i":
        return False
    try:
        for opcode, _, _ in pickletools.genops(io.BytesIO(head)):
            if opcode.name in _TELLING_OPCODES:
                return True
    except (ValueError, KeyError, IndexError, UnicodeDecodeError):
        return False
    return False

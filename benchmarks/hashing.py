"""Naming a large file by its content, beside reading it: `cat` of the same cached file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Measured, cpu, least_command
from benchmarks.samples import workplace
from intaglio.store.filehash import hash_file
from intaglio.store.proofs import Proofs

SIZE = 512 * 2**20
PIECE = 2**20


def measure() -> Iterator[Measured]:
    """Hash in full, and ask again when nothing changed."""
    with workplace() as folder, Proofs(folder / "cache.db") as proofs:
        path = folder / "large"
        _write(path)
        cat = least_command(["cat", path], 7)
        full = min(cpu(lambda: _hash(path, proofs, full=True)) for _ in range(7))
        yield Measured("BLAKE3 of a cached file of 512 MiB", full, "s CPU", "cat", cat, 2.5, "ratio")


def _write(path: Path) -> None:
    with path.open("wb") as file:
        for _ in range(SIZE // PIECE):
            file.write(os.urandom(PIECE))
    path.read_bytes()


def _hash(path: Path, proofs: Proofs, *, full: bool) -> None:
    hash_file(path, proofs=proofs, full=full)

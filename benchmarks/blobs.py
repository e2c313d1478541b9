"""Putting bytes into the store, with and without waiting for the disk."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from benchmarks.measure import Measured, cpu
from benchmarks.samples import workplace
from intaglio.store.blobs import LocalBlobs
from intaglio.store.proofs import Proofs

COUNT = 500
ROUNDS = 3
SIZES = {"2 KB": 2_000, "100 KB": 100_000}


def measure() -> Iterator[Measured]:
    """One at a time and many together, small and larger."""
    for label, size in SIZES.items():
        for how, put in (("one at a time", _singly), ("together", _together)):
            synced = min(_round(size, put) for _ in range(ROUNDS))
            with _without_fsync():
                loose = min(_round(size, put) for _ in range(ROUNDS))
            yield Measured(
                f"blob put, {label}, {how}: CPU",
                synced[0] / COUNT * 1000,
                "ms",
                "without fsync",
                loose[0] / COUNT * 1000,
                note=f"{COUNT / synced[1]:,.0f} puts/s, without fsync {COUNT / loose[1]:,.0f}",
            )


def _round(size: int, put: Callable[[LocalBlobs, list[bytes]], object]) -> tuple[float, float]:
    """CPU and wall seconds for COUNT blobs in a store of its own."""
    items = [os.urandom(size) for _ in range(COUNT)]
    with workplace() as folder, Proofs(folder / "cache.db") as proofs:
        blobs = LocalBlobs(folder / "blobs", proofs)
        began = time.perf_counter()
        used = cpu(lambda: put(blobs, items))
        return used, time.perf_counter() - began


def _singly(blobs: LocalBlobs, items: list[bytes]) -> None:
    for item in items:
        blobs.put(item)


def _together(blobs: LocalBlobs, items: list[bytes]) -> None:
    blobs.put_many(items)


@contextmanager
def _without_fsync() -> Iterator[None]:
    with patch("os.fsync", lambda descriptor: None):
        yield

"""Indexing a folder of models, beside naming the same files with b3sum and sha256sum; and checking them again."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from blake3 import blake3

from benchmarks.measure import Measured, cpu, least, least_command, settle
from benchmarks.samples import settings, workplace
from intaglio.studio.models import states_of
from intaglio.studio.open import Studio, init

# How many files of how many bytes: 200 in all, 346 MiB.
MIXED = ((100, 64 * 2**10), (60, 2**20), (30, 4 * 2**20), (10, 16 * 2**20))
MANY = 1_000
SMALL = 4 * 2**10
TIMES = 3


def measure() -> Iterator[Measured]:
    """A first scan, a second one, and a check of 1,000 unchanged models."""
    with workplace() as folder:
        files = _write(folder / "mixed", MIXED)
        scanned = min(_scan(folder / f"library{number}", folder / "mixed") for number in range(TIMES))
        if shutil.which("b3sum"):
            name, plain = "b3sum --num-threads 1", least_command(["b3sum", "--num-threads", "1", *files], TIMES)
        else:
            name, plain = "python blake3, a plain loop (no b3sum here)", least(lambda: _loop(files), TIMES)
        yield Measured("scan of 200 files, 346 MiB", scanned, "s CPU", name, plain, 3.0, "ratio")
        sha = least_command(["sha256sum", *files], TIMES)
        yield Measured("the same", scanned, "s CPU", "sha256sum", sha, 1.5, "ratio")
    with workplace() as folder:
        _write(folder / "many", ((MANY, SMALL),))
        with init(folder / "library", settings(threads=2)) as studio:
            settle()
            studio.models.scan(folder / "many")
            yield from _again(studio, folder / "many")


def _again(studio: Studio, folder: Path) -> Iterator[Measured]:
    digests = [model.digest for model, _ in studio.models.list()]
    assert len(digests) == MANY
    assert not studio.models.verify_all().problems
    again = least(studio.models.verify_all, 5) * 1000
    yield Measured("check of 1,000 unchanged models", again, "ms CPU", target=50)
    graded = least(lambda: states_of(studio.models, digests, full=False), 5) * 1000
    yield Measured("their state for a grade", graded, "ms CPU", target=50)
    yield Measured("second scan of 1,000 models", least(lambda: studio.models.scan(folder), 3) * 1000, "ms CPU")


def _scan(library: Path, folder: Path) -> float:
    with init(library, settings(threads=2)) as studio:
        used = cpu(lambda: studio.models.scan(folder))
        assert len(studio.models.list()) == sum(number for number, _ in MIXED)
    return used


def _loop(files: list[Path]) -> None:
    for path in files:
        hasher = blake3()
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(256 * 1024):
                hasher.update(chunk)
        hasher.hexdigest()


def _write(folder: Path, sizes: tuple[tuple[int, int], ...]) -> list[Path]:
    """Files of safetensors, every one different, as LoRAs have them."""
    folder.mkdir()
    numbers, paths = count(), []
    for many, size in sizes:
        for _ in range(many):
            path = folder / f"lora {next(numbers):04}.safetensors"
            entry = {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
            header = json.dumps({"unet.lora_up.weight": entry}).encode()
            path.write_bytes(struct.pack("<Q", len(header)) + header + os.urandom(size))
            paths.append(path)
    return paths

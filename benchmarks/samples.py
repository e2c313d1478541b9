"""What is measured on: pictures, workflows, libraries."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from intaglio.core.image import Image
from intaglio.core.workflow import Workflow, parse_workflow
from intaglio.imaging.png import encode
from intaglio.studio.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "models" / "scenes"
SUNSET = ROOT / "examples" / "sunset.yaml"
SIDE = 183  # noise of this many pixels square is a PNG file of 100 KB


@contextmanager
def workplace() -> Iterator[Path]:
    """An empty folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="intaglio-bench-") as folder:
        yield Path(folder)


def settings(threads: int = 1) -> Settings:
    """Settings that do not depend on the machine."""
    return Settings(author="benchmark", threads=threads, device="cpu")


def write_pictures(folder: Path, count: int) -> list[Path]:
    """`count` different PNG files of 100 KB."""
    folder.mkdir()
    source = random.Random(7)
    paths = [folder / f"{number:04}.png" for number in range(count)]
    for path in paths:
        path.write_bytes(encode(Image("RGB", SIDE, SIDE, source.randbytes(SIDE * SIDE * 3))))
    return paths


def grain_chain(length: int, picture: Path) -> Workflow:
    """`length` nodes, one after the other, each with a seed of its own and a small new picture."""
    nodes: dict[str, object] = {"n0": {"type": "reference-image", "params": {"image": str(picture)}}}
    for number in range(1, length):
        nodes[f"n{number}"] = {
            "type": "film-grain",
            "inputs": {"image": f"n{number - 1}"},
            "params": {"amount": 0.1},
            "seed": str(1000 + number),
        }
    return parse_workflow({"name": "chain", "nodes": nodes})

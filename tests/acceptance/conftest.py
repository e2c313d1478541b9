"""A library with the bundled model in it, and small workflows that run in a moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SCENES = ROOT / "models" / "scenes"
PROMPT = "a red house on the left, green hills, blue sky, day"

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def node(kind: str, source: str = "", *, seed: object = "", count: int = 1, **params: object) -> dict[str, Any]:
    """One node as a workflow file has it."""
    written: dict[str, Any] = {"type": kind, "params": params, "count": count}
    if seed != "":
        written["seed"] = seed
    if source:
        written["inputs"] = {"image": source}
    return written


def painting(**more: object) -> dict[str, Any]:
    """Parameters of a quick generation on the bundled model."""
    return {"model": "scenes", "prompt": PROMPT, "steps": 2, "guidance": 4.0, **more}


def write(path: Path, name: str, nodes: dict[str, Any], **more: object) -> Path:
    """A workflow file."""
    path.write_text(json.dumps({"name": name, "nodes": nodes, **more}))
    return path


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """A new library with the bundled model added."""
    with init(tmp_path / "studio", Settings(author="Ada")) as opened:
        opened.models.add(SCENES, name="scenes")
        yield opened


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """Generate, repaint, grain, output: three nodes that draw."""
    return write(
        tmp_path / "chain.json",
        "chain",
        {
            "base": node("text-to-image", **painting()),
            "refine": node("image-to-image", "base", **painting(strength=0.6)),
            "grain": node("film-grain", "refine", amount=0.2),
            "out": node("output", "grain"),
        },
    )


@pytest.fixture
def plain_chain(tmp_path: Path) -> Path:
    """A chain without a model, for what has nothing to do with one."""
    from intaglio.imaging.png import encode

    picture = tmp_path / "reference.png"
    picture.write_bytes(encode(ramp(24, 16)))
    return write(
        tmp_path / "plain.json",
        "plain",
        {
            "in": node("reference-image", image="reference.png"),
            "grain": node("film-grain", "in", amount=0.3),
            "big": node("upscale", "grain", factor=2),
            "out": node("output", "big"),
        },
    )


def ramp(width: int, height: int) -> Any:
    """A picture with every pixel different."""
    from intaglio.core.image import Image

    data = bytes((7 * x + 13 * y + 80 * c) % 256 for y in range(height) for x in range(width) for c in range(3))
    return Image("RGB", width, height, data)


@pytest.fixture
def command(studio: Studio) -> Command:
    """The `intaglio` command in a process of its own, on the same library."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "intaglio", *arguments],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "INTAGLIO_LIBRARY": str(studio.root), **environment},
        )

    return run

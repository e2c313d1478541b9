"""Workflows and pictures for the contract of a studio; none of them needs a model."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

from acceptance.conftest import node, ramp, write
from contract.serving import Both

from intaglio.core.canonical import digest_bytes
from intaglio.imaging.png import encode

# The picture that the workflows begin with; both libraries have it.
PICTURE = encode(ramp(96, 64))


def grained(folder: Path, name: str, *, seed: str = "", picture: str = "", **more: Any) -> Path:
    """A workflow of a picture with grain, which draws with a seed fixed by the name: another name, another picture.

    The picture is named by its digest: a path in a workflow file is another text where the file is not.
    """
    nodes = {
        "in": node("reference-image", image=picture or digest_bytes(PICTURE)),
        "grain": node("film-grain", "in", seed=seed or str(zlib.crc32(name.encode())), amount=0.3),
        "out": node("output", "grain"),
    }
    return write(folder / f"{name}.json", name, nodes, **more)


def mosaic(both: Both, folder: Path, name: str) -> str:
    """The digest of a picture that looks like no other, in both libraries."""
    from random import Random

    from PIL import Image

    colours = [Random(name + str(place)).randrange(256) for place in range(64)]
    path = folder / "mosaic.png"
    small = Image.frombytes("L", (8, 8), bytes(colours))
    small.resize((96, 96), Image.Resampling.NEAREST).convert("RGB").save(path)
    return both.same(lambda studio: studio.assets.add([path]))[0].digest


def stumbling(folder: Path, name: str, how: str, go: str = "") -> Path:
    """The same with a node in it that stumbles."""
    path = grained(folder, name)
    nodes = json.loads(path.read_text())["nodes"]
    nodes["bad"] = node("stumble", "grain", how=how, go=go)
    nodes["out"] = node("output", "bad")
    return write(path, name, nodes)


def asking(folder: Path, name: str) -> Path:
    """The same with a form that asks for a client, and a version record."""
    path = grained(folder, name)
    nodes = json.loads(path.read_text())["nodes"]
    nodes["form"] = node("form", "grain", question="Why this one?", fields="client: Which client is it for?")
    nodes["version"] = node("version-record", "form")
    nodes["out"] = node("output", "version")
    return write(path, name, nodes)

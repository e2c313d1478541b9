"""Nodes that change no pixel: they say what a run is for. Each passes its picture on."""

from __future__ import annotations

from typing import Annotated

from intaglio.core.context import Context
from intaglio.core.image import Image
from intaglio.core.nodetype import node_type


@node_type("form", version=1, role="form")
def form(
    ctx: Context,
    image: Image,
    *,
    question: Annotated[str, "What the person is asked before the run is final."] = "What is this version, and why?",
) -> Image:
    """Ask for an annotation before the run is final."""
    return image


@node_type("version-record", version=1, role="version")
def version_record(
    ctx: Context, image: Image, *, label: Annotated[str, "Label of the versions; one given with the run wins."] = ""
) -> Image:
    """Save a version of every run that reaches this node."""
    return image


@node_type("output", version=1, role="output")
def output(ctx: Context, image: Image) -> Image:
    """Name a picture as what the workflow is for."""
    return image

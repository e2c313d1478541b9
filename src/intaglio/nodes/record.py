"""Nodes that change no pixel: they say what a run is for. Each passes its picture or video on."""

from __future__ import annotations

from typing import Annotated, Any

from intaglio.core.context import Context
from intaglio.core.form import QUESTION, parse_fields
from intaglio.core.nodetype import Rule, node_type
from intaglio.core.video import Media


def _without_fields(params: dict[str, Any]) -> dict[str, Any]:
    """A form from before there were fields asks for none."""
    return {**params, "fields": ""}


@node_type("form", version=2, role="form", migrations={1: _without_fields})
def form(
    ctx: Context,
    image: Media,
    *,
    question: Annotated[str, "What the person is asked before the run is final."] = QUESTION,
    fields: Annotated[
        str,
        Rule(parse_fields),
        'What else has to be said: "client, channel", or a line for each, as "client: Which client is it for?"',
    ] = "",
) -> Media:
    """Ask for an annotation, and what else `fields` names, before the run is final.

    Nodes after the form run before it is answered, so that the answer can be about the finished picture; until then the
    task is waiting and has no version. Several forms are answered together.
    """
    return image


@node_type("version-record", version=1, role="version")
def version_record(
    ctx: Context, image: Media, *, label: Annotated[str, "Label of the versions; one given with the run wins."] = ""
) -> Media:
    """Save a version of every run that reaches this node."""
    return image


@node_type("output", version=1, role="output")
def output(ctx: Context, image: Media) -> Media:
    """Name a picture or a video as what the workflow is for."""
    return image

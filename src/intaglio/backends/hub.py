"""Bringing a model from the Hugging Face hub, when a person names an exact revision of it, and only then."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from intaglio.backends.quiet import library
from intaglio.core.errors import Invalid, Unavailable

PREFIX = "hub:"
_REFERENCE = re.compile(r"hub:([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})@([0-9a-f]{40})")
# Weights that cannot run code, and what describes them; never pickles, never Python.
_WANTED = ("*.json", "*.safetensors", "*.txt", "*.model")


def parse_reference(text: str) -> tuple[str, str]:
    """Repository and revision of `hub:ORG/NAME@REVISION`. Raises Invalid for anything that may mean something else
    tomorrow: a branch, a tag, a shortened revision."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise Invalid(
            f"{text[:160]!r} does not name an exact revision on the hub",
            hint="Write hub:ORG/NAME@REVISION with all 40 digits of the revision; a branch can move.",
        )
    return found[1], found[2]


def fetch(reference: str, folder: Path) -> None:
    """Download the safetensors and descriptions of that revision into `folder`. What is there already is kept.

    Raises Invalid, BackendMissing, and Unavailable when the hub cannot be reached or does not have it.
    """
    repository, revision = parse_reference(reference)
    hub = library("huggingface_hub")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hub.snapshot_download(repository, revision=revision, local_dir=folder, allow_patterns=list(_WANTED))
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        # httpx errors of the hub's client derive from OSError or from its own HTTP error.
        reason = str(error).strip().splitlines()[0][:200]
        raise Unavailable(
            f"{repository} at {revision[:12]} cannot be fetched: {reason}", hint="Check the name and the network."
        ) from error

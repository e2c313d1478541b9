"""What every field and parameter of the API means, in one plain sentence each. Data only; `api.describe` looks it up.

A field is keyed "Class.field", or "room.module.Class.field" where two classes share a name; a parameter
"noun.verb.name", or "noun.name" for all verbs of a noun. What means the same everywhere is keyed by its name alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from intaglio.api.words.common import COMMON, COMMON_PARAMETERS
from intaglio.api.words.parameters import PARAMETERS
from intaglio.api.words.results import MEMBERS, RESULTS
from intaglio.api.words.server import SERVER
from intaglio.api.words.things import THINGS
from intaglio.api.words.told import TOLD
from intaglio.api.words.work import WORK

FIELDS: Mapping[str, str] = {**WORK, **THINGS, **TOLD, **RESULTS, **SERVER}

__all__ = ["COMMON", "COMMON_PARAMETERS", "FIELDS", "MEMBERS", "PARAMETERS"]

"""Examples of what the API gives, made by running it: one JSON file for each class, beside this one."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from intaglio.api.describe import place


def example(cls: type[Any]) -> Any:
    """What a class looks like as JSON, None for a class without an example."""
    file = files(__package__) / f"{place(cls)}.json"
    return json.loads(file.read_bytes()) if file.is_file() else None

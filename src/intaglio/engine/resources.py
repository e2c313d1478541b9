"""What resolving a workflow asks others for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from intaglio.core.model import ModelVersion
from intaglio.core.nodetype import NodeTypes
from intaglio.core.plan import AssetRef


@dataclass(frozen=True)
class Resources:
    """What resolving asks others for.

    `draw()` gives a fresh seed; `find_model(reference, kind)` an exact model version; `take_image(path)` a stored
    reference picture. `settle` holds a rule for each kind of value that is settled while planning; a rule raises
    Invalid for a value it does not know. `is_exact(reference)` tells an exact model reference from an alias, and
    `is_file(path)` a reference picture that can be looked for from a relative path that starts nowhere.
    """

    types: NodeTypes
    draw: Callable[[], int]
    find_model: Callable[[str, str], ModelVersion]
    is_exact: Callable[[str], bool]
    take_image: Callable[[str], AssetRef]
    settle: Mapping[str, Callable[[str], str]]
    threads: int
    deterministic: bool
    is_file: Callable[[str], bool] = lambda path: True

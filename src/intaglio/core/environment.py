"""The surroundings of a run, as far as they can explain a difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from intaglio.core.record import EMPTY, Json, record


@record
class Cpu:
    """The processor: its model name, the widest vector instructions it offers, and its logical cores."""

    model: str
    instruction_set: str
    cores: int


@record
class Environment:
    """Versions, machine and settings at the moment of a run.

    `libraries` maps distribution names to versions ("" = not installed). `backend` is what the pixel-making libraries
    said of themselves (device, driver, CUDA, threads, determinism switches); empty when none was used.
    """

    kind: Literal["environment"] = "environment"
    format: Literal[1] = 1
    intaglio: str
    python: str
    os: str
    machine: str
    cpu: Cpu
    libraries: Mapping[str, str]
    threads: int
    deterministic: bool
    backend: Mapping[str, Json] = EMPTY

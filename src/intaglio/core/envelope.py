"""The envelope: how far a model's pictures move when something around it changes, measured and kept."""

from __future__ import annotations

from typing import Literal

from intaglio.core.environment import Environment
from intaglio.core.model import ModelRef
from intaglio.core.record import record

# What is changed: nothing (again in the same process), the process, the number of threads, the place in a batch, the
# number format, the exact algorithms, the instruction set torch may use, the kind of device.
ConditionKind = Literal["repeat", "process", "threads", "batch", "dtype", "deterministic", "cpu_capability", "device"]


@record
class Condition:
    """One change and what it did. `before` and `after` are its values ("2" and "1" threads).

    Of `runs` pictures `identical` came back pixel for pixel; over all of them the largest difference in 8-bit steps,
    the largest mean difference and share of changed pixels, and the lowest PSNR in dB (None: no difference) and SSIM.
    """

    kind: ConditionKind
    before: str
    after: str
    runs: int
    identical: int
    max_difference: int
    mean_difference: float
    changed_share: float
    psnr: float | None
    ssim: float

    @property
    def same(self) -> bool:
        """Whether every picture came back pixel for pixel."""
        return self.runs == self.identical > 0


@record
class Envelope:
    """What was measured for one model under one node type, on one machine with these libraries. `probes` are the
    settings that were run, in words; `skipped` what could not be measured here, and why."""

    kind: Literal["envelope"] = "envelope"
    format: Literal[1] = 1
    model: ModelRef
    node_type: str
    type_version: int
    created: str
    author: str
    environment: Environment
    probes: tuple[str, ...]
    conditions: tuple[Condition, ...]
    skipped: tuple[str, ...] = ()

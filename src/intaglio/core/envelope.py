"""The envelope: how far a model's pictures move when something around it changes, measured and kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from intaglio.core.environment import Environment
from intaglio.core.model import ModelRef
from intaglio.core.record import record

# What is changed: nothing (again in the same process), the process, the number of threads, the place in a batch, the
# number format, the exact algorithms, the instruction set torch may use, the kind of device.
ConditionKind = Literal["repeat", "process", "threads", "batch", "dtype", "deterministic", "cpu_capability", "device"]
KINDS: tuple[ConditionKind, ...] = get_args(ConditionKind)


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
    """What was measured for one model under one node type, on one machine with these libraries.

    `device` is what the pictures were made on before anything was changed, `environment` what was around them.
    `probes` are the settings that were run, in words; `skipped` what could not be measured here, and why.
    """

    kind: Literal["envelope"] = "envelope"
    format: Literal[1] = 1
    model: ModelRef
    node_type: str
    type_version: int
    device: str
    created: str
    author: str
    environment: Environment
    probes: tuple[str, ...]
    conditions: tuple[Condition, ...]
    skipped: tuple[str, ...] = ()


def in_words(conditions: Sequence[Condition]) -> str:
    """One sentence: what came back identical, and how often; how far the rest was off. No more than was measured."""
    same = [condition for condition in conditions if condition.same]
    parts = [_same_words(same)] if same else []
    parts += [
        f"within {one.max_difference}/255 {_with(one)} ({one.identical} of {one.runs} identical)"
        for one in sorted(conditions, key=lambda one: one.max_difference)
        if not one.same
    ]
    return "; ".join(parts) or "nothing was measured"


def _same_words(same: Sequence[Condition]) -> str:
    """ "identical on this machine again in the same process and in another process (12 of 12 each)"."""
    by_count: dict[int, list[str]] = {}
    for condition in same:
        by_count.setdefault(condition.runs, []).append(_with(condition))
    groups = [
        f"{_listed(what)} ({runs} of {runs}{' each' if len(what) > 1 else ''})" for runs, what in by_count.items()
    ]
    return f"identical on this machine {', '.join(groups)}"


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _with(condition: Condition) -> str:
    match condition.kind:
        case "repeat":
            return "in the same process"
        case "process":
            return "in a new process"
        case "threads":
            return f"with {condition.after} thread{'' if condition.after == '1' else 's'}"
        case "deterministic":
            return f"with exact algorithms {'on' if condition.after == 'true' else 'off'}"
        case "cpu_capability":
            return f"with {condition.after} instructions"
        case "dtype" | "device":
            return f"on {condition.after}" if condition.kind == "device" else f"in {condition.after}"
    return condition.after

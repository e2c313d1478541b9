"""CPU time of code and of commands, and what a measurement is: a value, what it is compared with, and its target.

CPU time (user and system), because machines are shared and wall time measures the neighbours too. The smallest of
several measurements, because disturbances only ever add.
"""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Measured:
    """A measured value, and what it is compared with in the same run; `target` bounds the value or the ratio."""

    name: str
    value: float
    unit: str
    compared: str = ""
    against: float | None = None
    target: float | None = None
    bounds: Literal["value", "ratio"] = "value"
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The value in terms of what it is compared with."""
        return self.value / self.against if self.against else None

    @property
    def passed(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        what = self.value if self.bounds == "value" else self.ratio
        return None if self.target is None or what is None else what <= self.target

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"ratio": self.ratio, "passed": self.passed}


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of this process, all its threads, for one call of `work`."""
    gc.collect()
    before = time.process_time()
    work()
    return time.process_time() - before


def least(work: Callable[[], object], times: int) -> float:
    """The least CPU seconds of several calls."""
    return min(cpu(work) for _ in range(times))


def command_cpu(command: Sequence[str | Path], *, cwd: Path | None = None) -> float:
    """CPU seconds of one command, its own children included. Raises CalledProcessError when it fails."""
    # Compiled modules are kept, as they are for users; otherwise every start would compile our source again.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def least_command(command: Sequence[str | Path], times: int, *, cwd: Path | None = None) -> float:
    """The least CPU seconds of several runs of a command."""
    return min(command_cpu(command, cwd=cwd) for _ in range(times))


def wait_until(condition: Callable[[], bool], pause_s: float = 0.01, longest_s: float = 60.0) -> None:
    """Return once `condition` holds. Raises TimeoutError."""
    until = time.monotonic() + longest_s
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError("it took too long")
        time.sleep(pause_s)


def settle(seconds: float = 2.2) -> None:
    """Wait until fresh files are old enough to be trusted by their time stamps."""
    with suppress(InterruptedError):
        time.sleep(seconds)

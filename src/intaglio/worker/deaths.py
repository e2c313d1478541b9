"""How worker processes died, kept in small files for those who find what they left behind."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from intaglio.core.errors import StorageFailed
from intaglio.store import disk

_KEPT_S = 86_400.0
_LONGEST = 400
# Signals by what mostly is behind them.
_WORDS = {
    signal.SIGKILL: "killed by signal 9 (out of memory, or kill -9)",
    signal.SIGSEGV: "segmentation fault (signal 11)",
    signal.SIGABRT: "it aborted (signal 6)",
    signal.SIGBUS: "bus error (signal 7)",
    signal.SIGILL: "illegal instruction (signal 4)",
    signal.SIGFPE: "arithmetic error (signal 8)",
}


def in_words(code: int) -> str:
    """How a process ended, by its exit code as `subprocess` gives it."""
    if code >= 0:
        return f"it ended with exit code {code}"
    with suppress(ValueError):
        number = signal.Signals(-code)
        return _WORDS.get(number, f"killed by signal {-code} ({number.name})")
    return f"killed by signal {-code}"


def tell(root: Path, pid: int, how: str) -> None:
    """Say how a worker ended; what the disk refuses is left unsaid."""
    with suppress(StorageFailed, OSError):
        disk.show(_file(root, pid), how.encode())


def told(root: Path, pid: int) -> str:
    """How the worker `pid` ended, "" when nobody said."""
    try:
        return _file(root, pid).read_bytes()[:_LONGEST].decode(errors="replace").strip()
    except OSError:
        return ""


def forget(root: Path, pid: int) -> None:
    """Forget what was said of an earlier process of this number."""
    with suppress(StorageFailed, OSError):
        disk.hide(_file(root, pid))


def sweep(root: Path) -> None:
    """Forget what nobody asked about for a day."""
    for path in (root / "locks").glob("worker-*.end"):
        with suppress(StorageFailed, OSError):
            if path.lstat().st_mtime < time.time() - _KEPT_S:
                disk.hide(path)


def is_alive(pid: int) -> bool:
    """Whether there is a process of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def _file(root: Path, pid: int) -> Path:
    return root / "locks" / f"worker-{pid}.end"

"""Looking after worker processes: started with whoever looks after them, started again when they die, ended with it."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

from intaglio.worker import deaths

# Pauses before a worker that died is started again; one that lived long enough begins with the first again.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _HEALTHY_S = 0.1, 30.0, 60.0
# What a worker gets beyond its grace, and after it was told to stop at once.
_MARGIN_S, _LAST_S = 1.0, 5.0

_log = logging.getLogger("intaglio.supervisor")


class Supervisor:
    """Keeps so many workers of one library alive.

    A worker ends with the process that looks after it, however that ends: it holds one end of a pipe, and hears when
    the other is closed.
    """

    def __init__(self, root: Path, *, workers: int = 1, options: Sequence[str] = ()) -> None:
        command = [sys.executable, "-m", "intaglio", "worker", "--library", str(root), "--supervised", *options]
        self._root = root
        self._keepers = [_Keeper(root, command) for _ in range(workers)]

    def start(self) -> None:
        """Start them."""
        deaths.sweep(self._root)
        for keeper in self._keepers:
            keeper.start()

    def stop(self, grace: float = 10.0) -> None:
        """End them: what they are at gets `grace` seconds to end, else it goes back into the queue."""
        for keeper in self._keepers:
            keeper.ask(grace)
        deadline = time.monotonic() + grace + _MARGIN_S
        for keeper in self._keepers:
            keeper.end(deadline)

    @property
    def alive(self) -> bool:
        """Whether a worker lives."""
        return any(keeper.pid for keeper in self._keepers)

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that live."""
        return tuple(pid for keeper in self._keepers if (pid := keeper.pid))

    @property
    def restarts(self) -> int:
        """How often one died and was started again."""
        return sum(keeper.restarts for keeper in self._keepers)

    @property
    def last_end(self) -> str:
        """How the last one that died did, "" when none has."""
        return max((keeper.last_end for keeper in self._keepers), default=(0.0, ""))[1]


class _Keeper:
    """One worker: the process, and the thread that waits for its end."""

    def __init__(self, root: Path, command: Sequence[str]) -> None:
        self._root = root
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping = Event()
        self._thread = Thread(target=self._keep, name="intaglio-supervisor", daemon=True)
        self.restarts = 0
        self.last_end = (0.0, "")

    @property
    def pid(self) -> int:
        """The process, 0 while there is none."""
        child = self._child
        return child.pid if child is not None and child.returncode is None else 0

    def start(self) -> None:
        """Start it, and keep it alive."""
        self._thread.start()

    def ask(self, grace: float) -> None:
        """Tell it to stop, and that what it is at gets so many seconds."""
        self._stopping.set()
        child = self._child
        if child is not None and child.stdin is not None:
            with suppress(OSError, ValueError):  # it has ended, or was told before
                child.stdin.write(f"{grace}\n".encode())
                child.stdin.flush()
                child.stdin.close()

    def end(self, deadline: float) -> None:
        """Return when it has ended; what does not end by itself until then is made to."""
        if self._thread.ident is None:
            return
        self._thread.join(max(0.0, deadline - time.monotonic()))
        child = self._child
        if self._thread.is_alive() and child is not None:
            child.terminate()
            self._thread.join(_LAST_S)
            if self._thread.is_alive():
                child.kill()
                self._thread.join()

    def _keep(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            began = time.monotonic()
            how = self._lived()
            if self._stopping.is_set():
                return
            pause = _FIRST_PAUSE_S if time.monotonic() - began > _HEALTHY_S else pause
            _log.warning("the worker died: %s; it is started again in %.1f s", how, pause)
            self._stopping.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
            self.restarts += 1

    def _lived(self) -> str:
        """Start it, wait for its end, and say how it came."""
        try:
            # In a session of its own, so that Ctrl-C at the terminal reaches only who looks after it.
            child = subprocess.Popen(self._command, stdin=subprocess.PIPE, start_new_session=True)
        except OSError as error:
            how = f"it could not be started: {error.strerror or error}"
        else:
            self._child = child
            if self._stopping.is_set():  # asked just before there was anybody to ask
                self.ask(0.0)
            how = deaths.in_words(child.wait())
            deaths.tell(self._root, child.pid, how)
            if child.stdin is not None:
                with suppress(OSError):
                    child.stdin.close()
        self.last_end = (time.time(), how)
        return how

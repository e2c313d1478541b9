"""A person at a terminal: a command in a pseudo-terminal, answered when it asks."""

from __future__ import annotations

import os
import pty
import select
import sys
from collections.abc import Sequence
from pathlib import Path

PATIENCE_S = 60
CTRL_C = "\x03"


def typed(library: Path, arguments: Sequence[str], answers: Sequence[tuple[str, str]]) -> tuple[int, str]:
    """Run `intaglio` and type each answer, with Enter, once its question is on the screen since the last one.

    Returns the exit code and all that was on the screen.
    """
    child, screen = pty.fork()
    if child == 0:
        os.environ |= {"INTAGLIO_LIBRARY": str(library), "NO_COLOR": "1"}
        os.execv(sys.executable, [sys.executable, "-m", "intaglio", *arguments])
    shown, since, waiting, last = b"", b"", list(answers), ""
    try:
        while chunk := _read(screen, last):
            shown, since = shown + chunk, since + chunk
            if waiting and waiting[0][0].encode() in since:
                last = waiting.pop(0)[1]
                os.write(screen, last.encode())
                since = b""
    finally:
        os.close(screen)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert not waiting, f"never asked: {waiting[0][0]}\n{shown.decode()}"
    return code, shown.decode().replace("\r\n", "\n")


def _read(screen: int, last: str) -> bytes:
    """What comes on the screen; b"" when nothing comes any more.

    A Ctrl-C in the moment between a prompt and the reading of its answer is seen by Python with the next key only; a
    person presses it again, and so does this.
    """
    for _ in range(PATIENCE_S):
        if select.select([screen], [], [], 1.0)[0]:
            break
        if last == CTRL_C:
            os.write(screen, CTRL_C.encode())
    else:
        return b""
    try:
        return os.read(screen, 4096)
    except OSError:  # how a pseudo-terminal says that the other side is gone
        return b""

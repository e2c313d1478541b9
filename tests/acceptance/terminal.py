"""A person at a terminal: a command in a pseudo-terminal, answered when it asks."""

from __future__ import annotations

import os
import pty
import select
import sys
from collections.abc import Sequence
from pathlib import Path

PATIENCE_S = 60


def typed(library: Path, arguments: Sequence[str], answers: Sequence[tuple[str, str]]) -> tuple[int, str]:
    """Run `intaglio` and type each answer, with Enter, once its question is on the screen since the last one.

    Returns the exit code and all that was on the screen.
    """
    child, screen = pty.fork()
    if child == 0:
        os.environ |= {"INTAGLIO_LIBRARY": str(library), "NO_COLOR": "1"}
        os.execv(sys.executable, [sys.executable, "-m", "intaglio", *arguments])
    shown, since, waiting = b"", b"", list(answers)
    try:
        while chunk := _read(screen):
            shown, since = shown + chunk, since + chunk
            if waiting and waiting[0][0].encode() in since:
                os.write(screen, waiting.pop(0)[1].encode())
                since = b""
    finally:
        os.close(screen)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert not waiting, f"never asked: {waiting[0][0]}\n{shown.decode()}"
    return code, shown.decode().replace("\r\n", "\n")


def _read(screen: int) -> bytes:
    if not select.select([screen], [], [], PATIENCE_S)[0]:
        return b""
    try:
        return os.read(screen, 4096)
    except OSError:  # how a pseudo-terminal says that the other side is gone
        return b""

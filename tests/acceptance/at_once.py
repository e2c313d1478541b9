"""Many processes that do one thing each to a library, let go together.

Run as a script, because only a process without threads may fork: `python at_once.py LIBRARY` reads a JSON list of
[door, words] from standard input, and prints the exit code of each. The door "command" runs `intaglio WORDS`;
"annotate" calls the Python API with (task, label).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from intaglio.cli.main import main
from intaglio.core.errors import IntaglioError, exit_code
from intaglio.studio.open import open_studio
from intaglio.studio.settings import Settings

Thing = tuple[str, Sequence[str]]


def at_once(library: Path, things: Sequence[Thing]) -> list[int]:
    """The exit code of each, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, str(library)], input=json.dumps(things), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    codes: list[int] = json.loads(done.stdout)
    return codes


def _do(library: str, door: str, words: Sequence[str]) -> int:
    if door == "command":
        return main(["--library", library, *words])
    try:
        with open_studio(library, Settings(author="Ada")) as studio:
            studio.tasks.annotate(words[0], annotation="said through the API", label=words[1])
    except IntaglioError as error:
        print(error, file=sys.stderr)
        return exit_code(error)
    return 0


def _started(library: str, door: str, words: Sequence[str], gate: tuple[int, int]) -> int:
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.close(gate[1])
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            os.read(gate[0], 1)  # until the parent lets all go
            code = _do(library, door, words)
        finally:
            os._exit(code)
    return child


def _all(library: str) -> list[int]:
    gate = os.pipe()
    children = [_started(library, door, words, gate) for door, words in json.load(sys.stdin)]
    os.close(gate[1])
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


if __name__ == "__main__":
    print(json.dumps(_all(sys.argv[1])))

"""Run the commands of documents and put what they print where their output is shown.

    python docs/tour.py README.md docs/campaign.md

Each document is run from its beginning in an empty folder that looks like a checkout. Ids that a later command names
are followed: where a document shows a task's id and this run made another, the later command is given that one.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
_HOME = "/home/mara/campaign"  # what a document calls the folder that its commands are run in
# What a later command may name: tasks, variations, digests.
_NAMED = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}|blake3:[0-9a-f]{12,64}")
# Errors and warnings, each with the lines that belong to it; progress is not shown.
_SAID = re.compile(r"^(?:error|warning): .*\n(?:  .*\n)*", re.MULTILINE)


@dataclass(frozen=True)
class Done:
    """A command as the document has it and as it was run, the output shown, what it printed, and its exit code."""

    written: str
    command: str
    shown: str
    said: str
    code: int
    errors: str


def has_tour(path: Path) -> bool:
    """Whether a document shows commands with their output."""
    return bool(_BLOCK.search(path.read_text(encoding="utf-8")))


def play(path: Path, folder: Path) -> Iterator[Done]:
    """Run the commands of a document in `folder`, one after the other."""
    for name in ("examples", "models"):
        (folder / name).symlink_to(ROOT / name)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "100"}
    environment |= {"INTAGLIO_AUTHOR": "Mara"}
    environment.pop("INTAGLIO_LIBRARY", None)
    ours: dict[str, str] = {}
    for written, shown in _COMMAND.findall("".join(_BLOCK.findall(path.read_text(encoding="utf-8")))):
        command = _with(ours, written)
        done = subprocess.run(
            shlex.split(command), cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        said = "".join(_SAID.findall(done.stderr)) + done.stdout
        ours |= dict(zip(_NAMED.findall(shown), _NAMED.findall(said), strict=False))
        yield Done(written, command, shown, said, done.returncode, done.stderr)


def _with(ours: dict[str, str], text: str) -> str:
    return _NAMED.sub(lambda found: ours.get(found[0], found[0]), text)


def main(paths: list[str]) -> int:
    """Write what the commands print into the documents."""
    for path in map(Path, paths):
        text = path.read_text(encoding="utf-8")
        at = 0
        with tempfile.TemporaryDirectory() as folder:
            for done in play(path, Path(folder)):
                print(f"{path.name}: {done.command} -> {done.code}", file=sys.stderr)
                said = "".join(f"{line.rstrip()}\n" for line in done.said.replace(folder, _HOME).splitlines())
                old, new = f"$ {done.written}\n{done.shown}", f"$ {done.command}\n{said}"
                at = text.index(old, at)
                text = text[:at] + new + text[at + len(old) :]
                at += len(new)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

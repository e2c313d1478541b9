"""Run the commands of documents and put what they print where their output is shown.

    python docs/tour.py README.md docs/campaign.md

Each document is run from its beginning in an empty folder that looks like a checkout. Ids that a later command names
are followed: where a document shows a task's id and this run made another, the later command is given that one.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
_HOME = "/home/mara/campaign"  # what a document calls the folder that its commands are run in
# What a later command may name: tasks, variations, digests, tokens, uploads.
_NAMED = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}|blake3:[0-9a-f]{12,64}|intaglio_[\w-]{40,}|upload:[0-9a-f]{32}")
# Where a document says its server is.
_PORT = "8470"
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


def play(path: Path, folder: Path, *, behind_server: bool = False) -> Iterator[Done]:
    """Run the commands of a document in `folder`, one after the other; all but the first, which makes the library,
    through a server if it is to be so."""
    for name in ("examples", "models"):
        (folder / name).symlink_to(ROOT / name)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "100"}
    environment |= {"INTAGLIO_AUTHOR": "Mara"}
    environment.pop("INTAGLIO_LIBRARY", None)
    ours: dict[str, str] = {}
    port = _free_port()
    with ExitStack() as servers:
        for written, shown in _COMMAND.findall("".join(_BLOCK.findall(path.read_text(encoding="utf-8")))):
            command = _with(ours, written)
            run = command.replace(_PORT, port)
            if run.endswith(" &"):
                said, code, errors = servers.enter_context(_served(run, port, folder, environment)), 0, ""
            else:
                done = subprocess.run(
                    shlex.split(run), cwd=folder, env=environment, capture_output=True, text=True, check=False
                )
                said, code = "".join(_SAID.findall(done.stderr)) + _indented(done.stdout), done.returncode
                errors = done.stderr
            said = said.replace(port, _PORT)
            if behind_server and "INTAGLIO_SERVER" not in environment:
                servers.enter_context(_served("intaglio serve &", port, folder, environment))
                environment["INTAGLIO_SERVER"] = f"http://127.0.0.1:{port}"
            ours |= dict(zip(_NAMED.findall(shown), _NAMED.findall(said), strict=False))
            yield Done(written, command, shown, said, code, errors)


@contextmanager
def _served(command: str, port: str, folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """A server that runs on while the commands after it do, and what it says when it can be reached."""
    words = [*shlex.split(command.removesuffix(" &")), "--port", port]
    with subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline()
        finally:
            server.terminate()


def _free_port() -> str:
    """A port that nobody listens on; a document's own server has the usual one."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return str(found.getsockname()[1])


def _indented(said: str) -> str:
    """What a command printed; JSON that a server sent on one line is set out for people."""
    if not said.startswith(("{", "[")) or said.count("\n") > 1:
        return said
    return json.dumps(json.loads(said), indent=2, ensure_ascii=False) + "\n"


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

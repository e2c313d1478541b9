"""A library with something of everything in it, and the server over one as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acceptance.conftest import node, ramp, write

from intaglio.imaging.png import encode
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings
from intaglio.studio.variations import VariationView

# The status of a connection that ended without a word.
CLOSED = 0


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of the error it is, in the one shape that errors have."""
        assert self.headers["content-type"] == "application/json", self
        assert self.json.keys() == {"error"}, self
        assert self.json["error"].keys() == {"code", "message", "hint", "facts"}, self
        assert b"Traceback" not in self.body
        assert b'File \\"' not in self.body
        return str(self.json["error"]["code"])


@dataclass(frozen=True)
class Furnished:
    """What lies in a library, by the names that addresses have for it."""

    root: Path
    names: dict[str, str]


def furnished(folder: Path) -> Furnished:
    """A new library with workflows, tasks, versions, a variation, jobs, tokens and a webhook."""
    (folder / "in.png").write_bytes(encode(ramp(24, 16)))
    with init(folder / "studio", Settings(author="Ada", seeds="sequence", threads=1)) as studio:
        names = _fill(studio, folder)
        return Furnished(studio.root, names)


def _fill(studio: Studio, folder: Path) -> dict[str, str]:
    picture = studio.assets.add([folder / "in.png"])[0].digest
    workflow = write(folder / "plain.json", "plain", nodes(picture, 0.3))
    first = studio.tasks.run(workflow, label="first", annotation="to have one")
    changed = write(folder / "plain.json", "plain", nodes(picture, 0.6))
    second = studio.tasks.run(changed, label="second", annotation="more grain")
    studio.versions.tag(first.version, ["kept"])
    studio.versions.comment(first.version, "good light")
    studio.workflows.branch("plain", "other", note="another direction")
    queued = studio.tasks.submit("plain", label="third", annotation="waits")
    other = studio.tasks.submit("other", label="fourth", annotation="waits too")
    walked = studio.variations.walk(first.version, count=2, note="other seeds")
    assert isinstance(walked, VariationView)
    job = studio.jobs.submit("versions.reproduce", {"reference": first.version})
    studio.jobs.submit("library.check", {})
    token = studio.tokens.create("Grace", ["read"])
    hook = studio.webhooks.add("http://127.0.0.1:9/hook", events=["variation.remark"])
    return {
        "workflow": "plain",
        "branch": "other",
        "task": first.id,
        "other_task": second.id,
        "queued": queued.id,
        "second_queued": other.id,
        "version": first.version,
        "other_version": second.version,
        "picture": picture,
        "asset": studio.tasks.snapshot(first.id).outputs[0].asset,
        "variation": walked.variation.id,
        "job": job.id,
        "token": token.record.id,
        "webhook": hook.id,
    }


def nodes(picture: str, amount: float) -> dict[str, Any]:
    """A picture with some grain on it."""
    return {
        "in": node("reference-image", image=picture),
        "grain": node("film-grain", "in", amount=amount),
        "out": node("output", "grain"),
    }


class Host:
    """A server process without workers. Its log is a file: what it said is there as soon as it was said."""

    def __init__(self, process: subprocess.Popen[str], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.port = int(url.rpartition(":")[2])
        self._log = log

    @property
    def log(self) -> str:
        """Everything it said so far."""
        return self._log.read_text(errors="replace")


@contextmanager
def hosted(root: Path, log: Path, *options: str) -> Iterator[Host]:
    """`intaglio serve` over a library, on a free port of this machine."""
    command = [sys.executable, "-m", "intaglio", "serve", "--library", str(root), "--port", "0", "--workers", "0"]
    with log.open("w") as said:
        process = subprocess.Popen(
            [*command, "--grace", "0", "--json", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env=dict(os.environ),
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        yield Host(process, json.loads(line)["url"], log)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()

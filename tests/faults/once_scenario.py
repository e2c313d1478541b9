"""A request with a key whose server is killed at every point that changes the disk, and that is sent again.

Run as a script it sweeps: `python once_scenario.py submit|comment FOLDER` kills the server at each point of the
request, one forked child for each, all on one library, and prints a JSON summary.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from faults.server import SETTINGS, library
from unit.web.asking import FAR, Answer, ask

from intaglio.store import disk
from intaglio.studio.open import Studio, open_studio
from intaglio.web.app import Config, create_app
from intaglio.web.idempotency import answering


def asked(studio: Studio, token: str, kind: str, version: str, key: str) -> Answer:
    """The answer to the request, of a server that was just started."""
    path = "/api/tasks" if kind == "submit" else f"/api/versions/{version}/comment"
    body = {"workflow": "short", "annotation": key} if kind == "submit" else {"text": key}
    headers = [*FAR, ("authorization", f"Bearer {token}"), ("content-type", "application/json")]
    with answering(studio):
        app = create_app(studio, Config(hosts=("studio.example.com",)))
        sent = json.dumps(body).encode()
        return ask(app, path, method="POST", headers=[*headers, ("idempotency-key", key)], body=[sent])


def killed(folder: Path, number: int, *given: Any) -> bool:
    """Whether the server was killed at this point, before it could answer."""
    child = os.fork()
    if child == 0:
        status = 70
        try:
            with open_studio(folder, SETTINGS) as studio:
                disk.observe(_kill_at(number))
                status = 0 if asked(studio, *given).status in (200, 201) else 1
        finally:
            os._exit(status)
    ended = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(ended) or os.WEXITSTATUS(ended) == 0, f"point {number}: it failed by itself"
    return os.WIFSIGNALED(ended)


def _kill_at(number: int) -> Any:
    count = 0

    def at(name: str) -> None:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return at


def done(studio: Studio, kind: str, version: str, key: str) -> list[str]:
    """What was done under a key."""
    if kind == "submit":
        return [task.id for task in studio.tasks.list(limit=1000) if task.reason and task.reason.annotation == key]
    return [remark.note for remark in studio.versions.remarks(version) if remark.note == key]


def sweep(kind: str, folder: Path) -> dict[str, Any]:
    """Kill at every point, and prove each time that the request sent again is done once in all."""
    folder.mkdir(parents=True)
    with library(folder, short=1) as studio:
        version = studio.tasks.run("short", annotation="to have one").version
        token = studio.tokens.create("Cleo", ["run"]).token
    before, number, ended, failures = 0, 0, False, []
    while not ended:
        number += 1
        key = f"key {number}"
        ended = not killed(folder / "studio", number, token, kind, version, key)
        with open_studio(folder / "studio", SETTINGS) as studio:
            had = done(studio, kind, version, key)
            before += bool(had)
            answers = [asked(studio, token, kind, version, key) for _ in range(2)]
            now = done(studio, kind, version, key)
            same = answers[0].body == answers[1].body and {answer.status for answer in answers} <= {200, 201}
            if len(now) != 1 or now != (had or now) or not same:
                failures.append(f"point {number}: {had} before, {now} now, {[answer.body for answer in answers]}")
            problems = studio.library.check().problems
            failures += [f"point {number}: {problem}" for problem in problems]
    return {"points": number - 1, "done before it was sent again": before, "failures": failures}


if __name__ == "__main__":
    print(json.dumps(sweep(sys.argv[1], Path(sys.argv[2]) / "sweep")))

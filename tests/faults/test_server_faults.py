"""RUN 1, 2, 4: whatever is killed, full, locked or told to stop, what was acknowledged is there once, and finished."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from acceptance.workers import let_go, marks
from acceptance.workers import trouble as trouble  # noqa: PLC0414  # the fixture
from faults.server import SETTINGS, Crowd, Patient, Server, hosted, library, picture, serving, until
from faults.server import folder as folder  # noqa: PLC0414  # the fixture

from intaglio.core.errors import IntaglioError, ServerGone, TooMany, Unavailable
from intaglio.core.journal import Notice
from intaglio.core.version import APPROVED
from intaglio.studio.open import Studio, open_for_others, open_studio

SERVERS, WORKERS = 20, 30
SUBMITTERS, MOST_TASKS = 4, 22
GRAINS = {"short": 2, "middle": 5, "long": 10}


class Load:
    """Clients that work at a server and never give up; what it acknowledged, they remember."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.busy, self.followers = Crowd(), Crowd()
        self.tasks: dict[str, dict[str, Any]] = {}
        self.comments: dict[str, str] = {}
        self.approved: set[str] = set()
        self.pictures: set[str] = set()
        self.seen: dict[str, list[int]] = {}
        self.asked: Counter[str] = Counter()
        self.end = 0

    def begin(self) -> None:
        """Start them all."""
        for number in range(SUBMITTERS):
            self.busy.add(self.submit, number)
        for work in (self.remark, self.upload, self.look):
            self.busy.add(work)
        for name in ("first", "second"):
            self.followers.add(self.follow, name)
        self.followers.add(self.follow_as_a_browser, "browser")

    def submit(self, number: int) -> None:
        """Tasks, each under a key; what was acknowledged is sent again now and then."""
        chance = random.Random(number)
        with Patient(self.url) as line:
            for count in range(MOST_TASKS):
                key = f"task {number}-{count}"
                body = {"workflow": chance.choice(list(GRAINS)), "label": key, "annotation": f"because of {key}"}
                task = line.insist("POST", "/api/tasks", body=body, key=key)
                assert key not in self.tasks
                self.tasks[key] = task
                if chance.random() < 0.4:
                    again = line.insist("POST", "/api/tasks", body=body, key=key)
                    assert again == task, "the same key, the same answer"
                if chance.random() < 0.5:
                    line.insist("GET", f"/api/tasks/{task['id']}/wait", query={"timeout": 1})
                if self.busy.enough.wait(chance.uniform(0, 1.0)):
                    return

    def remark(self) -> None:
        """Comments, each once, and approvals."""
        count = 0
        with Patient(self.url) as line:
            while not self.busy.enough.wait(0.05):
                for each in line.insist("GET", "/api/versions", query={"limit": 2})["items"]:
                    count += 1
                    text, address = f"remark {count}", f"/api/versions/{each['digest']}"
                    line.insist("POST", f"{address}/comment", body={"text": text}, key=text)
                    self.comments[text] = each["digest"]
                    if each["digest"] not in self.approved:
                        line.insist("POST", f"{address}/approve", body={"pin": False}, key=f"approve {text}")
                        self.approved.add(each["digest"])

    def upload(self) -> None:
        """Pictures."""
        count = 0
        with httpx2.Client(base_url=self.url, trust_env=False, timeout=30) as client:
            while not self.busy.enough.wait(0.1):
                count += 1
                files = [("file", ("a.png", picture(count), "image/png"))]
                with suppress(httpx2.TransportError):
                    answer = client.post("/api/assets", files=files)
                    assert answer.status_code in (201, 429, 503), answer.text
                    if answer.status_code == 201:
                        self.pictures.add(answer.json()["items"][0]["digest"])

    def look(self) -> None:
        """Lists and the queue."""
        paths = ("/api/tasks", "/api/tasks/-/queue", "/api/versions", "/api/jobs", "/api/journal")
        with Patient(self.url) as line:
            while not self.busy.enough.wait(0.05):
                for path in paths:
                    with suppress(ServerGone, TooMany, Unavailable):
                        line.ask("GET", path)
                        self.asked[path] += 1

    def follow(self, name: str) -> None:
        """The events from the first on, as the client follows them."""
        seen = self.seen[name] = []
        with Patient(self.url) as line:
            while True:
                with suppress(ServerGone):
                    for found in line.events(after=seen[-1] if seen else 0):
                        if isinstance(found, Notice):
                            seen.append(found.number)
                        if self.is_over(seen):
                            return

    def follow_as_a_browser(self, name: str) -> None:
        """The same with nothing but Last-Event-ID, and impatient."""
        seen = self.seen[name] = []
        with httpx2.Client(base_url=self.url, trust_env=False, timeout=30) as client:
            while not self.is_over(seen):
                with suppress(httpx2.TransportError):
                    self._read(client, seen)
                time.sleep(0.02)

    def _read(self, client: httpx2.Client, seen: list[int]) -> None:
        last = {"Last-Event-ID": str(seen[-1] if seen else 0)}
        with client.stream("GET", "/api/events", headers=last) as response:
            assert response.status_code == 200
            found: dict[str, str] = {}
            for line in response.iter_lines():
                name, _, value = line.partition(": ")
                if line:
                    found[name] = value
                    continue
                if "id" in found and "data" in found:
                    seen.append(int(found["id"]))
                found = {}
                if self.is_over(seen):
                    return

    def is_over(self, seen: list[int]) -> bool:
        """Whether everything was seen."""
        return bool(self.end and seen and seen[-1] >= self.end)


def _kill_all(server: Server, load: Load, chance: random.Random) -> Counter[str]:
    """Kill workers and servers by turns, each time at another moment of their lives."""
    killed: Counter[str] = Counter()
    for number in range(SERVERS):
        for _ in range(1 + number % 2):
            pid = until(server.workers)[0]
            if chance.random() < 0.6:  # else at any moment of its beginning
                until(lambda pid=pid: f"worker {pid} is at work" in server.log.read_text())  # type: ignore[misc]
            time.sleep(chance.uniform(0, 0.8))
            os.kill(pid, signal.SIGKILL)
            killed["worker"] += 1
            until(lambda pid=pid: pid not in server.workers())  # type: ignore[misc]  # mypy cannot tell its type
        time.sleep(chance.uniform(0, 0.5))
        server.kill()
        killed["server"] += 1
        load.busy.check()
        load.followers.check()
        server.start()
    return killed


def test_RUN_4_fifty_kills_of_servers_and_workers_under_load_lose_and_double_nothing(folder: Path) -> None:
    library(folder, **GRAINS).close()
    with serving(folder / "studio", folder / "log") as server:
        load = Load(server.url)
        load.begin()
        killed = _kill_all(server, load, random.Random(50))
        load.busy.enough.set()
        load.busy.join()
        with Patient(server.url) as line:
            _settle(line, load)
            load.end = _last(line)
            # One more line, so that who has read all of them looks up.
            line.insist("POST", f"/api/versions/{next(iter(load.approved))}/comment", body={"text": "the last"})
        load.followers.join()
        assert server.stop() == 0
    assert killed == {"worker": WORKERS, "server": SERVERS}
    with open_studio(folder / "studio") as studio:
        assert len(load.tasks) > 20 and len(load.comments) > 20 and len(load.pictures) > 20
        print(f"{len(load.tasks)} tasks, {len(load.comments)} comments, {load.end} lines, {load.asked.total()} lists")
        _prove(studio, load)


def _settle(line: Patient, load: Load) -> None:
    """Wait for every task; what was killed too often is tried again, as its hint says."""
    end = time.monotonic() + 120
    for task in load.tasks.values():
        while True:
            found = line.insist("GET", f"/api/tasks/{task['id']}/wait", query={"timeout": 5})
            if found["status"] == "failed" and found["error"]["code"] == "worker.lost":
                line.insist("POST", f"/api/tasks/{task['id']}/retry", body={})
            elif found["status"] not in ("queued", "running", "interrupted"):
                break
            assert time.monotonic() < end, found


def _last(line: Patient) -> int:
    last = 0
    while page := line.insist("GET", "/api/journal", query={"after": last, "limit": 1000})["items"]:
        last = page[-1]["number"]
    return last


def _prove(studio: Studio, load: Load) -> None:
    tasks = {task.id: task for task in studio.tasks.list(limit=10_000)}
    assert sorted(tasks) == sorted(task["id"] for task in load.tasks.values()), "each once, and no other"
    assert {task.status for task in tasks.values()} == {"done"}
    assert {id: task.plan for id, task in tasks.items()} == {task["id"]: task["plan"] for task in load.tasks.values()}
    for id in tasks:
        view = studio.tasks.show(id)
        keys = {(step.step, step.key) for step in view.steps}
        assert len(keys) == len(view.plan.steps), "in every attempt the same step, with the same seed"
        for output in studio.tasks.snapshot(id).outputs:
            assert studio.assets.state(output.asset) == "ok"
    assert studio.library.check().problems == ()
    versions = studio.versions.list(limit=10_000)
    for name in GRAINS:
        numbers = sorted(version.number for _, version in versions if version.workflow.name == name)
        assert numbers == [*range(1, len(numbers) + 1)], name
    assert sorted(version.task for _, version in versions) == sorted(tasks)
    said = Counter(remark.note for digest, _ in versions for remark in studio.versions.remarks(digest))
    assert {text: said[text] for text in load.comments} == dict.fromkeys(load.comments, 1)
    for digest in load.approved:
        assert [remark.what for remark in studio.versions.remarks(digest)].count(APPROVED) == 1
    assert all(studio.assets.state(digest) == "ok" for digest in load.pictures)
    for name, seen in load.seen.items():
        assert seen == [*range(1, len(seen) + 1)] and len(seen) >= load.end, name


# -- a library that somebody else has locked ---------------------------------------------------------------------------

# More than a server has threads for everybody.
WAITING = 60


def test_RUN_1_a_locked_library_is_read_meanwhile_and_written_once_it_is_free(folder: Path) -> None:
    library(folder, short=1).close()
    database = folder / "studio" / ".intaglio" / "library.db"
    with (
        serving(folder / "studio", folder / "log", "--workers", "0") as server,
        Patient(server.url) as line,
        closing(sqlite3.connect(database, isolation_level=None)) as other,
    ):
        load = Load(server.url)
        load.followers.add(load.follow, "follower")
        until(lambda: load.seen.get("follower"))
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        took: list[float] = []

        def write(number: int) -> None:
            with Patient(server.url) as own:
                own.insist("POST", "/api/tasks", body={"workflow": "short"}, key=str(number))
            took.append(time.monotonic() - began)

        for number in range(WAITING):
            load.busy.add(write, number)
        until(lambda: httpx2.get(f"{server.url}/ready", trust_env=False, timeout=10).status_code == 503)
        slowest = 0.0
        for path in ("/api/tasks", "/api/versions", "/api/tasks/-/queue", "/api/workflows/short", "/health") * 4:
            asked = time.monotonic()
            line.ask("GET", path)
            slowest = max(slowest, time.monotonic() - asked)
        assert not took and line.ask("GET", "/api/tasks")["items"] == []
        other.execute("ROLLBACK")
        held = time.monotonic() - began
        load.busy.join()
        print(f"held for {held:.1f} s; slowest read {slowest:.2f} s; last write after {max(took) - held:.1f} s more")
        assert slowest < 3.0, "a second, and room for a machine that does other things"
        assert held > 1.0 and min(took) > held
        assert len(line.ask("GET", "/api/tasks", query={"limit": 1000})["items"]) == WAITING
        until(lambda: httpx2.get(f"{server.url}/ready", trust_env=False, timeout=10).status_code == 200)
        load.end = _last(line)
        line.insist("POST", "/api/tasks", body={"workflow": "short"})
        load.followers.join()
        assert load.seen["follower"] == [*range(1, len(load.seen["follower"]) + 1)]


def test_RUN_1_who_would_have_to_wait_too_long_is_told_so_and_may_ask_again(folder: Path) -> None:
    library(folder, short=1).close()
    root = folder / "studio"
    database = root / ".intaglio" / "library.db"
    with (
        open_for_others(root, SETTINGS, busy_s=0.3) as studio,
        hosted(studio) as url,
        Patient(url) as line,
        closing(sqlite3.connect(database, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            with pytest.raises(Unavailable, match=r"others have been writing for 0.3 s") as busy:
                line.ask("POST", "/api/tasks", body={"workflow": "short"}, key="k")
            assert (busy.value.code, busy.value.hint) == ("unavailable", "Try again in a moment.")
        other.execute("ROLLBACK")
        task = line.ask("POST", "/api/tasks", body={"workflow": "short"}, key="k")
        assert [each["id"] for each in line.ask("GET", "/api/tasks")["items"]] == [task["id"]]


# -- a full disk -------------------------------------------------------------------------------------------------------


@contextmanager
def _disk(folder: Path, mib: int) -> Iterator[Path]:
    """A disk of that size."""
    folder.mkdir()
    asked = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(asked, capture_output=True, check=False).returncode != 0:
        pytest.skip("no disk can be made here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


LONG = {"workflow": "short", "annotation": "x" * 2000}


def _fill(file: Path) -> None:
    """Take all the room there is."""
    with suppress(OSError), file.open("wb", buffering=0) as ballast:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while ballast.write(bytes(size)) == size:
                    pass


def test_RUN_4_on_a_full_disk_everything_is_refused_and_nothing_is_left_half_done(tmp_path: Path) -> None:
    with _disk(tmp_path / "disk", 160) as disk:
        library(disk, **GRAINS).close()
        uploads, ballast = disk / "studio" / ".intaglio" / "uploads", disk / "ballast"
        with serving(disk / "studio", tmp_path / "log") as server, Patient(server.url) as line:
            known = [line.ask("POST", "/api/tasks", body={"workflow": "long"})["id"] for _ in range(60)]
            _finished(line, known[0])
            _fill(ballast)
            for method, path in (("POST", "/api/uploads?name=a.bin"), ("POST", "/api/uploads?name=b.bin")):
                sent = httpx2.request(method, server.url + path, content=bytes(300_000), trust_env=False, timeout=30)
                assert sent.status_code == 503, sent.text
                assert sent.json()["error"]["code"] == "storage.failed" and sent.json()["error"]["hint"]
            assert list(uploads.iterdir()) == []
            # The log of the database has some room of its own.
            refused = _until_refused(line, known)
            until(lambda: "nothing can be done now: no space left" in server.log.read_text())
            assert refused.code == "storage.failed" and refused.hint and "no space" in str(refused)
            assert len(line.ask("GET", "/api/tasks", query={"limit": 1000})["items"]) == len(known)
            until(lambda: httpx2.get(f"{server.url}/ready", trust_env=False, timeout=10).status_code == 503)
            ballast.unlink()
            known.append(line.ask("POST", "/api/tasks", body=LONG, key=f"full {len(known)}")["id"])
            sent = httpx2.post(f"{server.url}/api/uploads?name=a.bin", content=bytes(300_000), trust_env=False)
            assert sent.status_code == 201
            for id in known:
                _finished(line, id)
            assert len(set(known)) == len(line.ask("GET", "/api/tasks", query={"limit": 1000})["items"])
            until(lambda: httpx2.get(f"{server.url}/ready", trust_env=False, timeout=10).status_code == 200)
            assert len(list(uploads.iterdir())) == 1
            assert server.stop() == 0
        with open_studio(disk / "studio") as studio:
            assert studio.library.check().problems == ()
            print(f"{len(known)} tasks, attempts: {Counter(task.attempt for task in studio.tasks.list(limit=1000))}")


def _until_refused(line: Patient, known: list[str]) -> IntaglioError:
    """Submit until the disk refuses it; why."""
    while True:
        try:
            known.append(line.ask("POST", "/api/tasks", body=LONG, key=f"full {len(known)}")["id"])
        except IntaglioError as error:
            return error
        assert len(known) < 2000, "it is not full"


def _finished(line: Patient, task: str) -> None:
    """Wait for a task; one that met the full disk three times is tried again, as its hint says."""
    while True:
        found = line.insist("GET", f"/api/tasks/{task}/wait", query={"timeout": 60})
        if found["status"] == "done":
            return
        assert (found["status"], found["error"]["code"]) == ("failed", "storage.failed"), found
        line.insist("POST", f"/api/tasks/{task}/retry", body={})


# -- a server that is told to stop -------------------------------------------------------------------------------------

GRACE_S, ANSWERS_S = 1.0, 5.0


def _gated(folder: Path) -> Studio:
    """A library with the workflow "gated", which goes on when it is let."""
    studio = library(folder, short=1)
    document = json.loads((folder / "short.json").read_text())
    document["name"] = "gated"
    params = {"how": "gate", "mark": str(folder / "gated.mark")}
    document["nodes"]["trouble"] = {"type": "trouble", "inputs": {"image": "grain0"}, "params": params}
    document["nodes"]["out"]["inputs"] = {"image": "trouble"}
    (folder / "gated.json").write_text(json.dumps(document))
    studio.workflows.add(folder / "gated.json")
    return studio


def _half_sent(server: Server) -> socket.socket:
    """An upload that stops in the middle."""
    line = socket.create_connection(("127.0.0.1", server.port))
    line.sendall(f"POST /api/uploads?name=half.bin HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n".encode())
    line.sendall(b"Content-Length: 4000000\r\n\r\n" + bytes(2_000_000))
    return line


@pytest.mark.parametrize("finishes", [False, True], ids=["does not finish", "finishes in its grace"])
def test_RUN_4_told_to_stop_it_ends_in_time_and_nothing_is_lost(finishes: bool, folder: Path, trouble: None) -> None:
    _gated(folder).close()
    uploads = folder / "studio" / ".intaglio" / "uploads"
    grace = 60.0 if finishes else GRACE_S
    with serving(folder / "studio", folder / "log", "--grace", str(grace)) as server:
        with Patient(server.url) as line:
            task = line.ask("POST", "/api/tasks", body={"workflow": "gated"})
        until(lambda: marks(folder, "gated"))
        streams = Crowd()
        opened: list[int] = []
        ended: list[float] = []

        def follow() -> None:
            with httpx2.stream("GET", f"{server.url}/api/events", trust_env=False, timeout=60) as response:
                opened.append(response.status_code)
                for _ in response.iter_lines():
                    pass
            ended.append(time.monotonic())

        for _ in range(3):
            streams.add(follow)
        with _half_sent(server):
            until(lambda: len(opened) == 3 and list(uploads.glob("half-*/*")))
            began = time.monotonic()
            assert server.process is not None
            server.process.send_signal(signal.SIGTERM)
            streams.join(20)
            if finishes:
                let_go(folder, "gated")
            assert server.process.wait(60) == 0
            took = time.monotonic() - began
        print(f"streams ended after {max(ended) - began:.2f} s, the server after {took:.1f} s")
        assert max(ended) - began < 3.0
        assert took < (0 if finishes else GRACE_S) + ANSWERS_S + 5.0, "and room for a machine that does other things"
        assert list(uploads.iterdir()) == []
        with open_studio(folder / "studio") as studio:
            assert studio.tasks.get(task["id"]).status == ("done" if finishes else "queued")
            assert studio.library.check().problems == ()
        let_go(folder, "gated")
        server.start()
        with Patient(server.url) as line:
            assert line.ask("GET", f"/api/tasks/{task['id']}/wait", query={"timeout": 60})["status"] == "done"

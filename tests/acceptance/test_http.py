"""RUN 1 to 4, VER 8 and SNAP 2, as somebody has them who knows the server's address and nothing else."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from acceptance.conftest import node, ramp

from intaglio.core.canonical import digest_bytes
from intaglio.imaging.png import encode
from intaglio.studio.open import Studio, init, open_studio
from intaglio.studio.settings import Settings

PATIENCE_S = 60.0


class Server:
    """`intaglio serve` with a worker, in a process of its own, and somebody who asks it by HTTP."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        options = ["--library", str(self.root), "--port", "0", "--grace", "0", "--json"]
        with (self.root.parent / "serve.log").open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "intaglio", "serve", *options],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=dict(os.environ),
            )
        assert self._process.stdout is not None
        self.http = httpx2.Client(base_url=json.loads(self._process.stdout.readline())["url"], timeout=PATIENCE_S)

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()
        self.http.close()

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.communicate(timeout=PATIENCE_S)
        self.http.close()

    def get(self, path: str, **query: Any) -> Any:
        return _answered(self.http.get(f"/api{path}", params=query))

    def post(self, path: str, **body: Any) -> Any:
        return _answered(self.http.post(f"/api{path}", json=body))

    def done(self, task: str) -> Any:
        """A task, once it has ended."""
        return self.get(f"/tasks/{task}/wait", timeout=PATIENCE_S)


def _answered(response: httpx2.Response) -> Any:
    assert response.status_code < 400, response.text
    return response.json()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    with init(folder, Settings(author="Ada", threads=1)) as made:
        root = made.root
    started = Server(root)
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def beside(server: Server) -> Iterator[Studio]:
    """The same library, opened on its own machine."""
    with open_studio(server.root) as opened:
        yield opened


def grainy(name: str, picture: str, **more: Any) -> dict[str, Any]:
    """A document: a picture with grain, whose seed is drawn."""
    nodes = {"in": node("reference-image", image=picture), "grain": node("film-grain", "in", **more)}
    return {"name": name, "nodes": {**nodes, "out": node("output", "grain")}}


def long(picture: str) -> dict[str, Any]:
    """A document that takes some seconds: grain upon grain on a large picture."""
    nodes = {"in": node("reference-image", image=picture), "grain0": node("resize", "in", width=2000, height=2000)}
    nodes |= {f"grain{at}": node("film-grain", f"grain{at - 1}") for at in range(1, 9)}
    return {"name": "long", "nodes": {**nodes, "out": node("output", "grain8")}}


def uploaded(server: Server, width: int = 24) -> str:
    """The digest of a picture that was brought to the server."""
    data = encode(ramp(width, 16))
    digest = digest_bytes(data)
    response = server.http.put(f"/api/assets/{digest}", content=data)
    assert response.status_code in (200, 201), response.text
    return digest


def test_RUN_1_history_and_api_show_the_same_tasks_by_id_and_date(server: Server, beside: Studio) -> None:
    workflow = grainy("history", uploaded(server))
    ids = [server.done(server.post("/tasks", workflow=workflow)["id"])["id"] for _ in range(2)]
    inline = beside.tasks.run("history")

    listed = [task["id"] for task in server.get("/tasks", limit=3)["items"]]

    assert listed == [inline.id, *reversed(ids)] == [task.id for task in beside.tasks.list(limit=3)]
    shown = server.get(f"/tasks/{ids[0]}")
    assert shown["task"]["status"] == "done"
    assert [step["step"] for step in shown["steps"]] == ["in", "grain", "out"]
    seed = shown["steps"][1]["seed"]
    assert isinstance(seed["value"], str) and seed["origin"] == "drawn"
    day = f"{ids[0][:4]}-{ids[0][4:6]}-{ids[0][6:8]}"
    assert ids[0] in [task["id"] for task in server.get("/tasks", since=day, until=day)["items"]]
    assert server.get("/tasks", until="2020")["items"] == []
    assert server.http.get("/api/tasks", params={"since": "yesterday"}).status_code == 422


def test_RUN_1_who_listens_sees_a_task_live_and_after_a_break_the_rest_once(server: Server) -> None:
    start = server.get("/journal", limit=1000)["items"][-1]["number"]
    picture = uploaded(server)
    heard: list[int] = []
    first = server.post("/tasks", workflow=grainy("live", picture))["id"]
    _listen(server, heard, start, until=("task.done", first))
    second = server.post("/tasks", workflow=grainy("live", picture, amount=0.3))["id"]
    server.done(second)
    _listen(server, heard, heard[-1], until=("task.done", second))

    assert heard == list(range(start + 1, heard[-1] + 1))


def _listen(server: Server, heard: list[int], after: int, until: tuple[str, str]) -> None:
    """Hear events until one happened, then hang up."""
    with server.http.stream("GET", "/api/events", headers={"Last-Event-ID": str(after)}) as stream:
        for event in httpx2.EventSource(stream):
            if event.event == "progress" or not event.data:
                continue
            heard.append(int(event.id))
            if (event.event, json.loads(event.data)["subject"]) == until:
                return


def test_RUN_2_a_queue_is_put_in_order_cancelled_and_tried_again(server: Server, tmp_path: Path) -> None:
    picture = uploaded(server)
    tasks = [server.post("/tasks", workflow=long(picture))["id"]]
    tasks += [server.post("/tasks", workflow=grainy(f"queue{at}", picture))["id"] for at in range(5)]
    moved = server.post(f"/tasks/{tasks[5]}/move", to=2)
    assert moved["position"] == 2
    cancelled = server.post(f"/tasks/{tasks[4]}/cancel")
    ended = [server.done(task) for task in tasks]
    assert cancelled["status"] == "cancelled"
    assert [task["status"] for task in ended] == ["done", "done", "done", "done", "cancelled", "done"]
    assert ended[5]["started"] < ended[3]["started"], "what is put first is done first"

    again = server.post(f"/tasks/{tasks[4]}/retry")
    assert again["id"] == tasks[4]
    assert server.done(tasks[4])["status"] == "done"
    assert server.get("/tasks/-/queue")["items"] == []


def test_RUN_2_videos_and_pictures_are_brought_made_and_fetched(server: Server) -> None:
    pytest.importorskip("av")
    nodes: dict[str, Any] = {"in": node("reference-image", image=uploaded(server))}
    nodes |= {f"grain{at}": node("film-grain", "in") for at in range(4)}
    frames = [f"grain{at}" for at in range(4)]
    nodes["clip"] = {"type": "frames-to-video", "inputs": {"frames": frames}, "params": {"fps": 4}}
    nodes["out"] = node("output", "clip")
    task = server.done(server.post("/tasks", workflow={"name": "clip", "nodes": nodes})["id"])
    output = server.get(f"/tasks/{task['id']}/snapshot")["outputs"][0]["asset"]
    address = f"/api/assets/{output}/content"

    whole = server.http.get(address)

    assert whole.headers["content-type"] == "video/mp4"
    assert digest_bytes(whole.content) == output
    assert "immutable" in whole.headers["cache-control"]
    head = server.http.head(address)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))
    part = server.http.get(address, headers={"Range": "bytes=4-11"})
    assert (part.status_code, part.content) == (206, whole.content[4:12])
    same = server.http.get(address, headers={"If-None-Match": whole.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    thumbnail = server.http.get(f"/api/assets/{output}/thumbnail", params={"size": 32})
    assert thumbnail.content.startswith(b"\x89PNG")


def test_RUN_3_one_machine_needs_one_command_and_nothing_else(tmp_path: Path) -> None:
    with init(tmp_path / "new", Settings(author="Ada")) as made:
        root = made.root
    alone = Server(root)
    try:
        assert alone.http.get("/health").json() == {"status": "ok"}
        assert alone.get("/tasks") == {"items": [], "next": None}
        _until(lambda: alone.http.get("/ready").status_code == 200)
    finally:
        alone.stop()
    assert sorted(path.name for path in root.parent.iterdir()) == [".intaglio", "serve.log"]


def test_RUN_4_a_server_that_is_killed_loses_no_task_and_no_output(server: Server, beside: Studio) -> None:
    picture = uploaded(server, 600)
    tasks = [server.post("/tasks", workflow=grainy(f"kill{at}", picture))["id"] for at in range(8)]
    _until(lambda: beside.tasks.get(tasks[1]).status == "done")

    server.kill()
    server.start()

    ended = [server.done(task) for task in tasks]
    assert [task["status"] for task in ended] == ["done"] * len(tasks)
    for task in ended:
        for output in server.get(f"/tasks/{task['id']}/snapshot")["outputs"]:
            content = server.http.get(f"/api/assets/{output['asset']}/content").content
            assert digest_bytes(content) == output["asset"]
    assert beside.library.check().problems == ()


def test_VER_8_numbers_stay_unique_when_many_save_at_once(server: Server) -> None:
    workflow = grainy("many", uploaded(server))

    def save(at: int) -> Any:
        return server.post("/tasks", workflow=workflow, annotation=f"number {at}")["id"]

    with ThreadPoolExecutor(8) as people:
        tasks = list(people.map(save, range(24)))
    assert {server.done(task)["status"] for task in tasks} == {"done"}

    kept = server.get("/versions", workflow="many", limit=100)["items"]

    assert sorted(item["version"]["number"] for item in kept) == list(range(1, 25))
    assert {item["version"]["annotation"] for item in kept} == {f"number {at}" for at in range(24)}


def test_VER_8_what_named_people_say_is_signed_with_their_names(server: Server, beside: Studio) -> None:
    task = server.post("/tasks", workflow=grainy("signed", uploaded(server)), annotation="to be judged")["id"]
    version = server.done(task)["version"]
    tokens = {
        "Cleo": beside.tokens.create("Cleo", ["approve"]).token,
        "Ben": beside.tokens.create("Ben", ["run"]).token,
    }

    def said(who: str, path: str, **body: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {tokens[who]}"}
        return server.http.post(f"/api/versions/{version}/{path}", json=body, headers=headers)

    assert said("Ben", "comment", text="too dark").json()["author"] == "Ben"
    assert said("Ben", "approve").status_code == 403
    assert said("Ben", "comment", text="I am Cleo", author="Cleo").status_code == 403
    assert said("Cleo", "approve", note="this one").status_code == 200
    standing = server.get(f"/versions/{version}/standing")
    assert (standing["approval"], standing["by"]) == ("approved", "Cleo")
    assert [comment["author"] for comment in standing["comments"]] == ["Ben"]


def test_SNAP_2_references_keep_their_address_when_the_file_is_gone(server: Server, tmp_path: Path) -> None:
    picture = tmp_path / "reference.png"
    picture.write_bytes(encode(ramp(40, 30)))
    reference = server.http.post("/api/uploads", params={"name": "reference.png"}, content=picture.read_bytes()).json()
    nodes = {"in": node("reference-image", image=reference["reference"]), "out": node("output", "in")}
    task = server.post("/tasks", workflow={"name": "addressed", "nodes": nodes}, annotation="from a file")["id"]
    version = server.done(task)["version"]
    expected = picture.read_bytes()
    picture.unlink()

    held = server.get(f"/versions/{version}")["version"]["references"]["in"]["image"]
    address = server.get(f"/tasks/{task}/snapshot")["plan"]["steps"][0]["assets"]["image"]["address"]

    assert address.endswith(digest_bytes(expected)) and address in str(held)
    fetched = server.http.get(f"/api/assets/{address}/content")
    assert (fetched.status_code, fetched.content) == (200, expected)
    outputs = server.get(f"/versions/{version}/snapshot")["outputs"]
    assert all(server.http.get(f"/api/assets/{each['address']}/content").status_code == 200 for each in outputs)
    archive = zipfile.ZipFile(io.BytesIO(server.http.get(f"/api/versions/{version}/export").content))
    assert any(name.startswith("inputs/") for name in archive.namelist())


def test_a_request_sent_twice_is_done_once(server: Server) -> None:
    body = {"workflow": grainy("twice", uploaded(server))}
    with ThreadPoolExecutor(4) as impatient:

        def send(_: int) -> httpx2.Response:
            return server.http.post("/api/tasks", json=body, headers={"Idempotency-Key": "monday"})

        answers = list(impatient.map(send, range(8)))
    made = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    assert len(made) == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    other = server.http.post("/api/tasks", json={**body, "set": []}, headers={"Idempotency-Key": "monday"})
    assert other.status_code == 409


def _until(is_so: Any) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end, "it took too long"
        threading.Event().wait(0.02)

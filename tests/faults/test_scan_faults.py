"""Scanning what others left on a disk: never a traceback, never a wrong digest, and nothing done is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from acceptance.conftest import SCENES
from acceptance.weights import weights
from blake3 import blake3

from intaglio.core.errors import Unavailable
from intaglio.store import filehash
from intaglio.studio.open import Studio, init, open_studio
from intaglio.studio.settings import Settings


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """An empty library."""
    with init(tmp_path / "studio", Settings(author="Ada", threads=2)) as opened:
        yield opened


def command(studio: Studio, *words: str) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "intaglio", "--library", str(studio.root), *words], capture_output=True, check=False
    )


def tensor(first: int, last: int, size: int | None = None) -> dict[str, Any]:
    """How a header describes a tensor."""
    return {"dtype": "U8", "shape": [last - first if size is None else size], "data_offsets": [first, last]}


BAD_HEADERS: dict[str, dict[str, Any]] = {
    "negative offsets": {"a": {"dtype": "U8", "shape": [8], "data_offsets": [-8, 0]}},
    "overlapping tensors": {"a": tensor(0, 6), "b": tensor(4, 8)},
    "a hole": {"a": tensor(0, 2), "b": tensor(4, 8)},
    "more than there is": {"a": tensor(0, 2**60)},
    "less than there is": {"a": tensor(0, 4)},
    "a shape that is too large": {"a": tensor(0, 8, 10**18)},
    "no tensors": {},
    "a tensor that is a number": {"a": 7},
    "offsets that are words": {"a": {"dtype": "U8", "shape": [8], "data_offsets": ["0", "8"]}},
}


@pytest.mark.parametrize("case", BAD_HEADERS)
def test_a_bad_header_is_told_and_the_rest_is_indexed(studio: Studio, tmp_path: Path, case: str) -> None:
    weights(tmp_path / "found" / "bad.safetensors", b"12345678", header=BAD_HEADERS[case])
    weights(tmp_path / "found" / "good.safetensors", b"12345678")
    found = studio.models.scan(tmp_path / "found")
    assert found.counts == {"broken": 1, "new": 1}
    assert found.findings[0].path.endswith("bad.safetensors")
    assert [model.name for model, _ in studio.models.list()] == ["good"]


def test_a_header_of_a_gigabyte_is_not_read(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "found" / "huge.safetensors"
    path.parent.mkdir()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 2**30) + b"{")
        file.truncate(2**30 + 100)  # a hole: no byte of it is on the disk
    found = studio.models.scan(path.parent)
    assert found.counts == {"broken": 1}
    assert "claims a header of 1073741824 bytes" in found.findings[0].note


def test_text_that_no_record_can_hold_does_not_stop_a_scan(studio: Studio, tmp_path: Path) -> None:
    header = {"__metadata__": {"title": "half \ud800", "\udfff": "x"}, "unet.lora_up.weight": tensor(0, 2)}
    weights(tmp_path / "found" / "odd.safetensors", b"ab", header=header)
    assert studio.models.scan(tmp_path / "found").counts == {"new": 1}
    assert studio.models.find("odd").metadata["title"] == "half \\ud800"


def test_links_and_things_that_are_no_files(studio: Studio, tmp_path: Path) -> None:
    folder = tmp_path / "found"
    real = weights(folder / "real" / "ink.safetensors", b"ink")
    (folder / "real" / "up").symlink_to(folder)
    (folder / "around").symlink_to(folder / "around")
    (folder / "loop.safetensors").symlink_to(folder / "loop.safetensors")
    (folder / "nowhere.safetensors").symlink_to(folder / "nothing")
    (folder / "linked.safetensors").symlink_to(real)
    (folder / "elsewhere").symlink_to(tmp_path / "outside")
    weights(tmp_path / "outside" / "far.safetensors", b"far")
    os.mkfifo(folder / "pipe.safetensors")
    (folder / "empty.pt").touch()
    (folder / "null.bin").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(folder)  # the name of a socket is short
        server.bind("socket.ckpt")
        os.chdir(here)
        found = studio.models.scan(folder)
    assert found.counts == {"broken": 6, "new": 2, "copy": 1}
    said = {Path(each.path).name: each.note for each in found.findings if each.status == "broken"}
    assert said["pipe.safetensors"] == said["socket.ckpt"] == said["null.bin"] == "not a file"
    assert (said["nowhere.safetensors"], said["empty.pt"]) == ("a link to nothing", "an empty file")
    assert "loop.safetensors" in said
    assert studio.models.scan(folder).counts == {"broken": 6, "unchanged": 3}


def test_a_name_that_is_not_unicode_is_told_in_safe_words(studio: Studio, tmp_path: Path) -> None:
    folder = tmp_path / "found"
    weights(folder / "good.safetensors", b"good")
    shutil.copy(os.fsencode(folder / "good.safetensors"), os.fsencode(folder) + b"/b\xe4d\x1b[2J.safetensors")
    (folder / os.fsdecode(b"f\xf6lder")).mkdir()
    weights(folder / os.fsdecode(b"f\xf6lder") / "in.safetensors", b"in")
    weights(folder / "na\nme \u202eevil.safetensors", b"n")
    plain = command(studio, "models", "scan", str(folder), "--no-background")
    assert plain.returncode == 0, plain.stderr
    assert b"\x1b" not in plain.stdout
    assert "\u202e".encode() not in plain.stdout
    report = json.loads(command(studio, "models", "scan", str(folder), "--no-background", "--json").stdout)
    assert report["counts"] == {"broken": 2, "unchanged": 2}
    assert {each["note"] for each in report["findings"]} == {"its name is not Unicode; rename it"}


def test_a_folder_with_a_file_missing_is_broken_and_was_replaced_when_it_was_whole(
    studio: Studio, tmp_path: Path
) -> None:
    folder = tmp_path / "found" / "pipe"
    shutil.copytree(SCENES, folder)
    part = folder / "unet" / "diffusion_pytorch_model.safetensors"
    part.rename(tmp_path / "aside")
    assert studio.models.scan(tmp_path / "found").counts == {"broken": 1}
    (tmp_path / "aside").rename(part)
    assert studio.models.scan(tmp_path / "found").counts == {"new": 1}
    whole = studio.models.find("pipe")
    part.unlink()
    (found,) = studio.models.scan(tmp_path / "found").findings
    assert (found.status, found.was, found.model) == ("replaced", whole.digest, "")
    assert "holds no weights" in found.note
    assert [model.ref for model, _ in studio.models.list()] == [whole.ref], "half a model gets no name"


def test_what_may_not_be_read_is_told() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        weights(folder / "open" / "a.safetensors", b"a")
        weights(folder / "closed" / "b.safetensors", b"b")
        weights(folder / "c.safetensors", b"c")
        (folder / "c.safetensors").chmod(0)
        (folder / "closed").chmod(0)
        folder.chmod(0o777)
        script = (
            "import os, sys, json\n"
            "from intaglio.studio.open import init\n"
            "from intaglio.studio.settings import Settings\n"
            "import intaglio.backends.inspect, alembic\n"
            "os.getuid() or os.setuid(65534)\n"
            "with init(sys.argv[1] + '/library', Settings(author='Ada')) as studio:\n"
            "    found = studio.models.scan(sys.argv[1])\n"
            "print(json.dumps([[each.path, each.note] for each in found.findings]))\n"
        )
        done = subprocess.run([sys.executable, "-c", script, name], capture_output=True, text=True, check=False)
        (folder / "closed").chmod(0o755)
        assert done.returncode == 0, done.stderr
        found = {Path(path).name: note for path, note in json.loads(done.stdout)}
    assert set(found) == {"a.safetensors", "c.safetensors", "closed"}
    assert found["a.safetensors"] == ""
    assert "permission" in found["c.safetensors"]
    assert "permission" in found["closed"]


def test_a_file_that_changes_while_it_is_hashed_is_busy_and_never_indexed_wrong(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights(tmp_path / "found" / "ink.safetensors", b"x" * 1000)
    real = filehash.hash_open
    changes = iter([b"y", b"z"])

    def meddled(file: Any, where: Path, progress: Any = None) -> tuple[str, int]:
        found = real(file, where, progress)
        for data in changes:
            weights(path, data * 1000)
            break
        return found

    monkeypatch.setattr(filehash, "hash_open", meddled)
    found = studio.models.scan(path.parent)
    right = "blake3:" + blake3(path.read_bytes()).hexdigest()
    assert {(each.status, each.digest) for each in found.findings} <= {("busy", ""), ("new", right)}
    studio.models.scan(path.parent)
    assert studio.models.find("ink").digest == right


def test_a_file_that_is_always_being_written(studio: Studio, tmp_path: Path) -> None:
    path = weights(tmp_path / "found" / "ink.safetensors", b"a" * 3_000_000)
    whole = {letter: path.read_bytes().replace(b"a" * 3_000_000, letter * 3_000_000) for letter in (b"a", b"b")}
    stop = threading.Event()

    def rewrite() -> None:
        while not stop.is_set():
            for data in whole.values():
                with path.open("r+b") as file:
                    file.write(data)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        findings = [each for _ in range(5) for each in studio.models.scan(path.parent).findings]
        with pytest.raises(Unavailable, match="changed while it was being read"):
            deque((filehash.hash_for_others(path) for _ in range(50)), maxlen=0)
    finally:
        stop.set()
        writer.join()
    for each in findings:
        assert each.status in ("busy", "broken", "new", "replaced", "header-edited")
    studio.models.scan(path.parent)
    right = "blake3:" + blake3(path.read_bytes()).hexdigest()
    assert studio.models.search(right).matches, "when it is left alone, it is what it is"


def test_hashes_are_never_stored_for_other_content(studio: Studio, tmp_path: Path) -> None:
    path = weights(tmp_path / "found" / "ink.safetensors", b"one")
    studio.models.scan(path.parent)
    digest = studio.models.find("ink").digest
    weights(path, b"two")
    assert [where for where, _ in studio.models.hash_pending().failed] == [str(path)]
    assert studio._parts.model_index.hashes(digest) is None


def test_one_process_at_a_time_hashes_for_others(studio: Studio, tmp_path: Path) -> None:
    from intaglio.store.lock import TaskLock

    weights(tmp_path / "found" / "ink.safetensors", b"one")
    studio.models.scan(tmp_path / "found")
    with TaskLock.hold(studio.root / "locks" / "model-hashes"):
        assert command(studio, "models", "hash").returncode == 4
        assert command(studio, "models", "hash", "--background").returncode == 0
    assert studio.models.hash_pending().files == 1


def test_ten_thousand_files(studio: Studio, tmp_path: Path) -> None:
    folder = tmp_path / "found"
    body = weights(folder / "d0" / "m0.safetensors", b"0" * 8).read_bytes()[:-8]
    for number in range(10_000):
        path = folder / f"d{number % 20}" / (f"m{number}.safetensors" if number % 10 == 0 else f"m{number}.bin")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(body + b"%08d" % number if number % 10 == 0 else b"no model %d" % number)
    seen: list[tuple[int, int, int, int]] = []
    found = studio.models.scan(folder, progress=lambda *each: seen.append(each))
    assert found.counts == {"new": 1_000, "broken": 9_000}
    assert seen[-1][0] == seen[-1][1] == 10_000
    assert seen[-1][2] == seen[-1][3]
    assert seen == sorted(seen)
    assert studio.models.scan(folder).counts == {"unchanged": 1_000, "broken": 9_000}
    assert studio.models.verify_all().models == 1_000


def test_a_stopped_scan_keeps_what_it_did(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "found"
    for number in range(40):
        weights(folder / f"m{number:02}.safetensors", b"%d" % number)

    def stop(done: int, *_: int) -> None:
        if done == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        studio.models.scan(folder, progress=stop)
    assert len(studio.models.list()) == 25
    assert studio.models.scan(folder).counts == {"unchanged": 25, "new": 15}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_scan_that_is_killed_is_gone_on_with(studio: Studio, tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "found"
    for each in range(1_500):
        weights(folder / f"m{each:04}.safetensors", b"%d" % each)
    words = [sys.executable, "-m", "intaglio", "--library", str(studio.root), "models", "scan", str(folder)]
    process = subprocess.Popen(
        [*words, "--no-background"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )  # fmt: skip
    while process.poll() is None and len(studio.models.list()) < 200:
        time.sleep(0.02)
    process.send_signal(number)
    said = process.communicate()[1]
    assert process.returncode in (-signal.SIGKILL, 130, 0)
    if process.returncode == 130:
        assert "run it again to go on" in said
    kept = len(studio.models.list())
    assert kept >= 200
    found = studio.models.scan(folder)
    assert found.counts.get("unchanged", 0) == kept
    assert len(studio.models.list()) == 1_500
    with open_studio(studio.root) as again:
        assert again.library.check().problems == ()


def test_a_missing_folder_is_refused_before_anything_is_called_gone(studio: Studio, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    weights(folder / "ink.safetensors", b"ink")
    studio.models.scan(folder)
    folder.rename(tmp_path / "unplugged")
    done = command(studio, "models", "scan", str(folder))
    assert (done.returncode, b"no folder" in done.stderr) == (3, True)
    assert not studio._parts.model_index.at(str(folder / "ink.safetensors"))[0].gone


def test_a_library_in_a_scanned_folder_is_left_alone(studio: Studio, tmp_path: Path) -> None:
    weights(studio.root / "models" / "fetched.safetensors", b"fetched")
    weights(tmp_path / "studio" / ".cache" / "half.safetensors", b"half")
    weights(tmp_path / "studio" / "mine.safetensors", b"mine")
    assert [Path(each.path).name for each in studio.models.scan(tmp_path / "studio").findings] == ["mine.safetensors"]
    assert studio.models.scan(tmp_path / "studio" / ".cache").counts == {"new": 1}, "unless it is asked for by name"

"""MODEL: folders scanned and watched, other tools' hashes, and what became of a file that is not what it was."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from acceptance.conftest import SCENES, Command, node, painting, write
from acceptance.models import copied, flipped
from acceptance.weights import weights
from blake3 import blake3

from intaglio.core.errors import Conflict, Invalid, NotFound, UnpinnedModel, UnsafeModel
from intaglio.studio.open import Studio
from intaglio.studio.scan import Finding

NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def named(studio: Studio) -> dict[str, str]:
    """The places of models by name and version."""
    return {f"{model.name}:{model.version}": str(path) for model, path in studio.models.list()}


def only(findings: tuple[Finding, ...], status: str) -> Finding:
    """The one finding of that status."""
    (found,) = (finding for finding in findings if finding.status == status)
    return found


def test_MODEL_1_a_scan_names_every_model_and_the_next_one_changes_nothing(studio: Studio, tmp_path: Path) -> None:
    folder = tmp_path / "found"
    weights(folder / "ink.safetensors", b"ink")
    weights(folder / "deep" / "er" / "Ink wash (v2).safetensors", b"wash")
    weights(folder / "other" / "ink.safetensors", b"another ink")
    copied(folder / "pipe")
    shutil.copytree(SCENES / "vae", folder / "my vae")
    (folder / "notes.txt").write_text("no model")
    first = studio.models.scan(folder)
    assert first.counts == {"new": 5}
    places = named(studio)
    assert places["ink:v1"] == str(folder / "ink.safetensors")
    assert places["other-ink:v1"] == str(folder / "other" / "ink.safetensors"), "two of one name are told apart"
    assert places["Ink-wash-v2:v1"] == str(folder / "deep" / "er" / "Ink wash (v2).safetensors")
    kinds = {name: studio.models.find(name).model_kind for name in ("ink", "pipe", "my-vae")}
    assert kinds == {"ink": "lora", "pipe": "checkpoint", "my-vae": "vae"}
    assert studio.models.check(studio.models.find("pipe").digest).state == "ok"
    again = studio.models.scan(folder)
    assert (again.counts, again.findings, named(studio)) == ({"unchanged": 5}, (), places)


def test_MODEL_1_nothing_is_read_twice(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from intaglio.store import filehash

    read: list[str] = []
    real = filehash.hash_open

    def counted(file: object, path: Path, progress: object = None) -> tuple[str, int]:
        read.append(path.name)
        return real(file, path, progress)  # type: ignore[arg-type]

    monkeypatch.setattr(filehash, "hash_open", counted)
    folder = tmp_path / "found"
    for name in ("a", "b"):
        os.utime(weights(folder / f"{name}.safetensors", name.encode()), ns=(0, 0))
    (folder / "link.safetensors").symlink_to(folder / "a.safetensors")
    (folder / "hard.safetensors").hardlink_to(folder / "b.safetensors")
    time.sleep(2.1)  # a file this young may change again without its times moving
    studio.models.scan(folder)
    studio.models.scan(folder)
    weights(folder / "c.safetensors", b"c")
    studio.models.scan(folder)
    assert sorted(read) == ["a.safetensors", "b.safetensors", "c.safetensors"]


def test_MODEL_1_the_hashes_of_other_tools_are_what_those_compute(studio: Studio, tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000  # 1.28 MB: AutoV1 reads 64 KiB from 1 MiB on
    path = weights(tmp_path / "found" / "ink.safetensors", data, note="hello")
    whole = path.read_bytes()
    studio.models.scan(tmp_path / "found")
    assert studio.models.search("ink").pending > 0
    with pytest.raises(NotFound, match=sha256(whole).hexdigest()[:10]) as refused:
        studio.models.find(sha256(whole).hexdigest()[:10])
    assert "still wait" in refused.value.hint
    assert studio.models.hash_pending().failed == ()
    digest = "blake3:" + blake3(whole).hexdigest()
    names = {
        "SHA-256": sha256(whole).hexdigest(),
        "AutoV2": sha256(whole).hexdigest()[:10],
        "AutoV1": sha256(whole[0x100000:0x110000]).hexdigest()[:8],
        "AutoV3": sha256(data).hexdigest()[:12],
        "tensor digest": sha256(data).hexdigest(),
        "BLAKE3": digest.removeprefix("blake3:")[:9],
    }
    for how, text in names.items():
        for written in (text, text.upper()):
            (match,) = studio.models.search(written).matches
            assert (match.how, match.digest, match.models) == (how, digest, ("ink:v1",))
            assert [place.path for place in match.places] == [str(path)]
    for written in (f"sha256:{names['SHA-256'][:6]}", f"autov2:{names['AutoV2']}", f"AutoV3:{names['AutoV3']}", digest):
        assert studio.models.search(written).matches[0].digest == digest
    assert studio.models.search(names["SHA-256"][:5]).matches == (), "five digits are too few"
    assert studio.models.hash_pending().files == 0, "nothing is computed twice"


def test_MODEL_1_a_file_in_a_model_folder_is_found_by_its_hash(studio: Studio) -> None:
    studio.models.hash_pending()
    part = "unet/diffusion_pytorch_model.safetensors"
    (match,) = studio.models.search(sha256((SCENES / part).read_bytes()).hexdigest()[:10]).matches
    assert (match.part, match.models) == (part, ("scenes:v1",))
    with pytest.raises(NotFound):
        studio.models.find(sha256((SCENES / part).read_bytes()).hexdigest())


def test_MODEL_1_the_hash_of_nothing_finds_nothing(studio: Studio, tmp_path: Path, command: Command) -> None:
    header = {"unet.lora_up.weight": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}
    weights(tmp_path / "found" / "hollow.safetensors", b"", header=header)
    studio.models.scan(tmp_path / "found")
    studio.models.hash_pending()
    known = studio._parts.model_index.hashes(studio.models.find("hollow").digest)
    assert known is not None
    assert (known.tensors, known.autov1) == ("", "")
    for text in (NOTHING, NOTHING[:6], NOTHING[:10].upper(), "sha256:" + NOTHING, "autov3:" + NOTHING[:12]):
        with pytest.raises(NotFound) as refused:
            studio.models.search(text)
        assert "SHA-256 of nothing" in refused.value.hint
        with pytest.raises(NotFound):
            studio.models.find(text)
    asked = command("models", "find", NOTHING[:10])
    assert (asked.returncode, "SHA-256 of nothing" in asked.stderr) == (3, True)


def test_MODEL_1_all_that_a_hash_may_mean_is_listed(studio: Studio, tmp_path: Path) -> None:
    folder = tmp_path / "found"
    weights(folder / "one.safetensors", b"same", note="one")
    weights(folder / "two.safetensors", b"same", note="two")
    studio.models.scan(folder)
    studio.models.hash_pending()
    tensors = sha256(b"same").hexdigest()
    assert {match.models for match in studio.models.search(tensors[:12]).matches} == {("one:v1",), ("two:v1",)}
    with pytest.raises(Conflict, match="fits 2 models"):
        studio.models.find(tensors)


def test_MODEL_5_a_workflow_may_name_a_model_by_its_hash(studio: Studio, tmp_path: Path) -> None:
    weights(tmp_path / "found" / "ink.safetensors", b"ink")
    studio.models.scan(tmp_path / "found")
    studio.models.hash_pending()
    found = studio.models.find("ink")
    digits = sha256((tmp_path / "found" / "ink.safetensors").read_bytes()).hexdigest()
    for reference in (f"sha256:{digits}", digits[:10], f"autov2:{digits[:10]}"):
        assert studio.models.find(reference).ref == found.ref
        assert studio.models.is_exact(reference)
    for reference in (digits[:8], "ink", "ink:latest", f"sha256:{digits[:6]}"):
        assert studio.models.find(reference) == found
        assert not studio.models.is_exact(reference)
    nodes = {"base": node("text-to-image", seed=1, **painting(model="scenes")), "out": node("output", "base")}
    with pytest.raises(UnpinnedModel):
        studio.tasks.run(write(tmp_path / "w.json", "w", nodes, mode="production"))


def test_MODEL_2_a_moved_file_keeps_its_name_and_a_copy_is_a_second_place(studio: Studio, tmp_path: Path) -> None:
    folder = tmp_path / "found"
    path = weights(folder / "ink.safetensors", b"ink")
    studio.models.scan(folder)
    model = studio.models.find("ink")
    moved = folder / "styles" / "Ink.safetensors"
    moved.parent.mkdir()
    path.rename(moved)
    found = only(studio.models.scan(folder).findings, "moved")
    assert (found.path, found.was, found.model) == (str(moved), str(path), "ink:v1")
    assert studio.models.find("ink") == model, "nothing but the place is another"
    assert named(studio)["ink:v1"] == str(moved)
    assert studio.models.check(model.digest).state == "ok"
    shutil.copy(moved, folder / "copy.safetensors")
    assert only(studio.models.scan(folder).findings, "copy").model == "ink:v1"
    moved.unlink()
    assert studio.models.check(model.digest).path == folder / "copy.safetensors", "any place will do, before a scan too"
    assert only(studio.models.scan(folder).findings, "gone").path == str(moved)
    (folder / "copy.safetensors").unlink()
    assert only(studio.models.scan(folder).findings, "gone").model == "ink:v1"
    assert studio.models.check(model.digest).state == "missing"
    weights(moved, b"ink")
    assert only(studio.models.scan(folder).findings, "back").model == "ink:v1"
    assert studio.models.check(model.digest).state == "ok"


def test_MODEL_2_files_that_swap_their_names_keep_theirs(studio: Studio, tmp_path: Path) -> None:
    folder = tmp_path / "found"
    a, b = weights(folder / "a.safetensors", b"a"), weights(folder / "b.safetensors", b"b")
    studio.models.scan(folder)
    a.rename(folder / "x")
    b.rename(a)
    (folder / "x").rename(b)
    assert studio.models.scan(folder).counts == {"replaced": 2}
    assert named(studio)["a:v1"] == str(b)
    assert named(studio)["b:v1"] == str(a)
    assert studio.models.verify_all().problems == ()


def test_MODEL_2_an_edited_header_is_told_from_other_weights(studio: Studio, tmp_path: Path) -> None:
    folder = tmp_path / "found"
    path = weights(folder / "ink.safetensors", b"ink" * 9)
    studio.models.scan(folder)
    studio.models.hash_pending()
    first = studio.models.find("ink")
    weights(path, b"ink" * 9, note="trained with love")
    checked = studio.models.check(first.digest)
    assert checked.state == "changed"
    assert "same weights, other header" in checked.found
    found = only(studio.models.scan(folder).findings, "header-edited")
    assert (found.was, found.model, found.note) == (first.digest, "ink:v2", "same weights, other header")
    assert studio.models.same_weights(first.digest, found.digest) is False, "not hashed for others yet"
    studio.models.hash_pending()
    assert studio.models.same_weights(first.digest, found.digest)
    weights(path, b"inK" * 9, note="trained with love")
    replaced = only(studio.models.scan(folder).findings, "replaced")
    assert (replaced.was, replaced.model) == (found.digest, "ink:v3")
    assert not studio.models.same_weights(first.digest, replaced.digest)
    assert "same weights" not in studio.models.check(first.digest).found


def test_MODEL_2_an_edited_header_inside_a_folder_is_told_too(studio: Studio, tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    folder = copied(tmp_path / "found" / "own")
    model = studio.models.add(folder, name="own")
    studio.models.hash_pending()
    part = folder / "unet" / "diffusion_pytorch_model.safetensors"
    with safe_open(part, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
    save_file(tensors, part, metadata={"format": "pt", "note": "edited"})
    assert "same weights, other header" in studio.models.check(model.digest).found
    flipped(folder)
    assert "same weights" not in studio.models.check(model.digest).found


def test_MODEL_2_a_replaced_model_is_reported_with_the_versions_made_with_it(
    studio: Studio, tmp_path: Path, command: Command
) -> None:
    folder = copied(tmp_path / "found" / "own")
    assert command("models", "scan", str(tmp_path / "found"), "--no-background").returncode == 0
    nodes = {"base": node("text-to-image", seed=3, **painting(model="own")), "out": node("output", "base")}
    task = studio.tasks.run(write(tmp_path / "w.json", "w", nodes), annotation="before", label="first")
    folder.rename(tmp_path / "found" / "renamed")
    moved = studio.models.scan(tmp_path / "found")
    assert moved.counts == {"moved": 1}
    assert studio.versions.grade(task.version).grade == "full", "a renamed model keeps its grade"
    old = studio.models.find("own")
    flipped(tmp_path / "found" / "renamed")
    done = command("models", "scan", str(tmp_path / "found"), "--no-background")
    assert done.returncode == 0, done.stderr
    assert "replaced" in done.stdout
    assert "w/v1-first" in done.stdout
    assert studio.models.find("own:v1") == old
    new = studio.models.find("own:v2")
    (before,) = (place for place in studio._parts.model_index.of(old.digest) if place.path.endswith("renamed"))
    assert before.gone and before.first_seen <= before.last_seen <= before.gone
    assert f"{old.digest[:19]} -> {new.digest[:19]}" in done.stdout
    assert before.first_seen[:19] in done.stdout
    assert studio.versions.grade(task.version).grade == "partial"


def test_MODEL_2_verify_names_all_that_changed(studio: Studio, tmp_path: Path, command: Command) -> None:
    folder = tmp_path / "found"
    paths = [weights(folder / f"{name}.safetensors", name.encode()) for name in "abc"]
    studio.models.scan(folder)
    assert command("models", "verify", "--all").returncode == 0
    weights(paths[0], b"X")
    paths[1].unlink()
    done = command("models", "verify", "--all", "--json")
    assert done.returncode == 4
    report = json.loads(done.stdout)
    assert report["models"] == 4
    assert {each["model"]: each["state"] for each in report["problems"]} == {"a:v1": "changed", "b:v1": "missing"}
    assert command("models", "verify").returncode == 2


class _Bomb:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return (Path.write_text, (Path("/tmp/intaglio-was-unpickled"), "boom"))  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["old.ckpt", "old.pt", "old.bin", "old.pth", "old.safetensors"])
def test_MODEL_6_a_pickle_is_indexed_and_refused_until_that_digest_is_allowed(
    studio: Studio, tmp_path: Path, name: str
) -> None:
    marker = Path("/tmp/intaglio-was-unpickled")
    marker.unlink(missing_ok=True)
    path = tmp_path / "found" / name
    path.parent.mkdir()
    path.write_bytes(pickle.dumps(_Bomb()))
    digest = "blake3:" + blake3(path.read_bytes()).hexdigest()
    for _ in range(2):  # said every time
        found = only(studio.models.scan(path.parent).findings, "refused")
        assert (found.digest, found.what, found.model) == (digest, "unsafe: pickle", "")
    (match,) = studio.models.search(digest).matches
    assert match.places[0].what == "unsafe: pickle"
    with pytest.raises(NotFound):
        studio.models.find(digest)
    with pytest.raises(NotFound):
        studio.models.allow("blake3:" + "0" * 64, name="old")
    safe = weights(tmp_path / "safe" / "ink.safetensors", b"ink")
    with pytest.raises(Invalid, match="nothing to allow"):
        studio.models.allow(only(studio.models.scan(safe.parent).findings, "new").digest, name="other")
    assert studio.models.allow(digest.removeprefix("blake3:"), name="old").pickle_allowed
    assert studio.models.scan(path.parent).counts == {"unchanged": 1}
    path.write_bytes(pickle.dumps([_Bomb()]))
    with pytest.raises(UnsafeModel, match="not the file that was allowed"):
        studio.models.allow(digest, name="again")
    assert only(studio.models.scan(path.parent).findings, "replaced").model == "", "the next one is not allowed"
    assert not marker.exists()


def test_MODEL_1_scan_hash_and_find_through_the_command(studio: Studio, tmp_path: Path, command: Command) -> None:
    folder = tmp_path / "found"
    path = weights(folder / "ink.safetensors", b"ink")
    done = command("models", "scan", str(folder), "--json", "--no-background")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["counts"] == {"new": 1}
    assert (report["findings"][0]["model"], report["pending"] > 0) == ("ink:v1", True)
    digits = sha256(path.read_bytes()).hexdigest()
    waiting = command("models", "find", digits[:10])
    assert (waiting.returncode, "still wait" in waiting.stderr) == (3, True)
    assert command("models", "hash").returncode == 0
    found = json.loads(command("models", "find", digits[:10], "--json").stdout)
    assert [(match["how"], match["models"]) for match in found["matches"]] == [("AutoV2", ["ink:v1"])]
    assert str(path) in command("models", "find", "INK").stdout
    assert command("models", "scan", str(folder / "nowhere")).returncode == 3


def test_MODEL_1_the_other_hashes_come_by_themselves_after_a_scan(
    studio: Studio, tmp_path: Path, command: Command
) -> None:
    path = weights(tmp_path / "found" / "ink.safetensors", b"ink")
    assert command("models", "scan", str(path.parent)).returncode == 0
    digits = sha256(path.read_bytes()).hexdigest()
    until(lambda: bool(studio.models.search(digits).matches))
    until(lambda: not (studio.root / "locks" / "model-hashes").exists())


def until(true: Callable[[], bool]) -> None:
    """Wait for something that another process or thread does."""
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("it never happened")


@pytest.fixture
def watched(studio: Studio, tmp_path: Path) -> Iterator[tuple[Path, list[Finding]]]:
    """A folder that is watched, and what was found in it so far."""
    folder, found, stop = tmp_path / "found", list[Finding](), threading.Event()
    weights(folder / "first.safetensors", b"first")

    def follow() -> None:
        for finding in studio.models.watch(folder, stop=stop, settle_s=0.4):
            found.append(finding)  # one by one, while others look

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        until(lambda: len(found) == 1)
        yield folder, found
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def test_MODEL_2_a_watch_follows_what_happens(studio: Studio, watched: tuple[Path, list[Finding]]) -> None:
    folder, found = watched
    weights(folder / "new" / "second.safetensors", b"second")
    until(lambda: found[-1].status == "new" and found[-1].model == "second:v1")
    (folder / "new").rename(folder / "old")
    until(lambda: found[-1].status == "moved")
    assert found[-1].path == str(folder / "old" / "second.safetensors")
    weights(folder / "first.safetensors", b"changed")
    until(lambda: found[-1].status == "replaced")
    shutil.copytree(SCENES, folder / "pipe")
    (folder / "pipe" / "note.txt").write_text("own")
    until(lambda: found[-1].path == str(folder / "pipe"))
    assert found[-1].status in ("new", "copy", "replaced")
    (folder / "first.safetensors").unlink()
    until(lambda: found[-1].status == "gone")
    assert studio.models.check(studio.models.find("second").digest).state == "ok"


def test_MODEL_2_a_half_copied_file_is_not_indexed(watched: tuple[Path, list[Finding]], tmp_path: Path) -> None:
    folder, found = watched
    whole = weights(tmp_path / "whole.safetensors", b"x" * 4000).read_bytes()
    with (folder / "slow.safetensors").open("wb") as file:
        for start in range(0, len(whole), 500):
            file.write(whole[start : start + 500])
            file.flush()
            time.sleep(0.15)
    until(lambda: len(found) > 1)
    assert [(finding.status, finding.digest) for finding in found[1:]] == [
        ("new", "blake3:" + blake3(whole).hexdigest())
    ]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_MODEL_2_the_watch_command_says_each_change_and_ends_cleanly(
    studio: Studio, tmp_path: Path, end: signal.Signals
) -> None:
    folder = tmp_path / "found"
    weights(folder / "first.safetensors", b"first")
    words = [sys.executable, "-m", "intaglio", "--library", str(studio.root), "models", "watch", str(folder)]
    options = ["--json", "--settle", "0.3", "--no-background"]
    with subprocess.Popen([*words, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            first = json.loads(process.stdout.readline())
            weights(folder / "second.safetensors", b"second")
            second = json.loads(process.stdout.readline())
            process.send_signal(end)
            rest = process.communicate(timeout=60)
        finally:
            process.kill()
    assert [(each["status"], each["model"]) for each in (first, second)] == [("new", "first:v1"), ("new", "second:v1")]
    assert (process.returncode, rest) == (0, ("", ""))


def test_MODEL_2_a_name_that_is_no_text_does_not_end_a_watch(watched: tuple[Path, list[Finding]]) -> None:
    folder, found = watched
    odd = os.fsencode(folder) + b"/caf\xe9.safetensors"
    (folder / "first.safetensors").rename(os.fsdecode(odd))
    until(lambda: {"broken", "gone"} <= {finding.status for finding in found})
    weights(folder / "second.safetensors", b"second")
    until(lambda: found[-1].status == "new" and found[-1].model == "second:v1")
    os.rename(odd, folder / "third.safetensors")
    until(lambda: found[-1].status in ("moved", "back") and found[-1].model == "first:v1")
    assert [finding.status for finding in found].count("broken") == 1


def test_MODEL_1_a_scan_says_in_a_line_what_it_made_of_each_file(
    studio: Studio, tmp_path: Path, command: Command
) -> None:
    folder = tmp_path / "found"
    weights(folder / "ink.safetensors", b"ink")
    entry = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}
    long = weights(folder / f"{'x' * 200}.safetensors", b"x", header={"of.no.kind": entry})
    (folder / "deep.safetensors").write_bytes((200_002).to_bytes(8, "little") + b'{"a":' + b"[" * 199_997)
    (folder / "é.safetensors").write_bytes(weights(tmp_path / "e.safetensors", b"e").read_bytes())
    (folder / "猫.safetensors").write_bytes(weights(tmp_path / "cat.safetensors", b"cat").read_bytes())
    lines = command("models", "scan", str(folder), "--no-background").stdout.splitlines()
    assert lines[-2] == f"1 broken, 3 new, 1 unknown; {sum(path.stat().st_size for path in new(folder))} B"
    said = {line.split("/", 1)[1].split(".safetensors")[0].rsplit("/", 1)[1]: line for line in lines[:-2]}
    assert said["deep"].endswith("deep.safetensors: has a damaged safetensors header: it is nested too deeply")
    assert said[long.stem].startswith("unknown  ")
    assert said[long.stem].endswith(f"{long}: of no kind that Intaglio knows")
    assert said["ink"] == f"new      ink:v1    lora  {folder / 'ink.safetensors'}"
    assert "e:v1" in said["é"]
    assert "--name NAME" in said["猫"]
    assert command("models", "find", str(folder / "ink.safetensors")).stdout.startswith("ink:v1  ")
    assert command("models", "find", "INK").returncode == 0
    assert "6 digits" in command("models", "find", "7b59").stderr
    assert len(command("models", "find", "a" * 100_000).stderr) < 1000


def new(folder: Path) -> list[Path]:
    """The three sound models of a folder."""
    return [folder / f"{name}.safetensors" for name in ("ink", "é", "猫")]


def test_MODEL_1_a_folder_too_deep_to_open_is_said(studio: Studio, tmp_path: Path) -> None:
    weights(tmp_path / "found" / "ink.safetensors", b"ink")
    within = os.open(tmp_path / "found", os.O_RDONLY)
    for _ in range(50):
        os.mkdir("d" * 100, dir_fd=within)
        below = os.open("d" * 100, os.O_RDONLY, dir_fd=within)
        os.close(within)
        within = below
    os.close(within)
    found = studio.models.scan(tmp_path / "found")
    assert found.counts == {"new": 1, "broken": 1}
    assert "too deep" in only(found.findings, "broken").note


def test_MODEL_1_show_tells_where_a_model_is_and_its_hashes(studio: Studio, tmp_path: Path, command: Command) -> None:
    path = weights(tmp_path / "ink.safetensors", b"ink")
    model = studio.models.add(path, name="ink")
    first = command("models", "show", "ink").stdout
    assert f"file     {path}\n" in first
    assert "kept     no\n" in first
    assert "intaglio models hash" in first
    studio.models.hash_pending()
    how = studio.models.keep("ink").kept.how
    digits = sha256(path.read_bytes()).hexdigest()
    shown = command("models", "show", "ink").stdout.splitlines()
    assert {f"SHA-256  {digits}", f"AutoV2   {digits[:10]}", f"kept     yes, as a {how}"} <= set(shown)
    path.unlink()
    assert f"file     {path} (gone)" in command("models", "show", model.digest).stdout
    report = json.loads(command("models", "show", "ink", "--json").stdout)
    assert (report["places"], report["kept"], report["hashes"]["sha256"]) == ([str(path)], how, digits)

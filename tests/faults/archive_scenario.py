"""Keeping, restoring and using a kept model, stopped at every point that changes the disk.

Run as a script it sweeps: `python archive_scenario.py kill|full FOLDER STEP` stops the work at every STEP-th point, by
SIGKILL or by a full disk, one forked child for each, and prints a JSON summary.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from intaglio.core.errors import IntaglioError
from intaglio.store import disk
from intaglio.studio.open import Studio, init, open_studio
from intaglio.studio.settings import Settings

SCENES = Path(__file__).resolve().parents[2] / "models" / "scenes"
SETTINGS = Settings(author="Ada", seeds="sequence", threads=1)
OTHER = b"something else of the user's"
Stop = Callable[[int], None]


def content(path: Path) -> dict[str, bytes]:
    """Every file of a file or folder by its relative path."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def looks(folder: Path) -> list[tuple[str, int, int, int, int]]:
    """What the user's files look like: nothing of this may ever change."""
    found = [(path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [
        (str(path.relative_to(folder)), each.st_mode, each.st_uid, each.st_size, each.st_mtime_ns)
        for path, each in found
    ]


def prepare(folder: Path) -> None:
    """A library with a small file that is put together with a folder, outside of the library."""
    from safetensors.numpy import load_file, save_file

    mine = folder / "mine"
    shutil.copytree(SCENES, mine / "config", ignore=shutil.ignore_patterns("*.safetensors", "text_encoder", "unet"))
    tensors = load_file(SCENES / "vae/diffusion_pytorch_model.safetensors")
    save_file({name: tensor for name, tensor in tensors.items() if tensor.size < 2000}, mine / "small.safetensors")
    with init(folder / "library", SETTINGS) as studio:
        studio.models.add(mine / "small.safetensors", name="small", config=mine / "config")


def work(place: Path, acknowledge: Callable[[str], None]) -> None:
    """Keep the model, bring its two parts back elsewhere, and use them while their files are gone."""
    with open_studio(place / "library", SETTINGS) as studio:
        studio.models.keep("small")
        acknowledge("kept")
        config = studio.models.find("small").config
        (place / "back").mkdir()
        studio.models.restore("small", to=place / "back" / "small.safetensors")
        acknowledge("restored")
        (place / "back" / "config").write_bytes(OTHER)
        acknowledge("placed")
        studio.models.restore(config, to=place / "back" / "config", replace=True)
        acknowledge("replaced")
        (place / "back" / "small.safetensors").unlink()
        shutil.rmtree(place / "back" / "config")
        (place / "mine").rename(place / "away")
        acknowledge("gone")
        studio.models.file(studio.models.find("small").ref)
        acknowledge("used")


def prove(place: Path, base: Path, acknowledged: list[str]) -> None:
    """The library is whole, nothing is half there, and the work can be done to its end. Raises AssertionError."""
    right = {"small": content(base / "mine" / "small.safetensors"), "config": content(base / "mine" / "config")}
    back, mine = place / "back", place / ("away" if "gone" in acknowledged else "mine")
    assert looks(mine) == looks(base / "mine"), "the user's own files were touched"
    with open_studio(place / "library", SETTINGS) as studio:
        assert studio.library.check().problems == ()
        kept = studio._parts.kept.list()
        assert len(kept) == 2 or "kept" not in acknowledged
        if back.is_dir():
            _nothing_half(back, right, acknowledged)
        _finish(studio, place, right)
        assert studio.library.check().problems == ()
    assert not [path.name for path in back.iterdir() if path.name.startswith(".")], "a half-made one was left"


def _nothing_half(back: Path, right: dict[str, dict[str, bytes]], acknowledged: list[str]) -> None:
    file, folder = back / "small.safetensors", back / "config"
    if file.exists():
        assert content(file) == right["small"]
    if "gone" not in acknowledged and "replaced" not in acknowledged:
        assert file.exists() or "restored" not in acknowledged
        assert not folder.is_dir() or content(folder) == right["config"]
    others = [path for path in back.iterdir() if path.is_file() and path.read_bytes() == OTHER]
    assert len(others) == ("placed" in acknowledged), "the user's file that stood in the way is there, somewhere"


def _finish(studio: Studio, place: Path, right: dict[str, dict[str, bytes]]) -> None:
    back = place / "back"
    model = studio.models.find("small")
    if (place / "mine").is_dir():
        studio.models.keep("small")
        (place / "mine").rename(place / "away")
    used = studio.models.file(model.ref)
    assert used.config is not None
    assert (content(used.path), content(used.config)) == (right["small"], right["config"])
    assert used.path.suffix == ".safetensors"
    studio.models.restore("small", to=back / "small.safetensors", replace=True)
    studio.models.restore(model.config, to=back / "config", replace=True)
    assert content(back / "small.safetensors") == right["small"]
    assert content(back / "config") == right["config"]
    assert studio.models.check(model.digest).state == "ok"


# -- the sweep --------------------------------------------------------------------------------------------------------


def attempt(place: Path, base: Path, stop: Stop) -> tuple[int, list[Any], str]:
    """The work in a child that calls `stop(number)` at each point: exit status, what was acknowledged, its crash."""
    shutil.copytree(base, place)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        status = 0
        try:
            _observed(place, writing, stop)
        except IntaglioError:
            status = 4
        except BaseException:
            os.write(writing, (json.dumps({"crash": traceback.format_exc()[-3000:]}) + "\n").encode())
            status = 70
        os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        lines = [json.loads(line) for line in pipe if line.endswith("\n")]
    _, status = os.waitpid(child, 0)
    crash = next((line["crash"] for line in lines if isinstance(line, dict)), "")
    return status, [line for line in lines if not isinstance(line, dict)], crash


def _observed(place: Path, writing: int, stop: Stop) -> None:
    count = 0

    def at(_: str) -> None:
        nonlocal count
        count += 1
        stop(count)

    def acknowledge(fact: Any) -> None:
        os.write(writing, (json.dumps(fact) + "\n").encode())

    disk.observe(at)
    work(place, acknowledge)
    disk.observe(None)
    acknowledge(count)


def _kill_at(number: int) -> Stop:
    def stop(count: int) -> None:
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return stop


def _full_at(number: int) -> Stop:
    def stop(count: int) -> None:
        if number <= count < number + 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    return stop


def sweep(kind: str, folder: Path, step: int) -> dict[str, Any]:
    """Stop the work at every `step`-th point and prove each time that nothing was lost or half done."""
    base, place = folder / "base", folder / "now"  # always the same place, because a library names its models' places
    prepare(place)
    place.rename(base)
    _, facts, crash = attempt(place, base, lambda count: None)
    assert not crash, crash
    prove(place, base, facts)
    shutil.rmtree(place)
    failures, stopped = [], 0
    for number in range(1, facts[-1] + 1, step):
        status, acknowledged, crash = attempt(place, base, (_kill_at if kind == "kill" else _full_at)(number))
        stopped += status != 0
        try:
            assert not crash, crash
            prove(place, base, acknowledged)
        except (AssertionError, IntaglioError) as error:
            failures.append(f"point {number}: {type(error).__name__}: {error}"[:3000])
        shutil.rmtree(place)
    return {"points": facts[-1], "stopped": stopped, "failures": failures}


if __name__ == "__main__":
    print(json.dumps(sweep(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))

"""REP 6: how far a model's pictures move when something around it changes is measured by real runs, and kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from intaglio.core.codec import digest, from_plain
from intaglio.core.envelope import Envelope
from intaglio.core.errors import ModelUnavailable
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings

from .conftest import SCENES, Command

NARROWER = {"AVX512": {"AVX2", "DEFAULT"}, "AVX2": {"DEFAULT"}}


def conditions(envelope: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The conditions of one kind, by what was changed to."""
    return {found["after"]: found for found in envelope["conditions"] if found["kind"] == kind}


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which everything temporary is made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_REP_6_an_envelope_is_measured_by_real_runs_and_kept(studio: Studio, command: Command, temporary: Path) -> None:
    done = command(
        *("models", "envelope", "scenes", "--only", "repeat,process,threads,batch", "--repeats", "2", "--json"),
        INTAGLIO_THREADS="2",
    )
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    model = studio.models.find("scenes")
    assert (found["model"]["digest"], found["node_type"], found["device"]) == (model.digest, "text-to-image", "cpu")
    assert found["type_version"] == studio.nodes.show("text-to-image").version
    assert (found["environment"]["threads"], found["environment"]["libraries"]["torch"] != "") == (2, True)
    for kind, after in (("repeat", "again"), ("process", "another process"), ("batch", "in a batch of 3")):
        same = conditions(found, kind)[after]
        assert (same["runs"], same["identical"], same["max_difference"], same["psnr"]) == (2, 2, 0, None), kind
    # The values are those that the runs recorded of themselves: a change that did not happen is not among them.
    assert {one["before"] for one in conditions(found, "threads").values()} == {"2"}
    assert "1" in conditions(found, "threads") and "2" not in conditions(found, "threads")
    assert "1 of " in done.stderr and "threads 2 -> 1" in done.stderr
    (kept,) = studio.models.envelopes("scenes")
    assert kept == from_plain(Envelope, found)
    assert studio.tasks.list() == [] and studio.versions.list() == [] and studio.workflows.list() == []
    assert list(temporary.glob("intaglio-*")) == []
    words = command("models", "envelope", "scenes", "--show").stdout
    assert digest(kept)[:19] in words and "2 -> 1" in words
    assert "identical on this machine in the same process, in a new process" in words


def test_REP_6_what_changes_pictures_is_told_with_its_numbers(studio: Studio) -> None:
    (found,) = studio.models.envelope("scenes", repeats=1, kinds=["dtype", "cpu_capability", "device"])
    by_kind = {(one.kind, one.after): one for one in found.conditions}
    lower = by_kind["dtype", "bfloat16"]
    assert (lower.before, lower.runs, lower.identical) == ("float32", 1, 0)
    assert lower.max_difference > 0 and lower.changed_share > 0 and lower.psnr is not None and lower.ssim < 1
    own = str(found.environment.backend["cpu_capability"])
    narrower = {one.after: one for one in found.conditions if one.kind == "cpu_capability"}
    assert set(narrower) == NARROWER.get(own, set())
    assert all((one.before, one.runs) == (own, 2) for one in narrower.values())
    if not set(found.environment.backend["devices"]) - {"cpu"}:
        assert "device cpu -> cuda: there is none here" in found.skipped
    assert studio.models.envelopes("scenes") == (found,)


def test_REP_6_what_cannot_be_measured_is_refused_before_anything_runs(studio: Studio, command: Command) -> None:
    for arguments, code, words in (
        (("--nodes", "film-grain"), 2, "film-grain: it makes no pictures"),
        (("--nodes", "nonsense"), 2, "no node type 'nonsense'"),
        (("--only", "weather"), 2, "no condition 'weather'"),
        (("--repeats", "0"), 2, "0"),
    ):
        done = command("models", "envelope", "scenes", *arguments)
        assert done.returncode == code and words in done.stderr, done.stderr
        assert "as it is set" not in done.stderr
    assert command("models", "envelope", "nobody").returncode == 3
    assert studio.models.envelopes("scenes") == ()


def test_REP_6_a_model_that_is_not_what_it_was_is_not_measured_under_its_name(tmp_path: Path) -> None:
    import shutil

    shutil.copytree(SCENES, tmp_path / "model")
    with init(tmp_path / "studio", Settings(author="Ada")) as studio:
        studio.models.add(tmp_path / "model", name="scenes")
        (tmp_path / "model" / "unet" / "config.json").write_text("{}")
        with pytest.raises(ModelUnavailable):
            studio.models.envelope("scenes", kinds=["process"], repeats=1)
        assert studio.models.envelopes("scenes") == ()


def test_REP_6_stopping_it_leaves_nothing_behind(studio: Studio, temporary: Path) -> None:
    # A shell that runs the tests in the background has its children ignore Ctrl-C; this one must not.
    obeying = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    start = f"{obeying}; import intaglio.cli.main as main; main.run()"
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            start,
            "models",
            "envelope",
            "scenes",
            "--only",
            "process",
            "--library",
            str(studio.root),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"TMPDIR": str(temporary)},
    ) as process:
        assert process.stderr is not None
        assert "as it is set" in process.stderr.readline()
        while not list(temporary.glob("*/.intaglio/locks/*.lock")):  # until a picture is being made
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "cancelled" in errors and "Traceback" not in errors
    assert list(temporary.glob("intaglio-*")) == []
    assert working_in(temporary) == []
    assert studio.models.envelopes("scenes") == ()


def working_in(folder: Path) -> list[str]:
    """The processes whose working folder is in `folder`: those that make the pictures."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if os.readlink(link).startswith(str(folder)):
                found.append(link.parent.name)
    return found

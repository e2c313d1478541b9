from __future__ import annotations

import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from intaglio.core.codec import decode, encode
from intaglio.core.environment import Environment
from intaglio.engine import environment
from intaglio.engine.environment import LIBRARIES, capture, cpu


def test_the_surroundings_are_those_of_this_process() -> None:
    found = capture(threads=3, deterministic=False, backend={"devices": ["cpu"]})
    assert (found.threads, found.deterministic, found.backend) == (3, False, {"devices": ("cpu",)})
    assert found.python == platform.python_version()
    assert found.libraries["numpy"] == metadata.version("numpy")
    assert set(found.libraries) == set(LIBRARIES)
    assert found.cpu.cores >= 1
    assert re.match(r"\d+\.\d+", found.intaglio)
    assert decode(Environment, encode(found)) == found
    assert capture(threads=3, deterministic=False, backend={"devices": ["cpu"]}) == found


def test_a_library_that_is_not_installed_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "LIBRARIES", ("numpy", "surely-not-installed"))
    environment.library_versions.cache_clear()
    try:
        assert environment.library_versions()["surely-not-installed"] == ""
    finally:
        monkeypatch.undo()
        environment.library_versions.cache_clear()


@pytest.mark.parametrize(
    ("text", "model", "widest"),
    [
        ("model name\t: Xeon\nflags\t\t: sse4_2 avx avx2 avx512f\n\nmodel name\t: Other\n", "Xeon", "avx512f"),
        ("model name : Old\nflags : sse4_2 avx\n", "Old", "avx"),
        ("Features\t: fp asimd\n", None, "asimd"),
        ("", None, ""),
    ],
)
def test_the_processor_is_read_from_what_linux_says(
    text: str, model: str | None, widest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self, **_: text)
    found = cpu.__wrapped__()
    assert found.instruction_set == widest
    assert found.model == (model or platform.processor() or platform.machine())


def test_without_proc_cpuinfo_python_says_what_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self: Path, **_: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert cpu.__wrapped__().instruction_set == ""


def test_capturing_imports_none_of_the_libraries_it_describes() -> None:
    code = (
        "import sys; from intaglio.engine.environment import capture;"
        "capture(threads=1, deterministic=True, backend={});"
        "print([name for name in ('torch', 'diffusers', 'numpy', 'PIL', 'sqlalchemy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_makes_videos_is_named_where_one_is_made_and_nowhere_else() -> None:
    with_video = capture(threads=1, deterministic=True, backend={}, video=True)
    without = capture(threads=1, deterministic=True, backend={})
    added = set(with_video.libraries) - set(without.libraries)
    assert added == {"av", "av:libavcodec", "av:libavformat", "av:libavutil", "av:libx264"}
    assert with_video.libraries["av"] == metadata.version("av")
    assert int(with_video.libraries["av:libx264"].split()[0]) > 100
    assert not any(name.startswith("av") for name in without.libraries)

"""What the documents say is run: every command of the README with its output, every block of Python."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tour  # docs/tour.py: what refreshes the documents runs them the same way

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# The documents whose commands are run, one after the other, in a folder of their own.
TOURS = [path for path in DOCUMENTS if tour.has_tour(path)]
# What differs from run to run: digests, task ids, executed seeds, times, sizes on disk.
VARYING = (
    (r"intaglio_[\w-]{43}", "<token>"),
    (r"upload:[0-9a-f]{32}", "<upload>"),
    (r'"(size|number)": \d+', r'"\1": <number>'),
    (r"blake3:[0-9a-f]{64}", "<digest>"),
    (r"blake3:[0-9a-f]{12}", "<short>"),
    (r"\d{8}-\d{6}-[0-9a-f]{8}", "<task>"),
    (r"seed \d+ \(drawn\) *", "seed <drawn> "),
    (r"seed +\d{5,}", "seed <drawn>"),
    (r"-> \d+ \(drawn\)", "-> <drawn>"),
    (r"\d+(\.\d+)? (s|min)\b", "<time>"),
    (r"\d{4}-\d\d-\d\d(T[\d:.]+Z?)?", "<date>"),
    (r"\d+(\.\d)? (B|KiB|MiB)\b", "<size>"),
    (r"(/\S+)?/\.intaglio", "<library>"),
    (r"/\S+/(mine|scenes)\b", "<model>"),
    (r"replaced-\d{4}-\d\d-\d\d", "replaced-<date>"),
    (r"\d+/255|(mean|PSNR|SSIM|FLIP) [\d.]+|[\d.]+ % of pixels", "<measured>"),
)


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of one language in a document."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def masked(text: str) -> list[str]:
    """Lines with what varies replaced, without trailing blanks."""
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text)
    return [re.sub(" {2,}", "  ", line.rstrip()) for line in text.strip().splitlines()]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like a checkout, where a reader may try things."""
    for name in ("examples", "models"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


# Those whose commands are run through a server too: what a command prints does not depend on where the library is.
BEHIND_SERVER = [ROOT / "docs" / "lineage.md"]
WAYS = [(path, False) for path in TOURS] + [(path, True) for path in BEHIND_SERVER]


@pytest.mark.parametrize(
    ("path", "behind_server"), WAYS, ids=lambda value: value.name if isinstance(value, Path) else str(value)
)
def test_every_command_of_the_tour_prints_what_is_shown(path: Path, behind_server: bool, tmp_path: Path) -> None:
    played = []
    for done in tour.play(path, tmp_path, behind_server=behind_server):
        assert done.code == expected_code(done.command, done.shown), f"{done.command}\n{done.errors}"
        assert masked(done.said) == masked(done.shown), done.command
        played.append(done.command)
    assert len(played) >= 3


def expected_code(command: str, output: str) -> int:
    """The exit code that goes with an output."""
    if output.startswith("error:"):
        return 4
    differs = "first difference" in output or ("versions diff" in command and "the same content" not in output)
    return 10 if differs else 0


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_of_python_runs(path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    for number, block in enumerate(blocks(path, "python")):
        script = checkout / f"block{number}.py"
        script.write_text(block)
        done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_every_link_leads_somewhere() -> None:
    for path in (*DOCUMENTS, ROOT / "ARCHITECTURE.md"):
        for target in re.findall(r"\]\(([^)#]+?)\)", path.read_text()):
            assert "://" in target or (path.parent / target).exists(), f"{path.name}: {target}"

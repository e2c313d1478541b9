"""The machine that was measured on."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path

from intaglio.engine.environment import capture

SHOWN = ("blake3", "numpy", "pydantic", "pydantic-core", "rfc8785", "sqlalchemy", "torch", "diffusers")


def describe() -> dict[str, str]:
    """What decides the numbers: processor, memory, system, disk, versions."""
    found = capture(threads=1, deterministic=True, backend={})
    return {
        "processor": f"{found.cpu.model}, {found.cpu.cores} cores, {found.cpu.instruction_set}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "system": found.os,
        "load": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "files": f"{tempfile.gettempdir()} on {_file_system(Path(tempfile.gettempdir()))}",
        "python": f"{platform.python_implementation()} {found.python}",
        "libraries": ", ".join(f"{name} {_version(name)}" for name in SHOWN),
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "-"


def _file_system(path: Path) -> str:
    if shutil.which("stat") is None:
        return "?"
    found = subprocess.run(["stat", "-f", "-c", "%T", str(path)], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "?"

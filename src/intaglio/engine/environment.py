"""Reading the surroundings of a run, without importing the heavy libraries it describes."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

from intaglio.core.environment import Cpu, Environment
from intaglio.core.record import Json

# What can change a picture, or explain that it changed.
LIBRARIES = (
    "accelerate", "blake3", "diffusers", "numpy", "peft", "pillow", "pydantic", "rfc8785", "safetensors",
    "scipy", "sqlalchemy", "tokenizers", "torch", "torchsde", "transformers",
)  # fmt: skip
PLUGINS = "intaglio.nodes"
# Widest first: the first one present names the instruction set.
_INSTRUCTION_SETS = ("amx_tile", "avx512_vnni", "avx512f", "avx2", "avx", "sse4_2", "asimd", "neon")


def capture(*, threads: int, deterministic: bool, backend: Mapping[str, Json], video: bool = False) -> Environment:
    """The surroundings now. `backend` is what the pixel-making libraries say of themselves, empty if none is used.

    `video`: name what makes videos too. Runs that make none do not, so that another encoder makes no difference there.
    """
    return Environment(
        intaglio=tool_version(),
        python=platform.python_version(),
        os=platform.platform(),
        machine=platform.machine(),
        cpu=cpu(),
        libraries=library_versions() | (_encoder() if video else {}),
        threads=threads,
        deterministic=deterministic,
        backend=backend,
    )


@cache
def library_versions() -> dict[str, str]:
    """The installed version of each library of LIBRARIES ("" where it is not installed), and of each package that
    brings node types, as "plugin:<name>"."""
    plugins = {entry.dist for entry in metadata.entry_points(group=PLUGINS) if entry.dist is not None}
    return {name: _version(name) for name in LIBRARIES} | {f"plugin:{dist.name}": dist.version for dist in plugins}


def _encoder() -> dict[str, str]:
    from intaglio.imaging.encode_video import encoder_facts

    return encoder_facts()


def tool_version() -> str:
    """Intaglio's own version."""
    return _version("intaglio")


@cache
def cpu() -> Cpu:
    """The processor: model name and flags from /proc/cpuinfo where there is one, else what Python knows."""
    fields = _cpuinfo()
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return Cpu(
        model=fields.get("model name", platform.processor() or platform.machine()),
        instruction_set=next((name for name in _INSTRUCTION_SETS if name in flags), ""),
        cores=os.cpu_count() or 1,
    )


def _cpuinfo() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""

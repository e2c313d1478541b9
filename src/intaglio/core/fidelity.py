"""The measurement after a reproduction: how each output compares with the stored one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from intaglio.core.grade import Grade
from intaglio.core.record import EMPTY, later, record

Verdict = Literal["identical bytes", "identical pixels", "similar", "different", "missing"]
_WORST_FIRST: tuple[Verdict, ...] = ("missing", "different", "similar", "identical pixels", "identical bytes")

# From here up the structural similarity of two pictures is called "similar"; below, "different".
SIMILAR_SSIM = 0.95


@record
class OutputFidelity:
    """One output held against the stored one. Differences are in 8-bit steps; `psnr` in dB, None when identical.

    `stored`, `produced`, `difference` (the picture of the difference) and `sheet` (recorded, again and difference side
    by side) are asset digests; "" where there is none. `flip` is the mean FLIP error, 0 to 1; `hash_distance` the
    number of bits, of 64, in which the perceptual hashes differ. The numbers are None where the two cannot be compared
    pixel by pixel (another size or mode).

    Of clips they are those of the frame that is the worst for each, and the mean for `mean_difference` and
    `changed_share`; the pictures show the worst frame, which `note` names.
    """

    node: str
    step: str
    stored: str
    produced: str
    verdict: Verdict
    same_bytes: bool
    same_pixels: bool
    max_difference: int | None = None
    mean_difference: float | None = None
    changed_share: float | None = None
    psnr: float | None = None
    ssim: float | None = None
    difference: str = ""
    note: str = ""
    flip: float | None = later(None)
    hash_distance: int | None = later(None)
    sheet: str = later("")


@record
class StepDifference:
    """How the first step that differs was run differently; `changes` are in words ("torch 2.13.0 -> 2.14.1").

    `same` names what was the same ("inputs", "parameters", "seed", "models", "environment").
    """

    step: str
    same: tuple[str, ...]
    changes: tuple[str, ...]


@record
class Fidelity:
    """The verdict over all outputs (the worst of them), and the first step whose output differs ("" = none)."""

    verdict: Verdict
    outputs: tuple[OutputFidelity, ...]
    first_difference: str = ""
    cause: StepDifference | None = later(None)


@record
class Reproduction:
    """One attempt to bring a version back: what was predicted, what was measured, when and by which task.

    `models` says which models took the place of recorded ones, by recorded digest; empty unless the user chose so.
    `environment` is the digest of the surroundings it ran in, `host` the name of the machine.
    """

    kind: Literal["reproduction"] = "reproduction"
    format: Literal[1] = 1
    version: str
    task: str
    created: str
    grade: Grade
    fidelity: Fidelity
    models: Mapping[str, str] = later(EMPTY)
    environment: str = later("")
    host: str = later("")


def is_identical(verdict: Verdict) -> bool:
    """Whether a verdict means: every pixel the same."""
    return verdict in ("identical bytes", "identical pixels")


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict over several outputs. With none to compare nothing was shown, so it is "missing"."""
    return min(verdicts, key=_WORST_FIRST.index, default="missing")

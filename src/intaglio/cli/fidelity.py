"""How a measurement reads: the words for outputs that were compared, and for why they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intaglio.cli.app import say, short

if TYPE_CHECKING:
    from intaglio.core.fidelity import Fidelity, OutputFidelity, StepDifference
    from intaglio.core.grade import Grade

_MEANING = {
    "full": "everything that made it is here",
    "approximate": "everything asked for is here, but something around it changed or is not sure",
    "partial": "something needed is not here",
}


def grade_words(found: Grade) -> None:
    """A grade with its reasons."""
    say(f"grade     {found.grade}: {_MEANING[found.grade]}")
    for gap in found.gaps:
        say(f"  {gap.code}: {gap.message}" + (f"; {gap.evidence}" if gap.evidence else ""))
        say(f"    {gap.remedy}")


def fidelity_words(fidelity: Fidelity) -> None:
    """A verdict, each output, and where it began to differ."""
    say(f"fidelity  {fidelity.verdict}")
    for output in fidelity.outputs:
        say(f"  {output.step}: {output_words(output)}")
    if fidelity.first_difference:
        say(f"  first difference at node {fidelity.first_difference}")
    if fidelity.cause is not None:
        cause_words(fidelity.cause)


def cause_words(cause: StepDifference) -> None:
    """Why the first step that differs does."""
    from intaglio.core.difference import in_words

    say(f"  {in_words(cause)}")


def output_words(output: OutputFidelity) -> str:
    """One output in a line."""
    if output.same_pixels:
        return f"{output.verdict}  {short(output.stored)}"
    if output.ssim is None:
        return f"{output.verdict}  {output.note}"
    psnr = "" if output.psnr is None else f", PSNR {output.psnr:.1f} dB"
    flip = "" if output.flip is None else f", FLIP {output.flip:.4f}"
    numbers = (
        f"{output.verdict}  largest difference {output.max_difference}/255, mean {output.mean_difference:.4f}, "
        f"{100 * (output.changed_share or 0):.2f} % of pixels{psnr}, SSIM {output.ssim:.4f}{flip}"
    )
    # A library that can only be read keeps no pictures.
    pictures = f"difference picture {short(output.difference)}, side by side {short(output.sheet)}"
    return "; ".join(filter(None, (numbers, output.note, pictures if output.difference else "")))

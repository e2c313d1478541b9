"""Whether grades tell the truth: many small real runs, each reproduced after one thing was disturbed.

    python benchmarks/truth.py --trials N [--json] [--seed S] [--only PERTURBATION] [--trial SEED]

Each trial draws a small workflow from its seed, runs it, keeps it as a version, disturbs one thing out of a
catalogue, asks for the grade, reproduces, and compares the pixels by itself. It prints predicted grade against measured
fidelity and every offence with its trial's seed; `--trial SEED` runs that one again, alone and at length. Exit code 1
when there was an offence. What counts as one, and as pessimism, is written in truth_machine/judge.py; what is done, and
what must be said of it, in the truth_machine/of_*.py files.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import count, islice
from pathlib import Path

# So that it runs as a file as well: the folder of this file holds modules that hide others of the same name.
ROOT = Path(__file__).resolve().parents[1]
if sys.path and Path(sys.path[0]).resolve() == ROOT / "benchmarks":
    sys.path[0] = str(ROOT)

from benchmarks.truth_machine.bench import Bench  # noqa: E402
from benchmarks.truth_machine.catalogue import catalogue, perturbation_of  # noqa: E402
from benchmarks.truth_machine.judge import Result, run_trial  # noqa: E402
from benchmarks.truth_machine.report import summary, words  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Run trials and report on them."""
    asked = _parser().parse_args(arguments)
    if asked.list:
        for name, each in catalogue().items():
            print(f"{each.weight}  {name}{' (another process)' if each.slow else ''}")
        return 0
    if asked.only and asked.only not in catalogue():
        _parser().error(f"no perturbation {asked.only!r}; see --list")
    seeds = [asked.trial] if asked.trial is not None else list(islice(seeds_of(asked.seed, asked.only), asked.trials))
    results = run(seeds, verbose=asked.trial is not None)
    report = summary(results)
    print(json.dumps(report, indent=2) if asked.json else words(report))
    return int(any(result.offences for result in results))


def seeds_of(first: int, only: str = "") -> Iterator[int]:
    """The seeds of trials from `first` on; those of one perturbation only, if asked."""
    return (seed for seed in count(first) if not only or perturbation_of(seed).name == only)


def run(seeds: Sequence[int], *, verbose: bool = False) -> list[Result]:
    """These trials one after the other, in libraries that are thrown away. Ctrl-C ends them early."""
    results: list[Result] = []
    with (
        tempfile.TemporaryDirectory(prefix="intaglio-truth-") as folder,
        Bench(Path(folder)) as bench,
        suppress(KeyboardInterrupt),
    ):
        for number, seed in enumerate(seeds, 1):
            result = run_trial(bench, seed)
            results.append(result)
            print(f"{number}/{len(seeds)}  {_line(result)}", file=sys.stderr, flush=True)
            if verbose:
                print(json.dumps(result.plain(), indent=2), file=sys.stderr)
    return results


def _line(result: Result) -> str:
    mark = "  OFFENCE" if result.offences else "  pessimistic" if result.pessimistic else ""
    outcome = f"{result.predicted or '-'} -> {result.measured}"
    return f"{result.seed}  {result.perturbation}: {outcome}  {result.seconds:.1f} s{mark}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="truth.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=100, metavar="N", help="how many (100)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the first trial; the next has S + 1")
    parser.add_argument("--only", default="", metavar="PERTURBATION", help="only this one")
    parser.add_argument("--trial", type=int, metavar="SEED", help="this one trial, at length")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--list", action="store_true", help="print the catalogue, with how often each comes in a round")
    return parser


if __name__ == "__main__":
    sys.exit(main())

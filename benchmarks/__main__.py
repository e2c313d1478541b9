"""`python -m benchmarks [name ...] [--json]`: measure, and print one table. Exit code 1 when a target is missed."""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from typing import Any

from benchmarks.machine import describe

NAMES = ("startup", "engine", "records", "assets", "blobs", "hashing", "scanning", "preflight", "capture", "server")
HEADINGS = ("what", "measured", "compared with", "ratio", "target", "")


def main() -> int:
    """Measure what was asked for; each in a process of its own, so that none is slowed by what another loaded."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"one or more of: {', '.join(NAMES)}")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are: {', '.join(NAMES)}")
    names = asked.names or list(NAMES)
    rows = _here(names[0]) if len(names) == 1 else [row for name in names for row in _apart(name)]
    report = {"machine": describe(), "measured": rows}
    if asked.json:
        print(json.dumps(report, indent=2))
    else:
        _print(report["machine"], rows)
    return int(any(row["passed"] is False for row in rows))


def _here(name: str) -> list[dict[str, Any]]:
    module = importlib.import_module(f"benchmarks.{name}")
    return [measured.plain() for measured in module.measure()]


def _apart(name: str) -> list[dict[str, Any]]:
    print(f"measuring {name} ...", file=sys.stderr)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", name, "--json"], stdout=subprocess.PIPE, text=True, check=False
    )
    if not done.stdout:
        raise SystemExit(f"benchmark {name} failed")
    rows: list[dict[str, Any]] = json.loads(done.stdout)["measured"]
    return rows


def _print(machine: Any, rows: list[dict[str, Any]]) -> None:
    for name, text in machine.items():
        print(f"{name:<10} {text}")
    print()
    table = [HEADINGS, *(_row(row) for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEADINGS))]
    for line, row in zip(table, [None, *rows], strict=True):
        note = f"  ({row['note']})" if row and row["note"] else ""
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + note)


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    unit = row["unit"]
    compared = f"{row['compared']}: {row['against']:.3g} {unit}" if row["against"] is not None else ""
    target = "" if row["target"] is None else f"<= {row['target']:g}{'x' if row['bounds'] == 'ratio' else ' ' + unit}"
    return (
        row["name"],
        f"{row['value']:.3g} {unit}",
        compared,
        f"{row['ratio']:.3g}x" if row["ratio"] is not None else "",
        target,
        {True: "pass", False: "MISS", None: ""}[row["passed"]],
    )


if __name__ == "__main__":
    sys.exit(main())

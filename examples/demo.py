"""The main job, start to end: run the sample workflow, keep it as a version, bring it back in a new process, compare.

Everything goes through the `intaglio` command, as a user would do it; the pictures end up in `demo/`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from intaglio.core.image import Image
from intaglio.imaging.decode import decode
from intaglio.imaging.png import encode
from intaglio.imaging.sheet import contact_sheet

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "demo"
WORKFLOW = ROOT / "examples" / "sunset.yaml"
WIDTH = 78


def main() -> int:
    """Run the demonstration; returns 0 when the version came back identical."""
    began = time.monotonic()
    folder = DEMO / datetime.now().strftime("%Y%m%d-%H%M%S")
    title("Intaglio: engraved once, the same print every time")
    intaglio("init", str(DEMO))
    model = intaglio("models", "add", str(ROOT / "models" / "scenes"), "--name", "scenes")
    print(f"  model       scenes:{model['version']}  {model['digest']}")

    title("1  Run the workflow; seeds are drawn, every result is kept")
    task = intaglio("tasks", "run", str(WORKFLOW), "--annotation", "The evening mood the client asked for")
    shown = intaglio("tasks", "show", task["id"])
    for node in shown["nodes"]:
        seed = f"seed {node['seed']['value']} ({node['seed']['origin']})" if node["seed"] else ""
        print(f"  {node['step']:<10}{node['type']:<16}{seed:<26}{node['seconds']:6.2f} s")
    version = intaglio("versions", "show", task["version"])
    record = version["version"]
    print(f"  version     {record['workflow']['name']}/v{record['number']}: {record['annotation']}")
    print(f"  snapshot    {record['snapshot']}")

    title("2  Bring it back from the version id alone, in a new process")
    back = intaglio("versions", "reproduce", version["digest"], expected=(0, 10))
    print(f"  grade       {back['grade']} (predicted before the run)")
    for gap in back["gaps"]:
        print(f"              {gap['message']}")
    print(f"  fidelity    {back['fidelity']} (measured after it)")
    for output in back["outputs"]:
        print(f"  {output['node']:<12}stored   {output['stored']}\n{'':<14}produced {output['produced']}")

    title("3  What is left for you")
    files = intaglio("versions", "export", version["digest"], "--to", str(folder))
    sheet = folder / "contact-sheet.png"
    sheet.write_bytes(encode(contact(shown, task["snapshot"]), level=6))
    for file in [*files, str(sheet)]:
        print(f"  {Path(file).relative_to(ROOT)}")
    identical = back["fidelity"] in ("identical bytes", "identical pixels")
    title(f"{'Identical, and proven so' if identical else 'NOT identical'}: {time.monotonic() - began:.0f} s in all")
    return 0 if identical else 1


def contact(shown: dict[str, Any], snapshot: str) -> Image:
    """The picture after each node that changed it, in the order of the plan."""
    cells, seen = [], set()
    for node in shown["nodes"]:
        digest = node["outputs"]["image"]
        if digest not in seen:
            seen.add(digest)
            data = subprocess.run(
                [*COMMAND, "assets", "get", digest, "-o", "-"], check=True, capture_output=True, env=ENVIRONMENT
            ).stdout
            seed = f", seed {node['seed']['value']}" if node["seed"] else ""
            cells.append((f"{node['step']}{seed}", decode(data)))
    return contact_sheet(cells, columns=5, title=f"sunset  {snapshot[:19]}")


COMMAND = (sys.executable, "-m", "intaglio")
ENVIRONMENT = {**os.environ, "INTAGLIO_LIBRARY": str(DEMO)}


def intaglio(*arguments: str, expected: tuple[int, ...] = (0,)) -> Any:
    """Run the command in a process of its own and read its JSON. Progress goes to the terminal as it comes."""
    done = subprocess.run([*COMMAND, *arguments, "--json"], stdout=subprocess.PIPE, env=ENVIRONMENT, check=False)
    if done.returncode not in expected:
        raise SystemExit(done.returncode)
    return json.loads(done.stdout)


def title(text: str) -> None:
    """A line that a person sees coming."""
    print(f"\n{text}\n{'-' * min(len(text), WIDTH)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

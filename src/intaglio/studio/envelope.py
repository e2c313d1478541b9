"""Measuring how far a model's pictures move when something around it changes.

Every run is one `intaglio tasks run` in a process of its own, on a library that is made for it and thrown away: the
ordinary door, and no trace in the user's history. What a condition was is read from the record of its run, never
from what was asked for.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from intaglio.core.codec import from_plain
from intaglio.core.context import ModelFile
from intaglio.core.envelope import KINDS, Condition, ConditionKind, Envelope
from intaglio.core.errors import Cancelled, IntaglioError, Invalid, ModelUnavailable, StorageFailed, Unavailable
from intaglio.core.image import Image
from intaglio.core.model import ModelVersion
from intaglio.core.nodetype import NodeType
from intaglio.core.plan import Step
from intaglio.core.snapshot import Snapshot
from intaglio.store import disk
from intaglio.studio import clock
from intaglio.studio.export import file_names
from intaglio.studio.parts import Parts
from intaglio.studio.probes import BATCH, REFERENCE, check_takes, document, probes, reference_pictures
from intaglio.studio.settings import PREFIX, Settings

# Called with what is measured next, its number and how many there are; with zeros for what all are compared with.
Following = Callable[[str, int, int], None]
PICTURES = 12
_KEPT_WORDS = 300

# Narrowest first, by the names torch reports. torch's own kernels and the two libraries it hands convolutions and
# products of matrices to each choose their instructions by themselves. On a machine that has no wider ones all three
# do without, so each of these is measured with torch alone held back, and with all three.
_CAPABILITIES: dict[str, dict[str, str]] = {
    "DEFAULT": {"ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"},
    "AVX512": {},
}


@dataclass(frozen=True)
class Change:
    """One thing to do differently: what it becomes, in which surroundings (each makes all pictures once), and with
    which parameters. `before` is what it is without, "" when the record of the run says it."""

    kind: ConditionKind
    after: str
    surroundings: tuple[Mapping[str, str], ...] = ({},)
    params: Mapping[str, Any] = field(default_factory=dict)
    before: str = ""


@dataclass(frozen=True)
class Run:
    """A run that ended: its record, and its pictures by node and place in the batch."""

    snapshot: Snapshot
    pictures: Mapping[tuple[str, int], Image]


def measure(
    parts: Parts,
    model: ModelVersion,
    file: ModelFile,
    *,
    nodes: Sequence[str],
    repeats: int,
    kinds: Sequence[str],
    progress: Following | None,
) -> tuple[Envelope, ...]:
    """Measure a model under each node type and keep what came out.

    `repeats` is how many pictures each condition is measured with; `kinds` are the conditions, all when empty. Raises
    Invalid, ModelUnavailable, StorageFailed, Cancelled, and Unavailable when the present settings make no pictures.
    """
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise Invalid(f"no condition {unknown[0]!r}", hint=f"There are: {', '.join(KINDS)}.")
    if repeats < 1:
        raise Invalid(f"{repeats} pictures measure nothing", hint="Give 1 or more.")
    types = [_type(parts, name, model) for name in dict.fromkeys(nodes)]
    with parts.database.write():
        pass  # a library that one can only read says so now, not after minutes of work
    found = []
    with tempfile.TemporaryDirectory(prefix="intaglio-envelope-", ignore_cleanup_errors=True) as folder:
        place = _Place(Path(folder), parts.settings, model, file)
        for node_type in types:
            envelope = _Measuring(place, node_type, repeats, kinds or KINDS, progress).envelope(parts.settings.author)
            parts.envelopes.add(envelope)
            found.append(envelope)
    return tuple(found)


def _type(parts: Parts, name: str, model: ModelVersion) -> NodeType:
    if name not in parts.types:
        raise Invalid(f"no node type {name[:80]!r}", hint="See them with: intaglio nodes list")
    check_takes(parts.types[name], model)
    return parts.types[name]


class _Place:
    """The library that is thrown away, with the model in it."""

    def __init__(self, folder: Path, settings: Settings, model: ModelVersion, file: ModelFile) -> None:
        self.folder = folder
        self.model = model
        self._settings = settings
        self._runs = 0
        for name, picture in reference_pictures(model).items():
            self._write(REFERENCE[name], _png(picture))
        self._required("init", str(folder))
        added = self._required(
            *("models", "add", str(file.path), "--name", model.name, "--version", model.version),
            *(("--config", str(file.config)) if file.config else ()),
            *(("--allow-pickle", model.digest) if file.pickle_allowed else ()),
        )
        if added["digest"] != model.digest:
            raise ModelUnavailable(f"model {model.name} {model.version} changed: {file.path} is now {added['digest']}")

    def run(self, workflow: Mapping[str, Any], surroundings: Mapping[str, str]) -> Run | str:
        """Make the pictures of a workflow in a new process; in words why not, when that is not possible here."""
        self._runs += 1
        name, out = f"run{self._runs}.json", self.folder / f"run{self._runs}"
        self._write(name, json.dumps(workflow).encode())
        failed = self._command(
            *("tasks", "run", str(self.folder / name), "--no-annotation", "--no-reuse", "--to", str(out)),
            **surroundings,
        )
        if isinstance(failed, str):
            return failed
        return _read(out)

    def _required(self, *arguments: str) -> dict[str, Any]:
        found = self._command(*arguments)
        if isinstance(found, str):
            raise Unavailable(f"model {self.model.name} cannot be measured: {found}")
        return found

    def _command(self, *arguments: str, **surroundings: str) -> dict[str, Any] | str:
        """What an `intaglio` command answered, or why it did not. The process is killed when this one is stopped."""
        settings = {
            "THREADS": self._settings.threads,
            "DEVICE": self._settings.device,
            "DETERMINISTIC": "on" if self._settings.deterministic else "off",
            "MEMORY": self._settings.memory,
            "AUTHOR": self._settings.author,
            "LIBRARY": self.folder,
        }
        environment = {**os.environ, **{PREFIX + name: str(value) for name, value in settings.items()}, **surroundings}
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "intaglio", *arguments, "--json"],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                answered, said = process.communicate()
            finally:  # Ctrl-C: the folder can only go when nobody works in it any more
                process.kill()
                process.wait()
        if process.returncode == 0:
            answer: dict[str, Any] = json.loads(answered)
            return answer
        return _refusal(process.returncode, said.decode(errors="replace"))

    def _write(self, name: str, data: bytes) -> None:
        disk.write_new(self.folder / name, data)


def _png(picture: Image) -> bytes:
    from intaglio.imaging.png import encode

    return encode(picture)


def _refusal(code: int, text: str) -> str:
    """Why a command failed, in words. Raises what is no finding: Cancelled, StorageFailed, and a fault of our own."""
    if code < 0:
        return f"the process was ended by {signal.Signals(-code).name}"
    last = (text.strip().splitlines() or [""])[-1]
    with suppress(ValueError, KeyError, TypeError):
        error = json.loads(last)["error"]
        if error["code"] == Cancelled.code:
            raise Cancelled("cancelled; nothing was kept")
        if error["code"] == StorageFailed.code:
            raise StorageFailed(error["message"], hint=error["hint"])
        if error["code"] == "internal":
            raise IntaglioError(error["message"], hint=error["hint"])
        return str(error["message"])
    return f"the process ended with code {code}: {last[:_KEPT_WORDS]}"


def _read(folder: Path) -> Run:
    """The record and pictures that a run exported."""
    from intaglio.imaging.decode import decode

    record = json.loads((folder / "record.json").read_bytes())
    snapshot = from_plain(Snapshot, record["snapshot"])
    pictures = {
        (output.node, output.index): decode((folder / name).read_bytes())
        for name, output in zip(file_names(snapshot), snapshot.outputs, strict=True)
    }
    return Run(snapshot, pictures)


class _Measuring:
    """One model under one node type."""

    def __init__(
        self, place: _Place, node_type: NodeType, count: int, kinds: Sequence[str], progress: Following | None
    ) -> None:
        self.place = place
        self.type = node_type
        self.kinds = kinds
        self.made = probes(node_type, place.model, count)
        self.progress = progress or (lambda what, number, total: None)
        self.conditions: list[Condition] = []
        self.skipped: list[str] = []

    def envelope(self, author: str) -> Envelope:
        """Make the pictures with the present settings, then with each thing changed, and compare."""
        created = clock.now()
        self.progress(f"{self.type.name}: as it is set", 0, 0)
        base = self._run({}, {}, again="repeat" in self.kinds)
        if isinstance(base, str):
            raise Unavailable(f"model {self.place.model.name} makes no pictures under {self.type.name}: {base}")
        if "repeat" in self.kinds:
            pairs = [(base.pictures[f"p{n}", 0], base.pictures[f"r{n}", 0]) for n in range(len(self.made))]
            self.conditions.append(compared("repeat", "once", "again", pairs))
        wanted = [
            (change, before)
            for change in changes(Settings().threads)
            if change.kind in self.kinds
            and (before := change.before or seen(change.kind, base.snapshot)) != change.after
        ]
        for number, (change, before) in enumerate(wanted, 1):
            self.progress(f"{self.type.name}: {change.kind} {before} -> {change.after}", number, len(wanted))
            self._measure(change, before, base)
        if not self.conditions:
            raise Unavailable(f"nothing could be measured here: {'; '.join(self.skipped)}")
        step = painted(base.snapshot)
        return Envelope(
            model=self.place.model.ref,
            node_type=step.type,
            type_version=step.type_version,
            device=str(step.params["device"]),
            created=created,
            author=author,
            environment=base.snapshot.environment,
            probes=tuple(probe.words for probe in self.made),
            conditions=tuple(self.conditions),
            skipped=tuple(self.skipped),
        )

    def _measure(self, change: Change, before: str, base: Run) -> None:
        found = _impossible(change, base.snapshot) or self._runs_of(change)
        if isinstance(found, str):
            self.skipped.append(f"{change.kind} {before} -> {change.after}: {found}")
            return
        pairs = [
            (base.pictures[f"p{number}", 0], run.pictures[f"p{number}", probe.place if change.kind == "batch" else 0])
            for run in found
            for number, probe in enumerate(self.made)
        ]
        self.conditions.append(compared(change.kind, before, change.after, pairs))

    def _runs_of(self, change: Change) -> list[Run] | str:
        """The runs with a change made, or why there are none. What they were is read from their own records."""
        runs: list[Run] = []
        for surroundings in change.surroundings:
            run = self._run(surroundings, change.params, batch=change.kind == "batch")
            if isinstance(run, str):
                return run
            if not change.before and (was := seen(change.kind, run.snapshot)) != change.after:
                return f"it ran with {was} all the same"
            runs.append(run)
        return runs

    def _run(
        self, surroundings: Mapping[str, str], params: Mapping[str, Any], *, again: bool = False, batch: bool = False
    ) -> Run | str:
        workflow = document(self.type, self.place.model.digest, self.made, params, again=again, batch=batch)
        return self.place.run(workflow, surroundings)


def changes(threads: int) -> list[Change]:
    """Everything that is changed, in the order in which it is measured; `threads` is how many this machine can run."""
    counts = sorted({1, 2, *(2**power for power in range(2, threads.bit_length()) if 2**power <= threads), threads})
    return [
        Change("process", "another process", before="one process"),
        *(Change("threads", str(count), ({f"{PREFIX}THREADS": str(count)},)) for count in counts),
        Change("batch", f"in a batch of {BATCH}", before="alone"),
        *(Change("dtype", name, params={"dtype": name}) for name in ("bfloat16", "float16")),
        *(Change("deterministic", word, ({f"{PREFIX}DETERMINISTIC": word},)) for word in ("false", "true")),
        *(Change("cpu_capability", name, _held_back(name)) for name in reversed(_CAPABILITIES)),
        *(Change("device", name, params={"device": name}) for name in ("cpu", "cuda", "mps")),
    ]


def _held_back(capability: str) -> tuple[Mapping[str, str], ...]:
    alone = {"ATEN_CPU_CAPABILITY": capability.lower()}
    return (alone, {**alone, **_CAPABILITIES[capability]})


def seen(kind: ConditionKind, snapshot: Snapshot) -> str:
    """What a run says it was, in the words of a condition."""
    match kind:
        case "threads":
            return str(snapshot.environment.threads)
        case "deterministic":
            return str(snapshot.environment.deterministic).lower()
        case "cpu_capability":
            return str(snapshot.environment.backend.get("cpu_capability", ""))
        case "dtype" | "device":
            return str(painted(snapshot).params.get(kind, ""))
    return ""


def painted(snapshot: Snapshot) -> Step:
    """The step that made the first picture."""
    return next(step for step in snapshot.plan.steps if step.node == "p0")


def _impossible(change: Change, base: Snapshot) -> str:
    """Why a change cannot be made here, "" when it can be tried."""
    if change.kind == "cpu_capability":
        own, ordered = seen("cpu_capability", base), list(_CAPABILITIES)
        # Wider instructions than the processor has would end the process, or worse, not.
        if own not in ordered or ordered.index(own) < ordered.index(change.after):
            return f"{own or 'nothing'} is all that torch uses here"
    if change.kind == "device":
        there = {str(name).partition(":")[0] for name in cast(Sequence[str], base.environment.backend["devices"])}
        if change.after not in there:
            return "there is none here"
    return ""


def compared(kind: ConditionKind, before: str, after: str, pairs: Sequence[tuple[Image, Image]]) -> Condition:
    """A condition from its pictures, each without and with the change."""
    from intaglio.imaging.metrics import compare

    found = [compare(old, new, flip=False) for old, new in pairs]
    psnr = [difference.psnr for difference in found if difference.psnr is not None]
    return Condition(
        kind=kind,
        before=before,
        after=after,
        runs=len(pairs),
        identical=sum(old == new for old, new in pairs),
        max_difference=max(difference.max_difference for difference in found),
        mean_difference=max(difference.mean_difference for difference in found),
        changed_share=max(difference.changed_share for difference in found),
        psnr=min(psnr, default=None),
        ssim=min(difference.ssim for difference in found),
    )

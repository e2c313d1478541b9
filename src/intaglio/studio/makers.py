"""Which steps an asset came out of, and which it went into: by their records, else by the snapshots of versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from intaglio.core.canonical import digest_value
from intaglio.core.plan import Plan, Step
from intaglio.core.record import plain
from intaglio.core.snapshot import Snapshot
from intaglio.core.task import NodeRecord
from intaglio.core.version import Version
from intaglio.store.lineage import Lineage
from intaglio.studio.parts import Parts

# Of one thing so many steps, versions, runs and branches are followed.
MOST_OF_ONE = 50
MOST_IMPORTED = 5
SHORT = len("blake3:") + 12


@dataclass(frozen=True)
class Work:
    """A step at work, by its record and its plan; `alike` tasks more did the same, or took it over."""

    record: NodeRecord
    step: Step
    alike: int

    @property
    def id(self) -> str:
        """Its name in a graph."""
        return f"step:{self.record.task}/{self.record.step}"

    @cached_property
    def taken(self) -> dict[str, str]:
        """What went in. Its reference files are told by the plan: records before November 21, 2026 do not name them."""
        return {**self.record.inputs, **{f"params.{name}": ref.digest for name, ref in self.step.assets.items()}}

    @property
    def made(self) -> list[str]:
        """What came out and was not there before: an output node, for one, only passes a picture on."""
        return [digest for digest in self.record.outputs.values() if digest not in self.taken.values()]

    @property
    def only_reads(self) -> bool:
        """Whether it does no more than bring a file in."""
        step = self.step
        return len(step.assets) == 1 and not (step.inputs or step.models or step.seed)


class Works:
    """The steps of a library at work; what was read once is not read again."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.records = Lineage(parts.database)
        self.known: dict[str, Work] = {}
        self._plans: dict[str, Plan] = {}
        # Steps of snapshots that have no records here, or none that names its files: by what they made, and took.
        self._makers: dict[str, dict[str, Work]] = defaultdict(dict)
        self._takers: dict[str, dict[str, Work]] = defaultdict(dict)

    def made_by(self, digest: str) -> tuple[list[Work], str]:
        """The steps that an asset really came out of."""
        found = self.records.makers(digest, MOST_OF_ONE)
        works = [work for work in self._grouped(found.records) if digest in work.made]
        # A file that was written out and brought in again is the same picture, not what the first was made from.
        works = [work for work in works if not work.only_reads] or works
        if not works:
            # Of versions that were imported there are no records; those of runs made here say no more than was read.
            ours = {record.task for record in found.records}
            kept = [version for _, version in self.records.keeping(digest, MOST_OF_ONE) if version.task not in ours]
            for version in kept[:MOST_IMPORTED]:
                self._read_snapshot(version)
            works = list(self._makers[digest].values())
        # None of the first made it, and what came later cannot be what they came from.
        if not works:
            return [], ""
        return works, _left_out(found.total, len(found.records), "tasks that made", digest)

    def taken_by(self, digest: str) -> tuple[list[tuple[Work, str]], str]:
        """The steps that an asset went into and that made something of it, with the name of their input."""
        found = self.records.takers(digest, MOST_OF_ONE)
        works = {work.id: work for work in self._grouped(found.records)}
        made = self.records.makers(digest, MOST_OF_ONE).records
        if not any(record.inputs or record.seed for record in made):
            # Brought in, as far as is known: who took it may be told by no record here but the versions' own. So it is
            # with imported ones, and with runs from before records of steps named their reference files.
            for _, version in self.records.naming(digest, MOST_OF_ONE):
                self._read_snapshot(version)
        works |= {key: work for key, work in self._takers[digest].items() if key not in works}
        named = [
            (work, next(name for name, taken in work.taken.items() if taken == digest))
            for work in works.values()
            if work.made and digest in work.taken.values()
        ]
        return named, _left_out(found.total, len(found.records), "steps that took", digest)

    def files_of(self, task: str) -> dict[str, str]:
        """The names of the files that a task brought in, by the digests of their content."""
        return {ref.digest: ref.name for step in self._plan(task).steps for ref in step.assets.values()}

    def _grouped(self, records: Iterable[NodeRecord]) -> Iterator[Work]:
        """One for all that did the same: the first that really ran, and how many more tasks there are."""
        groups: dict[str, list[NodeRecord]] = defaultdict(list)
        for one in records:
            seed = one.seed.value if one.seed else ""
            same = [one.type, one.type_version, seed, plain(one.inputs), plain(one.outputs)]
            groups[digest_value("same", same)].append(one)
        for group in groups.values():
            first = next((one for one in group if not one.reused_from), group[0])
            with suppress(KeyError):  # a record of a step that its plan does not have tells nothing
                step = self._plan(first.task).step(first.step)
                yield self._known(Work(first, step, len({one.task for one in group}) - 1))

    def _known(self, work: Work) -> Work:
        return self.known.setdefault(work.id, work)

    def _plan(self, task: str) -> Plan:
        if task not in self._plans:
            self._plans[task] = self.parts.documents.get(Plan, self.parts.tasks.get(task).plan)
        return self._plans[task]

    def _read_snapshot(self, version: Version) -> None:
        """Know the steps of a version by its snapshot; an imported one has no records of them."""
        snapshot = self.parts.documents.get(Snapshot, version.snapshot)
        for result in snapshot.results:
            step = snapshot.plan.step(result.step)
            record = NodeRecord(
                task=version.task,
                step=step.id,
                node=step.node,
                type=step.type,
                type_version=step.type_version,
                seed=step.seed,
                key=result.key,
                inputs=result.inputs,
                outputs=result.outputs,
                started=snapshot.created,
                seconds=0.0,
                attempt=1,
            )
            work = self._known(Work(record, step, 0))
            for digest in work.made:
                self._makers[digest][work.id] = work
            for digest in work.taken.values():
                self._takers[digest][work.id] = work


def _left_out(total: int, read: int, what: str, digest: str) -> str:
    return f"{total - read} more {what} {digest[:SHORT]}" if read >= MOST_OF_ONE and total > read else ""

"""What something in the library was made from, and what was made from it, across versions, branches and tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from intaglio.core.branch import Branch
from intaglio.core.canonical import digest_bytes, digest_value
from intaglio.core.errors import Damaged, InvalidImage, InvalidRecord, NotFound, RecordMismatch
from intaglio.core.lineage import MOST_THINGS, Around, Lineage, Near, Thing, closure
from intaglio.core.model import ModelRef
from intaglio.core.record import plain
from intaglio.core.snapshot import Snapshot
from intaglio.core.variation import Variation, VariationRun
from intaglio.core.version import APPROVED, Version, standing
from intaglio.studio.inside import with_record
from intaglio.studio.makers import MOST_OF_ONE, SHORT, Work, Works
from intaglio.studio.parts import Parts
from intaglio.studio.recognise import MAX_BYTES, assets_of

# Of a version's history so much is told.
MOST_BACK = 25
# To find what was brought in again, so many files are put together as they were written out.
MOST_WRITTEN = 20
_LAID_OUT = ("sheet", "clip")


def lineage(parts: Parts, digest: str, *, depth: int | None = None, most: int = MOST_THINGS) -> Lineage:
    """The graph around an asset. Of a picture of ours that was written out and brought in again with its record inside,
    it is the graph around the picture itself; its fact "asked" then names the copy. Raises NotFound, Damaged.
    """
    parts.assets.get(digest)
    library = _Library(parts, digest)
    library.root = library.original_of(digest)
    library.copy = digest if library.root != digest else ""
    root = library.asset(library.root)
    kept = [library.version(*pair) for pair in library.records.keeping(library.root, MOST_OF_ONE)]
    return closure(root, library.causes, library.effects, also=kept, depth=depth, most=most)


class _Library:
    """What the library knows, as things and what is next to them; what was read once is not read again."""

    def __init__(self, parts: Parts, root: str) -> None:
        self.parts = parts
        self.works = Works(parts)
        self.records = self.works.records
        self.root, self.copy = root, ""
        self._versions: dict[str, Version] = {}
        self._variations: dict[str, Variation] = {}
        self._branches: dict[str, Branch] = {}
        self._listed: set[str] = set()
        self._back = self._written = 0

    def causes(self, thing: Thing) -> Around:
        """What a thing was made from."""
        match thing.kind:
            case "asset":
                return self._causes_of_asset(thing.facts["digest"])
            case "step":
                return self._causes_of_step(self.works.known[thing.id])
            case "version":
                return self._causes_of_version(self._versions[thing.id])
            case "branch":
                return Around(tuple(self._bases_of(self._branches[thing.id])))
            case "variation":
                return Around(tuple(self._near_version(self._variations[thing.id].version, "base")))
            case "sheet":
                return self._cells(thing)
        return Around()

    def effects(self, thing: Thing) -> Around:
        """What was made from a thing."""
        match thing.kind:
            case "asset":
                return self._effects_of_asset(thing.facts["digest"])
            case "step":
                return Around(tuple(Near(self.asset(digest), "made") for digest in self.works.known[thing.id].made))
            case "version":
                return self._effects_of_version(thing.id.partition(":")[2], self._versions[thing.id])
            case "branch":
                return self._versions_of(self._branches[thing.id])
            case "variation":
                return self._cells(thing)
            case "sheet":
                return Around((Near(self.asset(thing.facts["digest"]), "made"),))
        return Around()

    # -- assets and steps ---------------------------------------------------------------------------------------------

    def asset(self, digest: str, file: str = "") -> Thing:
        """An asset as a thing; `file` is the name of the file it was brought in from."""
        facts: dict[str, Any] = {"digest": digest, "file": file}
        with suppress(NotFound):  # a record may name what never came here
            asset = self.parts.assets.get(digest)
            facts |= {"type": asset.media_type, "size": asset.size, "width": asset.width, "height": asset.height}
        kept = [f"{version.workflow.name}/{version.name}" for _, version in self.records.keeping(digest, MOST_OF_ONE)]
        facts |= {"versions": kept, "asked": self.copy if digest == self.root else ""}
        return Thing(f"asset:{digest}", "asset", file or digest[:SHORT], facts)

    def original_of(self, digest: str) -> str:
        """The picture of ours that a file which was brought in is a copy of; itself for any other."""
        made = self.works.made_by(digest)[0] or self.records.keeping(digest, 1)
        return digest if made else next(iter(self._same_picture(digest)), digest)

    def _copies_of(self, digest: str) -> list[str]:
        """The files that versions write an asset out to, as far as they were brought in again."""
        found = {self.copy} if digest == self.root and self.copy else set()
        for version_digest, version in self.records.keeping(digest, MOST_OF_ONE):
            if self._written < MOST_WRITTEN:
                self._written += 1
                with suppress(NotFound, Damaged):
                    snapshot = self.parts.documents.get(Snapshot, version.snapshot)
                    data = self.parts.blobs.read(digest)
                    for output in version.outputs:
                        if output.asset == digest:
                            written = with_record(data, version_digest, version, snapshot, output).data
                            found.add(self.parts.assets.get(digest_bytes(written)).digest)
        return sorted(found - {digest})

    def _causes_of_asset(self, digest: str) -> Around:
        works, left_out = self.works.made_by(digest)
        near = [Near(self._step(work), "made") for work in works]
        for remark in self.parts.variations.valued(digest):
            if remark.what in _LAID_OUT:
                near.append(Near(self._sheet(remark.variation, remark.what, digest), "made"))
        if digest == self.root:
            runs = self._runs(digest)
            near += [Near(self._variation(run.variation), self._cell_of(run.variation, run.cell)) for run in runs]
        if not near:
            near = [Near(self.asset(other), "copy") for other in self._same_picture(digest)]
        return Around(tuple(near), left_out)

    def _causes_of_step(self, work: Work) -> Around:
        files = self.works.files_of(work.record.task)
        inputs = [Near(self.asset(digest, files.get(digest, "")), name) for name, digest in work.taken.items()]
        models = [Near(_model(model), name) for name, model in work.step.models.items()]
        return Around((*inputs, *models))

    def _effects_of_asset(self, digest: str) -> Around:
        works, left_out = self.works.taken_by(digest)
        near = [Near(self._step(work), name) for work, name in works]
        near += [Near(self.asset(copy), "copy") for copy in self._copies_of(digest)]
        near += [Near(self.version(*pair), "kept as") for pair in self.records.keeping(digest, MOST_OF_ONE)]
        for run in self._runs(digest):
            label = self._cell_of(run.variation, run.cell)
            for remark in self.parts.variations.remarks(run.variation):
                if remark.what in _LAID_OUT and remark.value != digest:
                    near.append(Near(self._sheet(run.variation, remark.what, remark.value), label))
        return Around(tuple(near), left_out)

    def _same_picture(self, digest: str) -> list[str]:
        """Assets that a file which was brought in holds, its record apart: one of ours that came back."""
        with suppress(NotFound, Damaged, InvalidImage, InvalidRecord, RecordMismatch):
            from intaglio.imaging.record import without_claim

            if self.parts.assets.get(digest).size <= MAX_BYTES:
                data = without_claim(self.parts.blobs.read(digest))
                return [asset.digest for asset in assets_of(self.parts, data) if asset.digest != digest][:1]
        return []

    def _step(self, work: Work) -> Thing:
        record, step = work.record, work.step
        facts = {
            "task": record.reused_from or record.task,
            "step": record.step,
            "node": record.node,
            "type": f"{record.type}@{record.type_version}",
            "seed": record.seed.value if record.seed else "",
            "models": [f"{model.name}:{model.version}" for model in step.models.values()],
            "params": digest_value("params", plain(step.params)),
            "alike": work.alike,
            "made": work.made,
        }
        return Thing(work.id, "step", record.step, facts)

    # -- versions, branches and variations ----------------------------------------------------------------------------

    def version(self, digest: str, version: Version) -> Thing:
        """A version as a thing."""
        self._versions[f"version:{digest}"] = version
        facts = {
            "digest": digest,
            "annotation": version.annotation,
            "created": version.created,
            "author": version.author,
            "approval": standing(self.parts.remarks.of(digest)).approval,
        }
        return Thing(f"version:{digest}", "version", f"{version.workflow.name}/{version.name}", facts)

    def _near_version(self, digest: str, role: str, *, ends: bool = False) -> Iterator[Near]:
        with suppress(NotFound):  # an imported version may name a parent that did not come with it
            if digest:
                yield Near(self.version(digest, self.parts.versions.get(digest)), role, ends)

    def _causes_of_version(self, version: Version) -> Around:
        self._back += 1
        if self._back > MOST_BACK:
            return Around(left_out=f"versions of {version.workflow.name} before {version.name}")
        near = list(self._near_version(version.restores, "restored"))
        for parent in self._near_version(version.parent, "parent"):
            if self._versions[parent.thing.id].workflow.name == version.workflow.name:
                return Around((*near, parent))
        branch = self.parts.branches.get(version.workflow.name)
        if branch is not None:
            near.append(Near(self._branch(branch), "in branch"))
        return Around(tuple(near))

    def _effects_of_version(self, digest: str, version: Version) -> Around:
        branches = [one for one in self.records.branches_of(version.workflow.name) if self._is_of(one, digest)]
        variations = self.parts.variations.list(version=digest, limit=MOST_OF_ONE + 1)
        following = self.records.numbered(version.workflow.name, version.number + 1, 1)
        near = [Near(self._branch(branch), "base") for branch in branches]
        near += [Near(self._variation(one.id), "base") for one in reversed(variations[:MOST_OF_ONE])]
        near += [
            Near(self.version(*one), "restored" if one[1].restores == digest else "parent", ends=True)
            for one in following
            if digest in (one[1].parent, one[1].restores) and one[0] not in self._listed
        ]
        more = f"more variations of {version.name}" if len(variations) > MOST_OF_ONE else ""
        return Around(tuple(near), more)

    def _bases_of(self, branch: Branch) -> Iterator[Near]:
        """The version a branch was taken from; where that was a workflow, the one whose approval made it."""
        approved = [] if branch.version else self.parts.remarks.approved_of(branch.base.name)
        for digest in [branch.version, *approved]:
            if self._is_of(branch, digest):
                yield from self._near_version(digest, "base")

    def _is_of(self, branch: Branch, digest: str) -> bool:
        workflow = f"{branch.base.name}@{branch.base.version}"
        remarks = [] if branch.version else self.parts.remarks.of(digest)
        return branch.version == digest or any(one.what == APPROVED and one.value == workflow for one in remarks)

    def _branch(self, branch: Branch) -> Thing:
        self._branches[f"branch:{branch.name}"] = branch
        facts = {"base": f"{branch.base.name} @{branch.base.version}", "created": branch.created, "note": branch.note}
        return Thing(f"branch:{branch.name}", "branch", branch.name, facts)

    def _versions_of(self, branch: Branch) -> Around:
        found = self.records.numbered(branch.name, 1, MOST_OF_ONE + 1)
        self._listed |= {digest for digest, _ in found}
        more = f"more versions of {branch.name}" if len(found) > MOST_OF_ONE else ""
        return Around(tuple(Near(self.version(*pair), "in branch") for pair in found[:MOST_OF_ONE]), more)

    def _variation(self, id: str) -> Thing:
        variation = self._variations.get(f"variation:{id}") or self.parts.variations.get(id)
        self._variations[f"variation:{id}"] = variation
        facts = {
            "type": variation.what,
            "axes": [axis.name for axis in variation.axes],
            "runs": len(variation.cells),
            "created": variation.created,
        }
        return Thing(f"variation:{id}", "variation", id, facts)

    def _sheet(self, variation: str, what: str, digest: str) -> Thing:
        thing = self._variation(variation)
        facts = {"variation": variation, "type": what, "digest": digest, "axes": thing.facts["axes"]}
        name = "contact sheet" if what == "sheet" else "clip"
        return Thing(f"sheet:{variation}/{digest}", "sheet", f"{name} of variation {variation}", facts)

    def _runs(self, digest: str) -> list[VariationRun]:
        """The runs of variations that have an asset as an output."""
        tasks = {record.task for record in self.records.makers(digest, MOST_OF_ONE).records}
        runs = self.records.runs_of(tasks) if tasks else []
        return [run for run in runs if digest in self._outputs(run.task)]

    def _outputs(self, task: str) -> list[str]:
        snapshot = self.parts.tasks.get(task).snapshot
        return [one.asset for one in self.parts.documents.get(Snapshot, snapshot).outputs] if snapshot else []

    def _cell_of(self, variation: str, cell: int) -> str:
        cells = self._variations[self._variation(variation).id].cells
        return cells[cell].label if cell < len(cells) else "run"

    def _cells(self, thing: Thing) -> Around:
        """The pictures of a variation's runs; the last run of a cell counts."""
        id = thing.facts.get("variation", thing.name)
        tasks = {run.cell: run.task for run in self.parts.variations.runs(id)}
        near = []
        for cell, task in sorted(tasks.items())[:MOST_OF_ONE]:
            near += [Near(self.asset(output), self._cell_of(id, cell)) for output in self._outputs(task)]
        more = f"runs of variation {id} after the first {MOST_OF_ONE}" if len(tasks) > MOST_OF_ONE else ""
        return Around(tuple(near), more)


def _model(model: ModelRef) -> Thing:
    facts: Mapping[str, Any] = {"digest": model.digest, "type": model.kind}
    return Thing(f"model:{model.digest or model.name}", "model", f"{model.name}:{model.version}", facts)

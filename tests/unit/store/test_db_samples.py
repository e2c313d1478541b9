"""What the tests of the database share: one of every record, a library holding them, and processes."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from intaglio.core.asset import Asset
from intaglio.core.branch import Branch, WorkflowRemark
from intaglio.core.canonical import digest_bytes
from intaglio.core.envelope import Envelope
from intaglio.core.environment import Cpu, Environment
from intaglio.core.fidelity import Fidelity, Reproduction
from intaglio.core.grade import Grade
from intaglio.core.job import Job
from intaglio.core.model import KeptModel, ModelHashes, ModelVersion
from intaglio.core.plan import Plan, WorkflowRef
from intaglio.core.queued import What
from intaglio.core.seeds import ExecutedSeed
from intaglio.core.snapshot import Output, Snapshot
from intaglio.core.task import NodeRecord, Task
from intaglio.core.token import Token
from intaglio.core.variation import Variation, VariationRemark, VariationRun
from intaglio.core.version import Remark, Version
from intaglio.core.webhook import Webhook
from intaglio.core.workflow import Node, Workflow
from intaglio.store.assets import Assets
from intaglio.store.branches import Branches
from intaglio.store.counters import Counters
from intaglio.store.database import Database
from intaglio.store.documents import Documents
from intaglio.store.envelopes import Envelopes
from intaglio.store.idempotency import Idempotency
from intaglio.store.jobs import Jobs
from intaglio.store.journal import Journal
from intaglio.store.kept import Kept
from intaglio.store.model_index import ModelIndex, Seen
from intaglio.store.models import Models
from intaglio.store.pictures import PictureHashes
from intaglio.store.queue import Queue
from intaglio.store.remarks import Remarks
from intaglio.store.reproductions import Reproductions
from intaglio.store.search import Search
from intaglio.store.tasks import Tasks
from intaglio.store.tokens import Tokens
from intaglio.store.variations import Variations
from intaglio.store.versions import Versions
from intaglio.store.webhooks import Webhooks
from intaglio.store.workflows import Workflows

TIME = "2026-11-20T12:00:00.000000Z"
REF = WorkflowRef(name="poster", version=1, digest=digest_bytes(b"workflow"))
PLAN = Plan(workflow=REF, mode="discovery", threads=2, deterministic=True, steps=())


# What waits in a filled library.
WAITING: tuple[tuple[str, What], ...] = (("t2", "task"), ("job-1", "job"))


@dataclass
class Stores:
    """Every store on one database."""

    database: Database

    def __post_init__(self) -> None:
        self.documents = Documents(self.database)
        self.workflows = Workflows(self.database)
        self.tasks = Tasks(self.database)
        self.versions = Versions(self.database)
        self.models = Models(self.database)
        self.assets = Assets(self.database)
        self.counters = Counters(self.database)
        self.reproductions = Reproductions(self.database)
        self.model_index = ModelIndex(self.database)
        self.kept = Kept(self.database)
        self.remarks = Remarks(self.database)
        self.envelopes = Envelopes(self.database)
        self.branches = Branches(self.database)
        self.variations = Variations(self.database)
        self.pictures = PictureHashes(self.database)
        self.search = Search(self.database)
        self.journal = Journal(self.database)
        self.queue = Queue(self.database)
        self.jobs = Jobs(self.database)
        self.tokens = Tokens(self.database)
        self.webhooks = Webhooks(self.database)
        self.idempotency = Idempotency(self.database)


def stores(path: Path, *, create: bool = True) -> Stores:
    return Stores(Database.open(path, create=create))


def workflow(name: str = "poster", description: str = "") -> Workflow:
    return Workflow(name=name, description=description, nodes={"base": Node(type="generate", params={"width": 64})})


def asset(name: str) -> Asset:
    digest, pixels = digest_bytes(name.encode()), digest_bytes(b"pixels of " + name.encode())
    return Asset(digest=digest, size=10, media_type="image/png", width=8, height=8, pixels=pixels)


def queued(id: str, plan: str) -> Task:
    return Task(id=id, status="queued", workflow=REF, plan=plan, author="ann", created=TIME)


def job(id: str = "job-1") -> Job:
    return Job(id=id, verb="library.check", arguments={"deep": True}, status="queued", author="ann", created=TIME)


def token(id: str = "tok-1", hash: str = "11") -> Token:
    return Token(id=id, person="Ada", scopes=("read", "run"), hash=hash, created=TIME, author="ann")


def webhook(id: str = "hook-1", created: str = TIME) -> Webhook:
    address = "https://example.org/hook"
    return Webhook(id=id, address=address, events=("task.",), secret="s", created=created, author="ann", delivered=0)


def step(task: str, name: str, *outputs: str, key: str = "key", attempt: int = 1) -> NodeRecord:
    return NodeRecord(
        task=task,
        step=name,
        node="base",
        type="generate",
        type_version=1,
        seed=ExecutedSeed(value="18446744073709551615", origin="drawn"),
        key=digest_bytes(key.encode()),
        inputs={"image": digest_bytes(b"an input")},
        outputs={f"image{index}": asset(output).digest for index, output in enumerate(outputs)},
        started=TIME,
        seconds=0.5,
        attempt=attempt,
    )


def snapshot(task: str) -> Snapshot:
    cpu = Cpu(model="a cpu", instruction_set="avx2", cores=2)
    environment = Environment(
        intaglio="1", python="3.11", os="linux", machine="x86_64", cpu=cpu, libraries={}, threads=2, deterministic=True
    )
    return Snapshot(
        task=task,
        created=TIME,
        author="ann",
        workflow=workflow(),
        plan=PLAN,
        results=(),
        outputs=(),
        assets={},
        models={},
        environment=environment,
    )


def version(number: int, kept: str, *, label: str = "", name: str = "poster", output: str = "picture") -> Version:
    digest = asset(output).digest
    return Version(
        number=number,
        label=label,
        annotation="because",
        unannotated=False,
        workflow=WorkflowRef(name=name, version=1, digest=REF.digest),
        task="t1",
        snapshot=kept,
        parent="",
        created=TIME,
        author="ann",
        parameters={"base": {"guidance": 7.5, "prompt": "a blue hour"}},
        seeds={"base": ExecutedSeed(value="7", origin="drawn")},
        models={},
        references={},
        outputs=(Output(node="base", step="base", index=0, asset=digest, address=asset(output).address),),
    )


def model(name: str = "tiny", label: str = "v1", content: str = "weights") -> ModelVersion:
    return ModelVersion(
        name=name,
        version=label,
        digest=digest_bytes(content.encode()),
        model_kind="checkpoint",
        layout="single-file",
        family="sd",
        size=10,
        files=(),
        added=TIME,
    )


def reproduction(of: str, task: str = "t1") -> Reproduction:
    fidelity = Fidelity(verdict="identical bytes", outputs=())
    return Reproduction(version=of, task=task, created=TIME, grade=Grade(grade="full"), fidelity=fidelity)


def filled(path: Path) -> Stores:
    """A library with at least one row in every table, and two where rows could be mistaken for each other."""
    library = stores(path)
    library.workflows.add(workflow())
    library.workflows.add(workflow(description="other"))
    plan = library.documents.put(PLAN)
    for id in ("t1", "t2"):
        library.tasks.add(queued(id, plan))
        library.tasks.add_step(step(id, "base", id, key=id), [asset(id)], [("done", "base", {"seed": "7"})])
    kept = library.documents.put(snapshot("t1"))
    library.tasks.advance("t1", "running", attempt=1, started=TIME)
    library.tasks.advance("t1", "done", snapshot=kept)
    digest, _ = library.versions.save("poster", lambda n: version(n, kept, label="warm", output="t1"), task="t1")
    library.versions.save("poster", lambda n: version(n, kept, output="t2"))
    library.models.add(model(), Path("/models/a"))
    library.models.add(model(label="v2", content="others"), Path("/models/b"))
    library.reproductions.add(reproduction(digest))
    library.counters.next("seed", 1001)
    library.pictures.add({asset(name).digest: "00ff" * 4 for name in ("t1", "t2")})
    _fill_for_models(library, digest)
    _fill_for_directions(library, digest)
    _fill_for_servers(library)
    return library


def _fill_for_servers(library: Stores) -> None:
    """What waits, who may ask, who is told, and what was answered."""
    for number in (1, 2):
        library.jobs.add(job(f"job-{number}"))
        library.tokens.add(token(f"tok-{number}", hash=f"{number}{number}"))
        library.webhooks.add(webhook(f"hook-{number}"))
        library.idempotency.begin("Ada", f"key-{number}", "request")
        library.idempotency.finish("Ada", f"key-{number}", 201, b'{"id": "t1"}')
    for id, what in WAITING:
        library.queue.add(id, what)
        library.queue.postpone(id, TIME, 1)


def _fill_for_directions(library: Stores, version: str) -> None:
    """Branches and variations."""
    for name in ("cool", "warm"):
        library.branches.add(Branch(name=name, base=REF, version=version, created=TIME, author="Ada"))
        library.branches.remark(WorkflowRemark(workflow=name, what="archived", created=TIME, author="Ada"))
    for id, task in (("v1", "t1"), ("v2", "t2")):
        library.variations.add(
            Variation(id=id, what="walk", version=version, axes=(), cells=(), created=TIME, author="Ada")
        )
        library.variations.add_run(VariationRun(variation=id, cell=0, task=task, created=TIME))
        library.variations.remark(VariationRemark(variation=id, what="sheet", value=task, created=TIME, author="Ada"))


def _fill_for_models(library: Stores, version: str) -> None:
    """What is known of models and versions beside their own records."""
    for content, place in (("weights", "/models/a"), ("others", "/models/b")):
        found = model(content=content)
        library.model_index.note([Seen(place, found.digest, found.size, "checkpoint")], (), TIME)
        library.model_index.add_hashes(
            [ModelHashes(digest=found.digest, sha256="ab" * 32, autov1="cd" * 4, tensors="ef" * 32, created=TIME)]
        )
        library.kept.put(
            KeptModel(digest=found.digest, size=found.size, files=(), how="copy", created=TIME, author="Ada")
        )
    library.remarks.add(Remark(version=version, what="needs-legacy-model", holds=True, created=TIME, author="Ada"))
    library.envelopes.add(
        Envelope(
            model=model().ref,
            node_type="text-to-image",
            type_version=1,
            device="cpu",
            created=TIME,
            author="Ada",
            environment=snapshot("t1").environment,
            probes=(),
            conditions=(),
        )
    )


def undone(library: Stores, work: Callable[[], object]) -> None:
    """Do something within a transaction that fails at its end."""
    with suppress(ZeroDivisionError), library.database.write():
        work()
        raise ZeroDivisionError


def in_processes(count: int, work: Callable[[int], None]) -> None:
    """Run `work(0)` ... `work(count - 1)`, each in a process of its own, all at once; every one must end well."""
    children = [fork(lambda place=place: work(place)) for place in range(count)]  # type: ignore[misc]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * count


def fork(work: Callable[[], None]) -> int:
    """Start `work` in a new process and return its id; it exits with 0 when `work` raises nothing."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)

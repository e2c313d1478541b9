"""One fixed record of every kind, and the small pieces the tests put others together from."""

from __future__ import annotations

from typing import Any

from intaglio.core.asset import ADDRESS, Asset
from intaglio.core.branch import Branch, WorkflowRemark
from intaglio.core.envelope import Condition, Envelope
from intaglio.core.environment import Cpu, Environment
from intaglio.core.fidelity import Fidelity, OutputFidelity, Reproduction
from intaglio.core.grade import Gap, Grade
from intaglio.core.job import Job
from intaglio.core.journal import Notice
from intaglio.core.model import KeptModel, ModelHashes, ModelPart, ModelPlace, ModelRef, ModelVersion
from intaglio.core.plan import AssetRef, Plan, Source, Step, WorkflowRef
from intaglio.core.queued import Queued
from intaglio.core.seeds import ExecutedSeed
from intaglio.core.snapshot import Output, Snapshot, StepResult
from intaglio.core.task import Event, Failure, NodeRecord, Task
from intaglio.core.token import Token
from intaglio.core.variation import Axis, Cell, Variation, VariationRemark, VariationRun
from intaglio.core.version import Remark, Version
from intaglio.core.webhook import Webhook
from intaglio.core.workflow import Node, Pin, Workflow
from intaglio.store.rows import Counter, WorkflowEntry

TIME = "2026-11-20T12:00:00.000000Z"
REFERENCE = WorkflowRef(name="sunset", version=1, digest="blake3:" + "1" * 64, changes=("grain.seed=0",))


def name_of(letter: str) -> str:
    """A digest that is easy to tell from others."""
    return "blake3:" + letter * 64


MODEL = ModelVersion(
    name="scenes",
    version="1",
    digest=name_of("a"),
    model_kind="checkpoint",
    layout="single-file",
    family="sd",
    size=12,
    files=(ModelPart(path="unet/x.safetensors", digest=name_of("b"), size=12),),
    defaults={"width": 64, "nested": {"list": [1, 2.5, None, True]}},
    config=name_of("c"),
    added=TIME,
)
PICTURE = Asset(digest=name_of("d"), size=70, media_type="image/png", width=2, height=1, pixels=name_of("e"))
SEED = ExecutedSeed(value="18446744073709551615", origin="fixed")


def step(step_id: str, kind: str = "film-grain", **more: Any) -> Step:
    """A step with nothing in it but what is given."""
    return Step(**{"id": step_id, "node": step_id, "type": kind, "type_version": 1, "params": {}, **more})


def plan_of(*steps: Step, **more: Any) -> Plan:
    """A plan of these steps."""
    settings = {"workflow": REFERENCE, "mode": "discovery", "threads": 2, "deterministic": True, **more}
    return Plan(**settings, steps=steps)


def environment(**more: Any) -> Environment:
    """Surroundings, with what is given changed."""
    facts: dict[str, Any] = {
        "intaglio": "0.1.0",
        "python": "3.11.9",
        "os": "Linux",
        "machine": "x86_64",
        "cpu": Cpu(model="Xeon", instruction_set="avx512f", cores=2),
        "libraries": {"numpy": "2.4.0", "torch": "2.13.0", "peft": ""},
        "threads": 2,
        "deterministic": True,
        "backend": {"devices": ["cpu"], "cpu_capability": "AVX512"},
    }
    return Environment(**(facts | more))


WORKFLOW = Workflow(
    name="sunset",
    description="é",
    mode="production",
    nodes={
        "base": Node(type="text-to-image", params={"model": "scenes", "prompt": "sea", "guidance": 4.5}, count=2),
        "grain": Node(type="film-grain@1", inputs={"image": "base.image"}, seed="18446744073709551615", title="Grain"),
    },
    pins={"base": Pin(seed="0", models={"model": name_of("a")})},
)
PLAN = plan_of(
    step(
        "base",
        "image-to-image",
        params={"prompt": "sea", "guidance": 4.5},
        seed=ExecutedSeed(value="0", origin="pinned"),
        models={"model": MODEL.ref},
        assets={
            "image": AssetRef(
                digest=PICTURE.digest, media_type="image/png", address=ADDRESS + PICTURE.digest, name="a.png"
            )
        },
    ),
    step("grain", inputs={"image": Source(step="base", output="image")}, seed=SEED),
)
OUTPUT = Output(node="grain", step="grain", index=0, asset=PICTURE.digest, address=PICTURE.address)
GAP = Gap(code="threads.changed", subject="threads", message="threads was 2, is 4", remedy="Run it with 2 threads.")
TASK = Task(
    id="20261120-120000-00000001",
    status="failed",
    workflow=REFERENCE,
    plan=name_of("2"),
    author="Ada",
    created=TIME,
    started=TIME,
    finished=TIME,
    attempt=1,
    error=Failure(code="node.failed", message="node 'grain': no luck", step="grain"),
)
NODE_RECORD = NodeRecord(
    task=TASK.id,
    step="grain",
    node="grain",
    type="film-grain",
    type_version=1,
    seed=SEED,
    key=name_of("3"),
    inputs={"image": name_of("4")},
    outputs={"image": PICTURE.digest},
    started=TIME,
    seconds=0.25,
    attempt=1,
    notes=("prompt cut",),
)
EVENT = Event(task=TASK.id, number=1, time=TIME, what="done", step="grain", facts={"seed": "7"})
SNAPSHOT = Snapshot(
    task=TASK.id,
    created=TIME,
    author="Ada",
    workflow=WORKFLOW,
    plan=PLAN,
    results=(StepResult(step="grain", key=name_of("3"), inputs={}, outputs={"image": PICTURE.digest}),),
    outputs=(OUTPUT,),
    assets={PICTURE.digest: PICTURE},
    models={MODEL.digest: MODEL},
    environment=environment(),
    gaps=(GAP,),
)
VERSION = Version(
    number=3,
    label="warmer",
    annotation="warmer palette",
    unannotated=False,
    workflow=REFERENCE,
    task=TASK.id,
    snapshot=name_of("5"),
    parent="",
    created=TIME,
    author="Ada",
    parameters={"grain": {"amount": 0.1}},
    seeds={"grain": SEED},
    models={"base": {"model": MODEL.digest}},
    references={"base": {"image": PICTURE.address}},
    outputs=(OUTPUT,),
)
REPRODUCTION = Reproduction(
    version=name_of("6"),
    task=TASK.id,
    created=TIME,
    grade=Grade(grade="approximate", gaps=(GAP,)),
    fidelity=Fidelity(
        verdict="similar",
        outputs=(
            OutputFidelity(
                node="grain",
                step="grain",
                stored=PICTURE.digest,
                produced=name_of("7"),
                verdict="similar",
                same_bytes=False,
                same_pixels=False,
                max_difference=3,
                mean_difference=0.5,
                psnr=41.5,
                ssim=0.99,
            ),
        ),
        first_difference="grain",
    ),
)
ENTRY = WorkflowEntry(name="sunset", version=1, digest=name_of("1"), created=TIME)
COUNTER = Counter(name="seed", value=1001)
REMARK = Remark(version=name_of("6"), what="needs-legacy-model", holds=True, note="gone", created=TIME, author="Ada")
ENVELOPE = Envelope(
    model=MODEL.ref,
    node_type="text-to-image",
    type_version=2,
    device="cpu",
    created=TIME,
    author="Ada",
    environment=environment(),
    probes=("sea, euler_a, seed 1",),
    conditions=(
        Condition(
            kind="threads",
            before="2",
            after="1",
            runs=12,
            identical=7,
            max_difference=1,
            mean_difference=0.25,
            changed_share=0.5,
            psnr=60.5,
            ssim=0.999,
        ),
    ),
    skipped=("device: there is no GPU here",),
)
PLACE = ModelPlace(
    path="/models/é.safetensors", digest=name_of("a"), size=3, what="vae", first_seen=TIME, last_seen=TIME, gone=TIME
)
HASHES = ModelHashes(digest=name_of("a"), sha256="1" * 64, autov1="22222222", tensors="", created=TIME)
KEPT = KeptModel(digest=name_of("a"), size=3, files=MODEL.files, how="copy", created=TIME, author="Ada")
BRANCH = Branch(name="Campaign-B", base=REFERENCE, version=name_of("6"), note="cooler", created=TIME, author="Ada")
WORKFLOW_REMARK = WorkflowRemark(workflow="Campaign-B", what="archived", note="not chosen", created=TIME, author="Ada")
VARIATION = Variation(
    id="20261120-120000-00000002",
    what="sweep",
    version=name_of("6"),
    axes=(Axis(name="base.guidance", values=("3", "5")),),
    cells=(
        Cell(place=(0,), label="guidance 3", changes=("base.guidance=3",), plan=name_of("2")),
        Cell(place=(1,), label="guidance 5", changes=("base.guidance=5",), plan=name_of("3"), arm="B"),
    ),
    note="how strongly?",
    created=TIME,
    author="Ada",
)
VARIATION_RUN = VariationRun(variation=VARIATION.id, cell=1, task=TASK.id, created=TIME)
VARIATION_REMARK = VariationRemark(
    variation=VARIATION.id, what="sheet", value=PICTURE.digest, note="2 cells", created=TIME, author="Ada"
)
NOTICE = Notice(number=7, time=TIME, what="task.event", subject=TASK.id, facts={"number": 1, "what": "done"})
QUEUED = Queued(id=TASK.id, what="task", place=1048576, not_before=TIME, tries=1, reuse="own", paranoid=True)
JOB = Job(
    id="job-20261120-120000-00000003",
    verb="versions.reproduce",
    arguments={"reference": "sunset/v3", "force": False},
    status="failed",
    author="Ada",
    created=TIME,
    started=TIME,
    finished=TIME,
    attempt=2,
    result={"verdict": "identical bytes"},
    error=Failure(code="node.failed", message="node 'grain': no luck", step="grain"),
)
TOKEN = Token(
    id="tok-1",
    person="Ada",
    scopes=("read", "run"),
    hash=name_of("8"),
    created=TIME,
    author="Grace",
    expires=TIME,
    revoked=TIME,
)
WEBHOOK = Webhook(
    id="hook-1",
    address="https://example.org/hook",
    events=("task.", "version.made"),
    secret="s3cret",
    created=TIME,
    author="Ada",
    delivered=7,
    failures=2,
    failing_since=TIME,
    again_at=TIME,
    paused="it was gone for a day",
)
RECORDS: dict[str, Any] = {
    found.kind: found
    for found in (
        PICTURE, COUNTER, environment(), EVENT, MODEL, NODE_RECORD, PLAN, REPRODUCTION, SNAPSHOT, TASK, VERSION,
        WORKFLOW, ENTRY, REMARK, ENVELOPE, PLACE, HASHES, KEPT, BRANCH, WORKFLOW_REMARK, VARIATION, VARIATION_RUN,
        VARIATION_REMARK, NOTICE, QUEUED, JOB, TOKEN, WEBHOOK,
    )
}  # fmt: skip
REF: ModelRef = MODEL.ref

"""The parts a studio is put together from. Chosen in `open.py`, handed to each noun, never looked up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from intaglio.core.errors import Invalid
from intaglio.core.nodetype import NodeTypes
from intaglio.core.record import Json
from intaglio.core.seeds import exact_seed
from intaglio.store.assets import Assets
from intaglio.store.blobs import LocalBlobs
from intaglio.store.branches import Branches
from intaglio.store.counters import Counters
from intaglio.store.database import Database
from intaglio.store.documents import Documents
from intaglio.store.envelopes import Envelopes
from intaglio.store.idempotency import Idempotency
from intaglio.store.jobs import Jobs
from intaglio.store.journal import Journal
from intaglio.store.kept import Kept
from intaglio.store.model_index import ModelIndex
from intaglio.store.models import Models
from intaglio.store.pictures import PictureHashes
from intaglio.store.proofs import Proofs
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
from intaglio.studio.limits import UNLIMITED, Limits
from intaglio.studio.settings import DEVICE, Settings

if TYPE_CHECKING:
    from intaglio.backends.diffusers import DiffusersBackend
    from intaglio.core.job import Job
    from intaglio.core.task import Task


@dataclass
class Parts:
    """Stores, node types and the backend of one open library. `root` is its `.intaglio` folder.

    `reach` is the only folder whose files may be opened because a caller or a record names them; None in the user's
    own process, where any may. `limits` are how much it takes in at a time. `queued` is told of each task and job that
    is put in the queue, inside the transaction that does it. `decides`: whether whoever asks may put workflows into
    production and change those that are there.
    """

    settings: Settings
    root: Path
    database: Database
    proofs: Proofs
    blobs: LocalBlobs
    reach: Path | None = None
    limits: Limits = UNLIMITED
    queued: Callable[[Task | Job], None] = lambda made: None
    decides: bool = True
    _backends: dict[tuple[int, bool], DiffusersBackend] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.documents = Documents(self.database)
        self.workflows = Workflows(self.database)
        self.tasks = Tasks(self.database)
        self.versions = Versions(self.database)
        self.models = Models(self.database)
        self.kept = Kept(self.database)
        self.model_index = ModelIndex(self.database)
        self.assets = Assets(self.database)
        self.counters = Counters(self.database)
        self.reproductions = Reproductions(self.database)
        self.remarks = Remarks(self.database)
        self.search = Search(self.database)
        self.pictures = PictureHashes(self.database)
        self.envelopes = Envelopes(self.database)
        self.branches = Branches(self.database)
        self.variations = Variations(self.database)
        self.journal = Journal(self.database)
        self.queue = Queue(self.database)
        self.jobs = Jobs(self.database)
        self.tokens = Tokens(self.database)
        self.webhooks = Webhooks(self.database)
        self.idempotency = Idempotency(self.database)

    @cached_property
    def types(self) -> NodeTypes:
        """The node types at hand, ours and those of installed packages."""
        from intaglio.nodes import all_types

        return all_types()

    def backend(self, threads: int, deterministic: bool) -> DiffusersBackend:
        """The backend that runs diffusion models with these settings; kept, because its models stay warm."""
        from intaglio.backends.diffusers import DiffusersBackend

        key = (threads, deterministic)
        if key not in self._backends:
            for other in self._backends.values():
                other.close()
            self._backends.clear()
            self._backends[key] = DiffusersBackend(
                threads=threads, deterministic=deterministic, memory_limit=self.settings.memory or None
            )
        return self._backends[key]

    def backend_environment(self, threads: int, deterministic: bool) -> Mapping[str, Json]:
        """What the backend says of itself."""
        return self.backend(threads, deterministic).environment()

    def settle_rules(self) -> Mapping[str, Callable[[str], str]]:
        """The rules for values that are settled while planning."""
        return {"scheduler": _scheduler, "device": self._device, "codec": _codec, "seed": _seed}

    def _device(self, asked: str) -> str:
        if not DEVICE.fullmatch(asked):
            raise Invalid(f"no device {asked[:40]!r}", hint="Give auto, cpu, cuda, cuda:N or mps.")
        chosen = self.settings.device if asked == "auto" else asked
        if chosen == "cpu":
            return chosen
        backend = self.backend(self.settings.threads, self.settings.deterministic)
        return backend.default_device() if chosen == "auto" else backend.check_device(chosen)

    def signed_by(self, person: str, *, decides: bool = True) -> Parts:
        """The same parts, connections and warm models for what is made in the name of a person."""
        signed = copy(self)
        signed.settings, signed.decides = replace(self.settings, author=person), decides
        return signed

    def telling(self, queued: Callable[[Task | Job], None]) -> Parts:
        """The same parts for calls that tell of what they queue."""
        told = copy(self)
        told.queued = queued
        return told

    def close(self) -> None:
        """Let go of models, connections and files."""
        for backend in self._backends.values():
            backend.close()
        self._backends.clear()
        self.proofs.close()
        self.database.close()


def _seed(asked: str) -> str:
    return str(exact_seed(asked)) if asked else ""


def _scheduler(asked: str) -> str:
    from intaglio.backends.schedulers import scheduler_class

    scheduler_class(asked)  # raises Invalid for one that nobody knows
    return asked


def _codec(asked: str) -> str:
    from intaglio.imaging.encode_video import check_encoder

    check_encoder(asked)  # raises BackendMissing, before any seed is drawn
    return asked

"""Models: a name, and exact content under it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from intaglio.core.record import EMPTY, Json, record


@record
class ModelRef:
    """A model as a plan names it: exact content, and the name and version label it was found under.

    `config` is the digest of the pipeline folder that a single file is put together with, "" for none: it decides
    pixels as much as the weights do.
    """

    name: str
    version: str
    digest: str
    kind: str
    config: str = ""

    @property
    def digests(self) -> tuple[str, ...]:
        """The digests of everything that must be there."""
        return (self.digest, self.config) if self.config else (self.digest,)


@record
class ModelPart:
    """One file of a model folder: path relative to the folder, with forward slashes; size in bytes."""

    path: str
    digest: str
    size: int


@record
class ModelVersion:
    """Exact content under a name.

    `model_kind` is "checkpoint", "lora", "vae", ...; `layout` is "diffusers" (a pipeline folder) or "single-file";
    `size` is bytes. `defaults` holds what the model itself says (width, height, scheduler). `config` is the digest of
    the pipeline folder that tells how a single file is put together, "" for none.
    """

    kind: Literal["model"] = "model"
    format: Literal[1] = 1
    name: str
    version: str
    digest: str
    model_kind: str
    layout: str
    family: str
    size: int
    files: tuple[ModelPart, ...]
    defaults: Mapping[str, Json] = EMPTY
    metadata: Mapping[str, Json] = EMPTY
    config: str = ""
    source: str = ""
    added: str
    pickle_allowed: bool = False

    @property
    def ref(self) -> ModelRef:
        """How a plan names this version."""
        return ModelRef(
            name=self.name, version=self.version, digest=self.digest, kind=self.model_kind, config=self.config
        )

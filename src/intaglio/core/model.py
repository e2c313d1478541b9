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
class ModelPlace:
    """A file (or pipeline folder) that was seen to hold this content: from `first_seen` until `last_seen`, and not any
    more since `gone` ("" while it is there). `path` is absolute; `size` is bytes; times are UTC.

    `what` is the kind of model it was found to be, or why it cannot be one: "unsafe: pickle", "broken: ...".
    """

    kind: Literal["model-place"] = "model-place"
    format: Literal[1] = 1
    path: str
    digest: str
    size: int
    what: str
    first_seen: str
    last_seen: str
    gone: str = ""


@record
class ModelHashes:
    """The names other tools have for the content `digest`, as lower-case hexadecimal digits.

    `sha256` is of the whole file (its first 10 digits are AutoV2); `autov1` of 64 KiB at 1 MiB, 8 digits; `tensors` of
    all that follows a safetensors header (its first 12 digits are AutoV3). "" where a hash does not exist for a file.
    """

    kind: Literal["model-hashes"] = "model-hashes"
    format: Literal[1] = 1
    digest: str
    sha256: str
    autov1: str
    tensors: str
    created: str


@record
class KeptModel:
    """A model whose content is in the store, from where it can be restored. `files` is empty for a single file.

    `how` is "reflink", "hard link" or "copy": the weakest way that any of its files was taken over.
    """

    kind: Literal["kept-model"] = "kept-model"
    format: Literal[1] = 1
    digest: str
    size: int
    files: tuple[ModelPart, ...]
    how: str
    created: str
    author: str


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

"""Every error Intaglio raises on purpose.

One tree, drawn here; each class carries the facts as attributes and a hint that says what to do next. `EXIT_CODES`
is the one table that turns them into exit codes, `HTTP_STATUSES` the one that turns them into answers of the server.
Messages name the thing, in lower case.
"""

from __future__ import annotations

from collections.abc import Sequence


class IntaglioError(Exception):
    """Anything Intaglio refuses or cannot do. `hint` is an imperative sentence, or empty.

    `step` is the step that was at work, `field` the part of it; `way_on` the command that goes on with a task that was
    stopped half-way.
    """

    code = "error"
    hint = ""
    step = ""
    field = ""
    way_on = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


# -- the input is wrong ---------------------------------------------------------------------------------------------


class Invalid(IntaglioError):
    """The input cannot be what the user means."""

    code = "invalid"


class InvalidWorkflow(Invalid):
    """A workflow that cannot be read or planned; `node` and `field` say where."""

    code = "workflow.invalid"
    hint = "Correct it there, then look again with: intaglio workflows check FILE"

    def __init__(self, message: str, *, node: str = "", field: str = "", hint: str | None = None) -> None:
        where = f"node {node!r}" if node else "workflow"
        if field:
            where += f", {field}"
        super().__init__(f"{where}: {message}", hint=hint)
        self.node = node
        self.field = field


class InvalidSeed(Invalid):
    """A seed that no generator takes."""

    code = "seed.invalid"
    hint = "Give a whole number from 0 to 18446744073709551615; leave it out, or give 0, to have one drawn."


class UnpinnedSeed(Invalid):
    """Production mode met a drawing node without a fixed seed."""

    code = "seed.unpinned"
    hint = "Give each node a seed, or capture those of a run: intaglio tasks pin TASK"

    def __init__(self, nodes: Sequence[str]) -> None:
        super().__init__(f"production mode needs a seed on: {', '.join(nodes)}")
        self.nodes = tuple(nodes)


class UnpinnedModel(Invalid):
    """Production mode met a model that is named by an alias."""

    code = "model.unpinned"
    hint = "Name an exact version (name:label or a digest), or capture those of a run: intaglio tasks pin TASK"

    def __init__(self, nodes: Sequence[str]) -> None:
        super().__init__(f"production mode needs an exact model on: {', '.join(nodes)}")
        self.nodes = tuple(nodes)


class Unfixed(Invalid):
    """Production mode met something else that may give other pictures the next time."""

    code = "workflow.unfixed"

    def __init__(self, reasons: Sequence[str], *, hint: str) -> None:
        super().__init__(f"production mode needs everything fixed: {'; '.join(reasons)}", hint=hint)
        self.reasons = tuple(reasons)


class InvalidRecord(Invalid):
    """Bytes that are not the record they are said to be."""

    code = "record.invalid"


class AnnotationMissing(Invalid):
    """A version without a reason."""

    code = "annotation.missing"
    hint = "Say why in an annotation (--annotation TEXT), or go without on purpose (--no-annotation)."


class UnsafeModel(Invalid):
    """A model file that can run code when it is loaded."""

    code = "model.unsafe"
    hint = (
        "Use a safetensors file of the same model. One you trust: index it with intaglio models scan DIR, then "
        "intaglio models allow DIGEST --name NAME"
    )


class InvalidModel(Invalid):
    """A file or folder that is not a model Intaglio can load."""

    code = "model.invalid"
    hint = "Give a whole safetensors file, or a pipeline folder as diffusers saves it."


class InvalidImage(Invalid):
    """Bytes that are not a picture, or not one that is safe to decode."""

    code = "image.invalid"
    hint = "Use a whole PNG, JPEG or WebP picture of at most 100 megapixels."


class RecordMismatch(Invalid):
    """A record found in or beside a file that does not belong to it."""

    code = "record.mismatch"
    hint = "Trust the picture or the record, not both; search for the picture with its record removed."


class NoPlaceInside(Invalid):
    """A file that cannot take its record in without harm; the record goes beside it."""

    code = "record.no_place"
    hint = "Keep the record in a file beside it."


class Conflict(IntaglioError):
    """What is asked contradicts what is already there."""

    code = "conflict"


class StillAtWork(Conflict):
    """A request that came again while it is still being carried out."""

    code = "request.at_work"
    hint = "Wait a little, then send it again."


# -- it is not there ------------------------------------------------------------------------------------------------


_LONGEST = 400
_LOOK = "See that the name is right and that it is there."
_WHERE = {kind: f"See them with: intaglio {kind}s list" for kind in ("workflow", "task", "version", "model")}
_WHERE["record"] = (
    "Give a folder that intaglio versions export wrote, or its record.json; a picture: intaglio assets import FILE"
)


def _shortened(name: str) -> str:
    """A name of any length, as much of it as a line can hold."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2]}...{name[-_LONGEST // 2 :]}"


class NotFound(IntaglioError):
    """Something named does not exist."""

    code = "not_found"

    def __init__(self, kind: str, name: str, *, hint: str | None = None) -> None:
        super().__init__(f"no {kind} {_shortened(name)!r}", hint=_WHERE.get(kind, _LOOK) if hint is None else hint)
        self.kind = kind
        self.name = name


class OnlySimilar(NotFound):
    """A file that is no version's output, but looks like some; `candidates` says of which versions, and how far."""

    code = "version.only_similar"

    def __init__(self, name: str, candidates: Sequence[str]) -> None:
        super().__init__("version", name, hint="If it is one of them, name it: WORKFLOW/VERSION.")
        self.args = (f"{_shortened(name)!r} is no version's output; only similar: {', '.join(candidates)}",)
        self.candidates = tuple(candidates)


class NoLibrary(IntaglioError):
    """No library here or above."""

    code = "library.not_found"
    hint = "Make one with: intaglio init"


# -- it is there, but not usable now --------------------------------------------------------------------------------


class Unavailable(IntaglioError):
    """Something needed is missing, damaged, changed or locked at this moment."""

    code = "unavailable"


class ModelUnavailable(Unavailable):
    """A model whose file is missing or is no longer the recorded content."""

    code = "model.unavailable"
    hint = "Bring the file back, or add it again under a new version: intaglio models add PATH --name NAME"


class Damaged(Unavailable):
    """Stored bytes that are no longer what their digest says."""

    code = "library.damaged"
    hint = "See what it hits with: intaglio library check"


class LibraryTooNew(Unavailable):
    """A library written by a newer Intaglio."""

    code = "library.too_new"
    hint = "Upgrade Intaglio; nothing in the library was touched."


class StorageFailed(Unavailable):
    """The disk refused: full, read-only, no permission."""

    code = "storage.failed"
    hint = "Free some space or fix the permissions, then run it again; what was finished is kept."


class BackendMissing(Unavailable):
    """The libraries that make pixels are not installed."""

    code = "backend.missing"
    hint = "Install them with: pip install 'intaglio[diffusers]'"


class CannotReproduce(Unavailable):
    """Reproduction stopped before it ran; `grade` says why."""

    code = "reproduce.refused"

    def __init__(self, message: str, *, grade: object, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.grade = grade


class NodeFailed(IntaglioError):
    """A node's own code failed while it ran."""

    code = "node.failed"

    def __init__(self, node: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"node {node!r}: {reason}", hint=hint)
        self.node = self.step = node


class Cancelled(IntaglioError):
    """The user asked to stop."""

    code = "cancelled"


# -- a server does not let you, or not now ---------------------------------------------------------------------------


class Unauthorized(IntaglioError):
    """A request to a server that does not say who asks, or whose token is not (any more) good."""

    code = "unauthorized"
    hint = "Send a token of this server: Authorization: Bearer TOKEN (made with: intaglio tokens create)."


class Forbidden(IntaglioError):
    """A request that whoever asks may not make; `scope` is what it would take, if a scope would do."""

    code = "forbidden"

    def __init__(self, message: str, *, scope: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.scope = scope


class TooLarge(Invalid):
    """More than a server takes: a body, a picture, an upload; `limit` is what it takes."""

    code = "too_large"

    def __init__(self, message: str, *, limit: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.limit = limit


class TooSlow(Invalid):
    """A body that came too slowly for a server to wait for."""

    code = "too_slow"
    hint = "Send it again, in one go; large files as an upload."


class TooMany(Unavailable):
    """More at a time than a server takes (requests, queued tasks); `after_s` is when to try again."""

    code = "too_many"
    hint = "Wait a little, then try again."

    def __init__(self, message: str, *, after_s: float = 1.0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.after_s = after_s


class ServerGone(Unavailable):
    """A server that does not answer, or answers what no Intaglio server does."""

    code = "server.gone"
    hint = "See that it runs (intaglio serve) and that the address is right."


class WorkerLost(Unavailable):
    """The worker process died while it was at a task; how is in the message."""

    code = "worker.lost"
    hint = "See the server's log for why; then take it up again with: intaglio tasks retry TASK"


# The one place where errors become exit codes; the most specific class in a class's bases wins.
EXIT_CODES: dict[type[IntaglioError], int] = {
    IntaglioError: 1,
    Invalid: 2,
    Conflict: 2,
    NotFound: 3,
    NoLibrary: 3,
    Unavailable: 4,
    Unauthorized: 4,
    Forbidden: 4,
    Cancelled: 130,
}

# The one place where errors become HTTP statuses; the most specific class wins, as above.
HTTP_STATUSES: dict[type[IntaglioError], int] = {
    IntaglioError: 500,
    Invalid: 422,
    Conflict: 409,
    NotFound: 404,
    NoLibrary: 503,
    Unavailable: 503,
    ModelUnavailable: 409,
    CannotReproduce: 409,
    NodeFailed: 409,
    Cancelled: 409,
    Unauthorized: 401,
    Forbidden: 403,
    TooLarge: 413,
    TooSlow: 408,
    TooMany: 429,
}


def exit_code(error: IntaglioError) -> int:
    """The exit code of `error`, by its nearest class in `EXIT_CODES`."""
    return next(EXIT_CODES[cls] for cls in type(error).__mro__ if cls in EXIT_CODES)


def http_status(error: IntaglioError) -> int:
    """The HTTP status of `error`, by its nearest class in `HTTP_STATUSES`."""
    return next(HTTP_STATUSES[cls] for cls in type(error).__mro__ if cls in HTTP_STATUSES)

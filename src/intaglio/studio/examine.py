"""One path looked at: its content's digest, and whether that is a model. Nothing is loaded, nothing is unpickled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from intaglio.core.errors import Invalid, InvalidModel, NotFound, StorageFailed, Unavailable, UnsafeModel
from intaglio.core.model import ModelPart
from intaglio.store import filehash
from intaglio.studio.modelfiles import Candidate, unreadable
from intaglio.studio.parts import Parts
from intaglio.studio.registry import parts_of

if TYPE_CHECKING:
    from intaglio.backends.inspect import ModelFacts

ATTEMPTS = 2
UNSAFE = "unsafe: "
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Examined:
    """What a path holds. `digest` is "" when it was not hashed, and then `status` and `note` say why.

    `what` is the kind of model, or why it is none; `facts` are None unless it is one that may be loaded.
    """

    status: Literal["new", "unknown", "broken", "busy"]
    what: str
    note: str = ""
    digest: str = ""
    size: int = 0
    files: tuple[ModelPart, ...] = ()
    facts: ModelFacts | None = None


def examine(parts: Parts, candidate: Candidate, *, known: bool, progress: Callable[[int, int], None]) -> Examined:
    """Hash and inspect what is at a path. What is no model is hashed only when the path is `known` to have held one."""
    path = Path(candidate.path)
    for _ in range(ATTEMPTS):
        try:
            examined = _once(parts, path, known, progress)
        except Unavailable as error:
            if isinstance(error, StorageFailed):
                return _broken(_reason(path, error))
            continue
        except (Invalid, NotFound) as error:
            return _broken(_reason(path, error))
        except OSError as error:
            return _broken(unreadable(error))
        if examined is not None:
            return examined
    note = "it changes while it is read; scan again when it is complete"
    return Examined("busy", "busy", note)


def _once(parts: Parts, path: Path, known: bool, progress: Callable[[int, int], None]) -> Examined | None:
    """What is at `path`, None when it changed meanwhile."""
    what, note, facts = _inspected(path)
    if facts is None and not known and not what.startswith(UNSAFE):
        return Examined("unknown" if what == UNKNOWN else "broken", what, note)
    found = (
        filehash.hash_folder(path, proofs=parts.proofs, progress=progress)
        if path.is_dir()
        else filehash.hash_file(path, proofs=parts.proofs, progress=progress)
    )
    # Again, now that the content is known: what was read of it before the hashing may have been of another.
    what, note, facts = _inspected(path)
    if not filehash.unchanged(path, found):
        return None
    files = parts_of(found) if isinstance(found, filehash.FolderIdentity) else ()
    return Examined("new", what, note, found.digest, found.size, files, facts)


def _inspected(path: Path) -> tuple[str, str, ModelFacts | None]:
    """What a path holds, what there is to say about it, and the facts of a model that may be loaded."""
    from intaglio.backends.inspect import inspect_model

    try:
        facts = inspect_model(path)
    except UnsafeModel as error:
        reason = _reason(path, error)
        return f"{UNSAFE}{'pickle' if 'pickle' in reason else 'code'}", reason, None
    except InvalidModel as error:
        reason = _reason(path, error)
        return f"broken: {reason}", reason, None
    if facts.kind == UNKNOWN:
        return facts.kind, "of no kind that Intaglio knows", None
    return facts.kind, "", facts


def _broken(reason: str) -> Examined:
    return Examined("broken", f"broken: {reason}", reason)


def _reason(path: Path, error: Exception) -> str:
    """What an error says about a path, for where the path is said already; a file inside it by its name there."""
    return str(error).replace(f"{path}/", "").removeprefix(f"{path} ").removeprefix("is ")

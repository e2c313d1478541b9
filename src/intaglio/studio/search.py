"""Finding models by whatever people have of them: a name, or the beginning of any hash."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from intaglio.core.canonical import PREFIX, is_digest
from intaglio.core.errors import Conflict, NotFound
from intaglio.core.model import ModelPlace, ModelVersion
from intaglio.store.model_index import AUTOV1_DIGITS, NOTHING
from intaglio.studio.hashes import pending
from intaglio.studio.parts import Parts

LATEST = "latest"
LEAST = 6
EXACT = 10
_NOTHING_HINT = "That is the SHA-256 of nothing: some tools stamp it on files that they failed to read."
_FORM = re.compile(r"(?:(blake3|sha256|sha-256|autov1|autov2|autov3|tensors):)?([0-9a-f]+)\Z")
_SHORT = re.compile(r"(?:\w[\w-]*:)?(?=[a-f]*[0-9])[0-9a-f]{1,5}\Z")
_COLUMNS = {
    "sha256": "sha256",
    "sha-256": "sha256",
    "autov2": "sha256",
    "autov1": "autov1",
    "autov3": "tensors",
    "tensors": "tensors",
}
# How many digits other tools write of a hash, and what they call it then.
_CALLED = {("sha256", 10): "AutoV2", ("tensors", 12): "AutoV3"}
_WORDS = {"sha256": "SHA-256", "autov1": "AutoV1", "tensors": "tensor digest"}


@dataclass(frozen=True)
class Match:
    """A file that is meant: `how` says which of its names matched, `models` which name:version it has, `places` where
    it was seen. `part` is its path in a model folder, "" for a model that is one file or a whole folder."""

    how: str
    digest: str
    models: tuple[str, ...]
    places: tuple[ModelPlace, ...]
    part: str = ""


@dataclass(frozen=True)
class Found:
    """All matches, how many files still wait for the hashes of other tools, and what else there is to try."""

    matches: tuple[Match, ...]
    pending: int
    hint: str = ""


def search(parts: Parts, text: str) -> Found:
    """Everything that `text` may mean: a name, name:version, a file's name, or six or more digits of a hash.

    Raises NotFound for the SHA-256 of nothing, which no file is found by.
    """
    wanted = text.strip().casefold()
    if is_nothing(wanted):
        raise NotFound("model", text, hint=_NOTHING_HINT)
    matches = {(match.digest, match.part): match for match in _by_name(parts, text.strip())}
    matches |= {(match.digest, match.part): match for match in _by_hash(parts, wanted)}
    hint = f"Of a hash, give {LEAST} digits or more." if _SHORT.match(wanted) and not matches else ""
    return Found(tuple(matches.values()), len(pending(parts)), hint)


def is_nothing(text: str) -> bool:
    """Whether a text is six or more digits of the SHA-256 of nothing, in any form but a BLAKE3 digest."""
    form = _FORM.match(text.casefold())
    return bool(form and form[1] != "blake3" and len(form[2]) >= LEAST and NOTHING.startswith(form[2]))


def is_hash(text: str) -> bool:
    """Whether a text is enough of a hash to be relied on: ten digits, or a whole AutoV1."""
    form = _FORM.match(text.casefold())
    return bool(form and (len(form[2]) >= EXACT or (form[1] == "autov1" and len(form[2]) == AUTOV1_DIGITS)))


def digests_of(parts: Parts, text: str) -> dict[str, str]:
    """The digests of content that six or more digits of a hash may mean, each with the name of the hash."""
    form = _FORM.match(text.casefold())
    if form is None or len(form[2]) < LEAST or is_nothing(text):
        return {}
    kind, digits = form[1] or "", form[2]
    found: dict[str, str] = {}
    if kind in ("", "blake3"):
        digests = {*parts.models.find(digits), *parts.model_index.find_digest(PREFIX + digits)}
        found |= dict.fromkeys(sorted(digests), "BLAKE3")
    columns = ["sha256", "autov1", "tensors"] if not kind else [_COLUMNS[kind]] if kind in _COLUMNS else []
    for column in columns:
        how = _CALLED.get((column, len(digits)), _WORDS[column])
        for digest in parts.model_index.find_hash(column, digits):
            found.setdefault(digest, how)
    return found


def _by_name(parts: Parts, text: str) -> list[Match]:
    wanted, digests = text.casefold(), dict[str, str]()
    for each in parts.models.labels():
        if wanted in (each.name.casefold(), f"{each.name}:{each.version}".casefold()):
            digests.setdefault(each.digest, "name")
    places = parts.model_index.places()
    # A whole path means that very file, even where another differs only in capital letters.
    exactly = [place for place in places if place.path == text]
    for place in exactly or places:
        name = os.path.basename(place.path).casefold()
        if wanted in (name, os.path.splitext(name)[0], place.path.casefold()):
            digests.setdefault(place.digest, "file name")
    return [_match(parts, digest, how) for digest, how in digests.items()]


def _by_hash(parts: Parts, wanted: str) -> list[Match]:
    found = digests_of(parts, wanted)
    parted = {digest: how for digest, how in found.items() if not parts.models.under_digest(digest)}
    folders = [model for model, _ in parts.models.list() if model.files] if parted else []
    matches = []
    for digest, how in found.items():
        inside = [(model, part.path) for model in folders for part in model.files if part.digest == digest]
        matches += [_part_of(parts, model, path, digest, how) for model, path in inside]
        if not inside or parts.model_index.of(digest):
            matches.append(_match(parts, digest, how))
    return matches


def _match(parts: Parts, digest: str, how: str) -> Match:
    models = tuple(f"{model.name}:{model.version}" for model, _ in parts.models.under_digest(digest))
    return Match(how, digest, models, tuple(parts.model_index.of(digest)))


def _part_of(parts: Parts, model: ModelVersion, path: str, digest: str, how: str) -> Match:
    whole = _match(parts, model.digest, how)
    return Match(how, digest, whole.models, whole.places, path)


def resolve(parts: Parts, reference: str) -> ModelVersion:
    """The exact version a reference means: a name (the newest), name:label, or a hash and its beginning.

    Raises NotFound, Conflict (the beginning of several).
    """
    if is_digest(reference):
        return parts.models.by_digest(reference)[0]
    name, _, label = reference.partition(":")
    try:
        return parts.models.get(name, None if label in ("", LATEST) else label)[0]
    except NotFound as error:
        hashed = [digest for digest in digests_of(parts, reference) if parts.models.under_digest(digest)]
        if len(hashed) > 1:
            raise Conflict(f"{reference!r} fits {len(hashed)} models", hint="Give more of the digest.") from error
        if hashed:
            return parts.models.by_digest(hashed[0])[0]
        raise NotFound("model", reference, hint=_way_out(parts, reference)) from error


def is_exact(parts: Parts, reference: str) -> bool:
    """Whether a reference names one content for good: name:label, or enough of a hash; not an alias."""
    name, colon, label = reference.partition(":")
    if any(each.name == name for each in parts.models.labels()):
        return bool(colon) and label != LATEST
    return is_hash(reference) if _FORM.match(reference.casefold()) else bool(colon) and label != LATEST


def _way_out(parts: Parts, reference: str) -> str:
    if is_nothing(reference):
        return _NOTHING_HINT
    if _FORM.match(reference.casefold()) or reference.startswith(PREFIX):
        waiting = len(pending(parts))
        more = f" {waiting} files still wait for other tools' hashes: intaglio models hash" if waiting else ""
        return f"See them with: intaglio models list.{more}"
    names = sorted({each.name for each in parts.models.labels()})
    return f"There are: {', '.join(names)}." if names else "Add one: intaglio models add PATH --name NAME"

from __future__ import annotations

from collections.abc import Iterator

import pytest

from intaglio.core import errors
from intaglio.core.errors import IntaglioError, exit_code, http_status

CODES = {
    "IntaglioError": 1, "NodeFailed": 1,
    "Invalid": 2, "InvalidWorkflow": 2, "InvalidSeed": 2, "UnpinnedSeed": 2, "UnpinnedModel": 2, "Unfixed": 2,
    "InvalidRecord": 2, "NoPlaceInside": 2,
    "AnnotationMissing": 2, "UnsafeModel": 2, "InvalidModel": 2, "InvalidImage": 2, "RecordMismatch": 2, "Conflict": 2,
    "NotFound": 3, "OnlySimilar": 3, "NoLibrary": 3,
    "Unavailable": 4, "ModelUnavailable": 4, "Damaged": 4, "LibraryTooNew": 4, "StorageFailed": 4, "BackendMissing": 4,
    "CannotReproduce": 4, "StillAtWork": 2,
    "Unauthorized": 4, "Forbidden": 4, "TooMany": 4, "ServerGone": 4, "WorkerLost": 4, "TooLarge": 2, "TooSlow": 2,
    "Cancelled": 130,
}  # fmt: skip
STATUSES = {
    "IntaglioError": 500,
    "Invalid": 422, "InvalidWorkflow": 422, "InvalidSeed": 422, "UnpinnedSeed": 422, "UnpinnedModel": 422,
    "Unfixed": 422, "InvalidRecord": 422, "NoPlaceInside": 422, "AnnotationMissing": 422, "UnsafeModel": 422,
    "InvalidModel": 422, "InvalidImage": 422, "RecordMismatch": 422, "TooLarge": 413, "TooSlow": 408,
    "Conflict": 409, "ModelUnavailable": 409, "CannotReproduce": 409, "NodeFailed": 409, "Cancelled": 409,
    "StillAtWork": 409,
    "NotFound": 404, "OnlySimilar": 404, "NoLibrary": 503, "Unauthorized": 401, "Forbidden": 403, "TooMany": 429,
    "Unavailable": 503, "Damaged": 503, "LibraryTooNew": 503, "StorageFailed": 503, "BackendMissing": 503,
    "ServerGone": 503, "WorkerLost": 503,
}  # fmt: skip


def tree(cls: type[IntaglioError]) -> Iterator[type[IntaglioError]]:
    """A class and all below it that the package declares."""
    yield cls
    for below in cls.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from tree(below)


CLASSES = {cls.__name__: cls for cls in tree(IntaglioError)}


def test_every_class_has_an_expected_exit_code() -> None:
    assert set(CLASSES) == set(CODES)


@pytest.mark.parametrize("name", sorted(CODES))
def test_the_exit_code_of_every_class(name: str) -> None:
    assert exit_code(CLASSES[name].__new__(CLASSES[name])) == CODES[name]


@pytest.mark.parametrize("name", sorted(CODES))
def test_the_status_of_every_class(name: str) -> None:
    assert http_status(CLASSES[name].__new__(CLASSES[name])) == STATUSES[name]


def test_every_class_has_a_code_of_its_own_and_hints_are_sentences() -> None:
    codes = [cls.code for cls in CLASSES.values()]
    assert len(set(codes)) == len(codes)
    for cls in CLASSES.values():
        assert not cls.hint or cls.hint[0].isupper()


def test_errors_carry_facts() -> None:
    assert errors.UnpinnedSeed(["a", "b"]).nodes == ("a", "b")
    assert str(errors.UnpinnedModel(["a", "b"])) == "production mode needs an exact model on: a, b"
    assert str(errors.InvalidWorkflow("is wrong", node="a", field="seed")) == "node 'a', seed: is wrong"
    found = errors.NotFound("model", "x", hint="Look again.")
    assert (found.kind, found.name, str(found), found.hint) == ("model", "x", "no model 'x'", "Look again.")
    assert errors.NodeFailed("a", "no luck").node == "a"
    assert errors.CannotReproduce("no", grade="partial").grade == "partial"
    assert errors.Invalid("x", hint="").hint == ""

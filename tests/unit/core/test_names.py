"""What models, assets and contexts say of themselves."""

from __future__ import annotations

import dataclasses

import pytest

from intaglio.core.context import Context, Hooks
from intaglio.core.model import ModelRef

from .samples import MODEL, PICTURE, REF


def test_a_model_is_named_by_everything_that_must_be_there() -> None:
    assert ModelRef(name="scenes", version="1", digest=MODEL.digest, kind="checkpoint", config=MODEL.config) == REF
    assert REF.digests == (MODEL.digest, MODEL.config)
    assert dataclasses.replace(REF, config="").digests == (MODEL.digest,)


def test_the_address_of_an_asset_is_its_content() -> None:
    assert PICTURE.address == f"intaglio:asset/{PICTURE.digest}"


def test_without_anybody_listening_hooks_do_nothing() -> None:
    context = Context(step="a")
    context.hooks.progress(1, 2)
    context.hooks.check()
    context.hooks.note("quiet")
    assert context.generate is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        context.step = "b"  # type: ignore[misc]
    assert Hooks() != Hooks(note=print)

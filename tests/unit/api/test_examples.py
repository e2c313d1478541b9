"""The examples are what the product gives, and stay readable as it changes."""

from __future__ import annotations

from importlib.resources import files

import jsonschema
import pytest

from intaglio.api.describe import place
from intaglio.api.examples import example
from intaglio.api.schema import Schemas
from intaglio.core.asset import Asset
from intaglio.core.wire import from_wire, to_wire

from .test_words import classes

FILES = sorted(file.name for file in files("intaglio.api.examples").iterdir() if file.name.endswith(".json"))
# What people look at first.
WANTED = {
    "Task",
    "TaskView",
    "Version",
    "Asset",
    "Snapshot",
    "Workflow",
    "Grade",
    "Reproduced",
    "Variation",
    "Notice",
    "Job",
}


def test_the_most_used_results_have_an_example() -> None:
    assert {name.removesuffix(".json").rpartition(".")[2] for name in FILES} >= WANTED


@pytest.mark.parametrize("name", FILES)
def test_an_example_is_read_as_its_class_and_written_as_it_stands(name: str) -> None:
    [cls] = [cls for cls in classes() if f"{place(cls)}.json" == name]
    found = example(cls)
    assert to_wire(from_wire(cls, found)) == found


@pytest.mark.parametrize("name", FILES)
def test_API_1_an_example_is_what_the_schema_of_its_class_allows(name: str) -> None:
    [cls] = [cls for cls in classes() if f"{place(cls)}.json" == name]
    schemas = Schemas()
    schema = {**schemas.of(cls), "components": {"schemas": schemas.components}}
    jsonschema.validate(example(cls), schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("name", FILES)
def test_an_example_says_nothing_of_the_machine_it_was_made_on(name: str) -> None:
    text = files("intaglio.api.examples").joinpath(name).read_text()
    assert not [place for place in ("/tmp", "/root", "/home", "/work") if place in text]


def test_a_class_without_an_example_has_none() -> None:
    class Other: ...

    assert example(Other) is None
    assert example(Asset)["kind"] == "asset"

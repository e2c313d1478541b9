"""What the API's document says holds: every operation of it, asked with what it allows and with what it forbids."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2
import jsonschema
import pytest
import schemathesis
from acceptance.hosting import Host, furnished, hosted
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.specs.openapi.definitions import OPENAPI_31

# For a longer look by hand: FUZZ_EXAMPLES=100 FUZZ_SEED=1 pytest ...
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4"))
SEED = int(os.environ.get("FUZZ_SEED", "8470"))
# What is left out: whether valid data is accepted (schemas say the form of a name, not which there are), and what needs
# answers of one request in another (nothing is left of what a fuzzer deletes). Names may have slashes, so that a GET of
# more addresses than the document has is a GET of a name: whether Allow is whole has a test of its own.
CHECKS = {
    name: {"enabled": True}
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "missing_required_header",
        "unsupported_method",
        "ensure_resource_availability",
    )
}
# Streams of events never end; tests/unit/web/test_events.py reads them.
STREAMS = "/events$"
REFERENCE = "#/components/schemas/"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("openapi")
    with hosted(furnished(folder).root, folder / "log") as found:
        yield found


@pytest.fixture(scope="module")
def document(host: Host) -> Any:
    return httpx2.get(f"{host.url}/api/openapi.json").raise_for_status().json()


def test_every_operation_does_what_the_document_says_and_none_fails_whatever_it_is_sent(host: Host) -> None:
    """Examples, the edges of every schema, and random data, right and wrong; without one 5xx or traceback."""
    schema = schemathesis.openapi.from_url(f"{host.url}/api/openapi.json", config=_config()).exclude(path_regex=STREAMS)
    said, labels = [], set()
    for event in from_schema(schema).execute():
        assert not isinstance(event, (events.NonFatalError, events.FatalError)), event
        if isinstance(event, events.ScenarioFinished):
            labels.add(event.recorder.label)
            said += list(_failures(event.recorder))
    assert not said, "\n".join(said[:20])
    assert len(labels) > 100, "every operation was asked"
    assert "Traceback" not in host.log
    assert httpx2.get(f"{host.url}/health").status_code == 200


def _config() -> SchemathesisConfig:
    rejected = ["4xx"]  # too large a body is 413, a page of another site 403
    return SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "continue-on-failure": True,
            "request-timeout": 30,
            "generation": {"max-examples": EXAMPLES, "deterministic": True, "no-shrink": True, "database": "none"},
            "phases": {"stateful": {"enabled": False}},
            "checks": {
                "enabled": False,
                **CHECKS,
                "negative_data_rejection": {"enabled": True, "expected-statuses": rejected},
            },
        }
    )


def _failures(recorder: ScenarioRecorder) -> Iterator[str]:
    for case, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is not None:
                answer = recorder.interactions[case].response if case in recorder.interactions else None
                came = f"{answer.status_code} {answer.content[:200]!r}" if answer else "no answer"
                told = str(check.failure_info.failure.message).replace("\n", " ")[:200]
                yield f"{recorder.label}: {check.name}: {told}\n  {check.failure_info.code_sample[:400]}\n  {came}"


def test_the_document_is_openapi_3_1(document: Any) -> None:
    assert document["openapi"].startswith("3.1.")
    jsonschema.Draft202012Validator(OPENAPI_31).validate(document)
    for at, reference in _places(document, "$ref"):
        found: Any = document
        assert reference.startswith("#/"), at
        for step in reference[2:].split("/"):
            assert step in found, f"{at}: {reference}"
            found = found[step]


def test_every_operation_says_what_it_is_and_what_it_refuses(document: Any) -> None:
    ids = []
    for path, method, operation in _operations(document):
        at = f"{method} {path}"
        ids.append(operation["operationId"])
        assert re.fullmatch("[a-z_]+", operation["operationId"]), at
        assert operation["tags"][0] in {tag["name"] for tag in document["tags"]}, at
        for part in (operation, *operation.get("parameters", ()), *operation["responses"].values()):
            assert part.get("description", "").strip(), f"{at}: {part.get('name', '')}"
        assert operation["summary"].endswith("."), at
        named = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", path)), at
        assert {"401", "403", "413", "429"} <= operation["responses"].keys(), at
        for status, answer in operation["responses"].items():
            if status[0] == "4" and status != "416":  # of a Range, which is not ours to word
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": f"{REFERENCE}Error"}, f"{at}: {status}"
    assert len(set(ids)) == len(ids)
    forms = [re.sub(r"\{\w+\}", "{}", path) for path in document["paths"]]
    assert len(set(forms)) == len(forms), "no two addresses that are one"


def test_every_schema_is_one_with_words_for_each_property_and_its_examples_are_valid(document: Any) -> None:
    schemas = [each for _, each in _places(document, "schema")]
    schemas += document["components"]["schemas"].values()
    assert len(schemas) > 400
    for schema in schemas:
        jsonschema.Draft202012Validator.check_schema(schema)
        known = {**schema, "components": document["components"]}
        for example in schema.get("examples", ()):
            jsonschema.Draft202012Validator(known).validate(example)
        for at, properties in _places(schema, "properties"):
            if isinstance(properties, Mapping) and not at.endswith("/properties"):
                assert [n for n, each in properties.items() if not each.get("description")] == [], (at, schema)
    used = {reference for _, reference in _places(document, "$ref")}
    assert {f"{REFERENCE}{name}" for name in document["components"]["schemas"]} <= used, "none is left over"


def test_the_page_for_people_shows_every_operation_and_needs_nothing_from_elsewhere(host: Host, document: Any) -> None:
    answer = httpx2.get(f"{host.url}/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(", answer.text)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for path, method, _ in _operations(document):
        assert f"{method.upper()} {path}" in answer.text


def test_an_address_tells_every_method_it_takes(host: Host) -> None:
    takes = {"/api/tasks": "GET, POST", "/api/assets/x": "GET, PUT", "/api/assets/-/compare": "POST"}
    for path, methods in takes.items():
        answer = httpx2.request("PATCH", f"{host.url}{path}")
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)
        assert answer.json()["error"]["code"] == "method"


@pytest.mark.parametrize("name", ["a%0ab", "%0a", "a%0a", "%e2%80%a8/x"])
def test_a_name_may_hold_any_character(host: Host, name: str) -> None:
    for noun in ("assets", "versions", "models"):
        answer = httpx2.get(f"{host.url}/api/{noun}/{name}")
        assert (answer.status_code, answer.json()["error"]["facts"]["kind"]) == (404, noun.removesuffix("s"))


@pytest.mark.parametrize("name", ["", "a@3", "../a", "a/b", "a\n", " ", "-"])
def test_a_workflow_that_is_sent_has_a_name_that_a_file_could_have(host: Host, name: str) -> None:
    """An empty one once made a tree of workflows without an end."""
    nodes = {"a": {"type": "film-grain"}, "out": {"type": "output", "inputs": {"image": "a"}}}
    for path in ("/api/workflows", "/api/workflows/-/check", "/api/tasks"):
        answer = httpx2.post(f"{host.url}{path}", json={"workflow": {"name": name, "nodes": nodes}})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "workflow.invalid")
        assert answer.json()["error"]["facts"]["field"] == "name"
    assert httpx2.get(f"{host.url}/api/workflows/-/tree").status_code == 200


def test_one_thing_has_one_address(host: Host) -> None:
    answer = httpx2.get(f"{host.url}/api/jobs/", follow_redirects=False)
    assert answer.status_code in (404, 422)


@pytest.mark.parametrize("text", ["nan", "inf", "1_0", "٣", "0x1", " 1", "1e", "9" * 5000, ""])
def test_a_number_in_an_address_is_written_as_in_JSON(host: Host, text: str) -> None:
    jobs = httpx2.get(f"{host.url}/api/jobs").json()["items"]
    answer = httpx2.get(f"{host.url}/api/jobs/{jobs[0]['id']}/wait", params={"timeout": text})
    assert answer.status_code == 422, answer.text


def test_an_empty_key_is_no_key(host: Host) -> None:
    answer = httpx2.post(f"{host.url}/api/library/check", json={}, headers={"Idempotency-Key": ""})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")


def _operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _places(value: Any, key: str, at: str = "") -> Iterator[tuple[str, Any]]:
    """Every member called `key`, however deep, and where it is."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            if name == key:
                yield at, each
            yield from _places(each, key, f"{at}/{name}")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _places(each, key, f"{at}/{number}")

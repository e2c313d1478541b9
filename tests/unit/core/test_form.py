"""What a run asks for before it is final, and whether it was given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.errors import Invalid
from intaglio.core.form import PLAIN, QUESTION, Form, form_of, merged, parse_fields
from intaglio.core.task import Reason
from intaglio.nodes import all_types

TYPES = all_types()
NAMES = st.text("abcdefghij", min_size=1, max_size=12)
REASONS = st.builds(
    Reason,
    label=st.sampled_from(["", "warm"]),
    annotation=st.sampled_from(["", "  ", "because"]),
    none=st.booleans(),
    fields=st.dictionaries(st.sampled_from(["client", "channel"]), st.sampled_from(["", " ", "Acme"])),
)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", {}),
        ("client, channel", {"client": "", "channel": ""}),
        ("client: Which client, and who there?", {"client": "Which client, and who there?"}),
        ("client: Who?\n\nchannel,size,\n", {"client": "Who?", "channel": "", "size": ""}),
        ("Größe in cm: how: big?", {"Größe in cm": "how: big?"}),
    ],
)
def test_fields_as_they_are_written(text: str, fields: dict[str, str]) -> None:
    assert parse_fields(text) == fields


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("client, client", "twice"),
        ("client\nClient: who?", "twice"),
        (": who?", "not the name of a field"),
        ("a=b", "not the name of a field"),
        ("-x", "not the name of a field"),
        ("x" * 61, "not the name of a field"),
        ("Annotation", "asked for anyway"),
        ("label: which?", "asked for anyway"),
        (",".join(f"f{number}" for number in range(51)), "the limit is 50"),
    ],
)
def test_fields_that_cannot_be(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_fields(text)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused_in_plain_words(text: str) -> None:
    try:
        fields = parse_fields(text)
    except ValueError:
        return
    written = "\n".join(f"{name}: {question}" for name, question in fields.items())
    assert parse_fields(written) == fields


@given(st.lists(st.dictionaries(NAMES, st.just(""), max_size=3), max_size=4))
def test_everything_that_any_form_asks_is_asked_once(forms: list[dict[str, str]]) -> None:
    nodes = [(TYPES["form"], {"question": f"why {len(one)}?", "fields": ", ".join(one)}) for one in forms]
    found = form_of([*nodes, (TYPES["output"], {})])
    if not forms:
        assert found is None
        return
    assert found is not None
    assert list(found.fields) == list(dict.fromkeys(name for one in forms for name in one)), "each form's together"
    assert set(found.questions) == {f"why {len(one)}?" for one in forms}


def test_who_asks_nothing_is_asked_the_one_question() -> None:
    assert form_of([(TYPES["version-record"], {})]) == PLAIN == Form((QUESTION,), {})
    assert form_of([(TYPES["form"], {"question": " "})]) == PLAIN
    assert form_of([(TYPES["output"], {}), (TYPES["film-grain"], {})]) is None


def test_the_first_question_about_a_field_counts() -> None:
    forms = [(TYPES["form"], {"fields": "client: who?"}), (TYPES["form"], {"fields": "client: which?, channel"})]
    found = form_of(forms)
    assert found is not None
    assert found.fields["client"] == "who?"


@given(REASONS, REASONS)
def test_what_was_said_stays_unless_the_same_is_said_again(earlier: Reason, now: Reason) -> None:
    form = Form(fields={"client": "", "channel": ""})
    both = merged(earlier, now)
    missing = {name for name in form.missing(both) if name in form.missing(earlier) and name in form.missing(now)}
    emptied = {name for name, answer in now.fields.items() if not answer.strip()}
    assert set(form.missing(both)) <= missing | emptied, "only an answer that empties it makes a field missing again"
    assert both.label == (now.label or earlier.label)
    if now.annotation.strip():
        assert both.annotation == now.annotation
    elif earlier.annotation.strip():
        assert both.annotation == earlier.annotation
    assert both.none == (now.none or (earlier.none and not both.annotation.strip()))
    assert merged(None, now) == now


@pytest.mark.parametrize(
    ("reason", "words", "hint"),
    [
        (Reason(annotation="a", none=True), "both asked for", "one of the two"),
        (Reason(fields={"clint": "Acme"}), "no field 'clint'", "Did you mean 'client'"),
        (Reason(fields={"zzz": "Acme"}), "no field 'zzz'", "It asks for: client."),
        (Reason(fields={"client": "  "}), "field 'client' is empty", "--field 'client=...'"),
        (Reason(fields={"client": "x" * 10_001}), "10001 characters", "at most 10000"),
    ],
)
def test_answers_that_cannot_be(reason: Reason, words: str, hint: str) -> None:
    with pytest.raises(Invalid, match=words) as refused:
        Form(fields={"client": ""}).check(reason)
    assert hint in refused.value.hint
    with pytest.raises(Invalid, match="no field"):
        PLAIN.check(Reason(fields={"client": "Acme"}))

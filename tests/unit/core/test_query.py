"""The search grammar: what is written comes back, and what cannot be meant is refused by name."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.conditions import condition
from intaglio.core.errors import Invalid
from intaglio.core.query import FLAGS, GRADES, MAX_QUERY, MAX_TERMS, Query, Term, parse, period

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(lambda text: text.strip())
TEXTS = TEXTS.map(lambda text: text.replace("“", "").replace("”", "") or "x").filter(lambda text: bool(text.strip()))

TERMS = st.one_of(
    st.builds(Term, st.just(""), st.just(":"), TEXTS.filter(lambda text: not set("*?") & set(text)), st.booleans()),
    st.builds(Term, st.just(""), st.just(":"), TEXTS.map(lambda text: text + "*"), st.booleans(), st.just(True)),
    st.builds(Term, st.just(""), st.just(":"), st.sampled_from(["wa*", "h?t", "blue*"]), st.booleans()),
    st.builds(
        Term,
        st.sampled_from(["model", "label", "branch", "tag", "by", "task", "prompt", "base.prompt", "rahmen"]),
        st.just(":"),
        TEXTS.filter(lambda text: not set("*?") & set(text)),
        st.booleans(),
    ),
    st.builds(Term, st.just("is"), st.just(":"), st.sampled_from(FLAGS), st.booleans()),
    st.builds(Term, st.just("grade"), st.just(":"), st.sampled_from(GRADES), st.booleans()),
    st.builds(
        Term,
        st.sampled_from(["cfg", "steps", "node-2.guidance", "x_y"]),
        st.sampled_from(["!=", "<", "<=", ">", ">="]),
        st.sampled_from(["7", "-3.5", ".5", "1e3", "20"]),
        st.booleans(),
    ),
    st.builds(Term, st.just("seed"), st.sampled_from([":", ">="]), st.integers(0, 2**64 - 1).map(str), st.booleans()),
    st.builds(
        Term,
        st.sampled_from(["after", "before", "on"]),
        st.just(":"),
        st.sampled_from(["2026", "2026-06", "2026-02-28"]),
        st.booleans(),
    ),
)
QUERIES = st.builds(Query, st.lists(st.lists(TERMS, min_size=1, max_size=3).map(tuple), max_size=5).map(tuple))


@given(QUERIES)
def test_a_query_that_is_written_reads_the_same(query: Query) -> None:
    assert parse(str(query)) == query


@given(st.text(st.sampled_from('ab:<>=!-"*?\\ .7“”') | st.characters(), max_size=40))
def test_whatever_is_typed_is_read_or_refused(text: str) -> None:
    query = refusal = None
    try:
        query = parse(text)
        condition(query)
    except Invalid as error:
        refusal = error
    assert refusal is None or (str(refusal) and refusal.hint)
    assert query is None or parse(str(query)) == query


def test_the_parts_of_a_query() -> None:
    found = parse('cfg>7 -rejected label:warm* "blue hour" a OR by:"Ada Lovelace" cfg:>=2 Sampler=euler')
    assert found.clauses == (
        (Term("cfg", ">", "7"),),
        (Term("is", ":", "rejected", negated=True),),
        (Term("label", ":", "warm*"),),
        (Term("", ":", "blue hour"),),
        (Term("", ":", "a"), Term("by", ":", "Ada Lovelace")),
        (Term("cfg", ">=", "2"),),
        (Term("sampler", ":", "euler"),),
    )
    assert parse("“blue hour”") == parse('"blue hour"')
    assert parse("a AND b") == parse("a b")
    assert parse("   ") == Query()
    assert parse("author:Ada workflow:sunset") == parse("by:Ada branch:sunset")


def test_in_quotes_a_flag_is_a_word_and_a_star_a_star() -> None:
    assert parse('"approved"').clauses == ((Term("", ":", "approved"),),)
    assert parse("approved").clauses == ((Term("is", ":", "approved"),),)
    assert parse('label:"a*"').clauses == ((Term("label", ":", "a*", literal=True),),)


@pytest.mark.parametrize(
    ("text", "named", "way_out"),
    [
        ("cfg>hot", "'cfg>hot'", "cfg>7"),
        ("after:2026-13", "'after:2026-13'", "2026-06"),
        ("on:yesterday", "'on:yesterday'", "2026-06-12"),
        ("seed:-1", "'seed:-1'", "18446744073709551615"),
        ("base.seed>x", "'base.seed>x'", "18446744073709551615"),
        ("grade:good", "'grade:good'", "full, approximate, partial"),
        ("reproduced:yes", "'reproduced:yes'", "identical, similar, different"),
        ("is:great", "'is:great'", "approved, rejected"),
        ("version:zz", "'version:zz'", "v3"),
        ("snapshot:abc", "'snapshot:abc'", "4 or more"),
        ("label>3", "'label>3'", "label:3"),
        ("tag:", "'tag:'", "label:warm*"),
        ('say"what"', "'say\"what\"'", "close the quotes"),
        ('prompt:"blue', "'prompt:\"blue'", "close the quotes"),
        ("NOT rejected", "'NOT'", "-rejected"),
        ("OR a", "OR has nothing before it", '"OR"'),
        ("a OR OR b", "OR has nothing before it", '"OR"'),
        ("a OR", "OR has nothing after it", '"OR"'),
        ("a" * (MAX_QUERY + 1), "characters", str(MAX_QUERY)),
        ("a " * (MAX_TERMS + 1), "terms", "less"),
        ("a*", "'a*'", "wa*"),
        ("label:*a", "'label:*a'", "wa*"),
        ("blue-ho*", "'blue-ho*'", "each word"),
        ('"?!"', "'\"?!\"'", "word"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_named(text: str, named: str, way_out: str) -> None:
    with pytest.raises(Invalid) as refused:
        condition(parse(text))
    assert named in str(refused.value)
    assert way_out in refused.value.hint


@pytest.mark.parametrize(
    ("term", "start", "end"),
    [
        (Term("after", ":", "2026-12"), datetime(2026, 12, 1, tzinfo=UTC), None),
        (Term("before", ":", "2026"), None, datetime(2026, 1, 1, tzinfo=UTC)),
        (Term("on", ":", "2026"), datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        (Term("on", ":", "2026-12"), datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        (Term("on", ":", "2024-02-29"), datetime(2024, 2, 29, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)),
    ],
)
def test_a_period(term: Term, start: datetime | None, end: datetime | None) -> None:
    assert period(term) == (start, end)

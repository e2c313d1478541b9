"""A search finds, newest first, exactly the versions that the query holds for, whatever was said of them since."""

from __future__ import annotations

import operator
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, event, update
from unit.store.test_db_samples import Stores, reproduction, snapshot, stores, version

from intaglio.core.codec import digest as digest_of
from intaglio.core.conditions import Known, condition, holds
from intaglio.core.errors import Damaged, NotFound
from intaglio.core.fidelity import Verdict
from intaglio.core.findable import facts_of
from intaglio.core.plan import WorkflowRef
from intaglio.core.query import Term, parse
from intaglio.core.seeds import ExecutedSeed
from intaglio.core.version import Remark, Standing, Version, standing
from intaglio.store.integrity import check_rows
from intaglio.store.rows import VERSIONS
from intaglio.store.schema import search_names, search_numbers, search_words
from intaglio.store.search_blocks import SIZE, Column, bits_of, pack, places_of, unpack

WORDS = ("blue", "hour", "sea", "Sun-set", "hourglass")


@dataclass(frozen=True)
class Made:
    """A version as a test thinks of it, and what was said of it, in order."""

    prompt: tuple[str, ...] = ()
    note: tuple[str, ...] = ()
    cfg: tuple[float, ...] = ()
    seed: int = 1
    model: str = "tiny:1"
    label: str = ""
    author: str = "Ada"
    branch: str = "poster"
    day: int = 1
    said: tuple[tuple[str, bool, str], ...] = ()
    tried: tuple[Verdict, ...] = ()
    number: int = field(default=0, compare=False)


MADE = st.builds(
    Made,
    prompt=st.lists(st.sampled_from(WORDS), max_size=5).map(tuple),
    note=st.lists(st.sampled_from(WORDS), max_size=3).map(tuple),
    cfg=st.lists(st.sampled_from([-1.5, 0.0, 5, 7, 7.5, 9]), max_size=2).map(tuple),
    seed=st.sampled_from([0, 42, 43, 2**64 - 1]),
    model=st.sampled_from(["tiny:1", "tiny-two:1", "other:9"]),
    label=st.sampled_from(["", "warm", "warmer", "cold"]),
    author=st.sampled_from(["Ada", "Ada Lovelace", "Bo"]),
    branch=st.sampled_from(["poster", "Campaign-B-Cool"]),
    day=st.integers(1, 28),
    said=st.lists(
        st.tuples(
            st.sampled_from(["approved", "rejected", "tag", "comment", "annotation", "needs-legacy-model"]),
            st.booleans(),
            st.sampled_from(["blue", "hero"]),
        ),
        max_size=4,
    ).map(tuple),
    tried=st.lists(st.sampled_from(["identical bytes", "identical pixels", "similar", "different"]), max_size=2).map(
        tuple
    ),
)
QUERIES = st.lists(
    st.tuples(
        st.sampled_from(["", "-"]),
        st.sampled_from(
            [
                "blue", "hou*", '"blue hour"', '"blue hour sea"', "sunset", "cfg>7", "guidance<=5", "cfg:7", "cfg!=7",
                "base.cfg>=7", "refine.cfg<7", "seed:42", "seed>43", "refine.seed:43", "model:tiny", "model:tiny*",
                "model:other:9", "label:warm*", "label:warm", "label:*", "label:w?rm", "branch:campaign-b*", "by:ada",
                "by:lovelace", "tag:hero", "tag:*", "approved", "rejected", "annotated", "unannotated", "legacy",
                "archived", "after:2026-06-10", "before:2026-06-20", "on:2026-06-15", "grade:full", "reproduced:never",
                "reproduced:identical", "version:v3", 'prompt:"blue sea"', "task:2026*", "task:t1",
            ]
        ),
        st.sampled_from(["", "", "OR"]),
    ),
    min_size=1,
    max_size=4,
)  # fmt: skip


def saved(library: Stores, kept: str, made: Made) -> tuple[str, Version, list[Remark]]:
    def build(number: int) -> Version:
        nodes: dict[str, float | None] = {**dict(zip(("base", "refine"), made.cfg, strict=False))}
        nodes = nodes or {"base": None}
        return replace(
            version(number, kept, label=made.label and f"{made.label}-{number}", name=made.branch),
            created=f"2026-06-{made.day:02d}T12:00:00.000000Z",
            author=made.author,
            annotation=" ".join(made.note),
            parameters={
                node: {"prompt": " ".join(made.prompt), **({} if cfg is None else {"guidance": cfg})}
                for node, cfg in nodes.items()
            },
            seeds={node: ExecutedSeed(value=str(made.seed), origin="drawn") for node in nodes},
            models={"base": {"model": f"{made.model} blake3:{'a' * 64}"}},
        )

    digest, found = library.versions.save(made.branch, build)
    remarks = [
        Remark(
            version=digest,
            what=what,
            holds=holds,
            note=word if what in ("comment", "annotation") else "",
            value=word if what == "tag" else "",
            created=f"2026-07-{at + 1:02d}T12:00:00.000000Z",
            author="Ada",
        )
        for at, (what, holds, word) in enumerate(made.said)
    ]
    for remark in remarks:
        library.remarks.add(remark)
    for at, verdict in enumerate(made.tried):
        one = reproduction(digest, task=f"r{at}")
        library.reproductions.add(replace(one, fidelity=replace(one.fidelity, verdict=verdict)))
    return digest, found, remarks


COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, "<=": operator.le, ":": operator.eq, "!=": operator.ne, ">=": operator.ge, "<": operator.lt,
}  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """A version that was made, as the meaning of terms needs it."""

    made: Made
    number: int
    remarks: list[Remark]

    @property
    def now(self) -> Standing:
        return standing(self.remarks)

    @property
    def nodes(self) -> dict[str, float]:
        return dict(zip(("base", "refine"), self.made.cfg, strict=False))

    @property
    def label(self) -> str:
        return self.made.label and f"{self.made.label}-{self.number}"

    def text(self, *, prompt_only: bool) -> list[str]:
        said = [" ".join(self.made.note), self.label.replace("-", " "), *self.now.tags]
        said += [remark.note for remark in (*self.now.comments, *self.now.annotations)]
        texts = [" ".join(self.made.prompt), *([] if prompt_only else said)]
        return [f" {each.lower().replace('-', ' ')} " for each in texts]


def says(term: Term, seen: Seen) -> bool:
    wanted = " hou" if term.value == "hou*" else f" {term.value} "
    return any(wanted in each for each in seen.text(prompt_only=bool(term.name)))


def compares(term: Term, seen: Seen) -> bool:
    node = term.name.partition(".")[0] if "." in term.name else ""
    asked = [cfg for name, cfg in seen.nodes.items() if node in ("", name)]
    return any(COMPARE[term.compare](cfg, float(term.value)) for cfg in asked)


def seeded(term: Term, seen: Seen) -> bool:
    there = term.name == "seed" or "refine" in seen.nodes
    return there and COMPARE[term.compare](seen.made.seed, int(term.value))


def modelled(term: Term, seen: Seen) -> bool:
    model = seen.made.model
    return {"tiny": model == "tiny:1", "tiny*": model.startswith("tiny")}.get(term.value, model == term.value)


def labelled(term: Term, seen: Seen) -> bool:
    fits = {"warm*": seen.label.startswith("warm"), "*": bool(seen.label), "w?rm": False}
    return fits.get(term.value, seen.label == term.value)


def stands(term: Term, seen: Seen) -> bool:
    annotated = bool(seen.made.note or seen.now.annotations)
    return {
        "approved": seen.now.approval == "approved",
        "rejected": seen.now.approval == "rejected",
        "annotated": annotated,
        "unannotated": not annotated,
        "legacy": seen.now.legacy,
        "archived": seen.made.branch == "poster",
    }[term.value]


def came_back(term: Term, seen: Seen) -> bool:
    if not seen.made.tried:
        return term.value == "never"
    last = seen.made.tried[-1]
    return term.value == ("identical" if last.startswith("identical") else last)


# What terms mean, said again as simply as can be.
MEANING: dict[str, Callable[[Term, Seen], bool]] = {
    "": says,
    "prompt": says,
    "cfg": compares,
    "guidance": compares,
    "base.cfg": compares,
    "refine.cfg": compares,
    "seed": seeded,
    "refine.seed": seeded,
    "model": modelled,
    "label": labelled,
    "branch": lambda term, seen: seen.made.branch == "Campaign-B-Cool",
    "by": lambda term, seen: term.value.title() in seen.made.author,
    "tag": lambda term, seen: bool(seen.now.tags) if term.value == "*" else term.value in seen.now.tags,
    "is": stands,
    "after": lambda term, seen: seen.made.day >= 10,
    "before": lambda term, seen: seen.made.day < 20,
    "on": lambda term, seen: seen.made.day == 15,
    "grade": lambda term, seen: bool(seen.made.tried),
    "reproduced": came_back,
    "version": lambda term, seen: seen.number == 3,
    "task": lambda term, seen: term.value == "t1",
}


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Stores]:
    opened = stores(tmp_path / "library.db")
    yield opened
    opened.database.close()


def known() -> Known:
    return Known(archived=lambda: ["poster"])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(versions=st.lists(MADE, max_size=7), asked=st.lists(QUERIES, min_size=1, max_size=12), limit=st.integers(1, 8))
def test_a_search_says_what_the_query_means(
    tmp_path_factory: pytest.TempPathFactory, versions: list[Made], asked: list[Any], limit: int
) -> None:
    library = stores(tmp_path_factory.mktemp("search") / "library.db")
    with closing(library.database):
        kept = library.documents.put(snapshot("t1"))
        there = [(made, *saved(library, kept, made)) for made in versions]
        for terms in asked:
            text = " ".join(f"{sign}{term} {joined}" for sign, term, joined in terms).removesuffix("OR")
            query = parse(text)
            expected = [
                digest
                for made, digest, found, remarks in reversed(there)
                if all(
                    any(MEANING[term.name](term, Seen(made, found.number, remarks)) != term.negated for term in clause)
                    for clause in query.clauses
                )
            ]
            got = library.search.find(condition(query, known()), limit=limit)
            assert [digest for digest, _ in got] == expected[:limit], text
            if len(expected) > limit:
                rest = library.search.find(condition(query, known()), limit=99, before=got[-1][0])
                assert [digest for digest, _ in rest] == expected[limit:], text
        assert [problem.message for problem in check_rows(library.database) if problem.kind == "search"] == []
        before = rows(library)
        assert library.search.rebuild() == len(versions)
        assert rows(library) == before


def rows(library: Stores) -> list[Any]:
    tables = (search_words, search_numbers, search_names)
    with library.database.read() as connection:
        return [sorted(map(tuple, connection.execute(table.select())), key=str) for table in tables]


def test_over_the_edges_of_blocks_and_pages(library: Stores) -> None:
    kept = library.documents.put(snapshot("t1"))
    early = version(1, kept, name="early")
    with library.database.write() as connection:
        for at, each in enumerate((early, replace(early, number=2, created="2026-06-01T00:00:00Z"))):
            seq = (1, 7 * SIZE - 3)[at]
            connection.execute(VERSIONS.table.insert(), VERSIONS.row(each, seq=seq))
    assert library.search.rebuild() == 2
    names = [library.versions.save("poster", lambda n: version(n, kept, label=f"warm-{n}"))[0] for _ in range(8)]
    names = [digest_of(early), digest_of(replace(early, number=2, created="2026-06-01T00:00:00Z")), *names]
    for text in ("cfg>7", "-rejected", "blue", '"a blue hour"', "task:t*", "seed:7", "-cfg<7"):
        asked, found, before = condition(parse(text)), [], None
        while page := library.search.find(asked, limit=3, before=before):
            found += [digest for digest, _ in page]
            before = page[-1][0]
        assert found == names[::-1], text
    assert len(library.search.find(condition(parse("label:warm*")), limit=99)) == 8
    assert library.search.find(condition(parse("snapshot:" + kept[7:17])), limit=1)[0][0] == names[-1]
    assert library.search.find(condition(parse("version:" + names[0][7:17])), limit=9)[0][0] == names[0]
    with pytest.raises(NotFound):
        library.search.find(condition(parse("cfg>7")), limit=1, before="blake3:" + "0" * 64)


def test_what_is_not_found_as_it_should_be_is_told_and_mended(library: Stores) -> None:
    kept = library.documents.put(snapshot("t1"))
    digest, _ = library.versions.save("poster", lambda n: version(n, kept, label="warm"))
    spoilt = (
        delete(search_words).where(search_words.c.word == "blue"),
        delete(search_numbers).where(search_numbers.c.field == "guidance"),
        delete(search_names),
        search_words.insert().values(field=":is", word="approved", block=0, places=pack(1 << 1)),
        search_names.insert().values(field=":label", block=3, name="ghost", place=1),
        update(search_words).values(places=b"\xff\xff"),
        update(search_numbers).values(places=b"\x01\0\0\0 nonsense"),
    )
    for statement in spoilt:
        with library.database.write() as connection:
            connection.execute(statement)
        problems = [problem for problem in check_rows(library.database) if problem.kind == "search"]
        assert problems, str(statement)
        assert "versions reindex" in problems[0].message
        library.search.rebuild()
        assert list(check_rows(library.database)) == []
    with library.database.write() as connection:
        connection.execute(spoilt[-2])
    with pytest.raises(Damaged, match="search tables"):
        library.search.find(condition(parse("blue")), limit=1)
    library.search.rebuild()
    assert library.search.find(condition(parse("blue")), limit=1)[0][0] == digest


def test_a_remark_that_fails_leaves_what_was_found(library: Stores) -> None:
    kept = library.documents.put(snapshot("t1"))
    digest, _ = library.versions.save("poster", lambda n: version(n, kept))

    def approve_and_fail() -> None:
        with library.database.write():
            library.remarks.add(Remark(version=digest, what="approved", holds=True, created="2026", author="Ada"))
            assert library.search.find(condition(parse("approved")), limit=1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        approve_and_fail()
    assert library.search.find(condition(parse("approved")), limit=1) == []
    assert list(check_rows(library.database)) == []


def test_a_record_from_elsewhere_cannot_pretend(library: Stores) -> None:
    kept = library.documents.put(snapshot("t1"))
    odd = replace(
        version(1, kept),
        created="once",
        parameters={"n": {":is": "approved", ":tag": "hero", "deep": {"list": [1, "two words", [True]]}, "": 7}},
        seeds={"n": ExecutedSeed(value="many", origin="drawn")},
        models={"n": {"model": "no digest"}},
        fields={":is": "approved", "Client name": "ACME"},
        workflow=WorkflowRef(name="poster", version=1, digest=""),
    )
    library.versions.save("poster", lambda number: odd)
    for text, count in (
        ("approved", 0), ("tag:hero", 0), ("deep:1", 1), ('deep:"two words"', 1), ("deep:true", 1), ("after:2000", 0),
        ("-after:2000", 1), ("acme", 1), ("client-name:acme", 1),
    ):  # fmt: skip
        assert len(library.search.find(condition(parse(text)), limit=9)) == count, text
        assert holds(condition(parse(text)), facts_of(odd)) == bool(count)
    assert library.search.has_field(["deep"])
    assert not library.search.has_field(["shallow"])
    assert library.search.fields() == ["client-name", "deep"]


@given(st.sets(st.integers(0, SIZE - 1)))
def test_a_set_of_places_comes_back(places: set[int]) -> None:
    assert list(places_of(unpack(pack(bits_of(places))))) == sorted(places, reverse=True)


@given(
    st.lists(
        st.tuples(st.sampled_from([-(2**63), -5, 0, 3, 2**63 - 1]), st.integers(0, 600), st.booleans()), max_size=80
    ),
    st.integers(-6, 4),
    st.integers(-6, 4),
    st.booleans(),
)
def test_a_column_answers_like_a_list(
    changes: list[tuple[int, int, bool]], first: int, last: int, crowded: bool
) -> None:
    pairs = {(3, place) for place in range(700, 1400)} if crowded else set()
    sets: dict[int, int] = {}
    for key, place in pairs:
        sets[key] = sets.get(key, 0) | 1 << place
    column = Column.of(sets)
    for key, place, there in changes:
        column.set(key, place, there=there)
        (pairs.add if there else pairs.discard)((key, place))
        column = Column(column.data())
    assert column.between(first, last) == bits_of({place for key, place in pairs if first <= key <= last})
    assert {(key, place) for key, bits in column.sets().items() for place in places_of(bits)} == pairs
    assert list(column.keys) == sorted({key for key, _ in pairs})


SEARCH = ("search_words", "search_numbers", "search_names", "picture_hashes")
SERVER = ("journal", "queue", "jobs", "tokens", "webhooks", "idempotency")


def test_versions_from_before_there_was_a_search_are_found(tmp_path: Path) -> None:
    path = tmp_path / "library.db"
    library = stores(path)
    kept = library.documents.put(snapshot("t1"))
    digest, _ = library.versions.save("poster", lambda n: version(n, kept, label="warm"))
    library.remarks.add(Remark(version=digest, what="approved", holds=True, created="2026", author="Ada"))
    before = rows(library)
    library.database.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        for table in (*SEARCH, *SERVER):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("UPDATE alembic_version SET version_num = '2026_11_21_versions_at_work'")
    library = stores(path, create=False)
    with closing(library.database):
        assert rows(library) == before
        found = library.search.find(condition(parse("approved label:warm guidance>7 blue")), limit=9)
        assert [each for each, _ in found] == [digest]


def test_neither_a_save_nor_a_search_reads_a_whole_table(library: Stores) -> None:
    """However many versions there are: every statement finds its rows by key."""
    asked: list[tuple[str, Any]] = []
    with library.database.read() as connection:
        engine = connection.engine

    def hear(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        asked.append((statement, parameters[0] if many else parameters))

    event.listen(engine, "before_cursor_execute", hear)
    kept = library.documents.put(snapshot("t1"))
    digest, _ = library.versions.save("poster", lambda n: version(n, kept, label="warm"))
    library.remarks.add(Remark(version=digest, what="approved", holds=True, created="2026", author="Ada"))
    library.reproductions.add(reproduction(digest))
    queries = (
        "cfg>7", "blue", '"a blue hour"', "wa*", "label:warm*", "label:w?rm", "label:warm-1", "task:t*", "-blue",
        "model:tiny*", "version:abcd", "snapshot:abcd", "seed:7", "seed>7", "after:2026",
    )  # fmt: skip
    for text in queries:
        library.search.find(condition(parse(text)), limit=9, before=digest)
    library.search.has_field(["guidance"])
    library.search.fields()
    event.remove(engine, "before_cursor_execute", hear)
    plans = []
    with library.database.read() as connection:
        for statement, parameters in asked:
            if statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")):
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                plans += [(row.detail, statement) for row in plan]
    assert any("search_words USING PRIMARY KEY" in plan for plan, _ in plans)
    assert [each for each in plans if each[0].startswith("SCAN search_")] == []

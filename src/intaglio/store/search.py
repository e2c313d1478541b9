"""Finding versions by a condition: block by block, the newest first, until a page is full.

In each block every condition comes to a set of bits, and sets are put together by and, or and not; so no order of
conditions is a bad one, and a search that finds nothing looks at each block once. What the tables cannot decide
(three words in a row) is decided on the record itself. The tables hold bytes, text and integers, and are asked only
for equality and ranges: another database needs nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, Select, String, bindparam, exists, func, select

from intaglio.core.conditions import All, Begins, Between, Condition, Named, Not, Pattern, Phrase, Some, Word, holds
from intaglio.core.errors import NotFound
from intaglio.core.findable import pairs
from intaglio.core.version import Version
from intaglio.store.database import Database
from intaglio.store.rows import VERSIONS, digest_starts_with, starts_with
from intaglio.store.schema import search_names, search_numbers, search_words, versions
from intaglio.store.search_blocks import FULL, SIZE, Column, bits_of, place_of, places_of, union, unpack
from intaglio.store.search_index import facts_now, fill

Bits = dict[int, int]
_AT_ONCE = 500

_LAST = select(func.max(versions.c.seq))
_SEQ = select(versions.c.seq).where(versions.c.digest == bindparam("wanted"))
_ROWS = select(versions).where(versions.c.seq.in_(bindparam("wanted", expanding=True)))
_IN: BindParameter[int] = bindparam("blocks", expanding=True)
_WORD = select(search_words.c.block, search_words.c.places).where(
    search_words.c.field == bindparam("of"), search_words.c.word == bindparam("said"), search_words.c.block.in_(_IN)
)
_NUMBERS = select(search_numbers.c.block, search_numbers.c.places).where(
    search_numbers.c.field == bindparam("of"),
    search_numbers.c.block.in_(_IN),
    search_numbers.c.low <= bindparam("last"),
    search_numbers.c.high >= bindparam("first"),
)
_NAMES = (
    select(search_names.c.block, func.aggregate_strings(search_names.c.place.cast(String), ","))
    .where(search_names.c.field == bindparam("of"), search_names.c.block.in_(_IN))
    .group_by(search_names.c.block)
)
_FIELDS: BindParameter[str] = bindparam("fields", expanding=True)
_NAMED: BindParameter[str] = bindparam("named", expanding=True)
_HAS_FIELD = select(
    exists().where(search_words.c.field.in_(_FIELDS))
    | exists().where(search_numbers.c.field.in_(_FIELDS))
    | exists().where(search_words.c.field == ":only", search_words.c.word.in_(_NAMED))
)
# Cheap ones first, so that the others are asked about fewer blocks.
_COST = {Begins: 0, Word: 1, Phrase: 2, Named: 2, Pattern: 4, Between: 5, Not: 6, All: 6, Some: 6}


class Search:
    """Versions by conditions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, asked: Condition, *, limit: int, before: str | None = None) -> list[tuple[str, Version]]:
        """The newest versions a condition holds for, newest first: those saved before the version `before` (a digest).

        Raises NotFound, Damaged.
        """
        with self._database.read() as connection:
            end = connection.execute(_LAST).scalar() or 0
            if before is not None:
                seq = connection.execute(_SEQ, {"wanted": before}).scalar()
                if seq is None:
                    raise NotFound("version", before)
                end = seq - 1
            return list(islice(_saved(connection, _Looking(connection, asked).newest(end), limit), limit))

    def has_field(self, fields: Iterable[str]) -> bool:
        """Whether any version is found by one of these fields: it has a parameter of that name."""
        fields = list(fields)
        wanted = {"fields": fields, "named": [each.removeprefix(":") for each in fields]}
        with self._database.read() as connection:
            return bool(connection.execute(_HAS_FIELD, wanted).scalar())

    def fields(self) -> list[str]:
        """The parameters that versions of this library are found by, in order."""
        with self._database.read() as connection:
            found = {field for table in (search_words, search_numbers) for field in _distinct(connection, table)}
        return sorted(field for field in found if not field.startswith(":"))

    def rebuild(self) -> int:
        """Make everything that versions are found by again, from their records. Returns how many versions there are."""
        with self._database.write() as connection:
            return fill(connection)


def _saved(connection: Connection, found: Iterator[int], limit: int) -> Iterator[tuple[str, Version]]:
    """The versions of these numbers; one whose row is lost is passed over."""
    while some := list(islice(found, limit)):
        rows = {row.seq: row for row in connection.execute(_ROWS, {"wanted": some})}
        yield from ((rows[seq].digest, VERSIONS.read(rows[seq])) for seq in some if seq in rows)
        limit = max(limit, _AT_ONCE)


def _distinct(connection: Connection, table: Any) -> Iterator[str]:
    """Each field of a table, by one step through its index for each."""
    after = ""
    while (
        field := connection.execute(select(func.min(table.c.field)).where(table.c.field > after)).scalar()
    ) is not None:
        yield field
        after = field


class _Looking:
    """One search, in one state of the library."""

    def __init__(self, connection: Connection, asked: Condition) -> None:
        self._connection = connection
        self._asked = asked
        self._known: dict[tuple[Condition, tuple[int, ...]], Bits] = {}

    def newest(self, end: int) -> Iterator[int]:
        """The versions that are found, by `seq`, from `end` down."""
        top, last = place_of(end)
        count, block = 1, top
        while block >= 0:
            blocks = list(range(block, max(block - count, -1), -1))
            sure, maybe = self._sets(self._asked, blocks)
            for each in blocks:
                mask = (2 << last) - 1 if each == top else FULL
                for place in places_of((sure.get(each, 0) | maybe.get(each, 0)) & mask):
                    seq = each * SIZE + place
                    if seq and (sure.get(each, 0) >> place & 1 or self._holds(seq)):
                        yield seq
            block, count = block - count, count * 4

    def _holds(self, seq: int) -> bool:
        """Whether the condition holds, by the record itself."""
        row = self._connection.execute(_ROWS, {"wanted": [seq]}).first()
        if row is None:
            return False
        facts = facts_now(self._connection, row.digest, VERSIONS.read(row))
        return holds(self._asked, facts, digest=row.digest, snapshot=row.snapshot)

    def _sets(self, asked: Condition, blocks: list[int]) -> tuple[Bits, Bits]:
        """In each block, the versions a condition surely holds for, and those it may hold for (these included)."""
        if not blocks:
            return {}, {}
        match asked:
            case All(parts):
                return self._all(parts, blocks)
            case Some(parts):
                each = [self._sets(part, blocks) for part in parts]
                return _joined(sure for sure, _ in each), _joined(maybe for _, maybe in each)
            case Not(part):
                sure, maybe = self._sets(part, blocks)
                return _without(blocks, maybe), _without(blocks, sure)
            case Phrase(field, words):
                together = All(tuple(Word(field, pair) for pair in pairs(words)))
                return {}, self._sets(together, blocks)[1]
        key = asked, tuple(blocks)
        if key not in self._known:
            self._known[key] = self._leaf(asked, blocks)
        return self._known[key], self._known[key]

    def _all(self, parts: tuple[Condition, ...], blocks: list[int]) -> tuple[Bits, Bits]:
        sure, maybe = dict.fromkeys(blocks, FULL), dict.fromkeys(blocks, FULL)
        for part in sorted(parts, key=_cost):
            more_sure, more = self._sets(part, list(maybe))
            maybe = {block: both for block in maybe if (both := maybe[block] & more.get(block, 0))}
            sure = {block: sure.get(block, 0) & more_sure.get(block, 0) for block in maybe}
        return sure, maybe

    def _leaf(self, asked: Condition, blocks: list[int]) -> Bits:
        match asked:
            case Word(field, word):
                return self._unpacked(_WORD, of=field, said=word, blocks=blocks)
            case Between(field, first, last):
                rows = self._connection.execute(_NUMBERS, {"of": field, "first": first, "last": last, "blocks": blocks})
                return {row.block: Column(row.places).between(first, last) for row in rows}
            case Named(field, name):
                return self._names(_NAMES.where(search_names.c.name == name), field, blocks)
            case Pattern(field, _, named):
                return self._named(asked, field, blocks) if named else self._fitting(asked, blocks)
            case Begins():
                return self._beginning(asked)
        raise TypeError(asked)

    def _unpacked(self, statement: Select[Any], **values: object) -> Bits:
        return {row.block: unpack(row.places) for row in self._connection.execute(statement, values)}

    def _names(self, statement: Select[Any], field: str, blocks: list[int]) -> Bits:
        rows = self._connection.execute(statement, {"of": field, "blocks": blocks})
        return {block: bits_of(map(int, places.split(","))) for block, places in rows}

    def _named(self, asked: Pattern, field: str, blocks: list[int]) -> Bits:
        begins = starts_with(search_names.c.name, asked.start)
        if asked.pattern == asked.start + "*":
            return self._names(_NAMES.where(begins), field, blocks)
        rows = self._connection.execute(
            select(search_names).where(begins, search_names.c.field == field, search_names.c.block.in_(blocks))
        )
        found: dict[int, list[int]] = {}
        for row in rows:
            if asked.fits(row.name):
                found.setdefault(row.block, []).append(row.place)
        return {block: bits_of(places) for block, places in found.items()}

    def _fitting(self, asked: Pattern, blocks: list[int]) -> Bits:
        """The versions with a word that fits."""
        rows = self._connection.execute(
            select(search_words).where(
                search_words.c.field == asked.field,
                starts_with(search_words.c.word, asked.start),
                search_words.c.block.in_(blocks),
            )
        )
        found: dict[int, list[bytes]] = {}
        for row in rows:
            if " " not in row.word and asked.fits(row.word):
                found.setdefault(row.block, []).append(row.places)
        return {block: union(sets) for block, sets in found.items()}

    def _beginning(self, asked: Begins) -> Bits:
        column: ColumnElement[str] = versions.c.snapshot if asked.of == "snapshot" else versions.c.digest
        found: Bits = {}
        for seq in self._connection.execute(
            select(versions.c.seq).where(digest_starts_with(column, asked.digits))
        ).scalars():
            block, place = place_of(seq)
            found[block] = found.get(block, 0) | 1 << place
        return found


def _cost(asked: Condition) -> int:
    if isinstance(asked, (All, Some)) and asked.parts:
        return max(map(_cost, asked.parts))
    return _cost(asked.part) if isinstance(asked, Not) else _COST[type(asked)]


def _joined(sets: Iterable[Mapping[int, int]]) -> Bits:
    found: Bits = {}
    for each in sets:
        for block, bits in each.items():
            found[block] = found.get(block, 0) | bits
    return found


def _without(blocks: list[int], bits: Mapping[int, int]) -> Bits:
    return {block: FULL & ~bits.get(block, 0) for block in blocks}

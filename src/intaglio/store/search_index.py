"""Writing what versions are found by: beside each version, remark and reproduction, in the same transaction.

The tables hold nothing that is not in records. `differences` says where they do not hold what they should, and `fill`
makes them again from all records.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, insert, select, update

from intaglio.core.errors import Damaged, InvalidRecord
from intaglio.core.findable import Facts, facts_of
from intaglio.core.version import Version
from intaglio.store.rows import REMARKS, REPRODUCTIONS, VERSIONS
from intaglio.store.schema import remarks, reproductions, search_names, search_numbers, search_words, versions
from intaglio.store.search_blocks import SHIFT, SIZE, Column, bits_of, pack, place_of, places_of, unpack

TABLES = (search_words, search_numbers, search_names)
_AT_ONCE = 300
_NOTHING = Facts(frozenset(), frozenset(), frozenset(), {})

_VERSION = select(versions).where(versions.c.digest == bindparam("wanted"))
_REMARKS = select(remarks).where(remarks.c.version == bindparam("wanted")).order_by(remarks.c.seq)
_TRIED = select(reproductions).where(reproductions.c.version == bindparam("wanted")).order_by(reproductions.c.seq)
_BLOCK = select(versions).where(versions.c.seq.between(bindparam("first"), bindparam("last"))).order_by(versions.c.seq)
_BLOCKS = select((versions.c.seq.op(">>")(SHIFT)).label("block")).distinct().order_by("block")
_COLUMN = select(search_numbers).where(
    search_numbers.c.field == bindparam("of"), search_numbers.c.block == bindparam("at")
)
_ADD_WORD, _ADD_NUMBERS, _ADD_NAME = insert(search_words), insert(search_numbers), insert(search_names)
_WORD_THERE = (
    search_words.c.field == bindparam("of"),
    search_words.c.word == bindparam("said"),
    search_words.c.block == bindparam("at"),
)
_WORDS = select(search_words.c.word, search_words.c.places).where(
    search_words.c.field == bindparam("of"),
    search_words.c.word.in_(bindparam("said", expanding=True)),
    search_words.c.block == bindparam("at"),
)
_SET_WORD = update(search_words).where(*_WORD_THERE)
_DROP_WORD = delete(search_words).where(*_WORD_THERE)
_SET_NUMBERS = update(search_numbers).where(
    search_numbers.c.field == bindparam("of"), search_numbers.c.block == bindparam("at")
)


def facts_now(connection: Connection, digest: str, version: Version) -> Facts:
    """What a version is found by at this moment. Raises Damaged."""
    said = REMARKS.all(connection, _REMARKS, wanted=digest)
    return facts_of(version, said, REPRODUCTIONS.all(connection, _TRIED, wanted=digest))


def added(connection: Connection, digest: str) -> None:
    """Make a version that was just added findable."""
    row = connection.execute(_VERSION, {"wanted": digest}).one()
    _change(connection, row.seq, _NOTHING, facts_now(connection, digest, VERSIONS.read(row)))


class Changing:
    """Around a change of what is said or measured of a version: afterwards it is found by what holds then.

    For use as `with Changing(connection, digest):`, in the transaction of the change. A version that is not there, or
    is damaged, is left to whoever looks for it.
    """

    def __init__(self, connection: Connection, digest: str) -> None:
        self._connection, self._digest = connection, digest

    def __enter__(self) -> None:
        self._row = self._connection.execute(_VERSION, {"wanted": self._digest}).first()
        self._before = self._facts()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        after = self._facts() if kind is None else None
        if self._row is not None and self._before is not None and after is not None:
            _change(self._connection, self._row.seq, self._before, after)

    def _facts(self) -> Facts | None:
        if self._row is None:
            return None
        try:
            return facts_now(self._connection, self._digest, VERSIONS.read(self._row))
        except (Damaged, InvalidRecord):
            return None


def _change(connection: Connection, seq: int, before: Facts, after: Facts) -> None:
    block, place = place_of(seq)
    _change_words(connection, block, place, before, after)
    numbers: dict[str, list[tuple[int, bool]]] = defaultdict(list)
    for field, key in before.numbers ^ after.numbers:
        numbers[field].append((key, (field, key) in after.numbers))
    for field, changes in numbers.items():
        _change_numbers(connection, field, block, place, changes)
    names = [{"field": f, "block": block, "name": n, "place": place} for f, n in after.names - before.names]
    if names:
        connection.execute(_ADD_NAME, names)


def _change_words(connection: Connection, block: int, place: int, before: Facts, after: Facts) -> None:
    changed = sorted(before.words ^ after.words)
    there: dict[tuple[str, str], bytes] = {}
    # Field by field: asked for pairs of field and word, SQLite would read the whole table.
    for field, pairs in groupby(changed, key=itemgetter(0)):
        words = [word for _, word in pairs]
        for start in range(0, len(words), _AT_ONCE):
            values = {"of": field, "at": block, "said": words[start : start + _AT_ONCE]}
            there |= {(field, row.word): row.places for row in connection.execute(_WORDS, values)}
    new, more, none = [], [], []
    for field, word in changed:
        old = unpack(there[field, word]) if (field, word) in there else 0
        bits = old | 1 << place if (field, word) in after.words else old & ~(1 << place)
        if bits and old:
            more.append({"of": field, "said": word, "at": block, "places": pack(bits)})
        elif bits:
            new.append({"field": field, "word": word, "block": block, "places": pack(bits)})
        elif old:
            none.append({"of": field, "said": word, "at": block})
    for statement, rows in ((_ADD_WORD, new), (_SET_WORD, more), (_DROP_WORD, none)):
        if rows:
            connection.execute(statement, rows)


def _change_numbers(
    connection: Connection, field: str, block: int, place: int, changes: Iterable[tuple[int, bool]]
) -> None:
    row = connection.execute(_COLUMN, {"of": field, "at": block}).first()
    column = Column() if row is None else Column(row.places)
    for key, there in changes:
        column.set(key, place, there=there)
    if not column.keys:
        return
    values = {"low": column.keys[0], "high": column.keys[-1], "places": column.data()}
    if row is None:
        connection.execute(_ADD_NUMBERS, {"field": field, "block": block, **values})
    else:
        connection.execute(_SET_NUMBERS, {"of": field, "at": block, **values})


# -- all of it --------------------------------------------------------------------------------------------------------


def block_rows(block: int, facts: Iterable[tuple[int, Facts]]) -> tuple[list[dict[str, Any]], ...]:
    """All rows of one block, for each of `TABLES`, from the places of its versions and what each is found by."""
    words: dict[tuple[str, str], list[int]] = defaultdict(list)
    numbers: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    names: list[dict[str, Any]] = []
    for place, each in facts:
        for word in each.words:
            words[word].append(place)
        for field, key in each.numbers:
            numbers[field][key].append(place)
        names += [{"field": f, "block": block, "name": name, "place": place} for f, name in each.names]
    columns = {f: Column.of({k: bits_of(places) for k, places in keys.items()}) for f, keys in numbers.items()}
    return (
        [
            {"field": field, "word": word, "block": block, "places": pack(bits_of(places))}
            for (field, word), places in words.items()
        ],
        [
            {"field": f, "block": block, "low": c.keys[0], "high": c.keys[-1], "places": c.data()}
            for f, c in columns.items()
        ],
        names,
    )


def add_block(connection: Connection, block: int, facts: Iterable[tuple[int, Facts]]) -> None:
    """Write all rows of a block that has none yet."""
    for table, rows in zip(TABLES, block_rows(block, facts), strict=True):
        if rows:
            connection.execute(insert(table), rows)


def fill(connection: Connection) -> int:
    """Make every row again from the records. Returns how many versions there are; one that is damaged has no rows."""
    for table in TABLES:
        connection.execute(delete(table))
    count = 0
    for (block,) in connection.execute(_BLOCKS).all():
        facts = list(_readable(connection, block))
        count += len(facts)
        add_block(connection, block, facts)
    return count


def _readable(connection: Connection, block: int) -> Iterator[tuple[int, Facts]]:
    found = connection.execute(_BLOCK, {"first": block << SHIFT, "last": (block << SHIFT) + SIZE - 1}).all()
    for row in found:
        try:
            yield row.seq & (SIZE - 1), facts_now(connection, row.digest, VERSIONS.read(row))
        except (Damaged, InvalidRecord):
            continue  # `library check` names it


def differences(connection: Connection) -> Iterator[tuple[str, str]]:
    """The versions (by digest) that are found by other things than they should be, and an example of it in words."""
    blocks = {block for (block,) in connection.execute(_BLOCKS)}
    for table in TABLES:
        blocks |= set(connection.execute(select(table.c.block).distinct()).scalars())
    if strange := [block for block in blocks if not isinstance(block, int)]:
        yield f"block {strange[0]!r}", "the search tables are damaged"
    for block in sorted(block for block in blocks if isinstance(block, int)):
        readable = list(_readable(connection, block))
        expected = set(_expanded(block_rows(block, readable)))
        try:
            kept = set(_expanded([_kept(connection, table, block) for table in TABLES]))
        except Damaged:
            yield f"block {block}", "the search tables are damaged"
            continue
        wrong: dict[int, tuple[str, str, str]] = {}
        for place, field, value in sorted(expected ^ kept, key=str):
            state = "is" if (place, field, value) in kept else "is not"
            wrong.setdefault(place, (state, field, value))
        for place, (state, field, value) in wrong.items():
            seq = (block << SHIFT) + place
            row = connection.execute(_BLOCK, {"first": seq, "last": seq}).first()
            name = f"version number {seq} of the library" if row is None else row.digest
            yield name, f"{state} found by {field.lstrip(':')} {value[:60]!r}"


# What a column of the search tables holds; SQLite lets a damaged file hold anything.
_HOLDS = {"field": str, "word": str, "name": str, "block": int, "place": int, "places": bytes}


def _kept(connection: Connection, table: Table, block: int) -> list[dict[str, Any]]:
    """The rows of a block. Raises Damaged."""
    rows = [row._asdict() for row in connection.execute(select(table).where(table.c.block == block))]
    for row in rows:
        if not all(isinstance(value, _HOLDS.get(column, (int, float))) for column, value in row.items()):
            raise Damaged(f"a row of {table.name} is damaged")
    return rows


def _expanded(tables: Iterable[list[dict[str, Any]]]) -> Iterator[tuple[int, str, str]]:
    """What each place is found by: the place, the field and what is in it."""
    words, numbers, names = tables
    for row in words:
        for place in places_of(unpack(row["places"])):
            yield place, row["field"], row["word"]
    for row in numbers:
        column = Column(row["places"])
        edges = (row["low"], row["high"]) == (column.keys[0], column.keys[-1]) if column.keys else False
        for key, bits in column.sets().items():
            for place in places_of(bits):
                yield place, row["field"], f"number {key}" if edges else "a number out of its bounds"
    for row in names:
        yield row["place"], row["field"], f"name {row['name']}"

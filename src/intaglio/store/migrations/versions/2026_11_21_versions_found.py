"""What versions are found by, and perceptual hashes of their pictures."""

import sqlalchemy as sa
from alembic import op

from intaglio.store.search_index import fill

revision = "2026_11_21_versions_found"
down_revision = "2026_11_21_versions_at_work"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_WORD = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def _word(name: str) -> sa.Column[str]:
    return sa.Column(name, _WORD, nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, _NUMBER, autoincrement=False, nullable=False)


def _places() -> sa.Column[bytes]:
    return sa.Column("places", sa.LargeBinary(), nullable=False)


def _key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=f"pk_{table}")


def upgrade() -> None:
    """Make the tables, and fill them from the versions that are there.

    The rules of what a version is found by are today's. When they change, a script fills the tables again, and this
    line moves there.
    """
    op.create_table(
        "search_words",
        _word("field"),
        _word("word"),
        _number("block"),
        _places(),
        _key("search_words", "field", "word", "block"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "search_numbers",
        _word("field"),
        _number("block"),
        _number("low"),
        _number("high"),
        _places(),
        _key("search_numbers", "field", "block"),
    )
    op.create_table(
        "search_names",
        _word("field"),
        _number("block"),
        _word("name"),
        _number("place"),
        _key("search_names", "field", "block", "name", "place"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "picture_hashes", _word("asset"), _word("hash"), _word("seal"), _key("picture_hashes", "asset")
    )
    fill(op.get_bind())

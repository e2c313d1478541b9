"""What a server needs: the journal, the queue, jobs, tokens, webhooks, and answers to requests that may come again."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_22_server"
down_revision = "2026_11_21_versions_found"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_WORD = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def _word(name: str) -> sa.Column[str]:
    return sa.Column(name, _WORD, nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, _NUMBER, autoincrement=False, nullable=False)


def _sealed() -> tuple[sa.Column[str], sa.Column[bytes]]:
    return _word("seal"), sa.Column("body", sa.LargeBinary(), nullable=False)


def _key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=f"pk_{table}")


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=f"uq_{table}_{'_'.join(columns)}")


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def upgrade() -> None:
    """Make the tables. The journal begins with what happens from now on."""
    op.create_table(
        "journal", _number("number"), _word("what"), _word("subject"), *_sealed(), _key("journal", "number")
    )
    _index("journal", "subject")
    op.create_table(
        "queue",
        _word("id"),
        _word("what"),
        _number("place"),
        _word("not_before"),
        *_sealed(),
        _key("queue", "id"),
        _unique("queue", "place"),
    )
    op.create_table(
        "jobs",
        _number("seq"),
        _word("id"),
        _word("status"),
        _word("verb"),
        *_sealed(),
        _key("jobs", "seq"),
        _unique("jobs", "id"),
    )
    _index("jobs", "status", "seq")
    op.create_table("tokens", _word("id"), _word("hash"), *_sealed(), _key("tokens", "id"), _unique("tokens", "hash"))
    op.create_table("webhooks", _word("id"), *_sealed(), _key("webhooks", "id"))
    op.create_table(
        "idempotency",
        _word("person"),
        _word("key"),
        _word("request"),
        _number("status"),
        _word("created"),
        *_sealed(),
        _key("idempotency", "person", "key"),
    )
    _index("idempotency", "created")

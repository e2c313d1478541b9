"""Models by content: where files are, other tools' hashes, kept models, envelopes; and remarks on versions."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_models_by_content"
down_revision = "2026_11_20_first_tables"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_WORD = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def _word(name: str) -> sa.Column[str]:
    return sa.Column(name, _WORD, nullable=False)


def _seq() -> sa.Column[int]:
    return sa.Column("seq", _NUMBER, autoincrement=False, nullable=False)


def _sealed() -> tuple[sa.Column[str], sa.Column[bytes]]:
    return _word("seal"), sa.Column("body", sa.LargeBinary(), nullable=False)


def _key(table: str, column: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(column, name=f"pk_{table}")


def _unique(table: str, column: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(column, name=f"uq_{table}_{column}")


def _index(table: str, *columns: str) -> None:
    for column in columns:
        op.create_index(f"ix_{table}_{column}", table, [column])


def upgrade() -> None:
    """Make the tables that issue 3 asks for."""
    op.create_table(
        "remarks",
        _seq(),
        _word("digest"),
        _word("version"),
        _word("what"),
        *_sealed(),
        _key("remarks", "seq"),
        sa.ForeignKeyConstraint(["version"], ["versions.digest"], name="fk_remarks_version"),
        _unique("remarks", "digest"),
    )
    _index("remarks", "version")
    op.create_table(
        "envelopes",
        _seq(),
        _word("digest"),
        _word("model"),
        *_sealed(),
        _key("envelopes", "seq"),
        _unique("envelopes", "digest"),
    )
    _index("envelopes", "model")
    op.create_table(
        "model_places", _seq(), _word("path"), _word("digest"), *_sealed(), _key("model_places", "seq")
    )
    _index("model_places", "path", "digest")
    op.create_table(
        "model_hashes",
        _word("digest"),
        _word("sha256"),
        _word("autov1"),
        _word("tensors"),
        *_sealed(),
        _key("model_hashes", "digest"),
    )
    _index("model_hashes", "sha256", "autov1", "tensors")
    op.create_table("kept_models", _word("digest"), *_sealed(), _key("kept_models", "digest"))

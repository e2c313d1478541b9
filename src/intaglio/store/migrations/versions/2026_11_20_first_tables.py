"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_20_first_tables"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_WORD = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def _word(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, _WORD, nullable=nullable)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, _NUMBER, autoincrement=False, nullable=False)


def _sealed() -> tuple[sa.Column[str], sa.Column[bytes]]:
    return _word("seal"), _body()


def _body() -> sa.Column[bytes]:
    return sa.Column("body", sa.LargeBinary(), nullable=False)


def _key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=f"pk_{table}")


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=f"uq_{table}_{'_'.join(columns)}")


def _refers(table: str, columns: list[str], parent: str, parents: list[str]) -> sa.ForeignKeyConstraint:
    targets = [f"{parent}.{column}" for column in parents]
    return sa.ForeignKeyConstraint(columns, targets, name=f"fk_{table}_{'_'.join(columns)}")


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def upgrade() -> None:
    """Make the tables of the first revision."""
    op.create_table("documents", _word("digest"), _word("kind"), _body(), _key("documents", "digest"))
    op.create_table(
        "workflows",
        _number("seq"),
        _word("name"),
        _number("version"),
        _word("digest"),
        *_sealed(),
        _key("workflows", "seq"),
        _refers("workflows", ["digest"], "documents", ["digest"]),
        _unique("workflows", "name", "version"),
        _unique("workflows", "name", "digest"),
    )
    _create_tasks()
    _create_versions()
    op.create_table(
        "models",
        _number("seq"),
        _word("digest"),
        _word("name"),
        _word("version"),
        _word("path"),
        *_sealed(),
        _key("models", "seq"),
        _unique("models", "name", "version"),
    )
    _index("models", "digest")
    op.create_table("counters", _word("name"), _number("value"), *_sealed(), _key("counters", "name"))


def _create_tasks() -> None:
    op.create_table(
        "tasks",
        _number("seq"),
        _word("id"),
        _word("status"),
        _word("plan"),
        _word("snapshot", nullable=True),
        *_sealed(),
        _key("tasks", "seq"),
        _refers("tasks", ["plan"], "documents", ["digest"]),
        _refers("tasks", ["snapshot"], "documents", ["digest"]),
        _unique("tasks", "id"),
    )
    _index("tasks", "status", "seq")
    op.create_table(
        "node_records",
        _number("seq"),
        _word("task"),
        _word("step"),
        _number("attempt"),
        _word("key"),
        *_sealed(),
        _key("node_records", "seq"),
        _refers("node_records", ["task"], "tasks", ["id"]),
        _unique("node_records", "task", "step", "attempt"),
    )
    _index("node_records", "key", "seq")
    op.create_table(
        "assets",
        _number("seq"),
        _word("digest"),
        _word("pixels", nullable=True),
        *_sealed(),
        _key("assets", "seq"),
        _unique("assets", "digest"),
    )
    _index("assets", "pixels")
    op.create_table(
        "step_outputs",
        _word("task"),
        _word("step"),
        _number("attempt"),
        _word("output"),
        _word("asset"),
        _key("step_outputs", "task", "step", "attempt", "output"),
        _refers("step_outputs", ["asset"], "assets", ["digest"]),
        _refers("step_outputs", ["task", "step", "attempt"], "node_records", ["task", "step", "attempt"]),
    )
    _index("step_outputs", "asset")
    op.create_table(
        "events",
        _word("task"),
        _number("number"),
        *_sealed(),
        _key("events", "task", "number"),
        _refers("events", ["task"], "tasks", ["id"]),
    )


def _create_versions() -> None:
    op.create_table(
        "versions",
        _number("seq"),
        _word("digest"),
        _word("workflow"),
        _number("number"),
        _word("label", nullable=True),
        _word("task"),
        _word("snapshot"),
        *_sealed(),
        _key("versions", "seq"),
        _refers("versions", ["snapshot"], "documents", ["digest"]),
        _unique("versions", "digest"),
        _unique("versions", "workflow", "number"),
        _unique("versions", "workflow", "label"),
    )
    _index("versions", "task")
    _index("versions", "snapshot")
    op.create_table(
        "version_outputs",
        _word("version"),
        _word("asset"),
        _key("version_outputs", "version", "asset"),
        _refers("version_outputs", ["version"], "versions", ["digest"]),
    )
    _index("version_outputs", "asset")
    op.create_table(
        "reproductions",
        _number("seq"),
        _word("digest"),
        _word("version"),
        *_sealed(),
        _key("reproductions", "seq"),
        _refers("reproductions", ["version"], "versions", ["digest"]),
        _unique("reproductions", "digest"),
    )
    _index("reproductions", "version")

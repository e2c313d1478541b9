"""Branches, variations, what went into steps; and a workflow may go back to content that it had before."""

import json

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_versions_at_work"
down_revision = "2026_11_21_models_by_content"

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


def _refers(table: str, columns: list[str], other: str, others: list[str]) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        columns, [f"{other}.{column}" for column in others], name=f"fk_{table}_{'_'.join(columns)}"
    )


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def upgrade() -> None:
    """Make the tables that issue 4 asks for."""
    with op.batch_alter_table("workflows", recreate="always") as workflows:
        workflows.drop_constraint("uq_workflows_name_digest", type_="unique")
    _index("workflows", "name", "digest")
    op.create_table(
        "branches",
        _number("seq"),
        _word("name"),
        _word("base"),
        *_sealed(),
        _key("branches", "seq"),
        _unique("branches", "name"),
    )
    _index("branches", "base")
    op.create_table(
        "workflow_remarks",
        _number("seq"),
        _word("digest"),
        _word("workflow"),
        _word("what"),
        *_sealed(),
        _key("workflow_remarks", "seq"),
        _unique("workflow_remarks", "digest"),
    )
    _index("workflow_remarks", "workflow")
    _create_variations()
    op.create_table(
        "step_inputs",
        _word("task"),
        _word("step"),
        _number("attempt"),
        _word("input"),
        _word("asset"),
        _key("step_inputs", "task", "step", "attempt", "input"),
        _refers("step_inputs", ["task", "step", "attempt"], "node_records", ["task", "step", "attempt"]),
    )
    _index("step_inputs", "asset")
    _fill_inputs(op.get_bind())


def _create_variations() -> None:
    op.create_table(
        "variations",
        _number("seq"),
        _word("id"),
        _word("version"),
        *_sealed(),
        _key("variations", "seq"),
        _unique("variations", "id"),
        _refers("variations", ["version"], "versions", ["digest"]),
    )
    _index("variations", "version")
    op.create_table(
        "variation_runs",
        _number("seq"),
        _word("variation"),
        _number("cell"),
        _word("task"),
        *_sealed(),
        _key("variation_runs", "seq"),
        _unique("variation_runs", "task"),
        _refers("variation_runs", ["variation"], "variations", ["id"]),
        _refers("variation_runs", ["task"], "tasks", ["id"]),
    )
    _index("variation_runs", "variation")
    op.create_table(
        "variation_remarks",
        _number("seq"),
        _word("digest"),
        _word("variation"),
        _word("what"),
        _word("value"),
        *_sealed(),
        _key("variation_remarks", "seq"),
        _unique("variation_remarks", "digest"),
        _refers("variation_remarks", ["variation"], "variations", ["id"]),
    )
    _index("variation_remarks", "variation")
    _index("variation_remarks", "value")


def _fill_inputs(connection: sa.Connection) -> None:
    """Edges from the records of steps. Those written before this do not name their reference files; plans do."""
    records = sa.table("node_records", sa.column("task"), sa.column("step"), sa.column("attempt"), sa.column("body"))
    inputs = sa.table("step_inputs", *(sa.column(name) for name in ("task", "step", "attempt", "input", "asset")))
    for row in connection.execute(sa.select(records)).all():
        try:
            found = json.loads(row.body)["inputs"].items()
        except (ValueError, KeyError, AttributeError, TypeError):
            continue  # damaged: `library check` names it
        rows = [
            {"task": row.task, "step": row.step, "attempt": row.attempt, "input": name, "asset": asset}
            for name, asset in found
        ]
        if rows:
            connection.execute(sa.insert(inputs), rows)

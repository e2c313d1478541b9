"""The tables. `rows` says how a row of one is sealed when it is written and checked whenever it is read.

A row holds its record as canonical JSON (`body`). The columns beside it are there to be searched by; they are taken
from the record, except for the few that no record holds (`seq`, the order in which rows were added; a model's `path`).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
)

# The name of the newest script in migrations/versions, which makes exactly the tables below.
REVISION = "2026_11_22_server"


class _Body(LargeBinary):
    """Bytes, handed over as they are: what a damaged file returns instead is for `rows` to refuse."""

    cache_ok = True

    def result_processor(self, dialect: Any, coltype: Any) -> None:
        return None


# SQLite makes only a plain INTEGER the key its rows are stored under.
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")
# Ordered byte by byte everywhere, so that a prefix is a range.
_WORD = String().with_variant(String(collation="C"), "postgresql")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _word(name: str, *constraints: ForeignKey, **options: Any) -> Column[Any]:
    return Column(name, _WORD, *constraints, **{"nullable": False, **options})


def _number(name: str, **options: Any) -> Column[Any]:
    return Column(name, _NUMBER, **{"nullable": False, **options})


def _seq() -> Column[Any]:
    return _number("seq", primary_key=True, autoincrement=False)


def _sealed() -> tuple[Column[Any], Column[Any]]:
    return _word("seal"), Column("body", _Body, nullable=False)


# Alembic's own table, here so that a new library needs no Alembic.
alembic_version = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
documents = Table(
    "documents",
    metadata,
    _word("digest", primary_key=True),
    _word("kind"),
    Column("body", _Body, nullable=False),
)
workflows = Table(
    "workflows",
    metadata,
    _seq(),
    _word("name"),
    _number("version"),
    _word("digest", ForeignKey("documents.digest")),
    *_sealed(),
    UniqueConstraint("name", "version"),
    # Not unique: to go back to an earlier content is the next version.
    Index(None, "name", "digest"),
)
branches = Table("branches", metadata, _seq(), _word("name", unique=True), _word("base", index=True), *_sealed())
workflow_remarks = Table(
    "workflow_remarks",
    metadata,
    _seq(),
    _word("digest", unique=True),
    _word("workflow", index=True),
    _word("what"),
    *_sealed(),
)
tasks = Table(
    "tasks",
    metadata,
    _seq(),
    _word("id", unique=True),
    _word("status"),
    _word("plan", ForeignKey("documents.digest")),
    _word("snapshot", ForeignKey("documents.digest"), nullable=True),
    *_sealed(),
    Index(None, "status", "seq"),
)
node_records = Table(
    "node_records",
    metadata,
    _seq(),
    _word("task", ForeignKey("tasks.id")),
    _word("step"),
    _number("attempt"),
    _word("key"),
    *_sealed(),
    UniqueConstraint("task", "step", "attempt"),
    Index(None, "key", "seq"),
)
assets = Table(
    "assets",
    metadata,
    _seq(),
    _word("digest", unique=True),
    _word("pixels", nullable=True, index=True),
    *_sealed(),
)
# No body: each row is read together with the node record it comes from, and checked against it.
step_outputs = Table(
    "step_outputs",
    metadata,
    _word("task", primary_key=True),
    _word("step", primary_key=True),
    _number("attempt", primary_key=True, autoincrement=False),
    _word("output", primary_key=True),
    _word("asset", ForeignKey("assets.digest"), index=True),
    ForeignKeyConstraint(
        ["task", "step", "attempt"], ["node_records.task", "node_records.step", "node_records.attempt"]
    ),
)
# No body either. Inputs over edges, and reference files under the name of their parameter.
step_inputs = Table(
    "step_inputs",
    metadata,
    _word("task", primary_key=True),
    _word("step", primary_key=True),
    _number("attempt", primary_key=True, autoincrement=False),
    _word("input", primary_key=True),
    _word("asset", index=True),
    ForeignKeyConstraint(
        ["task", "step", "attempt"], ["node_records.task", "node_records.step", "node_records.attempt"]
    ),
)
events = Table(
    "events",
    metadata,
    _word("task", ForeignKey("tasks.id"), primary_key=True),
    _number("number", primary_key=True, autoincrement=False),
    *_sealed(),
)
versions = Table(
    "versions",
    metadata,
    _seq(),
    _word("digest", unique=True),
    _word("workflow"),
    _number("number"),
    _word("label", nullable=True),
    _word("task", index=True),
    _word("snapshot", ForeignKey("documents.digest"), index=True),
    *_sealed(),
    UniqueConstraint("workflow", "number"),
    UniqueConstraint("workflow", "label"),
)
# No body: read together with the version, and checked against it.
version_outputs = Table(
    "version_outputs",
    metadata,
    _word("version", ForeignKey("versions.digest"), primary_key=True),
    _word("asset", primary_key=True, index=True),
)
# What versions are found by, in blocks of versions whose `seq` follow each other; `search_blocks` says what is in
# `places`. Nothing here is sealed: all of it is taken from records, checked against them, and can be made again.
search_words = Table(
    "search_words",
    metadata,
    _word("field", primary_key=True),
    _word("word", primary_key=True),
    _number("block", primary_key=True, autoincrement=False),
    Column("places", _Body, nullable=False),
    sqlite_with_rowid=False,
)
search_numbers = Table(
    "search_numbers",
    metadata,
    _word("field", primary_key=True),
    _number("block", primary_key=True, autoincrement=False),
    _number("low"),
    _number("high"),
    Column("places", _Body, nullable=False),
)
search_names = Table(
    "search_names",
    metadata,
    _word("field", primary_key=True),
    _number("block", primary_key=True, autoincrement=False),
    _word("name", primary_key=True),
    _number("place", primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
# Perceptual hashes of pictures that versions hold, "" for what has none: no records, but sealed.
picture_hashes = Table("picture_hashes", metadata, _word("asset", primary_key=True), _word("hash"), _word("seal"))
models = Table(
    "models",
    metadata,
    _seq(),
    _word("digest", index=True),
    _word("name"),
    _word("version"),
    _word("path"),
    *_sealed(),
    UniqueConstraint("name", "version"),
)
reproductions = Table(
    "reproductions",
    metadata,
    _seq(),
    _word("digest", unique=True),
    _word("version", ForeignKey("versions.digest"), index=True),
    *_sealed(),
)
remarks = Table(
    "remarks",
    metadata,
    _seq(),
    _word("digest", unique=True),
    _word("version", ForeignKey("versions.digest"), index=True),
    _word("what"),
    *_sealed(),
)
variations = Table(
    "variations",
    metadata,
    _seq(),
    _word("id", unique=True),
    _word("version", ForeignKey("versions.digest"), index=True),
    *_sealed(),
)
variation_runs = Table(
    "variation_runs",
    metadata,
    _seq(),
    _word("variation", ForeignKey("variations.id"), index=True),
    _number("cell"),
    _word("task", ForeignKey("tasks.id"), unique=True),
    *_sealed(),
)
variation_remarks = Table(
    "variation_remarks",
    metadata,
    _seq(),
    _word("digest", unique=True),
    _word("variation", ForeignKey("variations.id"), index=True),
    _word("what"),
    _word("value", index=True),
    *_sealed(),
)
envelopes = Table("envelopes", metadata, _seq(), _word("digest", unique=True), _word("model", index=True), *_sealed())
model_places = Table(
    "model_places", metadata, _seq(), _word("path", index=True), _word("digest", index=True), *_sealed()
)
model_hashes = Table(
    "model_hashes",
    metadata,
    _word("digest", primary_key=True),
    _word("sha256", index=True),
    _word("autov1", index=True),
    _word("tensors", index=True),
    *_sealed(),
)
kept_models = Table("kept_models", metadata, _word("digest", primary_key=True), *_sealed())
counters = Table("counters", metadata, _word("name", primary_key=True), _number("value"), *_sealed())
# What happened, in the order of its commits; numbered without gaps.
journal = Table(
    "journal",
    metadata,
    _number("number", primary_key=True, autoincrement=False),
    _word("what"),
    _word("subject", index=True),
    *_sealed(),
)
queue = Table(
    "queue",
    metadata,
    _word("id", primary_key=True),
    _word("what"),
    _number("place", unique=True),
    _word("not_before"),
    *_sealed(),
)
jobs = Table(
    "jobs",
    metadata,
    _seq(),
    _word("id", unique=True),
    _word("status"),
    _word("verb"),
    *_sealed(),
    Index(None, "status", "seq"),
)
tokens = Table("tokens", metadata, _word("id", primary_key=True), _word("hash", unique=True), *_sealed())
webhooks = Table("webhooks", metadata, _word("id", primary_key=True), *_sealed())
# Answers to requests that may come again; no records, but sealed. `status` 0 is one that is still being worked on.
idempotency = Table(
    "idempotency",
    metadata,
    _word("person", primary_key=True),
    _word("key", primary_key=True),
    _word("request"),
    _number("status"),
    _word("created", index=True),
    *_sealed(),
)

"""Versions: numbered within their workflow, labelled, found by whatever is known of them."""

from __future__ import annotations

import builtins
from collections.abc import Callable

from sqlalchemy import Connection, Select, bindparam, func, insert, select

from intaglio.core.codec import digest as digest_of
from intaglio.core.errors import Conflict, Damaged, NotFound
from intaglio.core.version import Version
from intaglio.store.database import Database
from intaglio.store.journal import note
from intaglio.store.rows import VERSIONS, digest_starts_with
from intaglio.store.schema import version_outputs, versions
from intaglio.store.search_index import added
from intaglio.store.tasks import change_task

Saved = tuple[str, Version]

_GET = select(versions).where(versions.c.digest == bindparam("wanted"))
_SEQ = select(versions.c.seq).where(versions.c.digest == bindparam("wanted"))
_COUNTED = select(func.count(), func.max(versions.c.number)).where(versions.c.workflow == bindparam("wanted"))
_LABELLED = select(versions).where(
    versions.c.workflow == bindparam("wanted"), versions.c.label == bindparam("labelled")
)
_LATEST = select(versions).where(versions.c.workflow == bindparam("wanted")).order_by(versions.c.number.desc()).limit(1)
_NEWEST: Select[tuple[object, ...]] = select(versions).order_by(versions.c.seq.desc())
_ADD_OUTPUT = insert(version_outputs)


class Versions:
    """Versions by digest."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, workflow_name: str, build: Callable[[int], Version], *, task: str | None = None) -> Saved:
        """Keep the version that `build` makes of the number it is given, the next of its workflow; name it in `task`.

        Raises Conflict for a label that is taken, or a snapshot that is not in the library, and what `build` raises.
        """
        with self._database.write() as connection:
            number = _next_number(connection, workflow_name)
            version = build(number)
            if (version.workflow.name, version.number) != (workflow_name, number):
                raise ValueError(f"not version {number} of workflow {workflow_name!r}")
            _check_label(connection, version)
            VERSIONS.add(connection, version)
            digest = digest_of(version)
            outputs = dict.fromkeys(output.asset for output in version.outputs)
            if outputs:
                connection.execute(_ADD_OUTPUT, [{"version": digest, "asset": asset} for asset in outputs])
            added(connection, digest)
            if task is not None:
                change_task(connection, task, version=digest)
            _note_made(connection, digest, version)
        return digest, version

    def get(self, digest: str) -> Version:
        """The version of that digest. Raises NotFound, Damaged."""
        with self._database.read() as connection:
            version = VERSIONS.first(connection, _GET, wanted=digest)
        if version is None:
            raise NotFound("version", digest)
        return version

    def list(self, *, workflow: str | None = None, limit: int = 50, before: str | None = None) -> builtins.list[Saved]:
        """The newest versions, newest first: of one workflow, those saved before the version `before` (a digest).

        Raises NotFound, Damaged.
        """
        statement = _NEWEST if workflow is None else _NEWEST.where(versions.c.workflow == workflow)
        with self._database.read() as connection:
            if before is not None:
                seq = connection.execute(_SEQ, {"wanted": before}).scalar()
                if seq is None:
                    raise NotFound("version", before)
                statement = statement.where(versions.c.seq < seq)
            return _saved(connection, statement.limit(limit))

    def find(
        self,
        *,
        number: int | None = None,
        label: str | None = None,
        workflow: str | None = None,
        task: str | None = None,
        snapshot_prefix: str | None = None,
        digest_prefix: str | None = None,
        output: str | None = None,
    ) -> builtins.list[Saved]:
        """The versions that all that is given applies to, newest first. `output` is an asset's digest. Raises Damaged.

        Prefixes are of digests, with or without "blake3:".
        """
        statement = _NEWEST
        exact = {"number": number, "label": label, "workflow": workflow, "task": task}
        for name, value in exact.items():
            if value is not None:
                statement = statement.where(versions.c[name] == value)
        for name, prefix in {"snapshot": snapshot_prefix, "digest": digest_prefix}.items():
            if prefix is not None:
                statement = statement.where(digest_starts_with(versions.c[name], prefix))
        if output is not None:
            holding = select(version_outputs.c.version).where(version_outputs.c.asset == output)
            statement = statement.where(versions.c.digest.in_(holding))
        with self._database.read() as connection:
            found = _saved(connection, statement)
        # The outputs' table has no seal of its own, so the version has the last word.
        return [
            (digest, version)
            for digest, version in found
            if output is None or any(each.asset == output for each in version.outputs)
        ]

    def latest(self, workflow: str) -> Saved | None:
        """The newest version of a workflow, None when it has none. Raises Damaged."""
        with self._database.read() as connection:
            found = VERSIONS.first(connection, _LATEST, wanted=workflow)
        return None if found is None else (digest_of(found), found)


def _next_number(connection: Connection, workflow: str) -> int:
    count, last = connection.execute(_COUNTED, {"wanted": workflow}).one()
    if count != (last or 0):
        raise Damaged(f"the versions of workflow {workflow!r} are damaged: the last is {last}, but there are {count}")
    return int(count) + 1


def _note_made(connection: Connection, digest: str, version: Version) -> None:
    facts = {
        "workflow": version.workflow.name,
        "number": version.number,
        "label": version.label,
        "name": version.name,
        "task": version.task,
    }
    note(connection, "version.made", digest, facts)


def _check_label(connection: Connection, version: Version) -> None:
    if not version.label:
        return
    holder = VERSIONS.first(connection, _LABELLED, wanted=version.workflow.name, labelled=version.label)
    if holder is not None:
        raise Conflict(
            f"label {version.label!r} of workflow {version.workflow.name!r} is taken by {holder.name}",
            hint="Choose another label.",
        )


def _saved(connection: Connection, statement: Select[tuple[object, ...]]) -> builtins.list[Saved]:
    return [(row.digest, VERSIONS.read(row)) for row in connection.execute(statement)]

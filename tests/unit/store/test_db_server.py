"""What a server needs: the journal, jobs, tokens, webhooks, and answers to requests that may come again."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from unit.store.test_db_samples import (
    PLAN,
    REF,
    TIME,
    Stores,
    asset,
    filled,
    fork,
    job,
    queued,
    snapshot,
    step,
    stores,
    token,
    undone,
    version,
    webhook,
    workflow,
)

from intaglio.core.branch import WorkflowRemark
from intaglio.core.errors import Conflict, Damaged, InvalidRecord, NotFound
from intaglio.core.task import Failure
from intaglio.core.variation import Variation, VariationRemark
from intaglio.core.version import Remark
from intaglio.store.idempotency import Answer
from intaglio.store.integrity import check_rows, count_rows

NEW_TABLES = ("journal", "queue", "jobs", "tokens", "webhooks", "idempotency")


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Stores]:
    library = stores(tmp_path / "library.db")
    yield library
    assert list(check_rows(library.database)) == []
    library.database.close()


@pytest.fixture
def plan(library: Stores) -> str:
    return library.documents.put(PLAN)


class TestJournal:
    def test_it_is_numbered_from_one_and_read_on_from_anywhere(self, library: Stores) -> None:
        assert (library.journal.list(), library.journal.last()) == ([], 0)
        written = [library.journal.note("job.said", f"job-{number % 2}", {"at": number}) for number in range(5)]
        assert [notice.number for notice in written] == [1, 2, 3, 4, 5]
        assert library.journal.list() == written
        assert library.journal.last() == 5
        assert library.journal.list(after=2, limit=2) == written[2:4]
        assert library.journal.list(after=5) == []
        assert library.journal.list(subject="job-1") == [written[1], written[3]]
        assert library.journal.list(subject="job-1", after=2) == [written[3]]

    def test_filtered_by_the_beginnings_of_words(self, library: Stores) -> None:
        for what in ("task.done", "task.event", "tasks", "version.made", "version.remark"):
            library.journal.note(what, "x")

        def words(*what: str) -> list[str]:
            return [notice.what for notice in library.journal.list(what=what)]

        assert words("task.") == ["task.done", "task.event"]
        assert words("version.made", "task.e") == ["task.event", "version.made"]
        assert words("other") == []

    def test_every_step_of_a_task_is_told_and_nothing_else(self, library: Stores, plan: str) -> None:
        library.tasks.add(queued("t1", plan))
        library.tasks.advance("t1", "running", started=TIME, attempt=1)
        library.tasks.add_step(step("t1", "base", "a"), [asset("a")], [("done", "base", {"seed": "7"})])
        library.tasks.log("t1", "cut", "base", {"at": 77})
        failure = Failure(code="node.failed", message="no", hint="try", step="base")
        library.tasks.update("t1", error=failure)  # no other status: nothing to tell
        library.tasks.advance("t1", "failed")
        told = library.journal.list()
        assert [(notice.what, notice.subject) for notice in told] == [
            ("task.queued", "t1"),
            ("task.running", "t1"),
            ("task.event", "t1"),
            ("task.event", "t1"),
            ("task.failed", "t1"),
        ]
        assert told[2].facts == {"number": 1, "what": "done", "step": "base", "facts": {"seed": "7"}}
        assert told[3].facts == {"number": 2, "what": "cut", "step": "base", "facts": {"at": 77}}
        same = {"workflow": "poster", "purpose": "run", "attempt": 1, "version": ""}
        assert told[1].facts == {**same, "status": "running", "error": None}
        said = {"code": "node.failed", "message": "no", "hint": "try", "step": "base"}
        assert told[4].facts == {**same, "status": "failed", "error": said}

    def test_what_is_made_and_said_is_told_once(self, library: Stores, plan: str) -> None:
        for _ in range(2):
            _, digest = library.workflows.add(workflow())
        library.tasks.add(queued("t1", plan))
        kept = library.documents.put(snapshot("t1"))
        made, _ = library.versions.save("poster", lambda n: version(n, kept, label="warm"), task="t1")
        variation = Variation(id="v1", what="walk", version=made, axes=(), cells=(), created=TIME, author="Ada")
        library.variations.add(variation)
        for _ in range(2):
            library.remarks.add(Remark(version=made, what="approved", holds=True, created=TIME, author="Ada"))
            library.branches.remark(WorkflowRemark(workflow="poster", what="archived", created=TIME, author="Ada"))
            library.variations.remark(VariationRemark(variation="v1", what="winner", created=TIME, author="Ada"))
        told = {notice.what: (notice.subject, notice.facts) for notice in library.journal.list()}
        assert library.journal.last() == len(told) == 7
        assert told.pop("task.queued")[0] == "t1"
        named = {"workflow": "poster", "number": 1, "label": "warm", "name": "v1-warm", "task": "t1"}
        said = {"what": "approved", "holds": True, "note": "", "value": "", "author": "Ada"}
        assert told == {
            "workflow.made": ("poster", {"number": 1, "digest": digest}),
            "version.made": (made, named),
            "variation.made": ("v1", {"what": "walk", "version": made, "author": "Ada"}),
            "version.remark": (made, said),
            "workflow.remark": ("poster", {**said, "what": "archived"}),
            "variation.remark": ("v1", {"what": "winner", "value": "", "note": "", "author": "Ada"}),
        }

    def test_what_is_undone_is_not_told(self, library: Stores, plan: str) -> None:
        undone(library, lambda: library.tasks.add(queued("t1", plan)))
        with library.database.write():
            library.tasks.add(queued("t2", plan))
            with pytest.raises(Conflict):
                library.tasks.add_step(step("t2", "base", "missing"), [], [])
            with pytest.raises(Conflict):
                library.tasks.add(queued("t3", REF.digest))
        library.tasks.add(queued("t4", plan))
        assert [(notice.number, notice.subject) for notice in library.journal.list()] == [(1, "t2"), (2, "t4")]

    def test_a_reader_never_sees_a_number_without_those_before_it(self, tmp_path: Path) -> None:
        """While two processes write, several lines a transaction, and undo some of them."""
        path = tmp_path / "other.db"
        library = stores(path)

        def work(place: int) -> None:
            mine = stores(path, create=False)
            plan = mine.documents.put(PLAN)
            for turn in range(60):
                with mine.database.write():
                    mine.tasks.add(queued(f"t{place}-{turn}", plan))
                    mine.tasks.advance(f"t{place}-{turn}", "running")
                undone(mine, lambda: mine.journal.note("undone", "x"))

        children = [fork(lambda place=place: work(place)) for place in range(2)]  # type: ignore[misc]
        seen: list[int] = []
        running = set(children)
        while running:
            running -= {child for child in running if os.waitpid(child, os.WNOHANG) == (child, 0)}
            seen += [notice.number for notice in library.journal.list(after=len(seen), limit=1000)]
            assert seen == list(range(1, len(seen) + 1))
            assert len(seen) % 2 == 0  # both lines of a transaction, or none
        seen += [notice.number for notice in library.journal.list(after=len(seen), limit=1000)]
        assert seen == list(range(1, 241))
        assert library.journal.list(what=["undone"]) == []
        assert list(check_rows(library.database)) == []
        library.database.close()

    @pytest.mark.parametrize(("gone", "message"), [("= 3", "line 3 is"), ("< 3", "lines 1 to 2 are")])
    def test_a_missing_number_is_a_problem(self, tmp_path: Path, gone: str, message: str) -> None:
        with closing(stores(tmp_path / "other.db").database) as database:
            library = Stores(database)
            for _ in range(5):
                library.journal.note("job.said", "x")
            with database.write() as connection:
                connection.exec_driver_sql(f"DELETE FROM journal WHERE number {gone}")
            assert [problem.message for problem in check_rows(database)] == [f"{message} missing from the journal"]


class TestJobs:
    def test_from_queue_to_end(self, library: Stores) -> None:
        library.jobs.add(job())
        assert library.jobs.get("job-1") == job()
        assert library.jobs.advance("job-1", "running", started=TIME, attempt=1).attempt == 1
        done = library.jobs.advance("job-1", "done", finished=TIME, result={"problems": [], "records": 3})
        assert library.jobs.get("job-1") == done
        assert done.result == {"problems": (), "records": 3}
        assert [(notice.what, notice.subject) for notice in library.journal.list()] == [
            ("job.queued", "job-1"),
            ("job.running", "job-1"),
            ("job.done", "job-1"),
        ]

    def test_why_one_failed_is_told(self, library: Stores) -> None:
        library.jobs.add(job())
        library.jobs.advance("job-1", "running", attempt=1)
        library.jobs.advance("job-1", "failed", error=Failure(code="damaged", message="no"))
        said = {"code": "damaged", "message": "no", "hint": "", "step": ""}
        facts = {"status": "failed", "verb": "library.check", "attempt": 1, "error": said}
        assert library.journal.list()[-1].facts == facts
        assert library.jobs.advance("job-1", "queued", error=None).error is None

    def test_only_forward(self, library: Stores) -> None:
        library.jobs.add(job())
        with pytest.raises(Conflict, match="job 'job-1' is queued; it cannot become done"):
            library.jobs.advance("job-1", "done")
        assert library.journal.last() == 1

    def test_a_value_that_could_not_be_read_again_is_refused(self, library: Stores) -> None:
        library.jobs.add(job())
        with pytest.raises(InvalidRecord, match="attempt"):
            library.jobs.advance("job-1", "running", attempt="one")
        assert library.jobs.get("job-1") == job()

    def test_an_id_is_taken_once_and_strangers_are_not_found(self, library: Stores) -> None:
        library.jobs.add(job())
        with pytest.raises(Conflict, match="job-1"):
            library.jobs.add(job())
        asks: tuple[Callable[[], object], ...] = (
            lambda: library.jobs.get("nobody"),
            lambda: library.jobs.advance("nobody", "running"),
            lambda: library.jobs.list(before="nobody"),
        )
        for ask in asks:
            with pytest.raises(NotFound, match="nobody"):
                ask()

    def test_listed_newest_first(self, library: Stores) -> None:
        for number in range(5):
            library.jobs.add(job(f"job-{9 - number}"))
        library.jobs.advance("job-7", "running")
        assert [job.id for job in library.jobs.list()] == ["job-5", "job-6", "job-7", "job-8", "job-9"]
        assert [job.id for job in library.jobs.list(limit=2, before="job-6")] == ["job-7", "job-8"]
        assert [job.id for job in library.jobs.list(status="running")] == ["job-7"]
        assert library.jobs.find("job-") == ["job-5", "job-6", "job-7", "job-8", "job-9"]
        assert library.jobs.find("job-6") == ["job-6"]


class TestTokens:
    def test_found_by_id_and_hash(self, library: Stores) -> None:
        late = replace(token("a", "22"), created="2027")
        library.tokens.add(late)
        library.tokens.add(token())
        assert library.tokens.get("tok-1") == library.tokens.by_hash("11") == token()
        assert library.tokens.by_hash("33") is None
        assert library.tokens.list() == [token(), late]
        with pytest.raises(NotFound):
            library.tokens.get("nobody")

    @pytest.mark.parametrize("other", [token("tok-1", "22"), token("tok-2", "11")])
    def test_id_and_hash_are_taken_once(self, library: Stores, other: object) -> None:
        library.tokens.add(token())
        with pytest.raises(Conflict):
            library.tokens.add(other)  # type: ignore[arg-type]
        assert library.tokens.list() == [token()]

    def test_revoked_once_and_for_good(self, library: Stores) -> None:
        library.tokens.add(token())
        revoked = library.tokens.revoke("tok-1")
        assert revoked.revoked.startswith("20")
        assert library.tokens.revoke("tok-1") == revoked == library.tokens.by_hash("11")
        with pytest.raises(NotFound):
            library.tokens.revoke("nobody")


class TestWebhooks:
    def test_added_changed_and_removed(self, library: Stores) -> None:
        library.webhooks.add(webhook())
        library.webhooks.add(webhook("a", created="2027"))
        assert [each.id for each in library.webhooks.list()] == ["hook-1", "a"]
        changed = library.webhooks.change("hook-1", delivered=7, failures=1, paused="it is gone")
        assert library.webhooks.get("hook-1") == changed
        assert (changed.delivered, changed.failures, changed.paused) == (7, 1, "it is gone")
        library.webhooks.remove("hook-1")
        assert [each.id for each in library.webhooks.list()] == ["a"]

    def test_what_cannot_be_is_refused(self, library: Stores) -> None:
        library.webhooks.add(webhook())
        with pytest.raises(Conflict, match="hook-1"):
            library.webhooks.add(webhook())
        with pytest.raises(InvalidRecord, match="delivered"):
            library.webhooks.change("hook-1", delivered="7")
        asks: tuple[Callable[[], object], ...] = (
            lambda: library.webhooks.get("nobody"),
            lambda: library.webhooks.change("nobody", delivered=1),
            lambda: library.webhooks.remove("nobody"),
        )
        for ask in asks:
            with pytest.raises(NotFound, match="nobody"):
                ask()
        assert library.webhooks.list() == [webhook()]


class TestIdempotency:
    def test_the_second_time_the_first_answer_is_given(self, library: Stores) -> None:
        answers = library.idempotency
        assert answers.begin("Ada", "k", "request") is None
        with pytest.raises(Conflict, match="key 'k' is still being worked on"):
            answers.begin("Ada", "k", "request")
        answers.finish("Ada", "k", 201, b"\x00 any bytes")
        assert answers.begin("Ada", "k", "request") == Answer(201, b"\x00 any bytes")
        with pytest.raises(Conflict, match="came with another request"):
            answers.begin("Ada", "k", "other")
        assert answers.begin("Bob", "k", "other") is None
        assert answers.begin("Ada", "l", "other") is None

    def test_a_key_that_is_forgotten_is_free_again(self, library: Stores) -> None:
        library.idempotency.begin("Ada", "k", "request")
        library.idempotency.begin("Bob", "k", "request")
        library.idempotency.forget("Ada", "k")
        assert library.idempotency.begin("Ada", "k", "other") is None
        with pytest.raises(Conflict):
            library.idempotency.begin("Bob", "k", "request")
        with pytest.raises(NotFound):
            library.idempotency.finish("Eve", "k", 200, b"")

    def test_what_is_old_is_forgotten(self, library: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
        for time in ("2026-11-20", "2026-11-21", "2026-11-22"):
            monkeypatch.setattr("intaglio.store.idempotency.now", lambda time=time: time)
            library.idempotency.begin("Ada", time, "request")
        assert library.idempotency.begin("Ada", "2026-11-20", "request", "2026-11-21") is None
        with pytest.raises(Conflict):
            library.idempotency.begin("Ada", "2026-11-21", "request", "2026-11-21")

    def test_keys_without_an_answer_are_let_go_of_and_the_others_kept(self, library: Stores) -> None:
        for key in ("answered", "killed"):
            library.idempotency.begin("Ada", key, "request")
        library.idempotency.finish("Ada", "answered", 200, b"this")
        assert library.idempotency.release() == 1
        assert library.idempotency.begin("Ada", "answered", "request") == Answer(200, b"this")
        assert library.idempotency.begin("Ada", "killed", "request") is None

    def test_of_many_threads_at_once_one_does_it(self, library: Stores) -> None:
        together = threading.Barrier(8)
        went: list[str] = []

        def work() -> None:
            together.wait()
            try:
                went.append("ahead" if library.idempotency.begin("Ada", "k", "request") is None else "answer")
            except Conflict:
                went.append("refused")

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(went) == ["ahead"] + ["refused"] * 7

    def test_a_damaged_answer_is_not_given(self, tmp_path: Path) -> None:
        with closing(stores(tmp_path / "other.db").database) as database:
            answers = Stores(database).idempotency
            answers.begin("Ada", "k", "request")
            answers.finish("Ada", "k", 200, b"answer")
            with database.write() as connection:
                connection.exec_driver_sql("UPDATE idempotency SET status = 201")
            asks: tuple[Callable[[], object], ...] = (
                lambda: answers.begin("Ada", "k", "request"),
                lambda: answers.finish("Ada", "k", 200, b""),
            )
            for ask in asks:
                with pytest.raises(Damaged, match="'k'"):
                    ask()
            assert [(problem.kind, problem.id) for problem in check_rows(database)] == [("request", "Ada/k")]


def test_a_library_from_before_there_were_servers_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "library.db"
    library = filled(path)
    tasks = library.tasks.list()
    library.database.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        for table in NEW_TABLES:
            connection.execute(f"DROP TABLE {table}")
        connection.execute("DELETE FROM counters WHERE name = 'journal'")
        connection.execute("UPDATE alembic_version SET version_num = '2026_11_21_versions_found'")
    library = stores(path, create=False)
    with closing(library.database):
        assert (library.tasks.list(), count_rows(library.database)) == (tasks, 38)
        assert (library.journal.last(), library.queue.count(), library.jobs.list()) == (0, 0, [])
        library.tasks.advance("t2", "running")
        assert [(notice.number, notice.what) for notice in library.journal.list()] == [(1, "task.running")]
        assert list(check_rows(library.database)) == []

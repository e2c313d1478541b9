"""Each store of the database, used as its callers use it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.store.test_db_samples import (
    PLAN,
    REF,
    TIME,
    Stores,
    asset,
    filled,
    model,
    queued,
    reproduction,
    snapshot,
    step,
    stores,
    version,
    workflow,
)

from intaglio.core.codec import digest
from intaglio.core.errors import Conflict, Invalid, InvalidRecord, NotFound
from intaglio.core.plan import Plan
from intaglio.core.snapshot import Snapshot
from intaglio.core.task import Failure
from intaglio.core.workflow import Workflow
from intaglio.store.integrity import check_rows, count_rows


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Stores]:
    library = stores(tmp_path / "library.db")
    yield library
    assert list(check_rows(library.database)) == []
    library.database.close()


@pytest.fixture
def plan(library: Stores) -> str:
    return library.documents.put(PLAN)


@pytest.fixture
def kept(library: Stores) -> str:
    return library.documents.put(snapshot("t1"))


class TestDocuments:
    def test_a_record_comes_back_by_its_digest(self, library: Stores) -> None:
        name = library.documents.put(PLAN)
        assert name == digest(PLAN) == library.documents.put(PLAN)
        assert library.documents.get(Plan, name) == PLAN
        assert list(library.documents.iter()) == [(name, "plan")]
        assert library.documents.verify(name) is None

    def test_an_unknown_one_or_one_of_another_kind_is_not_found(self, library: Stores, plan: str) -> None:
        with pytest.raises(NotFound):
            library.documents.get(Snapshot, plan)
        with pytest.raises(NotFound):
            library.documents.get(Plan, REF.digest)
        assert "no document" in str(library.documents.verify(REF.digest))

    @pytest.mark.parametrize("cut", [0, 7, 8, 20, 71])
    def test_found_by_the_beginning_of_its_digest(self, library: Stores, plan: str, cut: int) -> None:
        assert library.documents.find("plan", plan[:cut]) == [plan]
        assert library.documents.find("plan", plan.removeprefix("blake3:")[:cut]) == [plan]
        assert library.documents.find("snapshot", plan[:cut]) == []

    def test_a_damaged_one_is_whole_again_once_it_is_put_again(self, library: Stores, plan: str) -> None:
        with library.database.write() as connection:
            connection.exec_driver_sql("UPDATE documents SET body = 'x'")
        assert "damaged" in str(library.documents.verify(plan))
        library.documents.put(PLAN)
        assert library.documents.get(Plan, plan) == PLAN


class TestWorkflows:
    def test_the_same_content_keeps_its_number(self, library: Stores) -> None:
        first, other = workflow(), workflow(description="other")
        assert [library.workflows.add(each)[0] for each in (first, other, first)] == [1, 2, 1]
        assert library.workflows.get("poster") == (other, 2, digest(other))
        assert library.workflows.get("poster", 1) == (first, 1, digest(first))
        assert library.documents.get(Workflow, digest(first)) == first

    def test_listed_by_name_and_by_number(self, library: Stores) -> None:
        for name, description in (("b", "1"), ("a", "1"), ("b", "2")):
            library.workflows.add(workflow(name, description))
        assert [(name, number) for name, number, _, _ in library.workflows.list()] == [("a", 1), ("b", 2)]
        assert [number for _, number, _, _ in library.workflows.history("b")] == [2, 1]

    def test_unknown_ones(self, library: Stores) -> None:
        library.workflows.add(workflow())
        for ask in (
            lambda: library.workflows.get("nobody"),
            lambda: library.workflows.get("poster", 2),
            lambda: library.workflows.history("nobody"),
        ):
            with pytest.raises(NotFound):
                ask()


class TestTasks:
    def test_from_queue_to_end(self, library: Stores, plan: str, kept: str) -> None:
        library.tasks.add(queued("t1", plan))
        assert library.tasks.advance("t1", "running", started=TIME, attempt=1).attempt == 1
        failure = Failure(code="node.failed", message="no", step="base")
        assert library.tasks.update("t1", error=failure).error == failure
        done = library.tasks.advance("t1", "done", snapshot=kept, error=None)
        assert (done.status, done.snapshot, done.error) == ("done", kept, None)
        assert library.tasks.get("t1") == done

    def test_only_forward(self, library: Stores, plan: str) -> None:
        library.tasks.add(queued("t1", plan))
        with pytest.raises(Conflict, match="cannot become done"):
            library.tasks.advance("t1", "done")
        assert library.tasks.get("t1").status == "queued"

    def test_an_id_is_taken_once(self, library: Stores, plan: str) -> None:
        library.tasks.add(queued("t1", plan))
        with pytest.raises(Conflict, match="t1"):
            library.tasks.add(queued("t1", plan))

    def test_a_plan_that_is_not_there_is_refused(self, library: Stores) -> None:
        with pytest.raises(Conflict):
            library.tasks.add(queued("t1", REF.digest))

    def test_a_value_that_could_not_be_read_again_is_refused(self, library: Stores, plan: str) -> None:
        library.tasks.add(queued("t1", plan))
        with pytest.raises(InvalidRecord, match="attempt"):
            library.tasks.update("t1", attempt="one")
        with pytest.raises(TypeError):
            library.tasks.update("t1", status="done")
        assert library.tasks.get("t1") == queued("t1", plan)

    def test_listed_newest_first(self, library: Stores, plan: str) -> None:
        for number in range(5):
            library.tasks.add(queued(f"t{9 - number}", plan))
        library.tasks.advance("t7", "running")
        assert [task.id for task in library.tasks.list()] == ["t5", "t6", "t7", "t8", "t9"]
        assert [task.id for task in library.tasks.list(limit=2, before="t6")] == ["t7", "t8"]
        assert [task.id for task in library.tasks.list(status="running")] == ["t7"]
        assert library.tasks.find("t") == ["t5", "t6", "t7", "t8", "t9"]
        assert library.tasks.find("t6") == ["t6"]

    def test_unknown_ones(self, library: Stores) -> None:
        for ask in (
            lambda: library.tasks.get("t1"),
            lambda: library.tasks.advance("t1", "running"),
            lambda: library.tasks.log("t1", "what"),
            lambda: library.tasks.list(before="t1"),
            lambda: library.tasks.add_step(step("t1", "base"), [], []),
        ):
            with pytest.raises(NotFound):
                ask()

    def test_steps_come_back_in_the_order_recorded(self, library: Stores, plan: str) -> None:
        library.tasks.add(queued("t1", plan))
        records = [step("t1", name, name) for name in ("z", "a", "m")]
        for record in records:
            library.tasks.add_step(record, [asset(record.step)], [("done", record.step, {})])
        assert library.tasks.steps("t1") == records
        assert [(event.number, event.step) for event in library.tasks.events("t1")] == [(1, "z"), (2, "a"), (3, "m")]

    def test_a_step_is_kept_whole_or_not_at_all(self, library: Stores, plan: str) -> None:
        library.tasks.add(queued("t1", plan))
        with pytest.raises(Conflict):
            library.tasks.add_step(step("t1", "base", "a", "b"), [asset("a")], [("done", "base", {})])
        assert library.tasks.steps("t1") == []
        assert library.tasks.events("t1") == []
        assert library.assets.digests() == set()

    def test_a_step_is_recorded_once_in_an_attempt(self, library: Stores, plan: str) -> None:
        library.tasks.add(queued("t1", plan))
        library.tasks.add_step(step("t1", "base", "a"), [asset("a")], [])
        with pytest.raises(Conflict):
            library.tasks.add_step(step("t1", "base", "a"), [], [])
        library.tasks.add_step(step("t1", "base", "b", attempt=2), [asset("b")], [])
        assert [record.attempt for record in library.tasks.steps("t1")] == [1, 2]

    def test_the_newest_record_of_a_key_is_reused(self, library: Stores, plan: str) -> None:
        for id in ("t1", "t2"):
            library.tasks.add(queued(id, plan))
            library.tasks.add_step(step(id, "base", id), [asset(id)], [])
        key = step("t1", "base").key
        assert library.tasks.reusable(key) == step("t2", "base", "t2")
        assert library.tasks.reusable(key, task="t1") == step("t1", "base", "t1")
        assert library.tasks.reusable(key, task="t3") is None
        assert library.tasks.reusable("other") is None

    def test_threads_number_a_log_without_gaps(self, library: Stores, plan: str) -> None:
        library.tasks.add(queued("t1", plan))
        threads = [
            threading.Thread(target=lambda: [library.tasks.log("t1", "tick") for _ in range(10)]) for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [event.number for event in library.tasks.events("t1")] == list(range(1, 201))
        assert [event.number for event in library.tasks.events("t1", after=198)] == [199, 200]


class TestVersions:
    def test_numbers_run_within_a_workflow(self, library: Stores, plan: str, kept: str) -> None:
        library.tasks.add(queued("t1", plan))
        first, saved = library.versions.save("poster", lambda number: version(number, kept), task="t1")
        library.versions.save("other", lambda number: version(number, kept, name="other"))
        second, _ = library.versions.save("poster", lambda number: version(number, kept))
        assert first == digest(saved)
        assert library.tasks.get("t1").version == first
        assert library.versions.get(first) == saved
        assert [(v.workflow.name, v.number) for _, v in library.versions.list()] == [
            ("poster", 2),
            ("other", 1),
            ("poster", 1),
        ]
        assert [name for name, _ in library.versions.list(workflow="poster", before=second)] == [first]
        latest = library.versions.latest("poster")
        assert latest is not None
        assert latest[0] == second
        assert library.versions.latest("nobody") is None

    def test_a_label_is_taken_once_in_a_workflow(self, library: Stores, kept: str) -> None:
        library.versions.save("poster", lambda number: version(number, kept, label="warm"))
        library.versions.save("other", lambda number: version(number, kept, label="warm", name="other"))
        with pytest.raises(Conflict, match="taken by v1-warm"):
            library.versions.save("poster", lambda number: version(number, kept, label="warm"))
        assert len(library.versions.list()) == 2

    def test_nothing_is_kept_when_the_task_is_unknown_or_the_building_fails(self, library: Stores, kept: str) -> None:
        with pytest.raises(NotFound):
            library.versions.save("poster", lambda number: version(number, kept), task="nobody")
        with pytest.raises(ValueError, match="not version 1"):
            library.versions.save("poster", lambda number: version(number + 1, kept))
        with pytest.raises(Conflict):
            library.versions.save("poster", lambda number: version(number, REF.digest))
        assert library.versions.list() == []

    def test_found_by_whatever_is_known(self, library: Stores, kept: str) -> None:
        first, _ = library.versions.save("poster", lambda number: version(number, kept, label="warm", output="a"))
        second, _ = library.versions.save("poster", lambda number: version(number, kept, output="b"))
        find = library.versions.find
        assert [name for name, _ in find()] == [second, first]
        for found in (
            find(number=1),
            find(label="warm"),
            find(workflow="poster", number=1),
            find(digest_prefix=first[:20]),
            find(output=asset("a").digest),
            find(task="t1", label="warm", snapshot_prefix=kept.removeprefix("blake3:")[:6]),
        ):
            assert [name for name, _ in found] == [first]
        assert find(output=asset("a").digest, number=2) == []
        assert len(find(task="t1", snapshot_prefix=kept)) == 2

    def test_unknown_ones(self, library: Stores) -> None:
        with pytest.raises(NotFound):
            library.versions.get(REF.digest)
        with pytest.raises(NotFound):
            library.versions.list(before=REF.digest)


class TestModels:
    def test_latest_is_the_one_added_last(self, library: Stores) -> None:
        first, second = model(label="v1"), model(label="v0", content="others")
        library.models.add(first, Path("/a"))
        library.models.add(second, Path("/b"))
        assert library.models.get("tiny") == library.models.get("tiny", "latest") == (second, Path("/b"))
        assert library.models.get("tiny", "v1") == (first, Path("/a"))
        assert library.models.by_digest(first.digest) == (first, Path("/a"))
        assert library.models.list() == [(second, Path("/b")), (first, Path("/a"))]
        assert library.models.find(first.digest[:12]) == [first.digest]

    def test_the_same_again_only_moves(self, library: Stores) -> None:
        library.models.add(model(), Path("/a"))
        library.models.add(model(label="v2", content="others"), Path("/b"))
        library.models.add(model(), Path("/c"))
        assert library.models.get("tiny") == (model(label="v2", content="others"), Path("/b"))
        assert library.models.get("tiny", "v1") == (model(), Path("/c"))

    def test_other_content_under_a_taken_label_is_refused_naming_both(self, library: Stores) -> None:
        library.models.add(model(), Path("/a"))
        with pytest.raises(Conflict, match=f"{model().digest}.*{model(content='x').digest}") as caught:
            library.models.add(model(content="x"), Path("/b"))
        assert "--version" in caught.value.hint
        with pytest.raises(Invalid):
            library.models.add(model(label="latest"), Path("/b"))

    def test_moved_under_every_name(self, library: Stores) -> None:
        library.models.add(model(), Path("/a"))
        library.models.add(model(name="same"), Path("/a"))
        library.models.move(model().digest, Path("/é/z"))
        assert {path for _, path in library.models.list()} == {Path("/é/z")}

    def test_unknown_ones(self, library: Stores) -> None:
        for ask in (
            lambda: library.models.get("tiny"),
            lambda: library.models.get("tiny", "v1"),
            lambda: library.models.by_digest(REF.digest),
            lambda: library.models.move(REF.digest, Path("/a")),
        ):
            with pytest.raises(NotFound):
                ask()


class TestAssets:
    def test_kept_once_and_found(self, library: Stores) -> None:
        library.assets.add_many([asset("a"), asset("b"), asset("a")])
        library.assets.add(asset("c"))
        assert library.assets.get(asset("a").digest) == asset("a")
        assert library.assets.list() == [asset("c"), asset("b"), asset("a")]
        assert library.assets.list(limit=1, before=asset("b").digest) == [asset("a")]
        assert library.assets.digests() == {asset(name).digest for name in "abc"}
        assert library.assets.find(asset("b").digest[:20]) == [asset("b").digest]
        assert library.assets.by_pixels(asset("b").pixels) == [asset("b")]
        assert library.assets.by_pixels("") == []

    def test_unknown_ones(self, library: Stores) -> None:
        with pytest.raises(NotFound):
            library.assets.get(REF.digest)
        with pytest.raises(NotFound):
            library.assets.list(before=REF.digest)

    def test_where_they_are_used(self, library: Stores, plan: str, kept: str) -> None:
        for id in ("t1", "t2"):
            library.tasks.add(queued(id, plan))
            library.tasks.add_step(step(id, "base", "a"), [asset("a")], [])
        saved, _ = library.versions.save("poster", lambda number: version(number, kept, output="a"))
        assert library.assets.tasks_of(asset("a").digest) == ["t1", "t2"]
        assert library.assets.versions_of(asset("a").digest) == [saved]
        assert library.assets.tasks_of(asset("b").digest) == library.assets.versions_of(asset("b").digest) == []


def test_counters_count_by_name(library: Stores) -> None:
    assert [library.counters.next("seed", 1001) for _ in range(3)] == [1001, 1002, 1003]
    assert library.counters.next("other", 0) == 0


def test_reproductions_of_a_version(library: Stores, kept: str) -> None:
    saved, _ = library.versions.save("poster", lambda number: version(number, kept))
    tried = [reproduction(saved, "t2"), reproduction(saved, "t1")]
    names = [library.reproductions.add(each) for each in (*tried, tried[0])]
    assert names == [digest(tried[0]), digest(tried[1]), digest(tried[0])]
    assert library.reproductions.of(saved) == tried
    with pytest.raises(Conflict):
        library.reproductions.add(reproduction(REF.digest))


def test_several_stores_share_one_commit(library: Stores, plan: str) -> None:
    def everything() -> None:
        with library.database.write():
            library.tasks.add(queued("t1", library.documents.put(PLAN)))
            library.tasks.log("t1", "made")
            assert library.tasks.get("t1").id == "t1"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        everything()
    assert library.tasks.list() == []
    with library.database.write():
        library.tasks.add(queued("t1", plan))
        with pytest.raises(Conflict):
            library.tasks.add_step(step("t1", "base", "missing"), [], [])
        library.tasks.log("t1", "went on")
    assert library.tasks.steps("t1") == []
    assert [event.what for event in library.tasks.events("t1")] == ["went on"]


def test_rows_are_counted(tmp_path: Path) -> None:
    library = filled(tmp_path / "library.db")
    # documents 4, workflows 2, tasks 2, steps 2, assets 2, events 2, versions 2, models 2, reproduction 1, counters 2,
    # places 2, hashes 2, kept models 2, remark 1, envelope 1; branches 2, variations 2, runs 2, remarks on both 2 and 2
    # what waits 2, jobs 2, tokens 2, webhooks 2; the journal is not counted
    assert count_rows(library.database) == 47
    library.database.close()

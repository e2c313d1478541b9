"""What a studio promises, whether its library is open here or behind a server; a test class gives the `both` fixture.

Everything is done twice: in the studio under test, and in an open library beside it. What both give has to be the same
in type and value, up to times and ids; so have the errors.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from acceptance.conftest import ramp
from contract.making import asking, grained, mosaic, stumbling
from contract.serving import Both
from contract.things_contract import ThingsContract

from intaglio.core import errors
from intaglio.core.canonical import digest_bytes
from intaglio.core.form import Form
from intaglio.core.plan import Step
from intaglio.core.task import Reason, Task
from intaglio.imaging.png import encode
from intaglio.studio.carry_out import Watch
from intaglio.studio.drift import Warning
from intaglio.studio.open import Studio


class StudioContract(ThingsContract):
    """One suite for every studio."""

    @pytest.fixture
    def name(self, request: pytest.FixtureRequest) -> str:
        """A workflow name of this test's own."""
        return str(request.node.name).removeprefix("test_").replace("_", "-")[:40].rstrip("-")

    # -- workflows

    def test_workflows_are_kept_found_and_shown(self, both: Both, name: str, tmp_path: Path) -> None:
        path = grained(tmp_path, name)
        reference = both.same(lambda studio: studio.workflows.add(path))
        assert (reference.name, reference.version) == (name, 1)
        assert both.same(lambda studio: studio.workflows.show(f"{name}@1"))[1] == reference
        assert name in [found[0] for found in both.studio.workflows.list()]
        both.same(lambda studio: [found for found in studio.workflows.list(archived=True) if found[0] == name])
        both.same(lambda studio: studio.workflows.history(name))
        assert both.same(lambda studio: studio.workflows.check(name)).name == name
        assert both.same(lambda studio: studio.workflows.lint(name)) == []
        assert both.same(lambda studio: studio.workflows.warnings(name)) == []
        found = both.same(lambda studio: studio.workflows.find(name, ["grain.seed=9"], mode="discovery"))
        assert found.workflow.nodes["grain"].seed == "9" and found.reference.changes

    def test_workflows_have_branches(self, both: Both, name: str, tmp_path: Path) -> None:
        path = grained(tmp_path, name)
        both.same(lambda studio: studio.workflows.add(path))
        both.same(lambda studio: studio.workflows.branch(name, f"{name}-b", note="another"))
        tree = both.same(lambda studio: studio.workflows.tree(name))
        assert [each.branch.name for each in tree[0].branches if each.branch] == [f"{name}-b"]
        grained(tmp_path, name, seed="8")
        both.same(lambda studio: studio.workflows.add(path))
        shown = both.same(lambda studio: studio.workflows.take(f"{name}-b", make=False))
        both.same(lambda studio: studio.workflows.take(f"{name}-b", nodes={"grain"}, choices={}, basis=""))
        assert shown.merged.taken
        both.same(lambda studio: studio.workflows.archive(f"{name}-b", note="done"))
        both.same(lambda studio: studio.workflows.revive(f"{name}-b"))
        both.same(lambda studio: studio.workflows.mode(name, "production"))

    def test_workflows_that_cannot_be_are_refused_alike(self, both: Both, name: str, tmp_path: Path) -> None:
        path = grained(tmp_path, name)
        both.same(lambda studio: studio.workflows.add(path))
        for call in (
            lambda studio: studio.workflows.show("nothing"),
            lambda studio: studio.workflows.show(f"{name}@7"),
            lambda studio: studio.workflows.show(""),
            lambda studio: studio.workflows.history("nothing"),
            lambda studio: studio.workflows.find("nothing"),
            lambda studio: studio.workflows.find("nothing.json"),
            lambda studio: studio.workflows.add(tmp_path / "nothing.json"),
            lambda studio: studio.workflows.check("nothing"),
            lambda studio: studio.workflows.branch(name, name),
            lambda studio: studio.workflows.branch(name, "not/a/name"),
            lambda studio: studio.workflows.mode(name, "discovery"),
            lambda studio: studio.workflows.find(name, ["grain.seed"]),
            lambda studio: studio.workflows.find(name, ["grane.seed=1"]),
            lambda studio: studio.workflows.find(name, ["grain.seed=-1"]),
            lambda studio: studio.workflows.find(name, ["grain.seed=1", "grain.seed=2"]),
            lambda studio: studio.workflows.take(name),
            lambda studio: studio.workflows.archive("nothing"),
        ):
            both.refused(call)

    def test_a_workflow_file_with_mistakes_is_refused_alike(self, both: Both, name: str, tmp_path: Path) -> None:
        path = tmp_path / f"{name}.json"
        for text in (
            "{",
            "[]",
            '{"name": "x", "nodes": {}}',
            '{"name": "x", "nodes": {"a": {"type": "nothing"}}}',
            '{"name": "x", "nodes": {"a": {"type": "film-grain", "params": {"amount": 7}}}}',
        ):
            path.write_text(text)
            both.refused(lambda studio: studio.tasks.run(path))
            both.refused(lambda studio: studio.workflows.check(path))

    # -- running

    def test_a_run_gives_the_same_bytes_and_records(self, both: Both, name: str, tmp_path: Path) -> None:
        path = grained(tmp_path, name)
        task = both.same(lambda studio: studio.tasks.run(path, label="first", annotation="to have one", reuse=False))
        assert type(task) is Task and task.status == "done" and task.version
        snapshots = [studio.tasks.snapshot(studio.tasks.list()[0].id) for studio in (both.studio, both.beside)]
        assert snapshots[0].outputs == snapshots[1].outputs
        view = both.same(lambda studio: studio.tasks.show(studio.tasks.list()[0].id))
        assert [step.step for step in view.steps] == ["in", "grain", "out"]
        assert both.same(lambda studio: studio.tasks.get(studio.tasks.list()[0].id[:-1])).id == task.id
        assert both.same(lambda studio: studio.tasks.list(limit=1, status="done"))[0].id == task.id
        both.same(lambda studio: studio.tasks.waits_for(studio.tasks.list()[0].id))
        assert both.same(lambda studio: studio.tasks.form(studio.tasks.list()[0].id)) is None
        assert both.same(lambda studio: studio.tasks.progress(studio.tasks.list()[0].id)) is None

    def test_two_runs_are_held_against_each_other_and_pinned(self, both: Both, name: str, tmp_path: Path) -> None:
        path = grained(tmp_path, name)

        def ran(studio: Studio) -> list[str]:
            return [studio.tasks.run(path, set=[f"grain.seed={seed}"]).id for seed in ("1", "2")]

        ids = {id(studio): ran(studio) for studio in (both.studio, both.beside)}
        both.same(lambda studio: studio.tasks.diff(*ids[id(studio)]))
        pinned = both.same(lambda studio: studio.tasks.pin(ids[id(studio)][0]))
        assert pinned.workflow.version == 2

    def test_what_cannot_run_is_refused_alike(self, both: Both, name: str, tmp_path: Path) -> None:
        path = grained(tmp_path, name)
        drawing = grained(tmp_path, f"{name}-draws", seed="0")
        both.same(lambda studio: studio.tasks.run(path, label="mine", annotation="first"))
        for call in (
            lambda studio: studio.tasks.run("nothing"),
            lambda studio: studio.tasks.run(tmp_path / "nothing.json"),
            lambda studio: studio.tasks.run(path, set=["grain.seed=1.5"]),
            lambda studio: studio.tasks.run(path, set=["grain.seed=18446744073709551616"]),
            lambda studio: studio.tasks.run(path, set=["grain.amount=red"]),
            lambda studio: studio.tasks.run(drawing, mode="production"),
            lambda studio: studio.tasks.run(path, label="other"),
            lambda studio: studio.tasks.run(path, label="mine", annotation="again"),
            lambda studio: studio.tasks.run(path, label="///", annotation="again"),
            lambda studio: studio.tasks.run(path, annotation="x", no_annotation=True),
            lambda studio: studio.tasks.run(path, annotation="x", fields={"client": "Acme"}),
            lambda studio: studio.tasks.show("nothing"),
            lambda studio: studio.tasks.get(""),
            lambda studio: studio.tasks.annotate("nothing", annotation="x"),
            lambda studio: studio.tasks.cancel(studio.tasks.list()[0].id),
            lambda studio: studio.tasks.retry(studio.tasks.list()[0].id),
            lambda studio: studio.tasks.resume(studio.tasks.list()[0].id),
            lambda studio: studio.tasks.annotate(studio.tasks.list()[0].id, annotation="x"),
            lambda studio: studio.tasks.move(studio.tasks.list()[0].id),
            lambda studio: studio.tasks.list(before="nothing"),
            lambda studio: studio.tasks.diff("nothing", "nothing"),
        ):
            both.refused(call)
        assert type(both.refused(lambda studio: studio.tasks.run(path, label="o"))) is errors.AnnotationMissing
        assert type(both.refused(lambda studio: studio.tasks.run(drawing, mode="production"))) is errors.UnpinnedSeed

    def test_a_node_that_fails_is_named(self, both: Both, name: str, tmp_path: Path) -> None:
        path = stumbling(tmp_path, name, "fail")
        error = both.refused(lambda studio: studio.tasks.run(path))
        assert isinstance(error, errors.NodeFailed) and error.node == error.step == "bad"
        failed = both.same(lambda studio: studio.tasks.list(limit=1)[0])
        assert failed.status == "failed" and failed.error is not None
        assert error.way_on == f"intaglio tasks resume {failed.id}"
        both.refused(lambda studio: studio.tasks.resume(studio.tasks.list(limit=1)[0].id))
        both.refused(lambda studio: studio.tasks.snapshot(studio.tasks.list(limit=1)[0].id))

    def test_progress_tells_of_each_step_from_its_beginning_to_its_end(
        self, both: Both, name: str, tmp_path: Path
    ) -> None:
        path, told = grained(tmp_path, name), list[tuple[Step, int, int]]()
        began: list[str] = []
        watch = Watch(progress=lambda *step: told.append(step), began=began.append)
        task = both.studio.tasks.run(path, watch=watch, reuse=False)
        assert began == [task.id]
        plan = both.studio.tasks.show(task.id).plan
        for step in plan.steps:
            heard = [(done, total) for each, done, total in told if each == step]
            assert heard[0] == (0, 0) and heard[-1] == (1, 1), (step.id, heard)
        assert len(told) >= 2 * len(plan.steps)

    def test_a_run_is_cancelled_by_who_watches_it_and_taken_up_again(
        self, both: Both, name: str, tmp_path: Path
    ) -> None:
        path = stumbling(tmp_path, name, "wait", str(tmp_path / "go"))
        for studio in (both.beside, both.studio):
            heard: list[str] = []
            watch = Watch(
                progress=lambda step, done, total, heard=heard: heard.append(step.id),  # type: ignore[misc]
                cancelled=lambda heard=heard: "bad" in heard,  # type: ignore[misc]
            )
            with pytest.raises(errors.Cancelled) as caught:
                studio.tasks.run(path, watch=watch)
            task = studio.tasks.list(limit=1)[0]
            assert task.status == "cancelled"
            assert str(caught.value) == f"task {task.id} was cancelled; what it finished is kept"
            assert caught.value.hint == f"Go on with: intaglio tasks resume {task.id}"
        (tmp_path / "go").touch()
        told: list[str] = []
        taken_up = both.studio.tasks.list(limit=1)[0].id
        again = both.studio.tasks.resume(taken_up, watch=Watch(progress=lambda step, *_: told.append(step.id)))
        both.beside.tasks.resume(both.beside.tasks.list(limit=1)[0].id)
        assert again.status == "done" and again.attempt == 2 and again.id == taken_up
        assert set(told) == {"in", "grain", "bad", "out"}
        both.same(lambda studio: [step.outputs for step in studio.tasks.show(studio.tasks.list(limit=1)[0].id).steps])

    def test_what_a_form_asks_is_asked(self, both: Both, name: str, tmp_path: Path) -> None:
        path = asking(tmp_path, name)
        asked: list[tuple[Form, Task]] = []

        def ask(form: Form, task: Task) -> list[Reason]:
            asked.append((form, task))
            return [Reason(annotation="because"), Reason(fields={"client": "Acme"})]

        task = both.same(lambda studio: studio.tasks.run(path, label="mine", ask=ask))
        assert task.status == "done"
        (first, one), (second, other) = asked
        assert first == second and one.reason == other.reason and type(other) is Task
        digest, version = both.studio.versions.find(f"{name}/mine")
        assert (digest, version.annotation, dict(version.fields)) == (task.version, "because", {"client": "Acme"})

    def test_without_anybody_to_ask_a_run_waits_and_keeps_what_is_said(
        self, both: Both, name: str, tmp_path: Path
    ) -> None:
        path = asking(tmp_path, name)
        task = both.same(lambda studio: studio.tasks.run(path, fields={"client": "Acme"}))
        assert task.status == "waiting"
        waits = both.same(lambda studio: studio.tasks.waits_for(studio.tasks.list(limit=1)[0].id))
        assert waits is not None and waits.missing == ("annotation",)
        form = both.same(lambda studio: studio.tasks.form(studio.tasks.list(limit=1)[0].id))
        assert form is not None and form.questions == ("Why this one?",)
        both.refused(lambda studio: studio.tasks.annotate(studio.tasks.list(limit=1)[0].id))
        both.refused(lambda studio: studio.tasks.annotate(studio.tasks.list(limit=1)[0].id, fields={"klient": "x"}))
        both.refused(lambda studio: studio.tasks.annotate(studio.tasks.list(limit=1)[0].id, label="mine"))
        done = both.same(lambda studio: studio.tasks.annotate(studio.tasks.list(limit=1)[0].id, annotation="so"))
        assert done.status == "done" and both.studio.versions.find(done.version)[1].label == "mine"

    def test_a_waiting_task_is_annotated_by_who_is_asked(self, both: Both, name: str, tmp_path: Path) -> None:
        path = asking(tmp_path, name)
        both.same(lambda studio: studio.tasks.run(path))

        def ask(form: Form, task: Task) -> list[Reason]:
            assert task.reason is not None and task.reason.annotation == "given"
            return [Reason(fields={"client": "Acme"})]

        done = both.same(
            lambda studio: studio.tasks.annotate(studio.tasks.list(limit=1)[0].id, annotation="given", ask=ask)
        )
        assert done.status == "done"

    def test_warnings_come_before_a_run(self, both: Both, name: str, tmp_path: Path) -> None:
        path = grained(tmp_path, name)
        both.same(lambda studio: studio.workflows.add(path))
        both.same(lambda studio: studio.workflows.archive(name))

        def warned(studio: Studio) -> list[Warning]:
            heard: list[Warning] = []
            studio.tasks.run(name, watch=Watch(warn=heard.append))
            return heard

        warnings = both.same(warned)
        assert [type(each) for each in warnings] == [Warning] and warnings[0].code == "archived"
        both.same(lambda studio: studio.workflows.revive(name))

    # -- the queue

    def test_what_is_submitted_waits_moves_runs_and_is_awaited(self, both: Both, name: str, tmp_path: Path) -> None:
        go = tmp_path / "go"
        blocking, path = stumbling(tmp_path, f"{name}-b", "wait", str(go)), grained(tmp_path, name)
        studio = both.studio
        first = studio.tasks.submit(blocking)
        waiting = [studio.tasks.submit(path, set=[f"grain.seed={seed}"]) for seed in (1, 2)]
        assert [place.id for place in studio.tasks.queue()][:3] == [first.id, *(task.id for task in waiting)]
        assert {task.status for task in waiting} == {"queued"}
        # The first is with a worker, or may be at any moment.
        assert studio.tasks.move(waiting[1].id, to=2).position == 2
        assert studio.tasks.cancel(waiting[0].id).status == "cancelled"
        assert studio.tasks.retry(waiting[0].id).status == "queued"
        assert studio.tasks.wait(waiting[0].id, timeout=0.01).status == "queued"
        go.touch()
        self.work(both)
        assert studio.tasks.wait(waiting[0].id).status == "done"
        assert studio.tasks.wait(waiting[1].id).status == "done"
        assert studio.tasks.queue() == []

    def work(self, both: Both) -> None:
        """See to it that what is in the queue is done."""

    # -- files that a call names

    def test_reference_pictures_are_those_the_file_names(
        self, both: Both, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "pictures").mkdir()
        other = tmp_path / "pictures" / "other.png"
        other.write_bytes(encode(ramp(6, 6)))
        monkeypatch.chdir(tmp_path / "pictures")
        relative = grained(tmp_path, name, picture="pictures/other.png")
        absolute = grained(tmp_path, f"{name}-abs", picture=str(other))
        for path, set_ in (
            (relative, []),
            (absolute, []),
            (grained(tmp_path, f"{name}-set"), [f"in.image={other}"]),
            (grained(tmp_path, f"{name}-rel"), ["in.image=other.png"]),
        ):
            outputs = [
                studio.tasks.snapshot(studio.tasks.run(path, set=set_).id).outputs
                for studio in (both.studio, both.beside)
            ]
            assert outputs[0] == outputs[1]
        held = both.same(lambda studio: studio.assets.add([other]))[0]
        assert held.digest == digest_bytes(other.read_bytes())
        workflow = both.beside.workflows.check(absolute)
        assert both.studio.tasks.run(workflow).status == both.beside.tasks.run(workflow).status == "done"

    def test_a_version_is_found_by_a_file_that_it_made(self, both: Both, name: str, tmp_path: Path) -> None:
        path = grained(tmp_path, name, picture=mosaic(both, tmp_path, name))
        task = both.same(lambda studio: studio.tasks.run(path, label="mine", annotation="to find"))
        output = both.studio.tasks.snapshot(task.id).outputs[0].asset
        made = tmp_path / "made.png"
        made.write_bytes(both.studio.assets.get(output))
        for reference in (made, str(made)):
            assert both.same(lambda studio, reference=reference: studio.versions.find(reference))[0] == task.version  # type: ignore[misc]
            both.same(lambda studio, reference=reference: studio.versions.matches(reference))  # type: ignore[misc]
        assert both.same(lambda studio: studio.versions.snapshot(made)).outputs[0].asset == output
        strange = tmp_path / "strange.png"
        strange.write_bytes(encode(ramp(40, 30)))
        assert type(both.refused(lambda studio: studio.versions.find(strange))) is errors.NotFound
        both.refused(lambda studio: studio.versions.find(tmp_path / "gone.png"))
        both.refused(lambda studio: studio.versions.find(str(tmp_path / "gone.png")))
        text = tmp_path / "text.txt"
        text.write_text("no picture")
        both.refused(lambda studio: studio.versions.find(text))

    def test_a_file_that_is_only_similar_finds_nothing_and_names_what_it_is_like(
        self, both: Both, name: str, tmp_path: Path
    ) -> None:
        from PIL import Image

        path = grained(tmp_path, name, picture=mosaic(both, tmp_path, name))
        task = both.same(lambda studio: studio.tasks.run(path, label="mine", annotation="to find"))
        made, like = tmp_path / "made.png", tmp_path / "like.jpg"
        made.write_bytes(both.studio.assets.get(both.studio.tasks.snapshot(task.id).outputs[0].asset))
        Image.open(made).convert("RGB").save(like, quality=90)
        error = both.refused(lambda studio: studio.versions.find(like))
        assert isinstance(error, errors.OnlySimilar) and any(name in each for each in error.candidates)

    def test_an_export_is_the_same_files_and_comes_in_again(self, both: Both, name: str, tmp_path: Path) -> None:
        path = grained(tmp_path, name)
        task = both.same(lambda studio: studio.tasks.run(path, label="mine", annotation="to export"))
        told: list[str] = []
        there, here = tmp_path / "there", tmp_path / "here"
        written = both.studio.versions.export(f"{name}/mine", there, told=told.append)
        beside = both.beside.versions.export(f"{name}/mine", here)
        assert [each.relative_to(there) for each in written] == [each.relative_to(here) for each in beside]
        assert all(each.is_file() for each in written) and told == []
        pairs = [pair for pair in zip(written, beside, strict=True) if pair[0].suffix == ".png"]
        assert pairs and all(both.studio.assets.compare(*pair).same_pixels for pair in pairs)
        assert both.studio.versions.export(f"{name}/mine", there) == written  # what is the same may be there
        (there / "seeds.json").write_text("{}")
        (here / "seeds.json").write_text("{}")
        with pytest.raises(errors.Conflict) as mine:
            both.studio.versions.export(f"{name}/mine", there)
        with pytest.raises(errors.Conflict) as theirs:
            both.beside.versions.export(f"{name}/mine", here)
        assert str(mine.value) == str(theirs.value).replace(str(here), str(there))
        assert mine.value.hint == theirs.value.hint
        assert task.version

"""What a studio promises of versions, variations, assets, models and all else; see `studio_contract`."""

from __future__ import annotations

import inspect
import threading
from pathlib import Path
from typing import Any

import pytest
from acceptance.conftest import ramp
from acceptance.weights import weights
from contract.making import PICTURE, grained, mosaic
from contract.serving import Both

from intaglio.api.routes import BY_VERB, NOUNS, noun_class
from intaglio.core import errors
from intaglio.core.journal import Notice
from intaglio.core.plan import Step
from intaglio.imaging.png import encode
from intaglio.studio.carry_out import Watch
from intaglio.studio.drift import Warning
from intaglio.studio.open import Studio, init
from intaglio.studio.variations import Ahead, Follow, VariationView

# Methods that are no use from another machine, and why. Everything else that is public can be called from there.
ONLY_THERE = {
    "workflows.setting": "reads a value as typed into a terminal; `set` and `changes` do it everywhere",
    "assets.file": "hands out a file of the library's own machine; `assets.get` gives its bytes",
    "assets.take": "makes a reference for a plan, which only a run does",
    "models.check": "what `models.verify` does, by digest and without words; of use to who opens the files",
    "models.check_there": "raises for a file that is gone, for who is to open it",
    "models.file": "hands out a file of the library's own machine",
    "models.intact": "looks at files on the library's own machine, for grades",
    "models.is_exact": "a rule of references, for plans",
    "models.same_weights": "compares two files on the library's own machine",
    "models.watch": "follows folders of the library's own machine",
    "jobs.submit": "how a server begins a job: a client calls the verb itself, and follows its job",
    "tokens.identify": "takes a token that somebody showed, as a server does",
}
# What takes more than one request, or is bytes.
COMPOSED = {
    "tasks.run",
    "tasks.resume",
    "assets.get",
    "assets.add",
    "assets.thumbnail",
    "assets.with_record",
    "library.follow",
}


CALLABLE = COMPOSED | BY_VERB.keys()


def _first_and_last(step: Step, told: list[tuple[Step, int, int]]) -> tuple[tuple[int, int], tuple[int, int]]:
    heard = [(done, total) for each, done, total in told if each == step]
    return heard[0], heard[-1]


def _files(folder: Path) -> dict[str, bytes]:
    """What is in a folder, by its place in it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class ThingsContract:
    """The other half of the suite for every studio."""

    def version(self, both: Both, name: str, folder: Path, label: str = "mine", **more: Any) -> str:
        """A version of a workflow of this name in both libraries; what it is called."""
        path = grained(folder, name, **more)
        both.same(lambda studio: studio.tasks.run(path, label=label, annotation="to have one", reuse=False))
        return f"{name}/{label}"

    # -- versions

    def test_versions_are_found_and_spoken_of(self, both: Both, name: str, tmp_path: Path) -> None:
        mine = self.version(both, name, tmp_path)
        digest, version = both.same(lambda studio: studio.versions.find(mine))
        assert both.studio.versions.find(digest)[1] == version
        assert both.same(lambda studio: studio.versions.list(workflow=name, limit=1))[0] == (digest, version)
        assert both.same(lambda studio: studio.versions.search("label:mine", workflow=name))[0][0] == digest
        both.same(lambda studio: studio.versions.snapshot(mine))
        assert both.same(lambda studio: studio.versions.annotate(mine, "more to say")).author == "Ada"
        assert both.same(lambda studio: studio.versions.comment(mine, "good", author="Grace")).author == "Grace"
        both.same(lambda studio: studio.versions.tag(mine, ["one", "two"]))
        both.same(lambda studio: studio.versions.tag(mine, ["one"], holds=False))
        both.same(lambda studio: studio.versions.legacy(mine, note="old"))
        both.same(lambda studio: studio.versions.legacy(mine, holds=False))
        both.same(lambda studio: studio.versions.reject(mine, note="no"))
        both.same(lambda studio: studio.versions.reject(mine, holds=False))
        assert both.same(lambda studio: studio.versions.approve(mine, note="yes")).workflow is not None
        standing = both.same(lambda studio: studio.versions.standing(mine))
        assert standing.approval == "approved" and standing.tags == ("two",)
        assert both.studio.versions.standings([digest]) == {digest: both.studio.versions.standing(mine)}
        both.same(lambda studio: studio.versions.remarks(mine))

    def test_a_version_is_reproduced_and_its_steps_are_followed(self, both: Both, name: str, tmp_path: Path) -> None:
        mine = self.version(both, name, tmp_path)
        assert both.same(lambda studio: studio.versions.grade(mine)).grade == "full"

        def followed(studio: Studio) -> Any:
            told: list[tuple[Step, int, int]] = []
            done = studio.versions.reproduce(mine, watch=Watch(progress=lambda *step: told.append(step)))
            return done, {step.id: _first_and_last(step, told) for step, *_ in told}

        done, ends = both.same(followed)
        assert done.fidelity is not None and done.fidelity.verdict == "identical bytes"
        assert ends == dict.fromkeys(("in", "grain", "out"), ((0, 0), (1, 1)))
        assert both.same(lambda studio: studio.versions.history(mine))[0].fidelity == done.fidelity

    def test_versions_are_compared_bisected_applied_and_rolled_back(
        self, both: Both, name: str, tmp_path: Path
    ) -> None:
        first = self.version(both, name, tmp_path)
        last = self.version(both, name, tmp_path, "other", seed="9")
        both.same(lambda studio: studio.versions.diff(first, last))
        there, here = tmp_path / "there", tmp_path / "here"
        written = [
            studio.versions.diff(first, last, to=folder)
            for studio, folder in ((both.studio, there), (both.beside, here))
        ]
        assert _files(there) == _files(here) != {}
        places = [[Path(path) for pair in found.pictures for path in pair.written] for found in written]
        assert [path.relative_to(there) for path in places[0]] == [path.relative_to(here) for path in places[1]]
        both.same(lambda studio: studio.versions.prospect(first, last))
        tries: list[Any] = []
        found = both.same(lambda studio: studio.versions.bisect(first, last, tried=tries.append))
        assert found and len(tries) >= 2 and type(tries[0]) is type(tries[-1])
        both.same(lambda studio: studio.workflows.branch(f"{name}@1", f"{name}-b"))
        shown = both.same(lambda studio: studio.versions.apply(f"{first}..other", [f"{name}-b"], make=False))
        assert shown[0].workflow is None
        made = both.same(lambda studio: studio.versions.apply(f"{first}..other", [f"{name}-b"]))
        assert made[0].workflow is not None
        both.same(lambda studio: studio.versions.approve(last))

        def rolled(studio: Studio) -> Any:
            heard: list[Warning] = []
            return studio.versions.roll_back(first, annotation="it was better", warn=heard.append), heard

        (_, back), warnings = both.same(rolled)
        assert back.annotation == "it was better" and [each.code for each in warnings] == ["production.left"]
        task = both.same(lambda studio: studio.tasks.run(name))
        assert task.version == ""
        both.same(lambda studio: studio.versions.save(studio.tasks.list(limit=1)[0].id, annotation="kept later"))

    def test_what_cannot_be_done_with_versions_is_refused_alike(self, both: Both, name: str, tmp_path: Path) -> None:
        mine = self.version(both, name, tmp_path)
        for call in (
            lambda studio: studio.versions.find("nothing/v1"),
            lambda studio: studio.versions.find(f"{name}/v7"),
            lambda studio: studio.versions.find(""),
            lambda studio: studio.versions.find(".."),
            lambda studio: studio.versions.find("a//b"),
            lambda studio: studio.versions.find("x" * 500),
            lambda studio: studio.versions.save("nothing"),
            lambda studio: studio.versions.save(studio.tasks.list(limit=1)[0].id, annotation="again"),
            lambda studio: studio.versions.list(before="nothing"),
            lambda studio: studio.versions.comment(mine, ""),
            lambda studio: studio.versions.tag(mine, []),
            lambda studio: studio.versions.tag(mine, ["one"], holds=False),
            lambda studio: studio.versions.reproduce("nothing"),
            lambda studio: studio.versions.reproduce(mine, only="nothing"),
            lambda studio: studio.versions.bisect(mine, mine, metric="psnr>much"),
            lambda studio: studio.versions.bisect(mine, "nothing"),
            lambda studio: studio.versions.diff(mine, "nothing"),
            lambda studio: studio.versions.roll_back(mine, annotation="x"),
            lambda studio: studio.versions.apply(mine, ["nothing"]),
            lambda studio: studio.versions.approve("nothing"),
            lambda studio: studio.versions.import_(tmp_path / "gone"),
            lambda studio: studio.versions.import_(str(tmp_path / "gone")),
            lambda studio: studio.versions.import_(grained(tmp_path, name)),
            lambda studio: studio.versions.export("nothing", tmp_path / "to"),
            lambda studio: studio.variations.walk("nothing"),
            lambda studio: studio.variations.walk(mine, node="nothing"),
            lambda studio: studio.variations.sweep(mine, set=["grain.amount=9"]),
            lambda studio: studio.variations.sweep(mine, set=["grain.amount"]),
            lambda studio: studio.variations.interpolate(mine),
            lambda studio: studio.variations.show("nothing"),
            lambda studio: studio.variations.resume("nothing"),
        ):
            both.refused(call)

    def test_what_lost_its_input_cannot_be_reproduced_and_says_why(self, both: Both, name: str, tmp_path: Path) -> None:
        picture = mosaic(both, tmp_path, name)
        mine = self.version(both, name, tmp_path, picture=picture)
        for root in (both.root, both.beside.root):
            digits = picture.partition(":")[2]
            blob = root / "blobs" / digits[:2] / digits
            blob.chmod(0o600)
            blob.write_bytes(b"something else")
        error = both.refused(lambda studio: studio.versions.reproduce(mine))
        assert isinstance(error, errors.CannotReproduce) and error.grade == both.studio.versions.grade(mine)
        assert both.same(lambda studio: studio.assets.state(picture)) == "damaged"
        assert type(both.refused(lambda studio: studio.assets.get(picture))) is errors.Damaged
        checked = both.studio.library.check()
        assert any(problem.id == picture for problem in checked.problems)
        assert picture in both.studio.library.lost()
        again = tmp_path / "mosaic.png"
        both.same(lambda studio: studio.assets.add([again]))
        assert both.studio.assets.state(picture) == "ok"

    # -- variations

    def test_variations_are_followed(self, both: Both, name: str, tmp_path: Path) -> None:
        mine = self.version(both, name, tmp_path)
        ahead = both.same(lambda studio: studio.variations.walk(mine, count=2, dry_run=True))
        assert isinstance(ahead, Ahead)

        def walked(studio: Studio) -> Any:
            told: list[Any] = []
            ran: list[Any] = []
            steps: list[str] = []
            follow = Follow(
                told=told.append,
                ran=lambda *cell: ran.append(cell),
                watch=Watch(progress=lambda step, done, total: steps.append(step.id) if total == 1 else None),
            )
            return studio.variations.walk(mine, count=2, follow=follow), told, ran, sorted(steps)

        view, told, ran, steps = both.same(walked)
        assert isinstance(view, VariationView) and [type(each) for each in told] == [Ahead] and len(ran) == 2 and steps
        listed = both.same(lambda studio: studio.variations.list(version=mine, limit=5))
        assert [each.id for each in listed] == [view.variation.id]

        def first(studio: Studio) -> str:
            return studio.variations.list(version=mine)[-1].id

        both.same(lambda studio: studio.variations.show(first(studio)))
        assert both.same(lambda studio: studio.variations.get(first(studio))) == view.variation
        both.same(lambda studio: studio.variations.brief(first(studio)))
        both.same(lambda studio: studio.variations.winner(first(studio), "1", note="the best"))
        both.same(lambda studio: studio.variations.resume(first(studio)))
        there, here = tmp_path / "there", tmp_path / "here"
        written = both.studio.variations.export(first(both.studio), there, pictures=True)
        beside = both.beside.variations.export(first(both.beside), here, pictures=True)
        assert [each.relative_to(there) for each in written] == [each.relative_to(here) for each in beside]
        both.same(lambda studio: studio.variations.sweep(mine, set=["grain.amount=0.1,0.2"], grid=True))
        both.same(
            lambda studio: studio.variations.ab(
                mine, {"A": ["grain.amount=0.1"], "B": ["grain.amount=0.4"]}, count=1, walk=True
            )
        )
        assert isinstance(both.studio.variations.more(mine, count=2), VariationView)

    def test_a_variation_that_is_stopped_goes_on(self, both: Both, name: str, tmp_path: Path) -> None:
        mine = self.version(both, name, tmp_path)
        for studio in (both.studio, both.beside):
            ran: list[int] = []
            watch = Watch(cancelled=lambda ran=ran: bool(ran))  # type: ignore[misc]
            follow = Follow(ran=lambda *cell, ran=ran: ran.append(1), watch=watch)
            with pytest.raises(errors.Cancelled):
                studio.variations.walk(mine, count=30, follow=follow)
            done = studio.variations.resume(studio.variations.list(version=mine)[0].id)
            assert {run.status for run in done.runs} == {"done"} and len(done.runs) == 30

    # -- assets

    def test_assets_come_in_and_are_shown(self, both: Both, name: str, tmp_path: Path) -> None:
        path, other = tmp_path / "a.png", tmp_path / "b.png"
        path.write_bytes(encode(ramp(20, 20)))
        other.write_bytes(encode(ramp(20, 21)))

        def added(studio: Studio) -> Any:
            heard: list[tuple[int, int]] = []
            return studio.assets.add([path, str(other)], progress=lambda *n: heard.append(n)), heard

        found, heard = added(both.studio)
        expected, told = added(both.beside)
        assert found == expected and heard[-1] == told[-1] == (2, 2)
        digest = found[0].digest
        for reference in (digest, f"intaglio:asset/{digest}", digest[:20], str(path)):
            assert both.same(lambda studio, reference=reference: studio.assets.show(reference)) == found[0]  # type: ignore[misc]
            assert both.studio.assets.get(reference) == path.read_bytes()
            assert both.same(lambda studio, reference=reference: studio.assets.thumbnail(reference, size=16))  # type: ignore[misc]
            both.same(lambda studio, reference=reference: studio.assets.lineage(reference, depth=1))  # type: ignore[misc]
        assert both.same(lambda studio: studio.assets.state(digest)) == "ok"
        assert both.same(lambda studio: studio.assets.as_made(digest)).digest == digest
        both.same(lambda studio: studio.assets.compare(path, other))
        both.same(lambda studio: studio.assets.compare(digest, str(path)))
        there, here = tmp_path / "there", tmp_path / "here"
        made = both.studio.assets.compare(digest, path, to=there)
        both.beside.assets.compare(digest, path, to=here)
        assert _files(there) == _files(here) != {}
        assert {Path(each).parent for each in made.written} == {there}
        (tmp_path / "text.txt").write_text("no picture")
        for call in (
            lambda studio: studio.assets.show("nothing"),
            lambda studio: studio.assets.show(""),
            lambda studio: studio.assets.get("blake3:" + "0" * 64),
            lambda studio: studio.assets.thumbnail(digest, size=0),
            lambda studio: studio.assets.with_record(digest),
            lambda studio: studio.assets.add([tmp_path / "gone.png"]),
            lambda studio: studio.assets.add([tmp_path / "text.txt"]),
            lambda studio: studio.assets.import_([tmp_path / "gone.png"]),
            lambda studio: studio.assets.compare(path, tmp_path / "gone.png"),
            lambda studio: studio.assets.compare(path, tmp_path / "text.txt"),
        ):
            both.refused(call)

    def test_files_with_their_record_come_in_with_their_version(self, both: Both, name: str, tmp_path: Path) -> None:
        both.beside.tasks.run(grained(tmp_path, name), label="mine", annotation="made elsewhere")
        folder = tmp_path / "out"
        written = both.beside.versions.export(f"{name}/mine", folder)
        with init(tmp_path / "third") as third, init(tmp_path / "fourth") as fourth:
            expected = third.versions.import_(folder)
            digest, version = both.studio.versions.import_(folder)
            assert version == expected[1] and digest == expected[0]
            assert both.studio.versions.import_(str(folder)) == expected
            output = version.outputs[0].asset
            assert both.studio.assets.with_record(output[:40]) == third.assets.with_record(output)
            picture = next(path for path in written if path.suffix == ".png")
            arrived = fourth.assets.import_([picture])
            again = fourth.assets.import_([picture])
        assert both.studio.assets.import_([picture]) == again and arrived[0].version == digest
        altered = tmp_path / "altered.png"
        altered.write_bytes(PICTURE)
        both.same(lambda studio: studio.assets.import_([altered, folder / "seeds.json"]))

    # -- models

    def test_models_come_in_from_files_and_folders(self, both: Both, name: str, tmp_path: Path) -> None:
        path = weights(tmp_path / "models" / f"{name}.safetensors", name.encode())
        heard: list[Any] = []
        model = both.same(lambda studio: studio.models.add(path, name=name, version="one", source="here"))
        assert model.name == name
        both.same(lambda studio: studio.models.find(f"{name}:one"))
        assert model in [found[0] for found in both.studio.models.list()]
        both.same(lambda studio: [match.models for match in studio.models.search(name).matches])
        about = both.studio.models.about(name)
        assert about.model == model
        assert both.same(lambda studio: studio.models.envelopes(name)) == ()
        assert both.studio.models.verify(name, full=True).state == both.beside.models.verify(name, full=True).state
        assert type(both.studio.models.verify_all()) is type(both.beside.models.verify_all())
        kept = both.studio.models.keep(name, progress=lambda *n: heard.append(n))
        assert kept.model.digest == both.beside.models.keep(name).model.digest
        assert model.digest in both.studio.models.kept()
        assert type(both.studio.models.restore(name)) is type(both.beside.models.restore(name))
        for studio in (both.studio, both.beside):
            studio.models.hash_pending()
        assert both.same(lambda studio: studio.library.impact(name).model) == model
        for call in (
            lambda studio: studio.models.find("nothing"),
            lambda studio: studio.models.find(name, "checkpoint"),
            lambda studio: studio.models.add(tmp_path / "gone", name="x"),
            lambda studio: studio.models.add(grained(tmp_path, name), name="x"),
            lambda studio: studio.models.about("nothing"),
            lambda studio: studio.models.verify("nothing"),
            lambda studio: studio.models.keep("nothing"),
            lambda studio: studio.models.restore("nothing"),
            lambda studio: studio.models.envelope("nothing"),
            lambda studio: studio.models.allow("blake3:" + "1" * 64, name="x"),
            lambda studio: studio.library.impact("nothing"),
            lambda studio: studio.library.remove_model("nothing"),
        ):
            both.refused(call)
        assert both.same(lambda studio: studio.library.remove_model(name, agreed=True).model) == model

    def test_models_are_scanned_where_they_lie(self, both: Both, tmp_path: Path) -> None:
        both.same(lambda studio: studio.models.scan())
        (match,) = both.same(lambda studio: studio.models.search("found")).matches
        assert match.places[0].path.endswith("found.safetensors")
        with pytest.raises(errors.NotFound):  # a server says which folders it takes models from
            both.studio.models.scan(tmp_path / "gone")

    # -- the library, nodes, jobs, tokens, webhooks

    def test_the_library_is_looked_after(self, both: Both) -> None:
        heard: list[tuple[int, int]] = []
        assert both.studio.library.check(progress=lambda *n: heard.append(n)).problems == ()
        assert both.same(lambda studio: studio.library.gc(dry_run=True)) is not None
        assert both.same(lambda studio: studio.library.lost()) == {}
        assert both.same(lambda studio: studio.library.heal(dry_run=True)) == []
        assert both.studio.versions.reindex() >= 0

    def test_node_types_are_the_same(self, both: Both) -> None:
        assert [each.name for each in both.studio.nodes.list()] == [each.name for each in both.beside.nodes.list()]
        assert both.studio.nodes.show("film-grain").params == both.beside.nodes.show("film-grain").params
        both.refused(lambda studio: studio.nodes.show("film-grane"))

    def test_what_happens_is_followed(self, both: Both, name: str, tmp_path: Path) -> None:
        lines = both.studio.library.journal(limit=1000)
        while more := both.studio.library.journal(after=lines[-1].number, limit=1000):
            lines += more
        stop, heard = threading.Event(), list[Notice]()
        following = both.studio.library.follow(after=lines[-1].number, what=["task.", "version."], stop=stop)
        task = both.studio.tasks.run(grained(tmp_path, name), annotation="heard of")
        for notice in following:
            heard.append(notice)
            if notice.what == "task.done" and notice.subject == task.id:
                stop.set()
                break
        assert [each.what for each in heard if each.what == "version.made"] == ["version.made"]
        assert {each.subject for each in heard} == {task.id, task.version}
        both.refused(lambda studio: studio.library.journal(limit=0))

    def test_jobs_tokens_and_webhooks(self, both: Both, name: str) -> None:
        made = both.studio.tokens.create("Grace", ["read"], expires_days=1)
        assert made.record.person == "Grace"
        assert made.record in both.studio.tokens.list()
        assert both.studio.tokens.revoke(made.record.id).revoked
        for call in (
            lambda studio: studio.tokens.create("", ["read"]),
            lambda studio: studio.tokens.revoke("nothing"),
            lambda studio: studio.webhooks.remove("nothing"),
            lambda studio: studio.webhooks.resume("nothing"),
            lambda studio: studio.webhooks.test("nothing"),
            lambda studio: studio.webhooks.add("ftp://somewhere"),
            lambda studio: studio.jobs.get("job-nothing"),
            lambda studio: studio.jobs.cancel("job-nothing"),
            lambda studio: studio.jobs.retry("job-nothing"),
            lambda studio: studio.jobs.wait("job-nothing"),
        ):
            both.refused(call)
        for job in both.studio.jobs.list(limit=1):
            assert both.studio.jobs.get(job.id[:-1]) == both.studio.jobs.wait(job.id) == job
        hook = both.studio.webhooks.add("http://127.0.0.1:9/hook", events=["variation.remark"])
        assert [each.id for each in both.studio.webhooks.list()] == [hook.id]
        assert both.studio.webhooks.test(hook.id).subject == hook.id
        both.studio.webhooks.resume(hook.id)
        both.studio.webhooks.remove(hook.id)

    # -- all of it

    def test_every_public_method_can_be_called_or_is_known_not_to(self, both: Both) -> None:
        verbs = {
            f"{noun}.{name}"
            for noun in NOUNS
            for name, _ in inspect.getmembers(noun_class(noun), inspect.isfunction)
            if not name.startswith("_")
        }
        assert ONLY_THERE.keys() | CALLABLE == verbs
        assert not ONLY_THERE.keys() & CALLABLE
        for verb in verbs - ONLY_THERE.keys():
            noun, _, name = verb.partition(".")
            assert callable(getattr(getattr(both.studio, noun), name)), verb

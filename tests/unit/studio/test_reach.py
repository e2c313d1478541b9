"""RUN 1: a studio that a server opens looks at no file because a caller, a workflow or a record names it.

Everything that Python opens, lists or connects to is watched while every method of every noun is given every path that
somebody could try. Only the library, what was uploaded, and Python's own files may be touched.
"""

from __future__ import annotations

import inspect
import json
import os
import site
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from intaglio.core.canonical import digest_bytes
from intaglio.core.errors import IntaglioError, Invalid, NotFound
from intaglio.core.image import Image
from intaglio.core.workflow import Node, Workflow, parse_workflow
from intaglio.imaging.png import encode
from intaglio.studio import uploads
from intaglio.studio.open import Studio, init, open_studio
from intaglio.studio.settings import Settings

GOLDEN = Path(__file__).parents[2] / "golden" / "format-1"
PICTURE = encode(Image("RGB", 24, 16, bytes(range(256)) * 4 + bytes(128)))
HUB = "hub:org/name@" + "0" * 40
_THERE = ("/usr/share/zoneinfo", "/etc/localtime", "/proc/cpuinfo", "/usr/lib", "/lib", "/sys")
_INSTALLED = (sys.prefix, sys.base_prefix, *site.getsitepackages(), *filter(None, sys.path), *_THERE)
PYTHON = tuple({os.path.realpath(path) for path in _INSTALLED})


# -- what is touched --------------------------------------------------------------------------------------------------


@dataclass
class Watched:
    """What was touched while `on`."""

    on: bool = False
    paths: set[str] = field(default_factory=set)
    other: list[str] = field(default_factory=list)

    def see(self, path: object) -> None:
        """Note a path that the system is asked about."""
        if self.on and isinstance(path, (str, bytes, os.PathLike)):
            self.on = False  # what follows asks too
            text = os.fsdecode(path)
            self.paths.add(os.path.normpath(text if os.path.isabs(text) else os.path.join(os.getcwd(), text)))
            self.on = True

    def outside(self, *allowed: Path) -> list[str]:
        """The paths that lie in none of these folders, nor among Python's own files."""
        places = (*PYTHON, *map(str, allowed))
        return sorted(
            path for path in self.paths if not any(path == each or path.startswith(each + "/") for each in places)
        )


WATCHED = Watched()
_EVENTS = {
    "open",
    "os.listdir",
    "os.scandir",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.link",
    "os.symlink",
    "os.utime",
}


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if not WATCHED.on:
        return
    if event in _EVENTS:
        for each in args[:2] if event in ("os.rename", "os.link", "os.symlink") else args[:1]:
            WATCHED.see(each)
    elif event.startswith(
        ("socket.connect", "socket.getaddrinfo", "subprocess.", "os.system", "os.posix_spawn", "os.exec")
    ):
        WATCHED.other.append(f"{event} {args!r}"[:200])


sys.addaudithook(_audit)


@contextmanager
def watching(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """Note what is touched inside."""
    with monkeypatch.context() as patch:
        for name in ("stat", "lstat", "access", "readlink", "statvfs"):
            _tell(patch, name)
        WATCHED.paths.clear()
        WATCHED.other.clear()
        WATCHED.on = True
        try:
            yield WATCHED
        finally:
            WATCHED.on = False


def _tell(patch: pytest.MonkeyPatch, name: str) -> None:
    call = getattr(os, name)

    def told(path: Any, *args: Any, **more: Any) -> Any:
        WATCHED.see(path)
        return call(path, *args, **more)

    patch.setattr(os, name, told)


# -- a library behind a server ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A library that a server opened, and what lies around it."""

    studio: Studio
    root: Path
    uploads: Path
    outside: Path
    models: Path
    version: str
    hostile: tuple[str, ...]


def painting(name: str, image: str) -> Workflow:
    """A workflow that takes a picture and keeps a version."""
    nodes = {
        "photo": {"type": "reference-image", "params": {"image": image}},
        "grain": {"type": "film-grain", "params": {"amount": 0.2}, "inputs": {"image": "photo"}, "seed": "7"},
        "out": {"type": "output", "inputs": {"image": "grain"}},
    }
    return parse_workflow({"name": name, "nodes": nodes})


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    outside, models = tmp_path / "outside", tmp_path / "weights"
    for folder in (outside / "folder", models / "inside"):
        folder.mkdir(parents=True)
    picture = outside / "picture.png"
    picture.write_bytes(PICTURE)
    (outside / "flow.json").write_text('{"name": "flow", "nodes": {}}')
    (outside / "folder" / "record.json").write_text("{}")
    os.mkfifo(outside / "pipe")
    with init(tmp_path / "studio", Settings(author="Ada")) as own:
        task = own.tasks.run(painting("flow", str(picture)), no_annotation=True, label="first")
        root, version = own.root, own.versions.find(task.version)[1].name
    monkeypatch.chdir(outside)
    reach = root / "uploads"
    with open_studio(root, Settings(author="Ada", models=str(models)), reach=reach) as studio:
        yield Place(studio, root, reach, outside, models, f"flow/{version}", tuple(hostile(studio, outside)))


def brought(studio: Studio, name: str, data: bytes) -> str:
    """A reference to a file that was uploaded."""
    with uploads.begin(studio.parts, name, limit=len(data)) as upload:
        upload.write(data)
        return upload.finish().reference


def trapped(studio: Studio, name: str, make: Callable[[Path], None]) -> str:
    """A reference to something that is no plain file, in the place of an upload."""
    path = uploads.resolve(studio.parts, reference := brought(studio, name, b"x"))
    path.unlink()
    make(path)
    return reference


def hostile(studio: Studio, outside: Path) -> Iterator[str]:
    """What somebody could try, to have a file opened that is none of theirs."""
    yield from (
        "/etc/passwd",
        "../../x",
        "../picture.png",
        "picture.png",
        "flow.json",
        "folder",
        "~/x",
        "~root/x",
        ".",
        "/",
    )
    yield from (
        "file:///etc/passwd",
        "http://127.0.0.1:1/x",
        "\\\\unc\\share",
        "//unc/share",
        "a\0b.json",
        "a" * 10_000,
    )
    yield from (
        f"{'a' * 300}.json",
        "/dev/zero",
        "/dev/stdin",
        "/proc/self/environ",
        "\ud800.json",
        "-rf",
        "",
        " ",
        HUB,
    )
    yield from (str(outside / name) for name in ("picture.png", "flow.json", "folder", "pipe", "none.yaml"))
    reach = studio.parts.reach
    assert reach is not None
    yield from (str(reach), f"{reach}/../library.db", f"{reach}/../../../outside/picture.png", "upload:", "upload:..")
    yield from (
        "upload:../library.db",
        "upload:../../../outside/picture.png",
        f"upload:{outside}/picture.png",
        "upload:x/y",
    )
    whole = brought(studio, "a.png", PICTURE)
    yield f"{whole}/../../../../../outside/picture.png"
    yield trapped(studio, "l.json", lambda path: path.symlink_to(outside / "flow.json"))
    yield trapped(studio, "l.png", lambda path: path.symlink_to(outside / "picture.png"))
    yield trapped(studio, "folder", lambda path: path.symlink_to(outside / "folder"))
    yield trapped(studio, "pipe.png", os.mkfifo)
    beside = uploads.resolve(studio.parts, reference := brought(studio, "b.png", PICTURE))
    (beside.parent / "b.png.intaglio.json").symlink_to(outside / "flow.json")
    (beside.parent / "inputs").symlink_to(outside)
    yield reference
    (reach / "straight").symlink_to(outside)
    yield from ("upload:straight", "upload:straight/picture.png", f"{reach}/straight/folder")
    (reach / "loose.png").write_bytes(PICTURE)
    yield f"{reach}/loose.png"


# -- every method -----------------------------------------------------------------------------------------------------


def nouns(studio: Studio) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public method of every noun."""
    for noun, held in vars(studio).items():
        if noun.startswith("_") or not (type(held).__doc__ or "").startswith("`studio."):
            continue
        for name, method in inspect.getmembers(held, inspect.ismethod):
            if not name.startswith("_"):
                yield f"{noun}.{name}", method


def is_text(hint: str) -> bool:
    """Whether a parameter may be given any text, or many."""
    return any(word in hint for word in ("str", "Path")) and "Callable" not in hint


def arguments(method: Callable[..., Any], bad: str, at: str, version: str) -> tuple[list[Any], dict[str, Any]]:
    """Arguments that make sense, but for the one called `at`, which is hostile."""
    spread: list[Any] = []
    named: dict[str, Any] = {}
    for name, each in inspect.signature(method).parameters.items():
        hint = str(each.annotation)
        value: Any = bad if name == at else version
        if hint.startswith("Path"):
            value = Path(value)
        if any(word in hint for word in ("Sequence[", "Iterable[", "Collection[")):
            value = [value]
        if each.kind is inspect.Parameter.VAR_POSITIONAL:
            spread = [value]
        elif name == "stop":
            named[name] = Event()
            named[name].set()
        elif name in ("timeout", "timeout_s", "settle_s"):
            named[name] = 0.01
        elif name == at or (each.default is inspect.Parameter.empty and is_text(hint)):
            named[name] = value
        elif each.default is inspect.Parameter.empty:
            named[name] = _plain(hint)
    return spread, named


def _plain(hint: str) -> Any:
    if "bool" in hint:
        return True
    if hint.startswith(("Sequence[", "Iterable[", "Collection[")):
        return []
    if hint == "Node":
        return Node(type="reference-image")
    return 1 if "int" in hint or "float" in hint else {} if "Mapping" in hint else None


def call(method: Callable[..., Any], spread: list[Any], named: Mapping[str, Any]) -> None:
    """Call a method and take what it gives; what it refuses it refuses in our words.

    But for half a character, which no database takes; a server lets none in (`web.reading`).
    """
    with suppress(IntaglioError, UnicodeEncodeError):
        found = method(*spread, **named)
        if inspect.isgenerator(found):
            list(islice(found, 3))


def tries(place: Place) -> Iterator[tuple[str, Callable[..., Any], str, str, str]]:
    """Method by method: its name, itself, the parameter that is hostile, with what, and what the others are.

    What is a file or names something is given everything; a note or a label only some, and to nothing that is there:
    else each would be a run.
    """
    for name, method in nouns(place.studio):
        for param, each in inspect.signature(method).parameters.items():
            hint = str(each.annotation)
            if each.annotation is inspect.Parameter.empty or not is_text(hint):
                continue
            whole = "Path" in hint or each.default is inspect.Parameter.empty
            others = "flow" if name.startswith(("workflows.", "tasks.run")) else place.version
            for bad in place.hostile if whole else place.hostile[:3]:
                yield name, method, param, bad, others if whole else "nothing"


def test_RUN_1_no_method_of_any_noun_touches_what_lies_outside(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    tried, said = set(), []
    for name, method, param, bad, others in tries(place):
        tried.add(name)
        with watching(monkeypatch) as seen:
            call(method, *arguments(method, bad, param, others))
        touched = seen.outside(place.root)
        if touched or seen.other:
            said.append(f"{name}({param}={bad[:80]!r}): {touched[:5]} {seen.other[:3]}")
    assert said == []
    assert len(tried) > 60, "every noun's methods are there"
    assert (place.outside / "picture.png").read_bytes() == PICTURE
    assert sorted(path.name for path in place.outside.iterdir()) == ["flow.json", "folder", "picture.png", "pipe"]


def test_the_watch_sees_what_is_touched(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = place.outside / "picture.png"
    with open_studio(place.root, Settings()) as own, watching(monkeypatch) as seen:
        assert own.assets.show(str(picture)).digest == digest_bytes(PICTURE)
    assert str(picture) in seen.outside(place.root)


# -- workflows and records --------------------------------------------------------------------------------------------


def test_RUN_1_no_picture_that_a_workflow_names_is_opened(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def whole(bad: str) -> None:
        place.studio.tasks.run(painting("evil", bad), no_annotation=True)

    def setting(bad: str) -> None:
        place.studio.tasks.run("flow", set=[f"photo.image={bad}"], no_annotation=True)

    for bad in place.hostile:
        for run in (whole, setting):
            with watching(monkeypatch) as seen, pytest.raises((NotFound, Invalid)):
                run(bad)
            assert (seen.outside(place.root), seen.other) == ([], []), bad[:80]


def test_RUN_1_no_model_that_a_workflow_names_is_opened_or_downloaded(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bad in place.hostile:
        nodes = {
            "a": {"type": "text-to-image", "params": {"model": bad, "prompt": "x"}},
            "o": {"type": "output", "inputs": {"image": "a"}},
        }
        with watching(monkeypatch) as seen, pytest.raises(IntaglioError):
            place.studio.tasks.run(parse_workflow({"name": "evil", "nodes": nodes}), no_annotation=True)
        assert (seen.outside(place.root), seen.other) == ([], []), bad[:80]


def test_RUN_1_a_server_downloads_no_model(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with watching(monkeypatch) as seen, pytest.raises(NotFound):
        place.studio.models.add(HUB, name="evil")
    assert (seen.outside(place.root), seen.other) == ([], [])
    assert not (place.root / "models" / "org").exists()


def test_RUN_1_nothing_that_an_imported_record_names_is_opened(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_studio(place.root, Settings()) as own:
        own.versions.export(place.version, place.outside / "out")
    record = json.loads((place.outside / "out" / "record.json").read_text())
    secret = str(place.outside / "picture.png")
    for step in record["snapshot"]["plan"]["steps"]:
        step["params"] = {**step["params"], "path": secret}
        for reference in step["assets"].values():
            reference |= {"address": f"file://{secret}", "name": secret}
    for asset in record["snapshot"]["assets"].values():
        asset["media_type"] = "image/png"
    digest = "blake3:" + "e" * 64
    model = json.loads((GOLDEN / "model.json").read_text())
    model |= {"name": "evil", "digest": digest, "source": f"file://{secret}", "config": ""}
    model["files"] = [{"path": secret, "digest": digest, "size": 3}]
    record["snapshot"]["models"][digest] = model
    reference = brought(place.studio, "record.json", json.dumps(record).encode())
    with watching(monkeypatch) as seen:
        named, _ = place.studio.versions.import_(uploads.resolve(place.studio.parts, reference).parent)
        looks: tuple[Callable[[], object], ...] = (
            lambda: place.studio.versions.grade(named),
            lambda: place.studio.versions.reproduce(named),
            lambda: place.studio.versions.diff(named, place.version),
            lambda: place.studio.versions.apply(named, ["flow"]),
            lambda: place.studio.models.about(digest),
            lambda: place.studio.library.impact(digest),
            place.studio.library.check,
            place.studio.library.heal,
        )
        for look in looks:
            with suppress(IntaglioError):
                look()
    assert (seen.outside(place.root), seen.other) == ([], [])
    assert "record.altered" in {gap.code for gap in place.studio.versions.grade(named).gaps}


# -- and what may be opened -------------------------------------------------------------------------------------------


def test_RUN_1_what_was_uploaded_is_opened_by_its_reference_or_its_path(place: Place) -> None:
    studio = place.studio
    reference = brought(studio, "a.png", PICTURE)
    path = str(uploads.resolve(studio.parts, reference))
    for given in (reference, path):
        assert studio.assets.show(given).digest == digest_bytes(PICTURE)
        assert studio.assets.add([given])[0].digest == digest_bytes(PICTURE)
        assert studio.assets.compare(given, given).same_bytes
        assert studio.tasks.run(painting("mine", given), no_annotation=True, label=f"l{len(given)}").version
        assert studio.versions.matches(given).found is not None
    flow = brought(studio, "flow.json", json.dumps({"name": "up", "nodes": {}}).encode())
    with pytest.raises(Invalid):
        studio.workflows.check(flow)  # it was read: it has no nodes


def test_RUN_1_a_version_goes_out_and_in_through_uploads(place: Place) -> None:
    folder = place.uploads / "out-1"
    written = place.studio.versions.export(place.version, folder)
    assert {path.name for path in written} >= {"record.json", "out.png"}
    _, version = place.studio.versions.import_(folder)
    assert f"flow/{version.name}" == place.version


def test_RUN_1_a_picture_beside_an_uploaded_workflow_is_found(place: Place) -> None:
    path = uploads.resolve(place.studio.parts, brought(place.studio, "mine.json", b"x"))
    path.write_text(json.dumps(_document(painting("mine", "a.png"))))
    (path.parent / "a.png").write_bytes(PICTURE)
    assert place.studio.tasks.run(str(path), no_annotation=True, label="beside").version


def _document(workflow: Workflow) -> dict[str, Any]:
    from intaglio.core.record import plain

    return {name: value for name, value in plain(workflow).items() if name in ("name", "nodes")}


def test_RUN_1_models_come_from_the_folders_that_are_set_and_no_others(place: Place) -> None:
    models = place.studio.models
    assert models.scan().counts == {}
    assert models.scan(place.models / "inside").counts == {}
    for bad in (place.outside, place.models / ".." / "outside", place.models.parent, "/", f"{place.models}-else"):
        with pytest.raises(NotFound, match="folder of models"):
            models.scan(bad)
        with pytest.raises(NotFound):
            models.add(bad, name="evil")
    with init(place.outside / "other", Settings(models=str(place.models))) as own:
        assert own.models.scan().counts == {}
    with pytest.raises(Invalid), open_studio(place.outside / "other", Settings()) as own:
        own.models.scan()


def test_RUN_1_a_model_that_was_uploaded_outlives_its_upload(place: Place) -> None:
    header = json.dumps({"lora_unet.up.weight": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    data = len(header).to_bytes(8, "little") + header + b"\0\0"
    reference = brought(place.studio, "tiny.safetensors", data)
    model = place.studio.models.add(reference, name="tiny")
    uploads.purge(place.studio.parts, -1)
    assert not list(place.uploads.glob("*/*.safetensors"))
    assert place.studio.models.verify("tiny:v1").state == "ok"
    again = place.studio.models.add(brought(place.studio, "tiny.safetensors", data), name="tiny")
    assert (again.digest, again.version) == (model.digest, "v1")

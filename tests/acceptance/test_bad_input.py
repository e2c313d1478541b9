"""Bad input, through the public command: a clear error, the right exit code, no traceback, nothing half done."""

from __future__ import annotations

import json
import os
import pickle
import pty
import shutil
import struct
import subprocess
import sys
import time
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from acceptance.bad_input_cases import COMMANDS, GRAPHS, JSON, YAML, Case, document, generation, grain, picture
from acceptance.conftest import SCENES, ramp
from acceptance.models import WEIGHTS, copied

from intaglio.cli.main import COMMANDS as NOUNS
from intaglio.cli.main import cli, main
from intaglio.imaging.png import encode
from intaglio.studio.open import Studio, init, open_studio
from intaglio.studio.settings import Settings

LONG = "x" * 5000
OSC = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f"  # sets a terminal's title, clears it, turns it red
STEERING = set("\x1b\x07\x9b\x7f\u202e")
EXACT = 2**53


class Bench:
    """A library with a model, two workflows and a version of each; in a folder with odd files in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.picture = folder / "picture.png"
        self.picture.write_bytes(encode(ramp(24, 16)))
        self._odd_files()
        with init(folder, Settings(author="Ada")) as studio:
            self.root = studio.root
            studio.models.add(SCENES, name="scenes")
            for name in ("plain", "second"):
                self.workflow = folder / f"{name}.json"
                self.workflow.write_text(json.dumps({**document(), "name": name}))
                task = studio.tasks.run(self.workflow, label="first", annotation="to have one")
            self.task, self.version = task.id, task.version
            self.digest = studio.assets.show(str(self.picture)).digest
            studio.versions.export(task.version, folder / "occupied")
        (folder / "occupied" / "seeds.json").write_text("mine")

    def _odd_files(self) -> None:
        folder = self.folder
        (folder / "words.png").write_text("these are words, and no picture at all")
        (folder / "empty.png").touch()
        (folder / "folder.png").mkdir()
        os.mkfifo(folder / "pipe.png")
        (folder / "loop.png").symlink_to("loop.png")
        (folder / "dangling").symlink_to("not-there.png")
        (folder / "noise.yaml").write_bytes(bytes(range(255, 0, -1)))
        with (folder / "large.yaml").open("wb") as file:
            file.truncate(50 * 2**20)
        (folder / "bomb.png").write_bytes(bomb(60_000))
        whole = self.picture.read_bytes()
        (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])

    def words(self, text: str) -> list[str]:
        """A command line with the names of the cases filled in."""
        names = {
            "DONE": self.task,
            "FILE": "picture.png",
            "VERSION": self.version,
            "LONG": LONG,
            "UPPER": self.digest.replace("blake3:", "").upper(),
        }
        for name, value in names.items():
            text = text.replace(name, value)
        return text.split()

    def tasks(self) -> list[tuple[str, str]]:
        """Every task and its state."""
        with self.studio() as studio:
            return [(task.id, task.status) for task in studio.tasks.list(limit=1000)]

    def studio(self) -> Studio:
        """The library, opened anew."""
        return open_studio(self.root)


def bomb(side: int) -> bytes:
    """A small PNG file that says it is `side` pixels wide and high."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1 << 20), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One library for all: bad input leaves it as it was, and at the end every record and byte is checked."""
    bench = Bench(tmp_path_factory.mktemp("bench"))
    yield bench
    with bench.studio() as studio:
        assert studio.library.check().problems == ()
        # Waiting: a form without its annotation.
        assert {task.status for task in studio.tasks.list(limit=1000)} <= {"done", "failed", "waiting"}


@pytest.fixture
def bench(shared: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """The library as the current one; after the test nobody is at it."""
    monkeypatch.chdir(shared.folder)
    for name in [name for name in os.environ if name.startswith("INTAGLIO_")]:
        monkeypatch.delenv(name)
    yield shared
    assert list((shared.root / "locks").iterdir()) == []


class Refuse:
    """Runs a command that must be refused, in words and as JSON."""

    def __init__(self, bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
        self.bench = bench
        self.capsys = capsys

    def __call__(self, arguments: list[str], code: int, *words: str) -> str:
        before = self.bench.tasks()
        assert main(arguments) == code, self.capsys.readouterr().err[:2000]
        out, err = self.capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ") and "Traceback" not in err and "Intaglio failed" not in err
        for word in words:
            assert word in err
        assert len(err) < 6000 and not set(err) & STEERING
        assert main([*arguments, "--json"]) == code
        out, text = self.capsys.readouterr()
        error = json.loads(text)["error"]
        assert out == "" and error["message"] and error["code"] not in ("error", "internal")
        assert error["hint"], "every error says the way out"
        assert text.count("\n") == 1, "one line, one object"
        assert self.bench.tasks() == before, "refused before anything is recorded"
        return err


@pytest.fixture
def refuse(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """`refuse(arguments, code, *words)`"""
    return Refuse(bench, capsys)


def named(cases: list[Case]) -> pytest.MarkDecorator:
    """The cases for parametrize, with their names."""
    return pytest.mark.parametrize(("text", "code", "words"), [pytest.param(*rest, id=name) for name, *rest in cases])


# -- workflows --------------------------------------------------------------------------------------------------------


@named(GRAPHS)
def test_a_graph_that_cannot_be(refuse: Refuse, tmp_path: Path, text: str, code: int, words: tuple[str, ...]) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    shutil.copy(refuse.bench.picture, tmp_path)
    refuse(["tasks", "run", str(file)], code, *words)


@named(YAML)
def test_yaml_that_is_none(refuse: Refuse, tmp_path: Path, text: str, code: int, words: tuple[str, ...]) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    began = time.monotonic()
    refuse(["workflows", "check", str(file)], code, *words)
    assert time.monotonic() - began < 10


@named(JSON)
def test_json_that_is_none(refuse: Refuse, tmp_path: Path, text: str, code: int, words: tuple[str, ...]) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    refuse(["workflows", "add", str(file)], code, *words)


@pytest.mark.parametrize(("line", "code", "words"), COMMANDS, ids=[line[:60] for line, _, _ in COMMANDS])
def test_a_command_that_cannot_be(refuse: Refuse, line: str, code: int, words: tuple[str, ...]) -> None:
    refuse(refuse.bench.words(line), code, *words)


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("nothing.png", 3, ("no file", "nothing.png")),
        ("truncated.png", 2, ("truncated.png", "cut off")),
        ("bomb.png", 2, ("bomb.png", "60000 x 60000 pixels", "100 megapixels")),
        ("words.png", 2, ("words.png", "not a PNG")),
        ("empty.png", 2, ("empty.png", "the file is empty")),
        ("folder.png", 2, ("folder.png is not a file",)),
        ("pipe.png", 2, ("pipe.png is not a file",)),
        ("loop.png", 2, ("loop.png is a link",)),
        ("/dev/zero", 2, ("/dev/zero is not a file",)),
        ("", 2, ("is not a file",)),
        ("a\0b.png", 2, ("NUL",)),
        ("~nobody0/a.png", 2, ("is not a file name",)),
        (LONG, 2, ("cannot be read", "too long")),
        ("blake3:" + "0" * 64, 3, ("no asset",)),
        ("blake3:", 3, ("no asset",)),
        (f"{OSC}.png", 3, ("no file",)),
    ],
)
def test_a_reference_picture_that_is_none(refuse: Refuse, name: str, code: int, words: tuple[str, ...]) -> None:
    file = refuse.bench.folder / "reference.json"
    file.write_text(picture(name))
    refuse(["tasks", "run", str(file)], code, *words)


# -- models -----------------------------------------------------------------------------------------------------------


class Evil:
    """A pickle of this one runs a command."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch OWNED",)


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".bin", ".pth", ".safetensors"])
@pytest.mark.parametrize("form", ["0", "2", "4", "zip"])
def test_a_pickle_is_refused_under_any_name(refuse: Refuse, tmp_path: Path, suffix: str, form: str) -> None:
    file = tmp_path / f"evil{suffix}"
    if form == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(Evil()))
    else:
        file.write_bytes(pickle.dumps(Evil(), protocol=int(form)))
    refuse(
        ["models", "add", str(file), "--name", "evil"], 2, file.name, "pickle", "can run code", "Use a safetensors file"
    )
    assert not Path("OWNED").exists()


def test_a_folder_that_is_no_pipeline(refuse: Refuse, tmp_path: Path) -> None:
    folder = copied(tmp_path / "model")
    (folder / "model_index.json").unlink()
    refuse(["models", "add", str(folder), "--name", "a"], 2, "no model_index.json", "not a diffusers pipeline folder")


def test_truncated_weights(refuse: Refuse, tmp_path: Path) -> None:
    folder = copied(tmp_path / "model")
    with (folder / WEIGHTS).open("r+b") as file:
        file.truncate(10_000)
    refuse(["models", "add", str(folder), "--name", "a"], 2, WEIGHTS, "is cut off")
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", 2**63) + b"{")
    refuse(["models", "add", str(folder), "--name", "a"], 2, WEIGHTS, "claims a header of")
    (folder / WEIGHTS).unlink()
    refuse(["models", "add", str(folder), "--name", "a"], 2, "holds no weights")


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ({"_class_name": "StableDiffusionPipeline", "unet": ["os", "system"]}, ("'unet' from 'os'", "neither")),
        ({"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "a.b"]}, ("cannot be one",)),
        ({"_class_name": "StableDiffusionPipeline", "../unet": ["diffusers", "A"]}, ("cannot be one",)),
        ({"_class_name": ["evil", "Pipeline"], "unet": ["diffusers", "A"]}, ("custom code",)),
        ({"_class_name": "os.system"}, ("names no pipeline class",)),
        ({}, ("names no pipeline class",)),
        ([], ("is not a JSON object",)),
    ],
)
def test_a_model_index_with_foreign_code(refuse: Refuse, tmp_path: Path, index: object, words: tuple[str, ...]) -> None:
    folder = copied(tmp_path / "model")
    (folder / "model_index.json").write_text(json.dumps(index))
    refuse(["models", "add", str(folder), "--name", "a"], 2, "model_index.json", *words)


def test_a_pipe_among_the_configurations(refuse: Refuse, tmp_path: Path) -> None:
    folder = copied(tmp_path / "model")
    os.mkfifo(folder / "unet" / "model.safetensors.index.json")
    refuse(["models", "add", str(folder), "--name", "a"], 2, "is not a file")


def test_python_code_in_a_model(refuse: Refuse, tmp_path: Path) -> None:
    folder = copied(tmp_path / "model")
    (folder / "unet" / "model.py").write_text("import os")
    refuse(["models", "add", str(folder), "--name", "a"], 2, "model.py", "Python code", "part of diffusers")


def test_a_model_whose_file_is_gone(
    bench: Bench, refuse: Refuse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(tmp_path / "model")
    index = folder / "model_index.json"
    index.write_text(index.read_text() + "\n")  # content of its own
    assert main(["models", "add", str(folder), "--name", "gone"]) == 0
    capsys.readouterr()
    folder.rename(tmp_path / "moved")
    file = tmp_path / "gone.json"
    file.write_text(generation(model="gone"))
    refuse(["tasks", "run", str(file)], 4, "model gone", "missing", str(folder), "Bring the file back")
    refuse(["models", "verify", "gone"], 4, "model gone:v1 is missing", "Bring the file back")


# -- settings and places ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("INTAGLIO_SEDS", "random", ("no setting INTAGLIO_SEDS", "Did you mean INTAGLIO_SEEDS")),
        ("INTAGLIO_QQQ", "1", ("no setting INTAGLIO_QQQ", "There are: library, author")),
        ("INTAGLIO_THREADS", "abc", ("INTAGLIO_THREADS is 'abc'", "whole number")),
        ("INTAGLIO_THREADS", "0", ("INTAGLIO_THREADS is '0'",)),
        ("INTAGLIO_THREADS", "-1", ("INTAGLIO_THREADS is '-1'",)),
        ("INTAGLIO_THREADS", "", ("INTAGLIO_THREADS is ''",)),
        ("INTAGLIO_THREADS", "9" * 5000, ("INTAGLIO_THREADS is '999",)),
        ("INTAGLIO_MEMORY", "8GB", ("INTAGLIO_MEMORY is '8GB'",)),
        ("INTAGLIO_SEEDS", "lucky", ("INTAGLIO_SEEDS is 'lucky'", "random, date, sequence")),
        ("INTAGLIO_DETERMINISTIC", "maybe", ("INTAGLIO_DETERMINISTIC is 'maybe'", "on or off")),
        ("INTAGLIO_DEVICE", "toaster", ("INTAGLIO_DEVICE is 'toaster'", "cuda:N")),
        ("INTAGLIO_AUTHOR", "\udcff", ("INTAGLIO_AUTHOR is not text", "UTF-8")),
    ],
)
def test_settings(
    refuse: Refuse, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: tuple[str, ...]
) -> None:
    with monkeypatch.context() as patch, refuse.bench.studio() as studio:
        patch.setattr(refuse.bench, "studio", lambda: open_studio(studio.root, Settings()))
        patch.setenv(variable, value)
        refuse(["tasks", "list"], 2, *words)


def test_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("INTAGLIO_LIBRARY", raising=False)
    monkeypatch.chdir(tmp_path)
    for line in ("tasks list", "workflows list", "versions show v1", "assets add a.png", "library check"):
        assert main(line.split()) == 3
        assert "no library in" in (said := capsys.readouterr().err) and "Make one with: intaglio init" in said
    assert list(tmp_path.iterdir()) == [], "looking makes nothing"


def test_a_current_folder_that_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("INTAGLIO_LIBRARY", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    for line in ("tasks list", "init"):
        assert main(line.split()) == 4
        assert "no such file or directory" in capsys.readouterr().err


# -- text -------------------------------------------------------------------------------------------------------------


def run_plain(bench: Bench, capsys: pytest.CaptureFixture[str], question: str, *more: str) -> dict[str, Any]:
    """Run a workflow with that text in it; its task and records as JSON."""
    workflow = document()
    workflow["nodes"]["ask"] = {"type": "form", "inputs": {"image": "grain"}, "params": {"question": question}}
    workflow["nodes"]["grain"]["seed"] = 7
    file = bench.folder / "text.json"
    file.write_text(json.dumps(workflow))
    assert main(["tasks", "run", str(file), "--json", *more]) == 0
    task = json.loads(capsys.readouterr().out)
    assert main(["tasks", "show", task["id"], "--json"]) == 0
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    return shown


TEXTS = {
    "emoji": "a \U0001f468\u200d\U0001f469\u200d\U0001f467 family",
    "NUL": "before\0after",
    "right to left": "\u05e9\u05dc\u05d5\u05dd \u202eevil\u202c",
    "1 MB": "house " * 170_000,
    "escape sequences": OSC,
    "newlines": "one\ntwo\r\nthree\u2028four",
    "nothing": "",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text_is_kept_to_the_letter(bench: Bench, capsys: pytest.CaptureFixture[str], text: str) -> None:
    shown = run_plain(bench, capsys, text)
    step = next(step for step in shown["plan"]["steps"] if step["id"] == "ask")
    assert step["params"]["question"] == text
    assert main(["workflows", "show", "bad"]) == 0
    written = bench.folder / "again.yaml"
    written.write_text(capsys.readouterr().out)
    assert main(["workflows", "check", str(written), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["nodes"]["ask"]["params"]["question"] == text


def test_composed_and_decomposed_letters_are_two_texts(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    forms = [unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD")]
    shown = [run_plain(bench, capsys, form) for form in forms]
    assert shown[0]["task"]["plan"] != shown[1]["task"]["plan"]
    keys = [{record["step"]: record["key"] for record in each["nodes"]} for each in shown]
    assert keys[0]["ask"] != keys[1]["ask"] and keys[0]["grain"] == keys[1]["grain"]


def test_a_prompt_with_odd_characters_makes_a_picture(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    prompt = f"\U0001f3e0 \u05d1\u05d9\u05ea \0 {OSC} #1: a & b"
    file = bench.folder / "odd.json"
    file.write_text(generation(prompt=prompt, steps=1, device="cpu"))
    assert main(["tasks", "run", str(file), "--annotation", "odd", "--json"]) == 0
    task = json.loads(capsys.readouterr().out)
    assert main(["versions", "show", task["version"]]) == 0
    assert not set(capsys.readouterr().out) & STEERING
    assert main(["versions", "show", task["version"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"]["parameters"]["base"]["prompt"] == prompt


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("sunset #1 style", "sunset #1 style"),
        ("a house # with a garden", "a house # with a garden"),
        ("&anchor and more", "&anchor and more"),
        ("!!str tagged", "!!str tagged"),
        ("yes: no", "yes: no"),
        ("[a, b]", "[a, b]"),
        ("*", "*"),
        (" spaced ", " spaced "),
        ('"7"', "7"),
        ("'true'", "true"),
        ('"a" b', '"a" b'),
        ("", ""),
        ("| block\n  text", "| block\n  text"),
        ("no", "no"),
        ("2026-11-20", "2026-11-20"),
        ("? ", "? "),
    ],
)
def test_a_text_set_on_the_command_line_stays_as_it_is(
    bench: Bench, capsys: pytest.CaptureFixture[str], given: str, kept: str
) -> None:
    file = bench.folder / "set.json"
    workflow = document(seed=7)
    workflow["nodes"]["ask"] = {"type": "form", "inputs": {"image": "grain"}}
    file.write_text(json.dumps(workflow))
    assert main(["tasks", "run", str(file), "--set", f"ask.question={given}", "--json"]) == 0
    task = json.loads(capsys.readouterr().out)
    assert main(["tasks", "show", task["id"], "--json"]) == 0
    steps = json.loads(capsys.readouterr().out)["plan"]["steps"]
    assert next(step for step in steps if step["id"] == "ask")["params"]["question"] == kept


def test_words_that_are_not_text_are_refused_before_the_work(refuse: Refuse) -> None:
    for line in (["--annotation", "\udcff"], ["--label", "a\udcff", "--annotation", "a"], ["--set", "in.image=\udcff"]):
        refuse(["tasks", "run", "plain", *line], 2, "is not UTF-8", "Write it in UTF-8")
    refuse(["versions", "show", "\udcff"], 2, "version is not UTF-8")
    refuse(["assets", "add", "\udcff.png"], 2, "files is not UTF-8")


# -- the terminal -----------------------------------------------------------------------------------------------------


def test_records_cannot_steer_the_terminal(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTAGLIO_AUTHOR", f"Eve{OSC}")
    task = run_plain(bench, capsys, OSC, "--annotation", f"kept {OSC}\u202e", "--label", f"odd {OSC}")["task"]
    odd = bench.folder / f"odd{OSC}.png"
    shutil.copy(bench.picture, odd)
    lines = [
        ["tasks", "show", task["id"]],
        ["tasks", "list"],
        ["versions", "list"],
        ["versions", "show", task["version"]],
        ["versions", "grade", task["version"]],
        ["workflows", "show", "bad"],
        ["workflows", "list"],
        ["assets", "add", str(odd)],
        ["versions", "export", task["version"], "--to", f"to{OSC}"],
        ["models", "list"],
    ]
    for line in lines:
        for more in ([], ["--json"]):
            assert main([*line, *more]) == 0
            said = "".join(capsys.readouterr())
            assert not set(said) & STEERING, line


def in_terminal(*arguments: str, cwd: Path) -> bytes:
    """What the command prints when a person sits there."""
    parent, child = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "intaglio", *arguments], stdin=subprocess.DEVNULL, stdout=child, stderr=child, cwd=cwd
    ) as running:
        os.close(child)
        said = b""
        try:
            while piece := os.read(parent, 65536):
                said += piece
        except OSError:  # the other end is closed
            pass
        running.wait()
    os.close(parent)
    return said


def test_an_error_cannot_steer_a_real_terminal(bench: Bench) -> None:
    said = in_terminal("assets", "add", f"{OSC}.png", cwd=bench.folder)
    said += in_terminal(f"--{OSC}", cwd=bench.folder) + in_terminal("tasks", "list", f"--{OSC}", cwd=bench.folder)
    assert b"\x1b]" not in said and b"\x1b[2J" not in said and b"\x07" not in said and b"\\x1b]0;owned" in said


# -- the process ------------------------------------------------------------------------------------------------------


def shell(command: str, bench: Bench, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line of bash, with `intaglio` in it."""
    program = f'intaglio() {{ {sys.executable} -m intaglio "$@"; }}; '
    return subprocess.run(
        ["bash", "-c", program + command],
        capture_output=True,
        text=True,
        check=False,
        cwd=bench.folder,
        env={**os.environ, **environment},
        timeout=60,
    )


def test_the_reader_goes_away(bench: Bench) -> None:
    for line in ("tasks list", "tasks list --json", "workflows show plain", f"assets get {bench.digest} -o -"):
        done = shell(f"intaglio {line} | head -c 0; echo ${{PIPESTATUS[0]}}", bench)
        assert (done.stdout, done.stderr) == ("0\n", ""), line


@pytest.mark.parametrize(
    ("command", "environment", "code", "said"),
    [
        ("intaglio tasks list <&-", {}, 0, "done"),
        ("intaglio tasks run plain.json --annotation closed <&-", {}, 0, "done"),
        ("intaglio tasks list 2>&-", {}, 0, "done"),
        ("intaglio tasks list >&-", {}, 0, ""),
        ("intaglio tasks list > /dev/full", {}, 4, "no space left"),
        ("intaglio tasks list", {"TERM": "dumb", "HOME": "/proc/1"}, 0, "done"),
        ("intaglio tasks list", {"HOME": "", "TMPDIR": "/nowhere"}, 0, "done"),
        ("intaglio tasks list", {"INTAGLIO_LIBRARY": ""}, 0, "done"),
        ("intaglio workflows show latin", {"LC_ALL": "C"}, 0, "latin"),
        ("intaglio workflows show latin", {"PYTHONIOENCODING": "ascii"}, 0, "latin"),
        ("intaglio workflows show latin --json", {"PYTHONIOENCODING": "ascii"}, 0, "\\u00e9"),
        ("intaglio versions show caf\u00e9", {"PYTHONIOENCODING": "ascii"}, 3, "no version"),
        ("intaglio tasks show nothing", {"PYTHONOPTIMIZE": "1"}, 3, "no task 'nothing'"),
        ("intaglio tasks run plain.json --annotation optimized", {"PYTHONOPTIMIZE": "1"}, 0, "done"),
        ("intaglio assets add $'\\xff.png'", {}, 2, "files is not UTF-8"),
    ],
)
def test_odd_surroundings(bench: Bench, command: str, environment: dict[str, str], code: int, said: str) -> None:
    latin = bench.folder / "latin.json"
    latin.write_text(json.dumps({**document(), "name": "latin", "description": "caf\u00e9 \U0001f3e0"}))
    assert main(["workflows", "add", str(latin)]) == 0
    done = shell(command, bench, **environment)
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr and "Traceback" not in done.stderr and "Exception" not in done.stderr


# -- every command ----------------------------------------------------------------------------------------------------


def every_command() -> list[tuple[str, ...]]:
    """The words of every command there is."""
    import click

    context = click.Context(cli)
    found: list[tuple[str, ...]] = []
    for noun in NOUNS:
        command = cli.get_command(context, noun)
        assert command is not None
        found += [(noun, verb) for verb in command.commands] if isinstance(command, click.Group) else [(noun,)]
    return found


@pytest.mark.parametrize("command", every_command(), ids=" ".join)
def test_every_command_has_help_and_json(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--help", "-h"):
        assert main([*command, option]) == 0
        said = capsys.readouterr().out
        assert "--json" in said and "--library" in said and len(said.splitlines()) > 4


@pytest.mark.parametrize(
    "line",
    [
        "tasks list", "tasks show DONE", "versions list", "versions show VERSION", "versions grade VERSION",
        "assets show FILE", "models list", "models show scenes", "models verify scenes", "nodes list",
        "nodes show text-to-image", "workflows list", "workflows show plain", "workflows check plain",
        "library check", "library gc --dry-run",
    ],
)  # fmt: skip
def test_every_reading_command_prints_json_that_loses_no_digit(
    bench: Bench, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    def walk(value: object) -> None:
        if isinstance(value, dict):
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)
        elif isinstance(value, int):
            assert abs(value) <= EXACT

    def no_constant(name: str) -> None:
        raise AssertionError(name)

    assert main([*bench.words(line), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    walk(json.loads(out, parse_constant=no_constant))


def test_a_node_that_fails_is_exit_code_1_and_keeps_what_was_done(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    workflow = document()
    workflow["nodes"]["cut"] = {
        "type": "crop",
        "inputs": {"image": "grain"},
        "params": {"x": 1000, "width": 10, "height": 10},
    }
    file = bench.folder / "fails.json"
    file.write_text(json.dumps(workflow))
    assert main(["tasks", "run", str(file)]) == 1
    assert "node 'cut'" in capsys.readouterr().err
    assert main(["tasks", "list", "--json", "--limit", "1"]) == 0
    task = json.loads(capsys.readouterr().out)[0]
    assert task["status"] == "failed" and task["error"]["step"] == "cut"
    assert main(["tasks", "show", task["id"]]) == 0
    assert "grain" in capsys.readouterr().out


def test_a_very_long_label_is_cut_and_an_endless_one_refused_nowhere(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = run_plain(bench, capsys, "why", "--label", "word " * 1000, "--annotation", LONG)
    assert main(["versions", "show", shown["task"]["version"], "--json"]) == 0
    label = json.loads(capsys.readouterr().out)["version"]["label"]
    assert len(label) <= 60 and label.startswith("word-word")


def test_grain_document_is_right() -> None:
    assert json.loads(grain()) == document()

"""Nobody asks the disk about a path that a caller, a workflow or a record names but through `studio.files`.

Each function that makes a path of a text, or asks the disk about one, is listed here with where its paths come from. A
new one fails this test: either its path goes through `reached`, `named` or `file_named` first, or it is of the
library's own making; then it is listed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from .source import PACKAGE, files

ROOMS = ("studio", "engine", "nodes")
CALLS = {"Path", "open", "expanded", "is_file", "open_source", "hash_file", "hash_folder", "read_workflow", "read_json"}
METHODS = {
    "is_file", "is_dir", "exists", "stat", "lstat", "open", "read_bytes", "read_text", "iterdir", "glob", "rglob",
    "expanduser", "is_symlink", "samefile", "readlink",
}  # fmt: skip
OF_THE_SYSTEM = {
    "open", "stat", "lstat", "scandir", "walk", "listdir", "access", "readlink", "isfile", "isdir", "exists", "lexists",
    "islink", "realpath", "samefile",
}  # fmt: skip

_INDEX = "paths of the model index, and what lies in folders that `registry.place_of` let pass"
# Whole modules that are never given a text to open.
MODULES = {
    "studio/files": "it is the one place where that is decided",
    "studio/settings": "what the administrator set",
    "studio/open": "the library itself",
    "studio/registry": "`place_of` decides for models what `files` decides for the rest",
    "studio/uploads": "the folder of uploads",
    "studio/unpacking": "a zip among the uploads",
    "studio/progress": "the library's own folder of locks",
    "studio/envelope": "a library of its own, thrown away afterwards",
    "studio/archive": _INDEX,
    "studio/examine": _INDEX,
    "studio/hashes": _INDEX,
    "studio/ledger": _INDEX,
    "studio/modelcheck": _INDEX,
    "studio/modelfiles": _INDEX,
    "studio/scan": _INDEX,
    "studio/watch": _INDEX,
}
_BEFORE = "a path that came through `named` or `file_named` in the noun that calls it"
FUNCTIONS = {
    "engine/environment._cpuinfo": "/proc/cpuinfo",
    "engine/settle.file_or_pin": "asks whether a text can be looked for at all: `planning._is_somewhere`",
    "studio/assets.Assets._known": _BEFORE,
    "studio/assets.Assets._opened": "through `reached`",
    "studio/assets.Assets._picture": "only without a reach; else through `named`",
    "studio/assets.Assets.import_": "through `named`",
    "studio/assets._batches": _BEFORE,
    "studio/assets._read": _BEFORE,
    "studio/assets.is_relative": "only without a reach",
    "studio/branching._fit": "only the ending of a name is looked at",
    "studio/carry_out._Run.check": "the library's own folder of locks",
    "studio/compare._side": "only a name for messages",
    "studio/compare._written": _BEFORE,
    "studio/documents._read": _BEFORE,
    "studio/heal._damaged_image": "a blob",
    "studio/importing.import_record": _BEFORE,
    "studio/importing.take_files": "beside a path that came through `named`, in the same upload",
    "studio/inside._beside": "beside a path that came through `named`, in the same upload",
    "studio/inside.read_json": _BEFORE,
    "studio/models.Models._place": "through `registry.place_of`",
    "studio/models.Models.allow": _INDEX,
    "studio/models.Models.check_there": _INDEX,
    "studio/models.Models.restore": "through `registry.place_of`, or of the model index",
    "studio/recognise._by_content": _BEFORE,
    "studio/recognise._exact": _BEFORE,
    "studio/similar.matches": _BEFORE,
    "studio/taking.lost": "the library's own folder of locks",
    "studio/workflows.Workflows._read": "through `_file`",
    "studio/workflows.Workflows.add": "through `named`",
    "studio/workflows.Workflows.find": "through `_file`",
    "studio/workflows.Workflows.setting": "only without a reach",
}


def asking(path: Path, package: Path = PACKAGE) -> Iterator[str]:
    """The functions of a file that make a path of a text or ask the disk about one."""
    module = str(path.relative_to(package).with_suffix(""))
    yield from sorted({f"{module}.{name}" for name, node in _functions(ast.parse(path.read_text())) if _asks(node)})


def _functions(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Each call that is made, with the name of the function or method it is in."""
    for child in ast.iter_child_nodes(tree):
        name = inside
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = f"{inside}.{child.name}" if inside else child.name
        if isinstance(child, ast.Call):
            yield inside or "(module)", child
        yield from _functions(child, name)


def _asks(call: ast.AST) -> bool:
    assert isinstance(call, ast.Call)
    if isinstance(call.func, ast.Name):
        # Path() without anything is the current folder, and nobody named it.
        return call.func.id in CALLS and not (call.func.id == "Path" and not call.args)
    if not isinstance(call.func, ast.Attribute):
        return False
    if ast.unparse(call.func.value) in ("os", "os.path"):
        return call.func.attr in OF_THE_SYSTEM
    return call.func.attr in METHODS or (call.func.attr == "resolve" and not call.args)


def unlisted(found: set[str]) -> set[str]:
    """Those that neither are listed nor stand in a module that is."""
    return {each for each in found if each not in FUNCTIONS and each.partition(".")[0] not in MODULES}


def all_that_ask() -> set[str]:
    """Every function of the rooms that asks."""
    return {each for room in ROOMS for path in files(PACKAGE / room) for each in asking(path)}


def test_every_path_that_somebody_names_goes_through_one_function() -> None:
    found = all_that_ask()
    assert sorted(unlisted(found)) == [], "let its path go through studio.files, or list where it comes from"
    assert sorted(FUNCTIONS.keys() - found) == [], "these do not ask any more"
    assert MODULES.keys() == {each.partition(".")[0] for each in found} & MODULES.keys(), "nor do these"


@pytest.mark.parametrize(
    "code",
    [
        "def show(self, given): return Path(given)",
        "def show(self, given): return given.read_bytes()",
        "def show(self, given): return os.path.exists(given)",
        "def show(self, given): return os.stat(given)",
        "def show(self, given): return open(given)",
        "def show(self, given): return expanded(given)",
        "def show(self, given): return [lambda: is_file(given)]",
        "def show(self, given): return given.resolve()",
    ],
)
def test_one_that_asks_by_itself_is_seen(tmp_path: Path, code: str) -> None:
    (tmp_path / "studio").mkdir()
    path = tmp_path / "studio" / "new.py"
    path.write_text(f"class New:\n    {code}\n")
    assert unlisted(set(asking(path, tmp_path))) == {"studio/new.New.show"}
    path.write_text("class New:\n    def show(self, given): return named(given, self._parts.reach)\n")
    assert unlisted(set(asking(path, tmp_path))) == set()

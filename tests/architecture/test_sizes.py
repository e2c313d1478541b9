from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from .source import FROZEN, PACKAGE, files

MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 40


def too_long(paths: list[Path]) -> Iterator[str]:
    """Files and functions over the limits, with their size.

    A function's size is that of its statements: a signature may declare, and a docstring explain, at length.
    """
    for path in paths:
        text = path.read_text(encoding="utf-8")
        lines = len(text.splitlines())
        if lines > MOST_LINES_OF_A_FILE:
            yield f"{path.name}: {lines} lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[1:] if ast.get_docstring(node) is not None and node.body[1:] else node.body
                size = (body[-1].end_lineno or 0) - body[0].lineno + 1
                if size > MOST_LINES_OF_A_FUNCTION:
                    yield f"{path.name}:{node.lineno} {node.name}: {size} lines"


def test_no_file_and_no_function_is_too_long() -> None:
    paths = [path for path in files(PACKAGE) if FROZEN not in path.parents]
    assert len(paths) > 60
    assert list(too_long(paths)) == []


def test_what_is_too_long_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "long.py"
    path.write_text("def f(\n    x,\n):\n" + "    x = 1\n" * 40)
    assert list(too_long([path])) == []
    path.write_text("class C:\n    async def f(self):\n" + "        x = 1\n" * 41)
    assert list(too_long([path])) == ["long.py:2 f: 41 lines"]
    path.write_text("x = 1\n" * 401)
    assert list(too_long([path])) == ["long.py: 401 lines"]

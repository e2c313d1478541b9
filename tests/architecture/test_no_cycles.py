from __future__ import annotations

import graphlib
from pathlib import Path

import pytest

from .source import PACKAGE, imports, modules


def order(package: Path) -> list[str]:
    """An order in which the modules could be imported. Raises CycleError naming a circle."""
    found = modules(package)
    graph = {name: imports(path, set(found)) for name, path in found.items()}
    return list(graphlib.TopologicalSorter(graph).static_order())


def test_no_module_imports_itself_by_a_detour_deferred_imports_counted() -> None:
    assert "intaglio.core.plan" in order(PACKAGE)


@pytest.mark.parametrize(
    "line",
    [
        "import made_up.a",
        "from made_up import a",
        "from made_up.a import x",
        "def later():\n    from made_up.a import x",
        "class C:\n    def later(self):\n        if 1:\n            import made_up.a",
    ],
)
def test_a_circle_is_seen(line: str, tmp_path: Path) -> None:
    package = tmp_path / "made_up"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from made_up.b import y\nx = 1\n")
    (package / "b.py").write_text("y = 1\n")
    assert order(package).index("made_up.b") < order(package).index("made_up.a")
    (package / "b.py").write_text(f"y = 1\n{line}\n")
    with pytest.raises(graphlib.CycleError):
        order(package)

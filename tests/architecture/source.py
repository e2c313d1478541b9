"""The source files of the package and what they import, read without importing them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "intaglio"
# Written once for a database that exists; never edited again.
FROZEN = PACKAGE / "store" / "migrations" / "versions"


def files(package: Path = PACKAGE) -> list[Path]:
    """The source files of a package."""
    return sorted(package.rglob("*.py"))


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """Dotted names to files."""
    names = {}
    for path in files(package):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports(path: Path, known: set[str]) -> set[str]:
    """The modules among `known` that a file imports when it runs, at its top or inside a function."""
    found = set()
    for node in _running(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from package import module` imports the module; `from module import name` the one it is in.
            found |= {f"{node.module}.{alias.name}" for alias in node.names} & known
            found |= {node.module} if any(f"{node.module}.{alias.name}" not in known for alias in node.names) else set()
    return found & known


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that only type checkers see."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from _running(child)

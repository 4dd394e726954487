"""What may be imported where, as far as import-linter does not say it (`make lint`)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from gpuenv.core import paths

SOURCES = paths.project_root() / "src"
TESTS = paths.project_root() / "tests"


def imported(path: Path) -> Iterator[str]:
    """What a file imports by statement, and every string in it that could be the name of a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            yield node.value


def test_the_product_imports_nothing_of_the_tests() -> None:
    packages = {path.name for path in TESTS.iterdir() if path.is_dir()} - {"__pycache__"}
    assert {"fakes", "simulated", "tiny"} <= packages
    found = {(path.name, name) for path in SOURCES.rglob("*.py") for name in imported(path)}
    assert len(found) > 1000
    modules = {f"{folder}.{path.stem}" for folder in packages for path in (TESTS / folder).rglob("*.py")}
    assert not {(file, name) for file, name in found if name in packages | modules | {"tests"}}

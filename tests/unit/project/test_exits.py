"""What is said to people goes through core.ui, which cleans it: nothing else prints."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from gpuenv.core import paths

#: Each with the reason why its output is as it is.
OTHERS = {
    "core/ui.py": "the exit itself",
    "verbs.py": "the help: our own words",
    "engine/command.py": "for `eval`: quoted",
    "prefix/command.py": "for `$(...)`: the path of the environment, as the user names it",
    "conda/rattler.py": "a program of its own: its output is a log",
    "doctor/probes/nvml.py": "a program of its own: its output is read by us",
}


def test_nothing_prints_beside_the_exits() -> None:
    root = paths.project_root() / "src" / "gpuenv"
    # The programs of reference/ run elsewhere, and their output is read by us.
    files = [path for path in root.rglob("*.py") if "reference" not in path.parts]
    found = {str(path.relative_to(root)) for path in files if any(prints(path))}
    assert found == OTHERS.keys()


def prints(path: Path) -> Iterator[bool]:
    text = path.read_text()
    for node in ast.walk(ast.parse(text)) if any(name in text for name in ("print", ".write", "Console")) else ():
        if isinstance(node, ast.ImportFrom) and node.module == "rich.console":
            yield any(one.name == "Console" for one in node.names)
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            yield called in ("print", "traceback.print_exc") or called.endswith(
                ("stdout.write", "stderr.write", "stdout.buffer.write", "stderr.buffer.write")
            )

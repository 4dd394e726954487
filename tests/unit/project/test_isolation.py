"""Every Python that the command starts imports nothing from the folder in which it is used: that may be anybody's."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from gpuenv.core import paths

#: Other programs' `-c` and `-m`.
_NO_PYTHON = ("bash", "/bin/sh", "conntrack", "constraints.txt")
#: Those that need PYTHON* variables: each runs in a folder of its own (`cwd=`).
_ELSEWHERE = ("harness/reference/text.py", "harness/reference/upstream.py", "harness/reference/server.py")
#: What these say is for a person to type.
_SAID = ("doctor/checks/python.py", "harness/command.py", "harness/judges/identity.py")
_IN_A_SHELL = re.compile(r"(python|\})(?: -(?!I)\w+)* -[mc] ")


def unisolated(code: str) -> Iterator[str]:
    """The argument lists and command lines in ``code`` that start a Python which is not isolated."""
    for node in ast.walk(ast.parse(code)) if re.search(r"-[mc]\b", code) else ():
        if isinstance(node, (ast.List, ast.Tuple)):
            words = [one.value if isinstance(one, ast.Constant) else None for one in node.elts]
            text = ast.unparse(node)
            if {"-m", "-c"} & set(words) and "-I" not in words and not any(name in text for name in _NO_PYTHON):
                yield text
        elif isinstance(node, ast.JoinedStr) and _IN_A_SHELL.search(text := ast.unparse(node)):
            yield text


@pytest.mark.parametrize(
    ("code", "is_found"),
    [
        ('[sys.executable, "-m", "pip"]', True),
        ('[sys.executable, "-I", "-m", "pip"]', False),
        ('("-m", "pip")', True),
        ('["bash", "-c", "true"]', False),
        ('f"{python} -c {code}"', True),
        ('f"{python} -I -c {code}"', False),
    ],
)
def test_it_is_seen(code: str, is_found: bool) -> None:
    assert bool(list(unisolated(code))) is is_found


def test_every_python_is_isolated_or_started_in_a_folder_of_its_own() -> None:
    package = paths.project_root() / "src" / "gpuenv"
    codes = {str(path.relative_to(package)): path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py"))}
    assert all("cwd=" in codes[name] for name in _ELSEWHERE)
    found = {name: texts for name, code in codes.items() if (texts := list(unisolated(code)))}
    assert found.keys() <= {*_ELSEWHERE, *_SAID}, found

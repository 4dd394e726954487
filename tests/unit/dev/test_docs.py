from __future__ import annotations

import ast
import re

import pytest

from gpuenv.core import paths
from gpuenv.core.errors import DataError
from gpuenv.core.settings import OPTIONS
from gpuenv.variants import model as variants
from gpuenv.verbs import VERBS
from gpuenv_dev import docs

README = paths.project_root() / "README.md"
MAKEFILE = paths.project_root() / "Makefile"


def test_what_is_generated_is_current() -> None:
    text = README.read_text(encoding="utf-8")
    assert text == docs.render_readme(text, README), "run `make docs`"
    makefile = MAKEFILE.read_text(encoding="utf-8")
    assert makefile == docs.render_makefile(makefile), "run `make docs`"


@pytest.mark.parametrize("name", ["variants", "settings"])
def test_a_readme_without_markers_is_refused(name: str) -> None:
    text = README.read_text(encoding="utf-8").replace(f"<!-- end of {name} -->", "")
    with pytest.raises(DataError, match=f"no place for the table of {name}"):
        docs.render_readme(text, README)


def test_files_that_documents_name_are_there() -> None:
    root = paths.project_root()
    documents = [README, *sorted(root.glob("docs/*.md")), *sorted(root.glob("tests/*/README.md"))]
    named = {
        (document.name, match[0].replace("\\", "/"))
        for document in documents
        for match in re.finditer(
            r"(?<![\w/.\\-])(src|tests|docs|docker|envs)[/\\][\w./\\-]*\w", document.read_text("utf-8")
        )
    }
    assert len(named) > 10
    assert {(document, path) for document, path in named if not (root / path).exists()} == set()


def test_every_setting_has_its_row() -> None:
    rows = docs.render_settings().splitlines()
    assert len(rows) == 2 + len(OPTIONS)
    (row,) = (row for row in rows if row.startswith("| `CMD` "))
    assert "| `gpu-shell` | run this with bash instead of a prompt. `gpuenv gpu-shell` returns" in row


def test_every_verb_of_the_readme_is_one_of_the_makefile() -> None:
    goals = set(re.findall(r"^([a-z0-9-]+):", MAKEFILE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    recipes = goals - {"known", "trusted"}
    assert {verb.name for verb in VERBS} == recipes
    named = set(re.findall(r"`?\bmake ([a-z][a-z0-9-]+)", README.read_text(encoding="utf-8")))
    assert named
    assert named <= recipes


def test_no_version_of_a_variant_stands_in_code_or_dockerfile() -> None:
    root = paths.project_root()
    literals = {value for v in variants.load_all() for value in (v.tensorflow.version, v.keras, v.python, v.name)}
    literal = re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, literals))})(?![\w.])")
    texts = {path.name: path.read_text(encoding="utf-8") for path in (root / "src" / "gpuenv").rglob("*.py")}
    # Only where one stands at all, which takes a second less.
    texts = {
        name: "\n".join(strings_of(text)) for name, text in texts.items() if any(value in text for value in literals)
    }
    texts |= {name: (root / name).read_text(encoding="utf-8") for name in ("docker/Dockerfile", "Makefile")}
    assert [(name, match[0]) for name, text in texts.items() for match in literal.finditer(text)] == []


def strings_of(text: str) -> list[str]:
    """The strings of a module that do something: all but docstrings, which may give examples."""
    tree = ast.parse(text)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
    ]

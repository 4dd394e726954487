from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from gpuenv.core import paths
from gpuenv.core.errors import DataError
from gpuenv.core.settings import OPTIONS
from gpuenv.core.verbs import VERBS
from gpuenv.dev import docs as readme
from gpuenv.variants import model as variants

README = paths.project_root() / "README.md"


def test_the_table_in_the_readme_is_the_one_that_the_variants_give() -> None:
    text = README.read_text(encoding="utf-8")
    assert text == readme.replace_table(text, readme.render_table(variants.load_all()), README), "run `make docs`"


def test_a_readme_without_markers_is_refused() -> None:
    with pytest.raises(DataError, match="no place for the table"):
        readme.replace_table("# nothing", "", Path("README.md"))


def test_every_make_verb_in_the_readme_exists() -> None:
    makefile = (paths.project_root() / "Makefile").read_text(encoding="utf-8")
    verbs = set(re.findall(r"^([a-z0-9-]+):.*## ", makefile, flags=re.MULTILINE))
    assert {verb.name for verb in VERBS} == verbs - {"help"}
    named = set(re.findall(r"`?\bmake ([a-z][a-z0-9-]+)", README.read_text(encoding="utf-8")))
    assert named
    assert named <= verbs


def test_every_setting_of_make_is_an_option_and_the_other_way_round() -> None:
    makefile = (paths.project_root() / "Makefile").read_text(encoding="utf-8")
    match = re.search(r"^SETTINGS := (.*)$", makefile, flags=re.MULTILINE)
    assert match
    options = {option.make_name for option in OPTIONS.values()}
    assert set(match[1].split()) == options


def test_no_version_of_a_variant_stands_in_code_or_dockerfile() -> None:
    root = paths.project_root()
    literals = {value for v in variants.load_all() for value in (v.tensorflow.version, v.keras, v.python, v.name)}
    texts = {path.name: "\n".join(strings_of(path)) for path in (root / "src" / "gpuenv").rglob("*.py")}
    texts |= {name: (root / name).read_text(encoding="utf-8") for name in ("docker/Dockerfile", "Makefile")}
    found = [
        (name, literal)
        for name, text in texts.items()
        for literal in sorted(literals)
        if re.search(rf"(?<![\w.]){re.escape(literal)}(?![\w.])", text)
    ]
    assert found == []


def strings_of(path: Path) -> list[str]:
    """The strings of a module that do something: all but docstrings, which may give examples."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
    ]

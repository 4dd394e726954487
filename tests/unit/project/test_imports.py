"""What may be imported where, as far as import-linter does not say it (`make lint`)."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from fakes.engine import serving
from gpuenv.core import paths
from gpuenv.images.context import content_key, load_inputs
from gpuenv.variants import model as variants
from gpuenv.variants.environment import Environment
from gpuenv.variants.kinds import FLAVORS

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


def test_only_the_command_line_knows_argparse() -> None:
    """Everything below it is given `Settings`, which have types."""
    named = [path for path in (SOURCES / "gpuenv").rglob("*.py") if "argparse" in path.read_text(encoding="utf-8")]
    users = {path.name for path in named if "argparse" in imported(path)}
    assert users == {"cli.py"}


#: What takes longer to import than the rest of a warm `gpu-shell` takes (`make bench`).
HEAVY = (
    *("docker", "requests", "rich", "jinja2", "matplotlib", "yaml", "ruamel", "pynvml", "charset_normalizer"),
    *("packaging", "elftools", "gpuenv.explain.catalog"),
)
#: A whole warm `gpu-shell CMD=true`, but for the container itself.
WARM = f"""
import sys
from gpuenv import cli
from gpuenv.shell import session
session.run_attached = lambda *_: 0
code = cli.main(["gpu-shell", "--cmd", "true", "--gpus", "none", "--flavor", sys.argv[1]])
print(code, *[name for name in {HEAVY} if name in sys.modules])
"""


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_warm_shell_loads_nothing_heavy(tmp_path: Path, flavor: str) -> None:
    variant = variants.find_variant(None)
    inputs = load_inputs(Environment.of(variant, flavor))
    labels = {**inputs.labels, "gpuenv.base": "local", "gpuenv.base_identity": "1"}
    labels["gpuenv.key"] = content_key(inputs, "local", "1")
    with serving(tmp_path) as fake:
        fake.answers["GET /images/"] = lambda *_: (HTTPStatus.OK, {"Id": "sha256:1", "Config": {"Labels": labels}})
        done = subprocess.run(
            [sys.executable, "-c", WARM, flavor],
            env={**os.environ, "DOCKER_HOST": fake.url},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout == "0\n", done.stderr

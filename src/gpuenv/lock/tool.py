"""Makes the command's own locks: what ``.venv`` is made of, on every system and every Python it supports.

uv makes them from ``pyproject.toml``. Unlike a variant's lock they are universal: markers choose.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from packaging.specifiers import SpecifierSet

from gpuenv.core import paths
from gpuenv.core.errors import DataError
from gpuenv.core.schema import read_toml
from gpuenv.lock.uv import run_uv
from gpuenv.variants.locks import drifted, read_checked, sha256_hex, with_header

#: What ``VARIANT=`` calls them.
TOOL = "tool"
#: Each file of ``src/`` holds all of the one before it, and these extras of pyproject.toml: what runs, what draws the
#: report's pictures, what ``make lint`` and ``make lock`` need. (src/bootstrap.py knows the order too.)
LOCKS = {"requirements.txt": (), "requirements-report.txt": ("report",), "requirements-dev.txt": ("report", "dev")}


def lock_paths() -> tuple[Path, ...]:
    """The files, the runtime's first."""
    return tuple(paths.project_root() / "src" / name for name in LOCKS)


def read_inputs(extras: tuple[str, ...]) -> tuple[str, str]:
    """The lowest Python (``"3.9"``), and the sha256 (hex) of what decides the lock with these extras.

    Raises DataError when pyproject.toml does not name them.
    """
    path = paths.project_root() / "pyproject.toml"
    project = read_toml(path).get("project", {})
    try:
        wanted = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
        python = lowest_python(project["requires-python"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is not usable",
            f"expected dependencies, the extras {', '.join(extras)} and requires-python in [project]: {error!r}",
            "restore it from version control",
        ) from error
    return python, sha256_hex(json.dumps([python, *wanted]))


def lowest_python(specifier: str) -> str:
    """``"3.9"`` for ``">=3.9"``. Raises ValueError when there is no lower bound."""
    for each in SpecifierSet(specifier):
        if each.operator == ">=":
            return str(each.version)
    raise ValueError(f"no >= in {specifier!r}")


def check() -> None:
    """Raise DataError unless all locks are unedited and made from the present pyproject.toml."""
    for path, extras in zip(lock_paths(), LOCKS.values()):
        if read_checked(path)[0] != read_inputs(extras)[1]:
            raise drifted(path, "the dependencies in pyproject.toml changed after it was made", TOOL)


def render(upgrade: bool) -> dict[Path, str]:
    """The texts of all locks, resolved anew; versions of the present ones are kept unless ``upgrade``."""
    texts: dict[Path, str] = {}
    smaller = ""
    for path, extras in zip(lock_paths(), LOCKS.values()):
        python, digest = read_inputs(extras)
        present = "" if upgrade or not path.exists() else read_checked(path)[1]
        # A package has the same version in all locks, so that the larger one can be added to the smaller one in place.
        smaller = _compile(extras, python, present, constraints=smaller)
        texts[path] = with_header(TOOL, smaller, digest)
    return texts


def _compile(extras: tuple[str, ...], python: str, present: str, constraints: str) -> str:
    with tempfile.TemporaryDirectory(prefix="gpuenv-lock-") as name:
        folder = Path(name)
        (folder / "constraints.txt").write_text(constraints, encoding="utf-8")
        (folder / "out.txt").write_text(present, encoding="utf-8")
        run_uv(compile_argv(extras, python), folder, f"for the command itself (Python {python} and newer)")
        return (folder / "out.txt").read_text(encoding="utf-8")


def compile_argv(extras: tuple[str, ...], python: str) -> list[str]:
    """The arguments of uv, to be run in the folder of out.txt; the result names no index."""
    source = [str(paths.project_root() / "pyproject.toml"), *(f"--extra={extra}" for extra in extras)]
    how = ["--universal", "--python-version", python, "--generate-hashes", "--no-header", "--no-annotate"]
    files = ["--constraints", "constraints.txt", "--output-file", "out.txt"]
    return ["pip", "compile", "--quiet", "--no-emit-index-url", "--no-emit-find-links", *how, *files, *source]

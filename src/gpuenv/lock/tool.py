"""The command's own locks: what ``.venv`` is made of, on every system and every Python it supports.

``src/requirements.txt`` holds what runs, ``src/requirements-dev.txt`` also what ``make lint`` and ``make lock`` need;
both come from ``pyproject.toml``. Unlike a variant's lock they are universal (markers choose), as uv writes them.
"""

from __future__ import annotations

import re
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


def lock_paths() -> tuple[Path, ...]:
    """The two files, the runtime's first."""
    source = paths.project_root() / "src"
    return source / "requirements.txt", source / "requirements-dev.txt"


def read_project() -> tuple[str, tuple[tuple[str, ...], ...]]:
    """The lowest Python (``"3.9"``) and, per lock, the requirements. Raises DataError when they are not there."""
    path = paths.project_root() / "pyproject.toml"
    project = read_toml(path).get("project", {})
    try:
        runtime = tuple(project["dependencies"])
        extra = tuple(project["optional-dependencies"]["dev"])
        python = lowest_python(project["requires-python"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is not usable",
            f"expected dependencies, the extra `dev` and requires-python in [project]: {error!r}",
            "restore it from version control",
        ) from error
    return python, (runtime, (*runtime, *extra))


def lowest_python(specifier: str) -> str:
    """``"3.9"`` for ``">=3.9"``. Raises ValueError when there is no lower bound."""
    for each in SpecifierSet(specifier):
        if each.operator == ">=":
            return str(each.version)
    raise ValueError(f"no >= in {specifier!r}")


def inputs_digest(python: str, requirements: tuple[str, ...]) -> str:
    """The sha256 (hex) of what decides one lock."""
    return sha256_hex("\n".join([f"python {python}", *requirements]))


def check() -> None:
    """Raise DataError unless both locks are unedited and made from the present pyproject.toml."""
    python, sets = read_project()
    for path, requirements in zip(lock_paths(), sets):
        made_from, body, _ = read_checked(path)
        if made_from != inputs_digest(python, requirements):
            raise drifted(path, "the dependencies in pyproject.toml changed after it was made", TOOL)
        names = set(re.findall(r"^([a-z0-9-]+)==", body, re.MULTILINE))
        if missing := [line for line in requirements if _name(line) not in names]:
            raise drifted(path, f"it does not hold {', '.join(missing)}", TOOL)


def render(*, upgrade: bool) -> dict[Path, str]:
    """The texts of both locks, resolved anew; versions of the present ones are kept unless ``upgrade``."""
    python, sets = read_project()
    texts: dict[Path, str] = {}
    constraints = ""
    for path, requirements in zip(lock_paths(), sets):
        present = "" if upgrade or not path.exists() else read_checked(path)[1]
        body = _compile(requirements, constraints, present, python)
        texts[path] = with_header(TOOL, body, inputs_digest(python, requirements))
        # What runs has the same versions with and without the dev tools.
        constraints = body
    return texts


def _compile(requirements: tuple[str, ...], constraints: str, present: str, python: str) -> str:
    with tempfile.TemporaryDirectory(prefix="gpuenv-lock-") as name:
        folder = Path(name)
        (folder / "requirements.in").write_text("\n".join(requirements) + "\n", encoding="utf-8")
        (folder / "constraints.txt").write_text(without_hashes(constraints), encoding="utf-8")
        (folder / "out.txt").write_text(present, encoding="utf-8")
        run_uv(compile_argv(python), folder, f"for the command itself (Python {python} and newer)")
        return (folder / "out.txt").read_text(encoding="utf-8")


def compile_argv(python: str) -> list[str]:
    """The arguments of uv, to be run in the folder of the inputs; the result names no index."""
    how = ["--universal", "--python-version", python, "--generate-hashes", "--no-header", "--no-annotate"]
    files = ["--constraints", "constraints.txt", "--output-file", "out.txt"]
    return ["pip", "compile", "--quiet", "--no-emit-index-url", "--no-emit-find-links", *how, *files, "requirements.in"]


def without_hashes(text: str) -> str:
    """The pins of a requirements file alone, one a line."""
    lines = (line.removesuffix("\\").rstrip() for line in text.splitlines() if not line.startswith((" ", "#")))
    return "".join(f"{line}\n" for line in lines)


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else requirement

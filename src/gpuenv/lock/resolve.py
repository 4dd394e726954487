"""Resolves requirements for a variant's Python on Linux x86-64 and on Windows x86-64, with uv.

uv's result (a `pylock.toml`, with the files of every package) exists only in a temporary folder, because it names the
index. From it every platform's usable files are chosen and merged into the pins of one lock.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gpuenv.core import ui
from gpuenv.core.errors import DataError
from gpuenv.lock.exclusions import find_excluded
from gpuenv.lock.uv import run_uv
from gpuenv.lock.wheels import LINUX, WINDOWS, Choice, Platform, find_pure, parse_pylock
from gpuenv.variants.locks import Pin

#: What a platform takes of a package that only the other one needs.
_NOTHING = Choice("", "", 0, frozenset())


def resolve(requirements: Iterable[str], python: str, preferred: Mapping[str, str]) -> tuple[Pin, ...]:
    """The pins for ``requirements`` (lines), with versions of ``preferred`` kept where they still fit.

    Windows is resolved under the versions found for Linux. Raises SourceError when the index cannot be reached,
    DataError when nothing fits, or a package has no file for a platform.
    """
    with tempfile.TemporaryDirectory(prefix="gpuenv-lock-") as name:
        folder = Path(name)
        _write_lines(folder / "requirements.in", requirements)
        linux = _resolve_one(folder, python, LINUX, [], preferred)
        fixed = [f"{name}=={choice.version}" for name, choice in linux.items()]
        windows = _resolve_one(folder, python, WINDOWS, fixed, preferred)
    return merge(linux, windows, find_pure(windows))


def resolve_suite(
    source: str, needs: Iterable[str], python: str, pins: Iterable[Pin], preferred: Mapping[str, str]
) -> tuple[Pin, ...]:
    """The pins for the tests of one package, for Linux: its source, and what they need besides ``pins``.

    ``source`` is that package as a requirement. Raises as :func:`resolve` does.
    """
    name, known = Requirement(source).name, {pin.name: pin.version for pin in pins}
    with tempfile.TemporaryDirectory(prefix="gpuenv-lock-") as temporary:
        folder = Path(temporary)
        _write_lines(folder / "requirements.in", [source, *needs])
        fixed = [f"{name}=={version}" for name, version in known.items()]
        found = _resolve_one(folder, python, replace(LINUX, source=name), fixed, preferred)
    return merge({one: choice for one, choice in found.items() if one == name or one not in known}, {})


def _resolve_one(
    folder: Path, python: str, platform: Platform, constraints: list[str], preferred: Mapping[str, str]
) -> dict[str, Choice]:
    """Resolve until no chosen version excludes the Python: each round forbids those that do."""
    forbidden: list[str] = []
    while True:
        _write_lines(folder / "constraints.txt", [*constraints, *forbidden])
        output = folder / f"pylock.{platform.name}.toml"
        # uv takes the versions of an output file that exists as preferences, as pip-compile does.
        output.write_text(_render_preferences(preferred), encoding="utf-8")
        run_uv(_compile_argv(python, platform, output.name), folder, f"for Python {python} on {platform.name}")
        choices = parse_pylock(output.read_text(encoding="utf-8"), python, platform)
        excluded = find_excluded(folder, choices, python, platform)
        if not excluded:
            return choices
        for name, version in excluded.items():
            ui.say(f"{name} {version} excludes Python {python}; looking for another version")
            forbidden.append(f"{name}!={version}")


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _compile_argv(python: str, platform: Platform, output: str) -> list[str]:
    target = ["--python-version", python, "--python-platform", platform.uv_name]
    files = ["--constraints", "constraints.txt", "--output-file", output]
    return ["pip", "compile", "--quiet", "--no-header", "--format", "pylock.toml", *target, *files, "requirements.in"]


def _render_preferences(preferred: Mapping[str, str]) -> str:
    """The smallest pylock that names versions."""
    packages = "".join(f'[[packages]]\nname = "{name}"\nversion = "{preferred[name]}"\n' for name in sorted(preferred))
    return f'lock-version = "1.0"\ncreated-by = "gpuenv"\n{packages or "packages = []"}\n'


def merge(
    linux: Mapping[str, Choice], windows: Mapping[str, Choice], pure: frozenset[str] = frozenset()
) -> tuple[Pin, ...]:
    """One pin per package, sorted by name; what only one platform needs gets its marker.

    ``pure``: what Windows builds from source, and needs no compiler for.
    """
    pins = []
    for name in sorted({*linux, *windows}):
        on_linux, on_windows = linux.get(name, _NOTHING), windows.get(name, _NOTHING)
        if name in linux and name in windows and on_linux.version != on_windows.version:
            raise DataError(
                f"{name} resolves to {on_linux.version} and {on_windows.version}",
                "Linux and Windows must have the same version",
                f"pin {name} in requirements.in",
            )
        only = "" if name in linux and name in windows else "linux" if name in linux else "win32"
        pins.append(
            Pin(
                name=name,
                version=on_linux.version or on_windows.version,
                marker=f'sys_platform == "{only}"' if only else None,
                hashes=tuple(sorted(on_linux.hashes | on_windows.hashes)),
                linux=on_linux.file,
                windows=on_windows.file,
                linux_bytes=on_linux.size,
                windows_bytes=on_windows.size,
                is_pure=name in pure,
            )
        )
    return tuple(pins)


def unsatisfied(requirements: Iterable[str], pins: Iterable[Pin]) -> list[str]:
    """The requirements (lines) that no pin fulfills on a platform where they apply."""
    versions = {pin.name: pin for pin in pins}
    return [line for line in requirements if not _is_met(Requirement(line), versions)]


def _is_met(requirement: Requirement, pins: Mapping[str, Pin]) -> bool:
    pin = pins.get(canonicalize_name(requirement.name))
    if pin is None or not requirement.specifier.contains(pin.version, prereleases=True):
        return False
    files = {"linux": pin.linux, "win32": pin.windows}
    marker = requirement.marker
    return all(file for name, file in files.items() if marker is None or marker.evaluate({"sys_platform": name}))

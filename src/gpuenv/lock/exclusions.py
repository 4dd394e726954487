"""Finds locked versions that pip would refuse for the target's Python although uv chose them.

uv ignores everything but the lower bound of ``Requires-Python``, such as `!=3.6.*`, by decision (astral-sh/uv #9020,
#8374, #10376); pip does not. So what uv chose is compared with what the index itself says about every chosen file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from gpuenv.lock.uv import run_uv
from gpuenv.lock.wheels import Choice, Platform
from gpuenv.net import download, index

_AT_A_TIME = 8


def find_excluded(folder: Path, choices: Mapping[str, Choice], python: str, platform: Platform) -> dict[str, str]:
    """Name and version of every choice whose file excludes ``python``; works in the temporary ``folder``.

    Raises SourceError when the index does not answer.
    """
    indexes = _find_indexes(folder, choices, python, platform)
    urls = [indexes[name] for name in choices]
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        said = pool.map(lambda name, url: _requires_python(url, name), choices, urls)
    return {
        name: choice.version
        for (name, choice), of_file in zip(choices.items(), said)
        if not accepts(of_file.get(choice.file, ""), python)
    }


def _find_indexes(folder: Path, choices: Mapping[str, Choice], python: str, platform: Platform) -> dict[str, str]:
    """Which index serves which package: only uv knows, after its own defaults and the user's settings."""
    pins = "".join(f"{name}=={choice.version}\n" for name, choice in choices.items())
    (folder / "pins.in").write_text(pins, encoding="utf-8")
    target = ["--python-version", python, "--python-platform", platform.uv_name]
    what = ["--no-deps", "--no-header", "--no-annotate", "--emit-index-annotation"]
    run_uv(["pip", "compile", "--quiet", *what, *target, "pins.in", "--output-file", "indexes.txt"], folder, "again")
    return parse_annotations((folder / "indexes.txt").read_text(encoding="utf-8"))


def parse_annotations(text: str) -> dict[str, str]:
    """The index by package name, from uv's output with ``--emit-index-annotation``."""
    return dict(re.findall(r"^([a-z0-9-]+)==.*\n\s+# from (\S+)$", text, re.MULTILINE))


@cache
def _requires_python(index_url: str, name: str) -> dict[str, str]:
    """``Requires-Python`` by file name, as the index tells it; empty for an index that is a folder."""
    if not index_url.startswith(("http://", "https://")):
        return {}
    what = f"the package index does not tell which Python {name} is for"
    answer = download.ask_index(f"{index_url.rstrip('/')}/{name}/", what, download.PAGE)
    return {file.name: file.requires_python or "" for file in index.files_of(answer)}


def accepts(requires_python: str, python: str) -> bool:
    """Whether pip would take the file; what it cannot read, it does not obey."""
    try:
        return SpecifierSet(requires_python).contains(python, prereleases=True)
    except InvalidSpecifier:
        return True

"""Finds locked versions that pip would refuse for the target's Python although uv chose them.

uv ignores everything but the lower bound of ``Requires-Python``, such as `!=3.6.*`, by decision (astral-sh/uv #9020,
#8374, #10376); pip does not. So what uv chose is compared with what the index itself says about every chosen file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from gpuenv.lock.uv import run_uv
from gpuenv.lock.wheels import Choice, Platform
from gpuenv.net import download

#: The simple repository API in its two forms; an index that knows neither header sends HTML.
_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"
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
    answer = download.ask_index(f"{index_url.rstrip('/')}/{name}/", what, _ACCEPT)
    if "json" in answer.headers.get("Content-Type", ""):
        return {file["filename"]: file.get("requires-python") or "" for file in answer.json()["files"]}
    return parse_page(answer.text)


def parse_page(text: str) -> dict[str, str]:
    """``Requires-Python`` by file name, from the HTML form of the simple repository API."""
    links = _Links()
    links.feed(text)
    return links.found


class _Links(HTMLParser):
    """Collects ``data-requires-python`` of the links, by the last part of their address."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Read one link; HTMLParser has resolved the entities (``&gt;=``) already."""
        values = dict(attrs)
        if tag == "a" and (href := values.get("href")):
            self.found[urlsplit(href).path.rpartition("/")[2]] = values.get("data-requires-python") or ""


def accepts(requires_python: str, python: str) -> bool:
    """Whether pip would take the file; what it cannot read, it does not obey."""
    try:
        return SpecifierSet(requires_python).contains(python, prereleases=True)
    except InvalidSpecifier:
        return True

"""Finds a file of a known name on the package indexes of the host's pip, and fetches it.

Only its address is taken from an index. Nothing here trusts what it gets: whoever asks for a file verifies the whole.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import subprocess
import sys
from functools import cache, partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Optional, Union
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import msgspec
import requests

from gpuenv.core import signals, ui
from gpuenv.core.errors import SourceError
from gpuenv.net import download, redact
from gpuenv.net.pip_settings import PipSettings, load_pip_settings
from gpuenv.net.questions import Question

#: pip's own index, asked of a pip: an installed one, else the one that Python would install.
_ASK_PIP = """
import glob, os, sys
try:
    import ensurepip
    sys.path += glob.glob(os.path.join(os.path.dirname(ensurepip.__file__), "_bundled", "pip-*.whl"))
except ImportError:
    pass
from pip._internal.models.index import PyPI
print(PyPI.simple_url)
"""
#: Seconds for that, which takes 0.3 s (measured).
_ASK_PIP_S = 5


class File(msgspec.Struct, frozen=True):
    """One file that a project's page lists; ``url`` may be relative to the page."""

    name: str = msgspec.field(name="filename")
    url: str
    hashes: dict[str, str] = {}
    requires_python: Optional[str] = msgspec.field(name="requires-python", default=None)
    #: Whether its publisher took it back, or why.
    yanked: Union[bool, str] = False


class _Page(msgspec.Struct):
    files: list[File]


def fetch(file_name: str, sha256: str, part: Path, label: str, limit_bytes: int) -> bool:
    """Download a file of the indexes as :func:`download.fetch` does, and as the host's pip would reach it."""
    return download.fetch(find(file_name, sha256), part, label, limit_bytes, load_pip_settings())


def find(file_name: str, sha256: str) -> str:
    """The address, with its login, of the file of that name on the first index that lists it.

    Warns of a yanked one. Raises SourceError, with what each index answered, where none does, or all tell another
    ``sha256``; UsageError for settings that pip could not use.
    """
    settings = load_pip_settings()
    problems = []
    for page in pages(file_name, settings):
        try:
            answer = download.ask_index(page, f"no page of {file_name}", download.PAGE)
            file = pick(answer, file_name, sha256)
        except SourceError as error:  # noqa: PERF203 - the next index may have it
            problems.append(f"{redact.address(page)}: {error.why}")
        else:
            if file.yanked is not False:
                told = f" ({file.yanked})" if isinstance(file.yanked, str) and file.yanked else ""
                ui.warn(f"{file_name} was yanked from the package index{told}; it is used if its sha256 is right")
            return download.with_login(file.url, settings)
    other = (
        "let pip ask one: PIP_NO_INDEX=0" if settings.no_index else "name another index with PIP_INDEX_URL=https://..."
    )
    raise SourceError(
        f"{file_name} was not found on the package index",
        "; ".join(problems) or why_none(settings),
        f"{other}, or a folder that has the file with SOURCES_DIR=<folder>",
    )


def questions(file_name: str, sha256: str, settings: PipSettings, verify: str | bool) -> list[Question]:
    """What is asked to know whether :func:`find` finds it; the address of each ends with ``#`` and the file's name."""
    proxies = (("http", settings.proxy), ("https", settings.proxy)) if settings.proxy else ()
    trusted = str(settings.cert) if settings.cert else verify
    read = partial(_problem, file_name=file_name, sha256=sha256)
    return [
        Question("archive", redact.address(page), f"{page}#{file_name}", trusted, proxies, True, read_page=read)
        for page in pages(file_name, settings)
    ]


def _problem(answer: requests.Response, file_name: str, sha256: str) -> str | None:
    try:
        pick(answer, file_name, sha256)
    except SourceError as error:
        return error.why
    return None


def pages(file_name: str, settings: PipSettings) -> list[str]:
    """The address of the page of a wheel's project on each index that is asked by HTTP; none where pip asks none."""
    if settings.no_index:
        return []
    project = re.sub(r"[-_.]+", "-", file_name.partition("-")[0]).lower()
    indexes = (settings.index_url or default_index() or "", *settings.extra_index_urls)
    asked = [index.rstrip("/") for index in indexes if index.startswith(("http://", "https://"))]
    return [f"{index}/{project}/" for index in dict.fromkeys(asked)]


def why_none(settings: PipSettings) -> str:
    """Why there is no index to ask."""
    if settings.no_index:
        return "pip's settings forbid to ask an index (no-index); SOURCES_DIR=<folder> names a folder that has the file"
    if settings.index_url:
        why = "pip's index-url is no address of http or https, which alone are asked"
        return f"{why}; SOURCES_DIR=<folder> names a folder that has the file"
    return "pip's settings name none, and there is no pip here that knows the public one"


def pick(answer: requests.Response, file_name: str, sha256: str) -> File:
    """The file of that name on a project's page, its address a whole one, without a sum in it.

    Raises SourceError for a page that lists none, or only with another ``sha256``.
    """
    listed = [file for file in files_of(answer) if file.name == file_name]
    for file in listed:
        if file.hashes.get("sha256", sha256).lower() == sha256:
            try:
                url = urldefrag(urljoin(answer.url, file.url)).url
            except ValueError as error:
                raise _unusable(answer, f"its page gives {file_name} no address") from error
            if url.startswith(("http://", "https://")):
                return msgspec.structs.replace(file, url=url)
            raise _unusable(answer, f"its page gives {file_name} the address {redact.text(url)}")
    if listed:
        told = listed[0].hashes["sha256"]
        raise _unusable(answer, f"its page tells the sha256 {told} for {file_name}, expected {sha256}")
    raise _unusable(answer, f"its page lists no {file_name}")


def files_of(answer: requests.Response) -> list[File]:
    """The files that a project's page lists, in either form of it. Raises SourceError for one that cannot be read."""
    try:
        if "json" in answer.headers.get("Content-Type", ""):
            return msgspec.json.decode(answer.content, type=_Page).files
        links = _Links()
        links.feed(answer.content.decode("utf-8", "replace"))
    # HTMLParser raises, for declarations that it does not know, AssertionError or, in older releases, RuntimeError.
    except (msgspec.DecodeError, ValueError, RuntimeError, AssertionError) as error:
        raise _unusable(answer, f"its page cannot be read: {error}") from error
    return links.found


def _unusable(answer: requests.Response, why: str) -> SourceError:
    remedy = "name another index: PIP_INDEX_URL=https://..."
    return SourceError(f"{redact.address(answer.url)} does not have what was asked for", why, remedy)


class _Links(HTMLParser):
    """Collects the links of a page, named by the last part of their address."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[File] = []
        self._base = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Read one link; HTMLParser has resolved the entities (``&gt;=``) already."""
        values = dict(attrs)
        href = values.get("href")
        if not href:
            return
        if tag == "base":
            self._base = self._base or href
        elif tag == "a":
            parts = urlsplit(href)
            kind, _, digest = parts.fragment.partition("=")
            name = unquote(parts.path.rpartition("/")[2])
            yanked = (values["data-yanked"] or True) if "data-yanked" in values else False
            hashes = {kind: digest} if digest else {}
            self.found.append(File(name, urljoin(self._base, href), hashes, values.get("data-requires-python"), yanked))


@cache
def default_index() -> str | None:
    """What pip uses if nobody tells it otherwise, asked of this Python's pip or of the one on PATH; None without."""
    try:
        return str(importlib.import_module("pip._internal.models.index").PyPI.simple_url)
    except (ImportError, AttributeError):
        pass
    for python in (sys.executable, "python3"):
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            done = signals.ask([python, "-I", "-c", _ASK_PIP], _ASK_PIP_S, start_new_session=True)
            if done.returncode == 0:
                return done.stdout.strip()
    return None

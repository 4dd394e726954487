"""What pip refuses and uv does not see."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from gpuenv.lock import exclusions
from gpuenv.lock.wheels import LINUX, Choice
from gpuenv.net import download

PYTHON = "3.6.15"


@pytest.mark.parametrize(
    ("requires_python", "is_accepted"),
    [("", True), (">=3.6", True), ("!=3.6.*,>=2.7", False), ("<3.6", False), (">=3.6.*", True), (">=3.7", False)],
)
def test_accepts_as_pip_does(requires_python: str, is_accepted: bool) -> None:
    assert exclusions.accepts(requires_python, PYTHON) is is_accepted


def test_the_index_of_each_package_is_read() -> None:
    text = "a-b==1.0\n    # from http://one.invalid/simple\nc==2.0 ; sys_platform == 'win32'\n    # from http://two.invalid\n"
    assert exclusions.parse_annotations(text) == {"a-b": "http://one.invalid/simple", "c": "http://two.invalid"}


def test_a_python_before_its_release_counts() -> None:
    assert exclusions.accepts(">=3.6", "3.7.0rc1")


def test_what_an_index_excludes_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """uv tells which index serves what; each index tells the rest, in JSON, in HTML, or (a folder) not at all."""
    asked: list[str] = []
    urls = {"a": "http://one.invalid/simple/", "b": "https://two.invalid/simple", "c": "/packages"}
    said = {
        "http://one.invalid/simple/a/": SimpleNamespace(
            headers={"Content-Type": "application/vnd.pypi.simple.v1+json"},
            content=b"""{"files": [{"filename": "a-1.whl", "url": "a", "requires-python": "!=3.6.*"},
                {"filename": "a-2.whl", "url": "b", "requires-python": null}]}""",
        ),
        "https://two.invalid/simple/b/": SimpleNamespace(
            headers={}, content=b'<a href="b-1.whl" data-requires-python="&gt;=3.6">b-1.whl</a>'
        ),
    }

    def run_uv(argv: list[str], folder: Path, purpose: str) -> None:
        assert (folder, purpose) == (tmp_path, "again")
        assert (folder / "pins.in").read_text() == "a==1.0\nb==1.0\nc==1.0\n"
        assert argv == [
            "pip", "compile", "--quiet", "--no-deps", "--no-header", "--no-annotate", "--emit-index-annotation",
            "--python-version", PYTHON, "--python-platform", "x86_64-manylinux2014", "pins.in",
            "--output-file", "indexes.txt",
        ]  # fmt: skip
        text = "".join(f"{name}==1.0\n    # from {url}\n" for name, url in urls.items())
        (folder / "indexes.txt").write_text(text)

    def ask(url: str, what: str, accept: str) -> SimpleNamespace:
        assert what == f"the package index does not tell which Python {url.split('/')[-2]} is for"
        assert accept.startswith("application/vnd.pypi.simple.v1+json, text/html")
        asked.append(url)
        return said[url]

    monkeypatch.setattr(exclusions, "run_uv", run_uv)
    monkeypatch.setattr(download, "ask_index", ask)
    exclusions._requires_python.cache_clear()
    choices = {name: Choice("1.0", f"{name}-1.whl", 1, frozenset()) for name in urls}
    assert exclusions.find_excluded(tmp_path, choices, PYTHON, LINUX) == {"a": "1.0"}
    assert sorted(asked) == sorted(said)
    exclusions._requires_python.cache_clear()

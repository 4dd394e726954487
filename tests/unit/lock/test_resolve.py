"""Resolving for both platforms, by the real resolver against an index on this machine."""

from __future__ import annotations

import http.server
import importlib.util
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from gpuenv.core.errors import DataError, SourceError
from gpuenv.lock import resolve
from gpuenv.lock.wheels import Choice
from gpuenv.variants.locks import Pin

PYTHON = "3.6.15"
A, B, C, D = (letter * 64 for letter in "abcd")


def test_merge_joins_hashes_and_marks_what_one_platform_needs() -> None:
    linux = {"both": Choice("1", "b.tar.gz", 1, frozenset({B})), "lin": Choice("2", "l.whl", 2, frozenset({A}))}
    windows = {"both": Choice("1", "b.whl", 3, frozenset({A})), "win": Choice("3", "w.whl", 4, frozenset({C}))}
    assert resolve.merge(linux, windows) == (
        Pin("both", "1", None, (A, B), "b.tar.gz", "b.whl", 1, 3),
        Pin("lin", "2", 'sys_platform == "linux"', (A,), "l.whl", "", 2, 0),
        Pin("win", "3", 'sys_platform == "win32"', (C,), "", "w.whl", 0, 4),
    )


def test_merge_refuses_two_versions() -> None:
    with pytest.raises(DataError, match="x resolves to 1 and 2"):
        resolve.merge({"x": Choice("1", "x", 1, frozenset())}, {"x": Choice("2", "x", 1, frozenset())})


@pytest.mark.parametrize(
    ("requirement", "is_met"),
    [
        ("Gamma_Ray>=2", True),
        ("gamma-ray<2", False),
        ("absent", False),
        ('only-win ; sys_platform == "win32"', True),
        ("only-win", False),
    ],
)
def test_unsatisfied_finds_pins_that_do_not_fulfill(requirement: str, is_met: bool) -> None:
    pins = (Pin("gamma-ray", "2.0", None, (A,), "g.whl", "g.whl"), Pin("only-win", "1", "x", (A,), "", "w.whl"))
    assert resolve.unsatisfied([requirement], pins) == ([] if is_met else [requirement])


# The real resolver against an index on this machine.

needs_uv = pytest.mark.skipif(
    importlib.util.find_spec("uv") is None,
    reason="uv, the resolver, is among the dev requirements (src/requirements-dev.txt)",
)


#: File name -> what it requires.
SERVED = {
    "app-1.0-py3-none-any.whl": ["lib", 'winonly ; sys_platform == "win32"'],
    "app-1.0.tar.gz": ["lib"],
    "lib-1.0-cp36-cp36m-manylinux1_x86_64.whl": [],
    "lib-1.0-cp36-cp36m-win_amd64.whl": [],
    "lib-2.0-cp36-cp36m-manylinux1_x86_64.whl": [],
    "lib-2.0-cp36-cp36m-win_amd64.whl": [],
    "lib-3.0-py3-none-any.whl": [],
    "winonly-1.0-cp36-cp36m-win_amd64.whl": [],
}


#: As colorama and send2trash say it: uv reads a lower bound of 2.7 in this.
EXCLUDES = "!=3.0.*,!=3.1.*,!=3.2.*,!=3.3.*,!=3.4.*,!=3.5.*,!=3.6.*,>=2.7"


class Index(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.strip("/").rpartition("/")[2]
        if name.endswith(".metadata"):
            file = name[: -len(".metadata")]
            project, version = file.split("-")[:2]
            requires = "".join(f"Requires-Dist: {each}\n" for each in SERVED[file])
            self.answer(f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n{requires}", "text/plain")
            return
        files = [
            {
                "filename": file,
                "url": f"/files/{file}",
                "hashes": {"sha256": A},
                "size": 9,
                "core-metadata": True,
                "requires-python": EXCLUDES if file.startswith("lib-3") else ">=3.5",
            }
            for file in SERVED
            if file.startswith(f"{name}-")
        ]
        if files:
            text = json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": files})
            self.answer(text, "application/vnd.pypi.simple.v1+json")
        else:
            self.send_error(404)

    def answer(self, text: str, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Keep the output of the tests clean."""


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/simple"
        monkeypatch.setenv("PIP_INDEX_URL", url)
        yield url
        server.shutdown()
        thread.join()


@needs_uv
@pytest.mark.usefixtures("index")
def test_resolve_finds_the_newest_that_pip_accepts_for_both_platforms(capsys: pytest.CaptureFixture[str]) -> None:
    app = "app-1.0-py3-none-any.whl"
    lib = ("lib-2.0-cp36-cp36m-manylinux1_x86_64.whl", "lib-2.0-cp36-cp36m-win_amd64.whl")
    assert resolve.resolve(["app"], PYTHON, {}) == (
        Pin("app", "1.0", None, (A,), app, app, 9, 9),
        Pin("lib", "2.0", None, (A,), *lib, 9, 9),
        Pin("winonly", "1.0", 'sys_platform == "win32"', (A,), "", "winonly-1.0-cp36-cp36m-win_amd64.whl", 0, 9),
    )
    assert "lib 3.0 excludes Python 3.6.15" in capsys.readouterr().err


@needs_uv
@pytest.mark.usefixtures("index")
def test_resolve_keeps_the_version_that_is_locked() -> None:
    versions = {pin.name: pin.version for pin in resolve.resolve(["app"], PYTHON, {"lib": "1.0"})}
    assert versions == {"app": "1.0", "lib": "1.0", "winonly": "1.0"}


@needs_uv
@pytest.mark.usefixtures("index")
def test_the_tests_of_a_package_are_its_source_and_what_is_not_there_yet() -> None:
    there = Pin("lib", "1.0", None, (B,), "lib-1.0.whl", "lib-1.0.whl")
    source = Pin("app", "1.0", 'sys_platform == "linux"', (A,), "app-1.0.tar.gz", "", 9, 0)
    assert resolve.resolve_suite("app==1.0", [], PYTHON, [there], {}) == (source,)
    (_, more) = resolve.resolve_suite("app==1.0", ["lib"], PYTHON, [], {})
    assert (more.name, more.version, more.windows) == ("lib", "2.0", "")


@needs_uv
@pytest.mark.usefixtures("index")
def test_resolve_says_why_nothing_fits() -> None:
    with pytest.raises(DataError, match="no set of versions fits") as caught:
        resolve.resolve(["app", "lib<1"], PYTHON, {})
    assert "lib<1" in caught.value.why


@needs_uv
def test_an_index_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        # Bound but not listening: every connection is refused, and nobody else can take the port.
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{taken.getsockname()[1]}/simple")
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        with pytest.raises(SourceError, match="cannot be reached"):
            resolve.resolve(["app"], PYTHON, {})

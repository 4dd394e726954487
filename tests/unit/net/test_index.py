"""A file of a known name is found on the index that the host's pip would ask, and nothing secret is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from gpuenv.core import signals
from gpuenv.core.errors import SourceError
from gpuenv.net import download, index, questions
from gpuenv.net.pip_settings import PipSettings, load_pip_settings
from tiny.loopback import Handler, serving

NAME = "some_Gpu-1.0-cp36-cp36m-manylinux1_x86_64.whl"
SHA256 = "a" * 64
PAGE = "/simple/some-gpu/"
JSON, HTML = "application/vnd.pypi.simple.v1+json", "text/html"


class Served:
    """What a server has by path (with the host, where it is a proxy), and who asked with which login."""

    def __init__(self) -> None:
        self.url = ""
        self.pages: dict[str, tuple[str, str]] = {}
        self.asked: list[tuple[str, str | None]] = []


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server that is the index of this host's pip."""
    served = Served()

    class Answers(Handler):
        def answer(self) -> None:
            served.asked.append((self.path, self.headers["Authorization"]))
            if self.path not in served.pages:
                self.send_error(404)
                return
            kind, text = served.pages[self.path]
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with serving(Answers) as served.url:
        monkeypatch.setenv("PIP_INDEX_URL", f"{served.url}/simple/")
        yield served


def as_json(url: str, sha256: str = SHA256, **more: object) -> tuple[str, str]:
    file = {"filename": NAME, "url": url, "hashes": {"sha256": sha256}, "size": 3, **more}
    return JSON, json.dumps({"meta": {"api-version": "1.1"}, "files": [{"filename": "b", "url": "b"}, file]})


def as_html(url: str, more: str = "", head: str = "") -> tuple[str, str]:
    return HTML, f'<html><head>{head}</head><a href="b">b</a><a name="x">x</a><a {more} href="{url}">{NAME}</a></html>'


@pytest.mark.parametrize(
    "page",
    [
        as_json(f"../../files/{NAME}"),
        as_json(f"/files/{NAME}"),
        as_json(f"/files/{NAME}#sha256={SHA256}", SHA256.upper()),
        as_html(f"../../files/{NAME}#sha256={SHA256}"),
        as_html(f"/files/{NAME}"),
        as_html(f"/files/{NAME}#md5=0"),
        as_html(NAME, head='<base href="/files/">'),
        as_html(f"/files/{NAME.replace('_', '%5F')}"),
    ],
)
def test_a_file_is_found_in_every_form_of_a_page(served: Served, page: tuple[str, str]) -> None:
    served.pages[PAGE] = page
    assert index.find(NAME, SHA256).replace("%5F", "_") == f"{served.url}/files/{NAME}"
    assert served.asked == [(PAGE, None)]


@pytest.mark.parametrize("where", ["the address", "netrc"])
def test_the_login_of_the_index_is_used_on_its_host_only(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    host = served.url.removeprefix("http://")
    login = "me:secret@" if where == "the address" else ""
    if where == "netrc":
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("PIP_INDEX_URL", f"http://{login}{host}/simple")
    basic = f"Basic {b64encode(b'me:secret').decode()}"
    for url in (f"../../files/{NAME}", f"{served.url}/files/{NAME}"):
        served.pages[PAGE] = as_json(url)
        assert index.find(NAME, SHA256) == f"http://{login}{host}/files/{NAME}"
    assert served.asked == [(PAGE, basic)] * 2
    served.pages[PAGE] = as_json(f"http://other.invalid/{NAME}")
    assert index.find(NAME, SHA256) == f"http://other.invalid/{NAME}"


def test_each_index_is_asked_in_its_turn(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"{served.url}/empty {served.url}/other {served.url}/right")
    served.pages["/other/some-gpu/"] = as_json(f"/other/{NAME}", "b" * 64)
    served.pages["/right/some-gpu/"] = as_json(f"/right/{NAME}")
    assert index.find(NAME, SHA256) == f"{served.url}/right/{NAME}"
    assert [path for path, _ in served.asked] == [f"/{name}/some-gpu/" for name in ("empty", "other", "right")]


def test_proxy_of_pip_is_the_way_to_the_index_and_to_the_file(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://index.invalid/simple")
    monkeypatch.setenv("PIP_PROXY", served.url)
    served.pages["http://index.invalid/simple/some-gpu/"] = as_json(f"http://files.invalid/{NAME}")
    served.pages[f"http://files.invalid/{NAME}"] = ("application/zip", "content")
    assert not index.fetch(NAME, SHA256, tmp_path / "part", "trying it", 100)
    assert (tmp_path / "part").read_text() == "content"
    assert ask(load_pip_settings()) == [None]


def test_certificates_of_pip_come_first(tmp_path: Path) -> None:
    asked = index.questions(NAME, SHA256, PipSettings("https://i.invalid", cert=tmp_path), verify=True)
    assert [one.verify for one in asked] == [str(tmp_path)]
    assert download._access(PipSettings(cert=tmp_path))["verify"] == str(tmp_path)


UNUSABLE = [
    (as_json(f"/files/{NAME}", "b" * 64), f"its page tells the sha256 {'b' * 64} for {NAME}, expected {SHA256}"),
    (as_html(f"/files/{NAME}#sha256={'b' * 64}"), f"its page tells the sha256 {'b' * 64} for {NAME}"),
    (as_html("/files/other.whl"), f"its page lists no {NAME}"),
    ((HTML, "please log in"), f"its page lists no {NAME}"),
    ((JSON, "{"), "its page cannot be read"),
    ((JSON, '{"files": [{"filename": 1}]}'), "its page cannot be read"),
    ((JSON, "[" * 100_000), "its page cannot be read"),
    ((HTML, '<a href="http://[x">x</a>'), "its page cannot be read"),
    (as_json("file:///etc/passwd"), f"its page gives {NAME} the address file:///etc/passwd"),
    (as_json("http://[x"), f"its page gives {NAME} no address"),
]


@pytest.mark.parametrize(("page", "why"), UNUSABLE)
def test_a_page_that_does_not_have_it_is_told(
    served: Served, monkeypatch: pytest.MonkeyPatch, page: tuple[str, str], why: str
) -> None:
    served.pages[PAGE] = page
    monkeypatch.setenv("PIP_INDEX_URL", f"{served.url.replace('//', '//me:secret@')}/simple")
    with pytest.raises(SourceError, match=f"{NAME} was not found on the package index") as error:
        index.find(NAME, SHA256)
    assert f"{served.url}{PAGE}: {why}" in error.value.why
    assert "secret" not in str(error.value)
    assert "SOURCES_DIR=" in error.value.next_step
    (problem,) = ask(load_pip_settings())
    assert why in (problem or "")


def ask(settings: PipSettings) -> list[str | None]:
    """The problems of all indexes."""
    asked = index.questions(NAME, SHA256, settings, verify=True)
    assert all(one.url.endswith(f"/some-gpu/#{NAME}") for one in asked)
    assert "secret" not in repr([one.name for one in asked])
    return [one.problem for one in questions.ask_all(asked).values()]


def test_indexes_that_are_not_there(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "http://me:secret@127.0.0.1:1/simple")
    with pytest.raises(SourceError, match=NAME) as error:
        index.find(NAME, SHA256)
    told = f"{served.url}{PAGE}: HTTP status 404; http://127.0.0.1:1{PAGE}: no connection"
    assert error.value.why == told
    assert ask(load_pip_settings()) == ["HTTP status 404", "no connection (Connection refused)"]


def test_of_several_files_under_the_name_the_right_one_is_taken(served: Served) -> None:
    files = [{"filename": NAME, "url": f"/{one}/{NAME}", "hashes": {"sha256": one * 64}} for one in "cab"]
    served.pages[PAGE] = (JSON, json.dumps({"files": files}))
    assert index.find(NAME, SHA256) == f"{served.url}/a/{NAME}"


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (as_json("a", yanked="broken, sorry"), f"{NAME} was yanked from the package index (broken, sorry); it is used"),
        (as_json("a", yanked=True), f"{NAME} was yanked from the package index; it is used"),
        (as_html(f"/{NAME}", 'data-yanked="broken"'), "(broken); it is used if its sha256 is right"),
        (as_html(f"/{NAME}", "data-yanked"), "index; it is used"),
        (as_html(f"/{NAME}"), ""),
    ],
)
def test_what_was_yanked_is_found_with_a_warning(
    served: Served, capsys: pytest.CaptureFixture[str], page: tuple[str, str], told: str
) -> None:
    served.pages[PAGE] = page
    assert index.find(NAME, SHA256)
    said = " ".join(capsys.readouterr().err.split())
    assert told in said
    assert bool(told) == bool(said)
    assert ask(load_pip_settings()) == [None]


def test_the_html_form_of_an_index_tells_which_python_a_file_is_for(served: Served) -> None:
    served.pages[PAGE] = as_html("x-1.0.tar.gz#sha256=aa", 'data-requires-python="&gt;=2.7,!=3.6.*"')
    other, file = index.files_of(download.ask_index(served.url + PAGE, "x"))
    assert file == index.File("x-1.0.tar.gz", "x-1.0.tar.gz#sha256=aa", {"sha256": "aa"}, ">=2.7,!=3.6.*")
    assert other.requires_python is None


def test_without_any_index_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setattr(index, "default_index", lambda: None)
    with pytest.raises(SourceError, match=NAME) as error:
        index.find(NAME, SHA256)
    assert "no pip here that knows the public one" in error.value.why
    monkeypatch.setenv("PIP_INDEX_URL", "file:///srv/index")
    with pytest.raises(SourceError, match=NAME) as error:
        index.find(NAME, SHA256)
    assert "no address of http or https" in error.value.why


def test_where_pip_asks_no_index_none_is_asked(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    served.pages[PAGE] = as_json(NAME)
    monkeypatch.setenv("PIP_NO_INDEX", "true")
    with pytest.raises(SourceError, match=NAME) as error:
        index.find(NAME, SHA256)
    assert "pip's settings forbid to ask an index (no-index); SOURCES_DIR=" in error.value.why
    assert error.value.next_step.startswith("let pip ask one: PIP_NO_INDEX=0, or a folder")
    assert ask(load_pip_settings()) == []
    assert served.asked == []
    monkeypatch.setenv("PIP_NO_INDEX", "Off")
    assert index.find(NAME, SHA256) == f"{served.url}{PAGE}{NAME}"


def test_the_public_index_is_the_one_of_a_pip_that_is_installed_or_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    known = index.default_index()
    assert known is not None
    assert known.startswith("https://")
    monkeypatch.setitem(sys.modules, "pip._internal.models.index", None)
    index.default_index.cache_clear()
    assert index.default_index() == known
    asked = []

    def ask(argv: Sequence[str], timeout_s: float, **_: object) -> None:
        asked.append(argv[0])
        raise FileNotFoundError if len(asked) == 1 else subprocess.TimeoutExpired("python3", timeout_s)

    monkeypatch.setattr(signals, "ask", ask)
    assert index.default_index() == known
    index.default_index.cache_clear()
    assert index.default_index() is None
    assert index.default_index() is None
    assert asked == [sys.executable, "python3"]

"""What is downloaded has an end; the index is asked as the host's pip would ask it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gpuenv.core.errors import SourceError
from gpuenv.net import download
from gpuenv.net.pip_settings import PipSettings
from tiny.loopback import Handler, serving


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://i.invalid/simple/x/", "https://me:secret@i.invalid/simple/x/"),
        ("https://i.invalid/f/x.tar.gz", "https://me:secret@i.invalid/f/x.tar.gz"),
        ("https://i.invalid/second/x/", "https://you:s2@i.invalid/second/x/"),
        ("https://other.invalid/x.tar.gz", "https://other.invalid/x.tar.gz"),
        ("http://i.invalid/f/x.tar.gz", "http://i.invalid/f/x.tar.gz"),
    ],
)
def test_the_login_of_an_index_is_used_on_its_host_only(url: str, asked: str) -> None:
    more = ("https://you:s2@i.invalid/second", "https://i.invalid/third")
    settings = PipSettings(index_url="https://me:secret@i.invalid/simple/", extra_index_urls=more)
    assert download.with_login(url, settings) == asked


def test_an_index_that_does_not_answer_is_told() -> None:
    with pytest.raises(SourceError, match="x is not known") as caught:
        download.ask_index("http://127.0.0.1:9/simple/x/", "x is not known")
    assert "PIP_INDEX_URL" in caught.value.next_step


class Endless(Handler):
    """A server that answers by what is in the address."""

    def answer(self) -> None:
        self.send_response(200)
        if self.path == "/announced":
            self.send_header("Content-Length", str(1 << 40))
        if self.path == "/packed":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        with suppress(OSError):
            if self.path == "/packed":
                self.wfile.write(gzip.compress(bytes(3 << 20)))
            while self.path == "/endless":
                self.wfile.write(bytes(1 << 16))
            while self.path == "/drip":
                self.wfile.write(b"x")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    with serving(Endless) as address:
        yield address


@pytest.mark.parametrize("how", ["endless", "announced"])
def test_nothing_stays_of_what_is_too_long(server: str, tmp_path: Path, how: str) -> None:
    part = tmp_path / "a.part"
    with pytest.raises(SourceError, match="yields more than the 1000000 bytes that were expected"):
        download.fetch(f"{server}/{how}", part, "trying it", 1_000_000)
    assert not part.exists()


def test_what_comes_too_slowly_is_given_up_and_kept(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(download, "SLOW_S", 0.01)
    monkeypatch.setattr(download, "SLOWEST_BYTES_S", 1 << 40)
    part = tmp_path / "a.part"
    with pytest.raises(SourceError, match="did not yield it") as error:
        download.fetch(f"{server}/drip", part, "trying it", 1 << 40)
    assert "it came more slowly than" in error.value.why
    assert "trying again" in capsys.readouterr().err
    assert part.stat().st_size > 0


@pytest.mark.parametrize("how", ["endless", "packed"])
def test_an_index_that_does_not_end_is_told(server: str, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(download, "INDEX_LIMIT_BYTES", 1_000_000)
    with pytest.raises(SourceError, match="yields more than"):
        download.ask_index(f"{server}/{how}", "x is not known")


def test_a_page_of_the_index_has_narrower_bounds(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAGE_LIMIT_BYTES", 1_000_000)
    with pytest.raises(SourceError, match="yields more than the 1000000 bytes"):
        download.ask_index(f"{server}/endless", "x is not known", download.PAGE)
    monkeypatch.setattr(download, "_PAGE_S", 0.01)
    with pytest.raises(SourceError, match="x is not known") as error:
        download.ask_index(f"{server}/drip", "x is not known", download.PAGE)
    assert error.value.why == "no answer in time"


def test_no_login_is_told_with_a_download_that_fails(tmp_path: Path, server: str) -> None:
    address = server.replace("//", "//me:secret@")
    for url in (address.replace(server.rpartition(":")[2], "1"), f"{address}/endless"):
        with pytest.raises(SourceError) as error:
            download.fetch(url, tmp_path / "a.part", "trying it", 1_000_000)
        assert "127.0.0.1" in error.value.what
        assert "secret" not in str(error.value)


def test_an_answer_of_the_index_is_unpacked(server: str) -> None:
    assert download.ask_index(f"{server}/packed", "x is not known").content == bytes(3 << 20)

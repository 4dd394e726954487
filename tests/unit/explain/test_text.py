"""Logs of any origin become the lines that somebody has seen."""

from __future__ import annotations

import io
import os
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpuenv.core.errors import UsageError
from gpuenv.explain import text
from gpuenv.explain.text import LINE_BYTES, PIECE_BYTES, open_pieces, read_pieces

TEXT = "first\n오류: ImportError\nlast\n"


def read(data: bytes, size: int = PIECE_BYTES) -> bytes:
    return b"".join(read_pieces((data[start : start + size] for start in range(0, len(data), size)), "it"))


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"], ids=lambda encoding: encoding
)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("size", [64, PIECE_BYTES])
def test_encodings_and_ends_of_lines(encoding: str, end: str, size: int) -> None:
    # Longer than the smallest piece, so that a character may stand on its border.
    text = "the log begins here, and in English\n" * 9 + TEXT
    assert read(text.replace("\n", end).encode(encoding), size).decode() == text


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        (b"\x1b[1;31mError\x1b[0m: no\n", b"Error: no\n"),
        (b"\x1b]0;title\x07Error\x1b[K\n", b"Error\n"),
        (rb'"\u001b[0;31mImportError\u001b[0m: no"' + b"\n", b'"ImportError: no"\n'),
        (b" 10%\r 50%\r100%\n", b"100%\n"),
        (b" 10%\r 50%\r\r\n", b" 50%\n"),
        (b" 10%\rError: no\nnext\n", b"Error: no\nnext\n"),
        (b"no end", b"no end\n"),
        ("지정된 모듈 WinError 126\n".encode("cp949"), "지정된 모듈 WinError 126\n".encode()),
        (b"caf\xe9 \x81 \xff\xfe\n", b"caf\xe9 \x81 \xff\xfe\n"),
    ],
)
def test_what_a_terminal_shows_is_left(raw: bytes, seen: bytes) -> None:
    assert read(raw) == seen


def test_utf_16_behind_a_log_in_ascii_as_powershell_appends_it() -> None:
    first = b"plain\n" * PIECE_BYTES
    assert read(first + "ImportError: no\n".encode("utf-16-le")).endswith(b"plain\nImportError: no\n")


def test_a_long_line_is_cut_and_nothing_is_lost() -> None:
    seen = read(b"a" * (3 * PIECE_BYTES) + b"\nnext\n")
    assert max(map(len, seen.split())) <= LINE_BYTES
    assert seen.count(b"a") == 3 * PIECE_BYTES
    assert seen.endswith(b"a\nnext\n")


def test_a_progress_bar_without_end_takes_no_memory() -> None:
    def bar() -> Iterator[bytes]:
        for number in range(160):
            yield (b"%9d%%\r" % number) * (PIECE_BYTES // 11)
        yield b"ImportError: no\n"

    tracemalloc.start()
    seen = b"".join(read_pieces(bar(), "it"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen == b"ImportError: no\n"
    assert peak < 20 * PIECE_BYTES


@pytest.mark.parametrize("data", [b"", b"\n \n\r\n", "\n".encode("utf-16")])
def test_an_empty_log_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError, match="it is empty"):
        read(data)


@pytest.mark.parametrize("data", [b"\x7fELF\x02\x01\x01\0\0\0\0\0\0", b"PK\x03\x04\0\0" + bytes(99), bytes(4096)])
def test_what_is_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError, match="it is no text"):
        read(data)


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    for path, told in (
        (tmp_path, "is a folder"),
        (tmp_path / "no", "cannot be read"),
        (tmp_path / ("long" * 99), "cannot be read"),
        ("~no-such-user/log", "cannot be read"),
        ("a\0b", "cannot be read"),
        ("/proc/self/mem", "cannot be read"),
    ):
        with pytest.raises(UsageError, match=told), open_pieces(str(path)) as pieces:
            list(pieces)


@pytest.mark.parametrize("name", [None, "-"])
def test_standard_input(monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\n")))
    with open_pieces(name) as pieces:
        assert list(pieces) == [b"one\n"]


def test_a_closed_standard_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="is closed"), open_pieces("-"):
        pass


def test_a_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"one\ntwo\n")
    os.close(writing)
    with open_pieces(f"/dev/fd/{reading}") as pieces:
        assert b"".join(pieces) == b"one\ntwo\n"
    os.close(reading)


def test_a_big_file_shows_how_far_the_reading_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "SHOWN_BYTES", 1)
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: True, write=written.write, flush=lambda: None))
    (tmp_path / "log").write_text("one\n")
    with open_pieces(str(tmp_path / "log")) as pieces:
        assert list(pieces) == [b"one\n"]
    assert "reading log" in written.getvalue()


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b"[0;31mImportError[0m: no", b"ImportError: no"),
        (b"^[[0;31mImportError^[[0m: no", b"ImportError: no"),
        (b"\\x1b[1;34mf\\x1b[0m[0]", b"f[0]"),
        (b"shape[0] of x[10m", b"shape[0] of x[10m"),
        (
            b'<span class="ansi-red-fg">ImportError</span>: find &#39;a.dll&#39; &lt;b&gt;',
            b"ImportError: find 'a.dll' <b>",
        ),
        (b"a < b, <spanish> &lt;", b"a < b, <spanish> &lt;"),
    ],
)
def test_what_web_pages_make_of_a_terminal(data: bytes, seen: bytes) -> None:
    assert text.clean(data + b"\n") == seen + b"\n"


def test_what_docker_puts_before_each_line_is_gone() -> None:
    assert text.clean(b"#8 30.15 \n#8 30.15   - cudnn=7.6\n#8 DONE 1.0s\n") == b"\n  - cudnn=7.6\n#8 DONE 1.0s\n"
    assert text.clean(b"web_1  |   File\napp-10 | x | y\na | b_1 | c\n") == b"  File\nx | y\na | b_1 | c\n"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_and_mostly_korean(encoding: str) -> None:
    text = "지정된 모듈을 찾을 수 없습니다 그리고 관가 나라의 줄입니다\n" * 9
    assert read(text.encode(encoding), PIECE_BYTES) == text.encode()


def test_a_named_pipe_is_told_before_it_is_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Open on both sides, so nobody waits.
    both = os.open(pipe, os.O_RDWR)
    with open_pieces(str(pipe)):
        os.close(both)
    assert f"{pipe} is a pipe" in capsys.readouterr().err

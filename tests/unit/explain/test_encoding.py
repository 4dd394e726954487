"""Logs are read as what they are: UTF-8, UTF-16, and what the consoles of Windows write."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from gpuenv import cli
from gpuenv.core.errors import UsageError
from gpuenv.explain.encoding import guess_encoding
from gpuenv.explain.text import PIECE_BYTES, read_pieces

TRACEBACK = 'Traceback (most recent call last):\n  File "train.py", line 3, in <module>\n    import tensorflow as tf\n'
#: What Windows says, by the encoding of its console.
SAID = {
    "cp949": [
        "ImportError: DLL load failed: 지정된 모듈을 찾을 수 없습니다.",
        "[WinError 193] %1은(는) 올바른 Win32 응용 프로그램이 아닙니다",
        r"  File C:\Users\홍길동\바탕 화면\x.py",
        "[WinError 5] 액세스가 거부되었습니다",
        "'nvcc'은(는) 내부 또는 외부 명령, 실행할 수 있는 프로그램, 또는\n배치 파일이 아닙니다.",
        "디스크 공간이 부족합니다.",
        "로그",
    ],
    "cp932": [
        "ImportError: DLL load failed: 指定されたモジュールが見つかりません。",
        "[WinError 193] %1 は有効な Win32 アプリケーションではありません。",
        r"  File C:\Users\田中\デスクトップ\x.py",
        "[WinError 5] アクセスが拒否されました。",
        "'nvcc' は、内部コマンドまたは外部コマンド、\n操作可能なプログラムまたはバッチ ファイルです。",
        "エラー",
    ],
    "gbk": [
        "ImportError: DLL load failed: 找不到指定的模块。",
        "[WinError 193] %1 不是有效的 Win32 应用程序。",
        r"  File C:\Users\张三\桌面\x.py",
        "[WinError 5] 拒绝访问。",
        "'nvcc' 不是内部或外部命令\uff0c也不是可运行的程序\n或批处理文件。",
        "磁盘空间不足。",
    ],
    "big5": ["ImportError: DLL load failed: 找不到指定的模組。", "[WinError 5] 存取被拒。"],
    "cp1252": ["ImportError: DLL load failed: Le module spécifié est introuvable.", "Zugriff verweigert: Müller"],
}


def read(data: bytes, size: int = PIECE_BYTES) -> str:
    return b"".join(read_pieces((data[start : start + size] for start in range(0, len(data), size)), "it")).decode()


@pytest.mark.parametrize("encoding", SAID)
def test_one_message_in_a_log_is_enough(encoding: str) -> None:
    for said in SAID[encoding]:
        assert read(f"{TRACEBACK}{said}\n".encode(encoding)) == f"{TRACEBACK}{said}\n"


@pytest.mark.parametrize("encoding", SAID)
@pytest.mark.parametrize("size", [50, PIECE_BYTES])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_a_whole_log(encoding: str, size: int, end: str) -> None:
    text = "".join(f"{TRACEBACK}{said}\n" for said in SAID[encoding]) * 20
    assert read(text.replace("\n", end).encode(encoding), size) == text


@pytest.mark.parametrize("encoding", SAID)
def test_at_the_end_of_a_long_log_in_ascii(encoding: str) -> None:
    text = "step 1 loss: 0.25\n" * 20_000 + f"{SAID[encoding][0]}\n"
    assert read(text.encode(encoding)) == text


def test_a_character_on_the_border_of_two_pieces() -> None:
    text = f"{SAID['cp949'][0]}\n" * 40
    for size in (61, 62, 63):
        assert read(text.encode("cp949"), size) == text


def test_utf_8_between_lines_of_a_console_stays() -> None:
    said, own = f"{SAID['cp949'][0]}\n".encode("cp949"), "학습을 시작합니다: epoch 1\n"
    assert read((own.encode() + said) * 5) == (own + f"{SAID['cp949'][0]}\n") * 5


def test_damaged_utf_8_is_no_other_encoding() -> None:
    whole = "지정된 모듈을 찾을 수 없습니다. 학습을 시작합니다\n".encode()
    assert b"".join(read_pieces([whole[1:] + whole], "it")) == whole[1:] + whole


def test_a_broken_line_hides_no_other() -> None:
    said = SAID["cp949"][0]
    seen = b"".join(read_pieces([b"\xff\xff \x80\xff\n" + f"{said}\n".encode("cp949")], "it"))
    assert seen.decode("utf-8", "replace").endswith(f"\n{said}\n")


def test_bytes_in_no_encoding_stay() -> None:
    assert guess_encoding([b"\x81 \xff\xfe\x81", b"\xff\x81"]) is None
    assert b"".join(read_pieces([b"\x81 \xff\xfe\x81\n"], "it")) == b"\x81 \xff\xfe\x81\n"


def test_few_characters_of_another_script_are_borne() -> None:
    korean = [f"{said} 日".encode("cp949") for said in SAID["cp949"]]
    assert guess_encoding(korean) == "cp949"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
def test_utf_16_of_every_console(encoding: str) -> None:
    for said in (text for texts in SAID.values() for text in texts):
        assert read((TRACEBACK + said + "\n").encode(encoding)) == f"{TRACEBACK}{said}\n"


def test_a_picture_is_still_no_text() -> None:
    with pytest.raises(UsageError, match="it is no text"):
        read(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xc0" * 9)


CUDART = (
    "C:\\Users\\{name}\\train.py:3\n{said}\n"
    "ImportError: Could not find 'cudart64_100.dll'. TensorFlow requires that this DLL be installed in a directory "
    "that is named in your %PATH% environment variable. Download and install CUDA 10.0 from this URL: "
    "https://developer.nvidia.com/cuda-90-download-archive\n{said}\n"
)


@pytest.mark.parametrize(
    "case",
    [
        ("cp949", "홍길동", "오류가 발생했습니다: 지정된 모듈을 찾을 수 없습니다."),
        ("cp932", "田中", "エラーが発生しました: 指定されたモジュールが見つかりません。"),
        ("gbk", "张三", "发生错误: 找不到指定的模块。"),
        ("utf-16-le", "홍길동", "지정된 모듈을 찾을 수 없습니다."),
        ("utf-16-be", "홍길동", "지정된 모듈을 찾을 수 없습니다."),
    ],
    ids=lambda case: case[0],
)
def test_the_missing_cudart_amid_words_of_the_country(
    case: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoding, name, said = case
    data = CUDART.format(name=name, said=said).encode(encoding)
    path = tmp_path / "log.txt"
    path.write_bytes(data)
    for argv in ([str(path)], ["--log", str(path)], ["-"], []):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert cli.main(["explain", "--json", *argv]) == 0
        (cause, *_) = json.loads(capsys.readouterr().out)["causes"]
        assert "CUDA 10.0" in cause["cause"]
        assert any("cudart64_100.dll" in line for line in cause["evidence"])


def test_the_lines_shown_of_an_unknown_failure_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.txt").write_bytes("MyOwnError: 그런 것은 없습니다 - 치명적 오류\n".encode("cp949"))
    assert cli.main(["explain", str(tmp_path / "log.txt")]) == 3
    assert "MyOwnError: 그런 것은 없습니다 - 치명적 오류" in capsys.readouterr().out

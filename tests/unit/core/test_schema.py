"""What is not as a file's fields say is refused by file and key, with what was expected there."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path
from typing import Annotated, Literal, Optional

import pytest
from msgspec import Meta, field

from gpuenv.core import paths
from gpuenv.core.errors import DataError
from gpuenv.core.schema import Count, Data, Text, Version, load


class Part(Data, frozen=True):
    version: Version
    kind: Literal["tar", "zip"] = "tar"
    words: dict[str, Text] = field(default_factory=dict)


class Whole(Data, frozen=True):
    parts: Annotated[tuple[Part, ...], Meta(min_length=1)] = field(name="part")
    folder: Path
    is_default: bool = field(name="default", default=False)
    names: tuple[Text, ...] = ()
    size: Optional[Count] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.parts) > 2:
            raise ValueError("part: expected two at most")


PART = '[[part]]\nversion = "1.0"\n'


def read(folder: Path, text: str) -> Whole:
    (folder / "it.toml").write_text(text, encoding="utf-8")
    return load(folder / "it.toml", Whole, guide="docs/it.md", folder=folder)


def test_what_stands_there_and_what_was_given(tmp_path: Path) -> None:
    whole = read(tmp_path, f'default = true\nnames = ["a"]\nsize = 3\n{PART}')
    assert whole == Whole((Part("1.0"),), tmp_path, is_default=True, names=("a",), size=3)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "part: this key is missing; expected a non-empty array of tables"),
        ("part = []", "part: expected a non-empty array of tables, found []"),
        ("part = 1", "part: expected a non-empty array of tables, found 1"),
        ("[[part]]", "part[0].version: this key is missing; expected a dotted version such as"),
        (PART + "[[part]]\nversion = 2", "part[1].version: expected a string, found 2"),
        ('[[part]]\nversion = "1.0\\n"', "part[0].version: expected a dotted version such as \"10.0\", found '1.0\\n'"),
        (PART + 'kind = "rar"', "part[0].kind: expected one of tar, zip, found 'rar'"),
        (
            PART + 'kin = "zip"',
            "part[0].kin: this key is not known; known here: kind, version, words; did you mean kind?",
        ),
        (PART + "[part.words]\na = 'x'\nb = ''", "part[0].words.b: expected a non-empty string, found ''"),
        (PART + "[part.words]\na = 1", "part[0].words.a: expected a string, found 1"),
        (PART * 3, "part: expected two at most"),
        (f"default = 1\n{PART}", "default: expected true or false, found 1"),
        (f"size = 0\n{PART}", "size: expected a positive whole number, found 0"),
        (f"size = true\n{PART}", "size: expected a positive whole number, found True"),
        (f'names = ["a", "a"]\n{PART}', "names: expected an array without repetition, found ['a', 'a']"),
        (f'names = ["a", ""]\n{PART}', "names: expected a non-empty string, found ''"),
        (f'folder = "x"\n{PART}', "folder: this key is not known"),
        (f"colour = 1\n{PART}", "colour: this key is not known; known here: default, names, part, size"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "it.toml") in caught.value.what
    assert caught.value.why.startswith(why)
    assert "docs/it.md" in caught.value.next_step


def test_fields_are_written_as_python_3_9_reads_them() -> None:
    """msgspec evaluates them when it first reads a file, and ``X | None`` fails there."""
    classes = [
        (path.name, node)
        for path in (paths.project_root() / "src").rglob("*.py")
        if re.search(r"\b(Struct|Data)\b", text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef) and {"Struct", "msgspec.Struct", "Data"} & set(map(ast.unparse, node.bases))
    ]
    assert {"CondaLock", "Source", "Mark", "Daemon"} <= {node.name for _, node in classes}
    fields = [
        (file, node.name, ast.unparse(field))
        for file, node in classes
        for field in node.body
        if isinstance(field, ast.AnnAssign)
        if any(isinstance(part, ast.BinOp) for part in ast.walk(field.annotation))
    ]
    assert fields == []


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("size = " + "[\n" * 10_000, "recursion"),
        ("size = " + "1" * 5_000, "a line of more than 1000 characters"),
        ("a." * 1_000 + "b = 1", "a line of more than 1000 characters"),
        ("# a comment\n" * 30_000, "more than 250000 bytes"),
        ("size = [[" + "[" * 200 + "]" * 200 + "]]", "size: expected"),
    ],
)
def test_what_was_made_to_be_slow_is_told_as_any_mistake(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(DataError) as error:
        read(tmp_path, f"{PART}{text}\n" if text[0] != "s" else f"{text}\n{PART}")
    assert why in error.value.why


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "device", "sparse"])
def test_only_a_file_that_has_an_end_is_read(tmp_path: Path, kind: str) -> None:
    path = Path("/dev/zero") if kind == "device" else tmp_path / "it.toml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "sparse":
        with path.open("wb") as stream:
            stream.truncate(3 << 30)
    with pytest.raises(DataError) as error:
        load(path, Part)
    assert ("more than" if kind == "sparse" else "it is no file") in error.value.why

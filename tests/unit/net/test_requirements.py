"""A user's requirements file, read for a build that sees nothing of this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from gpuenv.core.errors import UsageError
from gpuenv.core.settings import Settings
from gpuenv.net import requirements


def load(folder: Path, text: str) -> requirements.Requirements:
    path = folder / "requirements.txt"
    path.write_text(text)
    return requirements.load(path)


def test_what_pip_reads_reaches_it_as_it_was_written(tmp_path: Path) -> None:
    lines = [
        "Flask[async]>=1 ; python_version < '3.7'",
        "six==1.16.0 --hash=sha256:ab --hash=sha256:cd",
        "thing @ https://host/a/b.zip#egg=thing",
        "https://host/a/c-1.0-py3-none-any.whl",
        "--index-url https://me:${TOKEN}@host/simple",
        "--extra-index-url=https://host/more",
        "--no-binary :all:",
        "--require-hashes",
        "-r https://host/others.txt",
        "-f https://host/links",
    ]
    found = load(tmp_path, "# first\n" + "\n".join(f"{line}  # why" for line in lines))
    assert found.texts["main.txt"].splitlines() == ["", *lines]
    assert (found.files, found.name) == ({}, "requirements.txt")


def test_lines_that_go_on_are_one(tmp_path: Path) -> None:
    assert load(tmp_path, "six==1.0 \\\n    --hash=sha256:ab\n").texts["main.txt"] == "six==1.0      --hash=sha256:ab\n"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("# hello \\\nrequests\nsix\n", ["", "requests", "six"]),
        ("six \\\n  # why \\\nrequests\n", ["six", "requests"]),
        ("six \\\r\n>=1\r\n", ["six  >=1"]),
    ],
)
def test_a_comment_goes_on_nowhere(tmp_path: Path, text: str, lines: list[str]) -> None:
    assert load(tmp_path, text).texts["main.txt"].splitlines() == lines


@pytest.mark.parametrize(
    ("line", "inside"),
    [
        ('./x+1.whl;python_version>"3"', '/run/added/0/x+1.whl;python_version>"3"'),
        ("x[fast] @ file:x+1.whl", "x[fast] @ file:///run/added/0/x%2B1.whl"),
        ('x @ ${D}/x+1.whl ; python_version>"3"', 'x @ file:///run/added/0/x%2B1.whl ; python_version>"3"'),
        ("-f ${D}", "-f /run/added/links-0"),
        ("-f https://${D}/", "-f https://${D}/"),
    ],
)
def test_the_copy_is_named_as_pip_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, inside: str
) -> None:
    (tmp_path / "x+1.whl").touch()
    monkeypatch.setenv("D", str(tmp_path))
    assert load(tmp_path, line).texts["main.txt"] == f"{inside}\n"


def test_what_it_names_is_taken_along(tmp_path: Path) -> None:
    (tmp_path / "more" / "wheels").mkdir(parents=True)
    for name in ("a-1-py3-none-any.whl", "b-1.tar.gz", "more/c-1.zip", "more/wheels/d-1-py3-none-any.whl"):
        (tmp_path / name).write_text(name)
    (tmp_path / "more" / "wheels" / "notes.md").write_text("not for pip")
    (tmp_path / "more" / "other.txt").write_text('./c-1.zip\n-c "../my bounds.txt"\n-r ../requirements.txt\n')
    (tmp_path / "my bounds.txt").write_text("six<2\n")
    found = load(
        tmp_path,
        "-r more/other.txt\n"
        "a-1-py3-none-any.whl[fast] ; python_version < '4'\n"
        f"b @ file://{tmp_path}/b-1.tar.gz --hash=sha256:ab\n"
        "--find-links=more/wheels --no-index\n"
        "--constraint 'my bounds.txt'\n",
    )
    assert {name: text.splitlines() for name, text in found.texts.items()} == {
        "main.txt": [
            "-r /run/added/1.txt",
            "/run/added/1/a-1-py3-none-any.whl[fast] ; python_version < '4'",
            "b @ file:///run/added/2/b-1.tar.gz --hash=sha256:ab",
            "--find-links=/run/added/links-3 --no-index",
            "--constraint /run/added/2.txt",
        ],
        "1.txt": ["/run/added/0/c-1.zip", "-c /run/added/2.txt", "-r /run/added/main.txt"],
        "2.txt": ["six<2"],
    }
    found.write(tmp_path / "more")
    assert (tmp_path / "more" / "links-3" / "d-1-py3-none-any.whl").read_text() == "more/wheels/d-1-py3-none-any.whl"
    assert set(found.files) == {
        "0/c-1.zip", "1/a-1-py3-none-any.whl", "2/b-1.tar.gz", "links-3/d-1-py3-none-any.whl",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "complaint", "remedy"),
    [
        ("-e .", "`-e .` leads to a folder", "PYTHONPATH"),
        ("--editable=./x", "leads to a folder", "PYTHONPATH"),
        ("git+https://host/a.git@main", "needs git", "archive"),
        ("a @ git+ssh://git@host/a.git", "needs git", "archive"),
        (".", ". is a folder", "pip wheel"),
        ("./sub[more]", "./sub is a folder", "pip wheel"),
        ("./none.whl", "there is no .*/none.whl", "correct that line"),
        ("none-1-py3-none-any.whl", "there is no", "correct that line"),
        ("-r none.txt", "there is no .*/none.txt", "correct that line"),
        ("-f none", "there is no .*/none", "correct that line"),
    ],
)
def test_what_a_build_cannot_have_is_refused(tmp_path: Path, line: str, complaint: str, remedy: str) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.raises(UsageError, match=r"ADD=.*requirements.txt cannot be used") as caught:
        load(tmp_path, f"six\n{line}\n")
    assert re.search(complaint, caught.value.why)
    assert remedy in caught.value.next_step


def test_encodings(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_text("six==1.16.0\r\n# 한글\r\n", encoding=encoding)
        assert requirements.load(path).texts["main.txt"].split() == ["six==1.16.0"]
    path.write_bytes(b"six\n\xb0\xa1\n")
    with pytest.raises(UsageError) as caught:
        requirements.load(path)
    assert "UTF-8" in caught.value.next_step


def test_names_are_utf8(tmp_path: Path) -> None:
    named = tmp_path / os.fsdecode(b"\xc7\xd1.txt")
    named.write_text("six\n")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / os.fsdecode(b"\xc7\xd1.zip")).touch()
    linking = tmp_path / "requirements.txt"
    linking.write_text("-f links\n")
    for path in (named, linking):
        with pytest.raises(UsageError, match=r"ADD is not UTF-8: b.\\xc7\\xd1") as caught:
            requirements.load(path)
        assert "rename that file" in caught.value.next_step


def test_a_file_of_condas_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        requirements.load(tmp_path / "environment.yml")
    assert "conda" in caught.value.why


def test_the_digest_is_that_of_all_content_and_of_the_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a-1-py3-none-any.whl").write_text("one")
    text = "--index-url https://${TOKEN}@host/\n./a-1-py3-none-any.whl\n"
    monkeypatch.setenv("TOKEN", "first")
    first = load(tmp_path, text)
    monkeypatch.setenv("TOKEN", "second")
    second = load(tmp_path, text)
    assert len({first.digest(), second.digest(), load(tmp_path, text + "six\n").digest()}) == 3
    assert second.digest() == load(tmp_path, text).digest()
    assert (first.variables, second.variables) == ({"TOKEN": "first"}, {"TOKEN": "second"})
    assert "second" not in repr(second)
    monkeypatch.setenv("TOKEN", "")
    assert load(tmp_path, text).variables == {}
    monkeypatch.setenv("TOKEN", "first")
    inside = tmp_path / "inside"
    inside.mkdir()
    second.write(inside)
    assert (inside / "main.txt").read_text().startswith("--index-url https://${TOKEN}@host/\n")
    before = first.digest()
    (tmp_path / "a-1-py3-none-any.whl").write_text("two")
    assert load(tmp_path, text).digest() != before


def test_the_work_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, here = tmp_path / "work", tmp_path / "here"
    for folder in (work, here):
        folder.mkdir()
        (folder / "both.txt").write_text("six\n")
    (here / "mine.txt").write_text("six\n")
    monkeypatch.chdir(here)

    def place(name: str) -> Path | None:
        return requirements.located(Settings(add=Path(name)), work).add

    assert place("both.txt") == work / "both.txt"
    assert place("mine.txt") == here / "mine.txt"
    assert place(str(here / "mine.txt")) == here / "mine.txt"
    assert requirements.located(Settings(), work) == Settings()
    with pytest.raises(UsageError) as caught:
        place("none.txt")
    assert str(work / "none.txt") in caught.value.why
    assert str(here / "none.txt") in caught.value.why
    (here / "mine.txt").write_text("-e .\n")
    with pytest.raises(UsageError, match="cannot be used"):
        place("mine.txt")


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("-r /dev/zero", "it is no file"),
        ("-r pipe", "it is no file"),
        ("-r large.txt", "more than .* bytes"),
        ("-r 0.txt", "more than 100 files"),
        ("./pipe.whl", "pipe.whl is no file"),
        ("-f pipe", "pipe is no file"),
        ("./large.whl\n./large2.whl", "more than .* bytes"),
        ("-r a\0b", "null"),
    ],
)
def test_what_has_no_end_is_told_at_once(tmp_path: Path, line: str, why: str) -> None:
    for name in ("pipe", "pipe.whl"):
        os.mkfifo(tmp_path / name)
    for name, size in (("large.txt", 1 << 33), ("large.whl", 1 << 34), ("large2.whl", 1 << 34)):
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(size)
    for number in range(102 if "0.txt" in line else 0):
        (tmp_path / f"{number}.txt").write_text(f"-r {number + 1}.txt\n")
    with pytest.raises(UsageError) as caught:
        load(tmp_path, f"{line}\n")
    assert re.search(why, caught.value.why)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("line", ["-x x{}y", "numpy{}y", "numpy{}", "a[{}y", "-f{}", "-x{}=", 'numpy ; "{}y'])
def test_a_line_of_spaces_takes_no_time(tmp_path: Path, line: str) -> None:
    line = line.format(" " * 60_000)
    assert load(tmp_path, f"{line}\n").texts["main.txt"].rstrip() == line.rstrip()


@pytest.mark.timeout(20)
def test_nor_does_one_of_many_options(tmp_path: Path) -> None:
    (tmp_path / "x y.txt").touch()
    line = "-r 'x y.txt' -c x y.txt --constraint=\"x y.txt\" --foo " * 1000
    found = load(tmp_path, f"{line}-r https://host/\"x 'y\n").texts["main.txt"]
    assert found.startswith("-r /run/added/1.txt -c /run/added/1.txt --constraint=/run/added/1.txt --foo -r")


def test_an_archive_that_is_exchanged_is_opened_as_a_file_only(tmp_path: Path) -> None:
    (tmp_path / "x.whl").touch()
    found = load(tmp_path, "./x.whl\n")
    (tmp_path / "x.whl").unlink()
    os.mkfifo(tmp_path / "x.whl")
    with pytest.raises(FileNotFoundError, match="it is no file"):
        found.digest()

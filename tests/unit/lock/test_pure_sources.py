"""What Windows builds from source needs no compiler."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpuenv.core.errors import DataError, SourceError
from gpuenv.lock import wheels
from gpuenv.lock.wheels import WINDOWS, Choice, wheel_tags
from gpuenv.net import download
from gpuenv.variants import locks
from gpuenv.variants import model as variants
from gpuenv.variants.kinds import FLAVORS


def make_source(path: Path, *names: str) -> Choice:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(f"x-1.0/{name}"))
    path.write_bytes(content.getvalue())
    digest = hashlib.sha256(content.getvalue()).hexdigest()
    return Choice("1.0", path.name, 1, frozenset({digest}), path.as_uri())


def test_wheels_and_pure_sources_pass(tmp_path: Path) -> None:
    wheel = Choice("1.0", "w-1.0-py3-none-any.whl", 1, frozenset())
    source = make_source(tmp_path / "x-1.0.tar.gz", "setup.py", "x/__init__.py", "README.c.txt")
    assert wheels.find_pure({"w": wheel, "x": source}) == {"x"}


@pytest.mark.parametrize("name", ["x/_speed.c", "x/fast.pyx", "src/lib.rs", "x/A.CPP"])
def test_a_source_with_code_to_compile_is_refused(tmp_path: Path, name: str) -> None:
    source = make_source(tmp_path / "x-1.0.tar.gz", "setup.py", name)
    with pytest.raises(DataError, match=r"x 1\.0 cannot be installed on Windows without a compiler") as caught:
        wheels.find_pure({"x": source})
    assert name in caught.value.why


def test_a_zip_is_read_too(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("x-1.0/x.pyx", "")
    assert wheels.compiled_files(content.getvalue(), "x-1.0.zip") == ["x-1.0/x.pyx"]


def test_another_file_than_the_indexs_is_refused(tmp_path: Path) -> None:
    source = make_source(tmp_path / "x-1.0.tar.gz", "setup.py")
    make_source(tmp_path / "x-1.0.tar.gz", "setup.py", "evil.py")
    with pytest.raises(SourceError, match=r"x-1\.0\.tar\.gz of x is another file"):
        wheels.find_pure({"x": source})


def test_a_damaged_file_is_told() -> None:
    with pytest.raises(SourceError, match=r"x-1\.0\.tar\.gz cannot be read\n  cause: (not a gzip|file could not)"):
        wheels.compiled_files(b"no archive", "x-1.0.tar.gz")


@pytest.mark.parametrize("name", variants.list_names())
def test_every_locked_package_installs_on_windows(name: str) -> None:
    """By the name of its wheel, or by the record that its source is pure."""
    variant = variants.find_variant(name)
    tags = {str(tag) for tag in wheel_tags(variant.python, WINDOWS)}
    for flavor in FLAVORS:
        for pin in locks.load_lock(variant.lock_path(flavor)).pins:
            assert pin.is_proved_for_windows, pin.name
            if pin.windows.endswith(".whl"):
                pythons, abis, systems = pin.windows[: -len(".whl")].split("-")[-3:]
                named = {
                    f"{p}-{a}-{s}" for p in pythons.split(".") for a in abis.split(".") for s in systems.split(".")
                }
                assert named & tags, pin.windows
            else:
                assert not pin.windows or pin.is_pure


@pytest.mark.parametrize("url", ["http://index.invalid/x-1.0.tar.gz", "https://index.invalid/x-1.0.tar.gz"])
def test_a_source_of_an_index_is_asked_for(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = replace(make_source(tmp_path / "x 1.tar.gz", "setup.py"), url=url)
    asked: list[tuple[str, str]] = []

    def ask(*given: str) -> SimpleNamespace:
        asked.append(given)  # type: ignore[arg-type]
        return SimpleNamespace(content=(tmp_path / "x 1.tar.gz").read_bytes())

    monkeypatch.setattr(download, "ask_index", ask)
    assert wheels.find_pure({"x": source}) == {"x"}
    assert asked == [(url, "x 1.tar.gz could not be fetched from the package index")]


def test_a_source_of_a_folder_is_read_whatever_its_name(tmp_path: Path) -> None:
    assert wheels.find_pure({"x": make_source(tmp_path / "x 1%.tar.gz", "setup.py")}) == {"x"}


def test_three_files_to_compile_are_named(tmp_path: Path) -> None:
    source = make_source(tmp_path / "x.tar.gz", "d.c", "b.c", "c.c", "a.c")
    with pytest.raises(DataError, match="without a compiler") as caught:
        wheels.find_pure({"x": source})
    assert caught.value.why.endswith("its source holds x-1.0/a.c, x-1.0/b.c, x-1.0/c.c")

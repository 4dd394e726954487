from __future__ import annotations

import errno
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from gpuenv.core.errors import HostError, SourceError
from gpuenv.cuda import archives
from tiny import runfile

_E_MACHINE_OFFSET = 18
_AARCH64 = 183


@pytest.fixture
def libm() -> Path:
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").split()
    return next(Path(word) for word in maps if word.endswith("/libc.so.6")).with_name("libm.so.6")


def unpack(kind: str, archive: Path, into: Path) -> None:
    with archive.open("rb") as stream:
        archives.unpack(kind, stream, archive.name, into)


def tar_of(path: Path, entries: dict[str, bytes], *links: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for link in links:
            tar.addfile(link)
    return path


def link_to(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_tar_yields_what_may_be_a_library_and_leaves_the_rest_packed(tmp_path: Path) -> None:
    into = tmp_path / "into"
    content = {"lib64/libx.so.1.2": b"x", "bin/nvcc": b"big", "include/x.h": b"h"}
    archive = tar_of(tmp_path / "a.tar.gz", content, link_to("lib64/libx.so.1", "libx.so.1.2"))
    unpack("tar", archive, into)
    assert files_in(into) == ["lib64/libx.so.1.2"]


def test_zip_yields_what_may_be_a_library(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as package:
        package.writestr("pkg/libs/liby.so.7", b"y")
        package.writestr("pkg/__init__.py", b"")
    unpack("zip", tmp_path / "a.whl", tmp_path / "into")
    assert files_in(tmp_path / "into") == ["pkg/libs/liby.so.7"]


def test_libraries_of_a_wheel_that_are_called_otherwise_are_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as package:
        for name in ("liby.so.7", "libx-0a1b2c3d.so.9.0", "x.cpython-36m.so"):
            package.writestr(f"pkg/libs/{name}", b"y")
    with (
        (tmp_path / "a.whl").open("rb") as stream,
        pytest.raises(SourceError, match=r"no member of a\.whl is") as error,
    ):
        archives.unpack("zip", stream, "a.whl", tmp_path / "into", ["liby.so.7", "libx.so.9.0"])
    assert error.value.what.endswith(" called libx.so.9.0")
    assert "called exactly by their SONAMEs; alike are: libx-0a1b2c3d.so.9.0" in error.value.why


@pytest.mark.parametrize("name", ["../evil.so", "/evil.so", "a/../../evil.so", "../notes.txt"])
def test_entry_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(SourceError, match="leads out of the folder") as error:
        unpack("tar", tar_of(tmp_path / "evil.tar.gz", {name: b"x"}), into)
    assert "evil.tar.gz" in error.value.what
    with zipfile.ZipFile(tmp_path / "evil.whl", "w") as package:
        package.writestr(name, b"x")
    with pytest.raises(SourceError, match="leads out of the folder"):
        unpack("zip", tmp_path / "evil.whl", into)
    assert files_in(into) == []
    assert not (tmp_path / "evil.so").exists()


@pytest.mark.parametrize(
    "link",
    [
        link_to("lib/liba.so", "/etc/passwd"),
        link_to("lib/liba.so", "../../etc/passwd"),
        link_to("liba.so", "../outside", tarfile.LNKTYPE),
    ],
)
def test_link_that_leads_out_is_refused(tmp_path: Path, link: tarfile.TarInfo) -> None:
    with pytest.raises(SourceError, match="leads out of the folder"):
        unpack("tar", tar_of(tmp_path / "evil.tar.gz", {}, link), tmp_path / "into")


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_damaged_archive_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "broken.archive"
    path.write_bytes(b"this is neither")
    with pytest.raises(SourceError, match=r"broken\.archive cannot be unpacked"):
        unpack(kind, path, tmp_path)


def test_truncated_tar_is_refused(tmp_path: Path) -> None:
    whole = tar_of(tmp_path / "whole.tar.gz", {"liba.so": bytes(range(256)) * 400})
    (tmp_path / "half.tar.gz").write_bytes(whole.read_bytes()[:100])
    with pytest.raises(SourceError, match=r"half\.tar\.gz cannot be unpacked"):
        unpack("tar", tmp_path / "half.tar.gz", tmp_path / "into")


def test_runfile_is_unpacked_and_nothing_of_it_run(tmp_path: Path, libm: Path) -> None:
    into, target = tmp_path / "into", tmp_path / "target"
    into.mkdir()
    target.mkdir()
    library = libm.read_bytes()
    toolkit = {
        "lib64/libm.so.6.1": library,
        "lib64/stubs/libm.so": library,
        "nvvm/lib64/libother.so": library,
        "extras/CUPTI/lib64/libc.so.6.1": libm.with_name("libc.so.6").read_bytes(),
        "lib64/libm_static.a": b"big",
    }
    (tmp_path / "cuda_9.0_linux-run").write_bytes(runfile.installer(toolkit, deed=f"touch {tmp_path}/it-was-run"))
    unpack("runfile", tmp_path / "cuda_9.0_linux-run", into)
    assert files_in(into) == ["extras/CUPTI/lib64/libc.so.6.1", "lib64/libm.so.6.1", "lib64/stubs/libm.so"]
    archives.select_libraries(into, ["libm.so.6"], target)
    assert files_in(target) == ["libc.so.6", "libm.so.6"]
    assert not (tmp_path / "it-was-run").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"#!/bin/sh\necho 'it unpacks itself in another way'\n", "does not tell where the packed files begin"),
        (b"\x7fELF", "does not begin as a script"),
        (runfile.makeself(runfile.tar_of({"NVIDIA-Linux.run": b""})), r"expected cuda-linux\*\.run in it, found none"),
        (runfile.makeself(b"neither packed nor a tar"), "cannot be unpacked"),
        (runfile.installer({"lib64/../../../evil.so": b""}), "leads out of the folder"),
    ],
)
def test_runfile_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "cuda_run").write_bytes(content)
    (tmp_path / "into").mkdir()
    with pytest.raises(SourceError, match=reason):
        unpack("runfile", tmp_path / "cuda_run", tmp_path / "into")
    assert files_in(tmp_path / "into") == []


def test_more_libraries_than_any_cuda_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "UNPACKED_LIMIT_BYTES", 1500)
    archive = tar_of(tmp_path / "a.tar.gz", {f"lib{number}.so": bytes(1000) for number in range(9)})
    with pytest.raises(SourceError, match=r"a\.tar\.gz cannot be unpacked") as error:
        unpack("tar", archive, tmp_path / "into")
    assert "more than 1500 bytes" in error.value.why
    assert sum(path.stat().st_size for path in (tmp_path / "into").iterdir()) <= 1500


@pytest.fixture
def tree(tmp_path: Path, libm: Path) -> Path:
    """Two libraries under names that say nothing; the first needs the second."""
    folder = tmp_path / "tree"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "one.so.bin").write_bytes(libm.read_bytes())
    (folder / "two.so").write_bytes(libm.with_name("libc.so.6").read_bytes())
    (folder / "notes.so.txt").write_text("not a library")
    return folder


def test_libraries_are_found_by_soname_with_what_they_need(tree: Path, tmp_path: Path, libm: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    archives.select_libraries(tree, ["libm.so.6"], target)
    assert (target / "libm.so.6").read_bytes() == libm.read_bytes()
    assert files_in(target) == ["libc.so.6", "libm.so.6"]


def test_only_what_is_wanted_is_taken(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    archives.select_libraries(tree, ["libc.so.6"], tmp_path / "target")
    assert files_in(tmp_path / "target") == ["libc.so.6"]


def test_missing_soname_is_named(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no libcufft\.so\.9\.0") as error:
        archives.select_libraries(tree, ["libm.so.6", "libcufft.so.9.0"], tmp_path)
    assert "libc.so.6, libm.so.6" in error.value.why
    assert not (tmp_path / "libm.so.6").exists()


def test_stubs_do_not_count(tree: Path, tmp_path: Path) -> None:
    (tree / "deep").rename(tree / "stubs")
    with pytest.raises(SourceError, match=r"no libm\.so\.6"):
        archives.select_libraries(tree, ["libm.so.6"], tmp_path)


def test_library_for_another_processor_is_named(tree: Path, tmp_path: Path) -> None:
    content = bytearray((tree / "two.so").read_bytes())
    content[_E_MACHINE_OFFSET] = _AARCH64
    (tree / "two.so").write_bytes(content)
    with pytest.raises(SourceError, match=r"libc\.so\.6 is for another processor") as error:
        archives.select_libraries(tree, ["libc.so.6"], tmp_path)
    assert "EM_AARCH64" in error.value.why


def test_damaged_library_is_named(tree: Path, tmp_path: Path) -> None:
    content = (tree / "two.so").read_bytes()
    (tree / "two.so").write_bytes(content[: len(content) // 2])
    with pytest.raises(SourceError, match=r"two\.so of the archive is damaged"):
        archives.select_libraries(tree, ["libm.so.6"], tmp_path)


def test_a_full_disk_is_not_the_archives_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(_archive: object, _target: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archives, "_unpack_tar", fill)
    (tmp_path / "a.tar").touch()
    with pytest.raises(HostError, match="the disk is full"):
        unpack("tar", tmp_path / "a.tar", tmp_path)

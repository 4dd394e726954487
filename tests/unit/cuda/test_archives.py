from __future__ import annotations

import errno
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from gpuenv.core.errors import HostError, SourceError
from gpuenv.cuda import archives

_E_MACHINE_OFFSET = 18
_AARCH64 = 183


@pytest.fixture
def libm() -> Path:
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").split()
    return next(Path(word) for word in maps if word.endswith("/libc.so.6")).with_name("libm.so.6")


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
    archives.unpack("tar", archive, into)
    assert files_in(into) == ["lib64/libx.so.1.2"]


def test_zip_yields_what_may_be_a_library(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as package:
        package.writestr("pkg/libs/liby.so.7", b"y")
        package.writestr("pkg/__init__.py", b"")
    archives.unpack("zip", tmp_path / "a.whl", tmp_path / "into")
    assert files_in(tmp_path / "into") == ["pkg/libs/liby.so.7"]


@pytest.mark.parametrize("name", ["../evil.so", "/evil.so", "a/../../evil.so", "../notes.txt"])
def test_entry_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(SourceError, match="leads out of the folder") as error:
        archives.unpack("tar", tar_of(tmp_path / "evil.tar.gz", {name: b"x"}), into)
    assert "evil.tar.gz" in error.value.what
    with zipfile.ZipFile(tmp_path / "evil.whl", "w") as package:
        package.writestr(name, b"x")
    with pytest.raises(SourceError, match="leads out of the folder"):
        archives.unpack("zip", tmp_path / "evil.whl", into)
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
        archives.unpack("tar", tar_of(tmp_path / "evil.tar.gz", {}, link), tmp_path / "into")


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_damaged_archive_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "broken.archive"
    path.write_bytes(b"this is neither")
    with pytest.raises(SourceError, match=r"broken\.archive cannot be unpacked"):
        archives.unpack(kind, path, tmp_path)


def test_truncated_tar_is_refused(tmp_path: Path) -> None:
    whole = tar_of(tmp_path / "whole.tar.gz", {"liba.so": bytes(range(256)) * 400})
    (tmp_path / "half.tar.gz").write_bytes(whole.read_bytes()[:100])
    with pytest.raises(SourceError, match=r"half\.tar\.gz cannot be unpacked"):
        archives.unpack("tar", tmp_path / "half.tar.gz", tmp_path / "into")


# What NVIDIA's installers of CUDA 9 and 10 do when asked to unpack themselves, in two steps.
OUTER = """\
for argument; do case "$argument" in --extract=*) to="${argument#--extract=}" ;; --tmpdir=*) ;; *) exit 3 ;; esac; done
: > "$to/NVIDIA-Linux-x86_64-1.run"
cat > "$to/cuda-linux.9.0-1.run" <<'INNER'
[ "$*" = "--noexec --keep" ] || exit 4
mkdir -p pkg/lib64/stubs pkg/extras/CUPTI/lib64 pkg/nvvm/lib64
cp LIBM pkg/lib64/libm.so.6.1
cp LIBC pkg/extras/CUPTI/lib64/libc.so.6.1
cp LIBM pkg/lib64/stubs/libm.so
cp LIBM pkg/nvvm/lib64/libother.so
INNER
"""


def test_runfile_is_unpacked_in_its_two_steps(tmp_path: Path, libm: Path) -> None:
    installer = tmp_path / "cuda_9.0_linux-run"
    libc = libm.with_name("libc.so.6")
    installer.write_text(OUTER.replace("LIBM", str(libm)).replace("LIBC", str(libc)))
    into, target = tmp_path / "into", tmp_path / "target"
    into.mkdir()
    target.mkdir()
    archives.unpack("runfile", installer, into)
    assert files_in(into) == ["0/libm.so.6.1", "0/stubs/libm.so", "1/libc.so.6.1"]
    archives.select_libraries(into, ["libm.so.6"], target)
    assert files_in(target) == ["libc.so.6", "libm.so.6"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [("echo 'perl: not found' >&2; exit 127", "perl: not found"), ("exit 0", r"expected one cuda-linux\*\.run")],
)
def test_runfile_that_fails_is_refused_with_what_it_said(tmp_path: Path, script: str, reason: str) -> None:
    (tmp_path / "cuda_run").write_text(script)
    with pytest.raises(SourceError, match=reason):
        archives.unpack("runfile", tmp_path / "cuda_run", tmp_path)


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
    def fill(_archive: Path, _into: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archives, "_unpack_tar", fill)
    with pytest.raises(HostError, match="the disk is full"):
        archives.unpack("tar", tmp_path / "a.tar", tmp_path)

"""A wheel on the package index as a source of libraries: only its address is another than an archive's."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from gpuenv.core.errors import HostError, SourceError
from gpuenv.cuda import archives, sources
from gpuenv.cuda.files import cached_path
from gpuenv.net import download
from gpuenv.variants.cuda_lock import Component, CudaLock, Source
from tiny.downloads import Server, serving

NAME = "some_gpu-1.0-cp36-cp36m-manylinux1_x86_64.whl"
SONAME = "libc.so.6"
CHUNK_BYTES = 1 << 16
#: The page is sent whole, and the wheel broken off.
WHOLE = 1 << 30


@pytest.fixture(scope="module")
def wheel() -> bytes:
    """A wheel with one genuine library, some 2 MB, and what else wheels have."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").split()
    library = next(Path(word) for word in maps if word.endswith("/" + SONAME))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as package:
        package.write(library, f"some/libs/{SONAME}")
        package.writestr("some/__init__.py", "")
    return stream.getvalue()


@pytest.fixture
def server(wheel: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The index of this host's pip, which has the wheel."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    with serving() as server:
        monkeypatch.setenv("PIP_INDEX_URL", server.url("simple"))
        server.files |= {"simple/some-gpu/": f'<a href="../../{NAME}">{NAME}</a>'.encode(), NAME: wheel}
        yield server


def unreachable_reason(lock: CudaLock, sources_dir: Path | None) -> str | None:
    (reason,) = sources.unreachable_reasons([lock], sources_dir)
    return reason


def lock_of(wheel: bytes, *more: str) -> CudaLock:
    sha256 = hashlib.sha256(wheel).hexdigest()
    source = Source(wheel=NAME, sha256=sha256, origin="index", unpack="zip", size=len(wheel))
    return CudaLock((Component("toolkit", "9.0", (SONAME, *more), (source,)),), Path("cuda.lock.toml"))


def source_of(lock: CudaLock) -> Source:
    return lock.components[0].sources[0]


def test_a_wheel_is_found_fetched_verified_and_kept(server: Server, wheel: bytes, tmp_path: Path) -> None:
    lock = lock_of(wheel)
    assert unreachable_reason(lock, None) is None
    sources.stage_libraries(lock, tmp_path / "libs", None)
    assert [path.name for path in (tmp_path / "libs").iterdir()] == [SONAME]
    assert cached_path(source_of(lock)).read_bytes() == wheel
    server.files.clear()
    server.requests.clear()
    assert unreachable_reason(lock, None) is None
    sources.open_source(source_of(lock), tmp_path)[0].close()
    assert server.requests == []


@pytest.mark.parametrize("name", [NAME, "download (1).whl"])
def test_a_wheel_in_a_folder_of_the_user_is_found_by_name_or_content(
    server: Server, wheel: bytes, tmp_path: Path, name: str
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_bytes(wheel)
    sources.stage_libraries(lock_of(wheel), tmp_path / "libs", tmp_path / "mine")
    assert (tmp_path / "libs" / SONAME).is_file()
    assert server.requests == []


def test_a_broken_connection_is_taken_up_again(server: Server, wheel: bytes, tmp_path: Path) -> None:
    server.breaks = [WHOLE, CHUNK_BYTES * 10]
    sources.stage_libraries(lock_of(wheel), tmp_path / "libs", None)
    page, first, second = server.requests
    assert (page[0], first) == ("simple/some-gpu/", (NAME, None))
    assert second[0] == NAME
    assert second[1] is not None


def test_what_was_left_of_a_wheel_is_taken_up(server: Server, wheel: bytes, tmp_path: Path) -> None:
    path = cached_path(source_of(lock_of(wheel)))
    path.parent.mkdir(parents=True)
    path.with_name(f"{NAME}.part").write_bytes(wheel[:1000])
    sources.stage_libraries(lock_of(wheel), tmp_path / "libs", None)
    assert server.requests[1:] == [(NAME, "bytes=1000-")]
    assert path.read_bytes() == wheel


def test_another_wheel_under_the_name_is_refused(server: Server, wheel: bytes, tmp_path: Path) -> None:
    flipped = wheel[:1000] + bytes([wheel[1000] ^ 1]) + wheel[1001:]
    server.files[NAME] = flipped
    with pytest.raises(SourceError, match=r"toolkit 9\.0 could not be had") as error:
        sources.stage_libraries(lock_of(wheel), tmp_path / "libs", None)
    found, expected = (hashlib.sha256(content).hexdigest() for content in (flipped, wheel))
    assert f"{NAME} of index is refused (its sha256 is {found}, expected {expected})" in error.value.why
    assert f"put {NAME} into a folder" in error.value.next_step
    assert not (tmp_path / "libs").exists()
    assert not [path for path in cached_path(source_of(lock_of(wheel))).parent.iterdir() if path.name != "lock"]


def test_a_wheel_that_is_gone_is_told_with_the_page_that_does_not_list_it(
    server: Server, wheel: bytes, tmp_path: Path
) -> None:
    server.files["simple/some-gpu/"] = b'<a href="some_gpu-2.0-py3-none-any.whl">x</a>'
    page = server.url("simple/some-gpu/")
    with pytest.raises(SourceError) as error:
        sources.stage_libraries(lock_of(wheel), tmp_path / "libs", None)
    told = f"index: {NAME} was not found on the package index ({page}: its page lists no {NAME})"
    assert error.value.why == told
    assert error.value.next_step.endswith("or take CUDA=archives")
    reason = unreachable_reason(lock_of(wheel), None)
    assert reason == f"no source of toolkit 9.0 can be reached (index: its page lists no {NAME})"


@pytest.mark.usefixtures("server")
def test_what_came_from_where_is_said(wheel: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    absent = ("libcufft.so.9.0", "libcupti.so.9.0")
    (part,) = lock_of(wheel, *absent).components
    partial = structs.replace(part.sources[0], sonames=(SONAME,))
    lock = CudaLock((structs.replace(part, sources=(partial,)),), Path("cuda.lock.toml"), from_index=True)
    sources.stage_libraries(lock, tmp_path / "libs", None)
    assert [path.name for path in (tmp_path / "libs").iterdir()] == [SONAME]
    told = f"toolkit 9.0 from index ({NAME}); stand-ins for {absent[0]}; without {absent[1]}"
    assert f"CUDA libraries: {told}\n" in capsys.readouterr().err


def test_where_no_archive_answers_the_index_is_the_way_out(server: Server, wheel: bytes, tmp_path: Path) -> None:
    dead = Source(url="http://127.0.0.1:1/a.tar", sha256="a" * 64, origin="first", unpack="tar")
    partial = structs.replace(source_of(lock_of(wheel)), sonames=(SONAME,))
    part = Component("toolkit", "9.0", (SONAME, "libcufft.so.9.0"), (dead, partial))
    with pytest.raises(SourceError) as error:
        sources.stage_libraries(CudaLock((part,), Path("cuda.lock.toml")), tmp_path / "libs", None)
    assert error.value.next_step.endswith("SOURCES_DIR=<folder>, or take CUDA=index")
    assert server.requests == []


def test_why_no_index_can_be_asked_is_told(
    server: Server, wheel: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "http://me:secret@127.0.0.1:1/simple")
    server.files.clear()
    reason = unreachable_reason(lock_of(wheel), None) or ""
    assert "(index: HTTP status 404; no connection (Connection refused))" in reason
    monkeypatch.setenv("PIP_INDEX_URL", "file:///srv/index")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL")
    reason = unreachable_reason(lock_of(wheel), None) or ""
    assert "(index: pip's index-url is no address of http or https, which alone are asked; SOURCES_DIR=" in reason
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    reason = unreachable_reason(lock_of(wheel), None) or ""
    assert "(index: pip's settings forbid to ask an index (no-index); SOURCES_DIR=<folder> names" in reason
    (tmp_path / "renamed").write_bytes(wheel)
    assert unreachable_reason(lock_of(wheel), tmp_path) is None
    monkeypatch.setenv("PIP_TIMEOUT", "long")
    assert "'long' is not a number" in (unreachable_reason(lock_of(wheel), None) or "")


def test_one_index_of_several_is_enough(server: Server, wheel: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "http://127.0.0.1:1/simple")
    assert unreachable_reason(lock_of(wheel), None) is None


def test_a_wheel_with_a_member_missing_is_told_by_its_soname(server: Server, wheel: bytes, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as error:
        sources.stage_libraries(lock_of(wheel, "libm.so.6"), tmp_path / "libs", None)
    assert f"index: no member of {NAME} is called libm.so.6 (a wheel's libraries have to be called" in error.value.why
    assert not (tmp_path / "libs").exists()


def test_a_disk_that_is_full_while_it_is_unpacked(
    server: Server, wheel: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(_target: object, name: str, _source: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", name)

    monkeypatch.setattr(archives._Target, "write", write)
    with pytest.raises(HostError, match="the disk is full"):
        sources.stage_libraries(lock_of(wheel), tmp_path / "libs", None)
    assert list(tmp_path.iterdir()) == []
    sources.open_source(source_of(lock_of(wheel)), tmp_path)[0].close()
    assert len(server.requests) == 2, "what was fetched is kept"


CHILD = """\
import sys
from pathlib import Path
from gpuenv.cuda import sources
from gpuenv.variants.cuda_lock import Source
source = Source(wheel=sys.argv[1], sha256=sys.argv[2], origin="index", unpack="zip")
print(sources.open_source(source, Path.cwd())[1].wheel)
"""


def test_two_at_once_download_once(server: Server, wheel: bytes) -> None:
    server.pause_at = CHUNK_BYTES
    argv = [sys.executable, "-c", CHILD, NAME, source_of(lock_of(wheel)).sha256]
    first = subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while len(server.requests) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    second = subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert second.stderr is not None
    assert "waiting for it" in second.stderr.readline()
    server.gate.set()
    for child in (first, second):
        out, err = child.communicate(timeout=30)
        assert NAME in out, err
    assert [name for name, _ in server.requests] == ["simple/some-gpu/", NAME]

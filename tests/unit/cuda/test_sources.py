from __future__ import annotations

import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuenv.core import paths
from gpuenv.core.errors import SourceError, UsageError
from gpuenv.cuda import sources
from gpuenv.cuda.files import cached_path
from gpuenv.net import download, questions
from gpuenv.variants.cuda_lock import Component, CudaLock, Source
from tiny.downloads import Server, serving

SONAME = "libc.so.6"
CHUNK_BYTES = 1 << 16


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE_S", 0.0)


@pytest.fixture(scope="module")
def archive() -> bytes:
    """A plain archive with one genuine library, some 2 MB."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").split()
    library = next(Path(word) for word in maps if word.endswith("/" + SONAME))
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.add(library, "lib/library.so.1")
    return stream.getvalue()


def source_of(url: str, content: bytes, origin: str) -> Source:
    return Source(url=url, sha256=hashlib.sha256(content).hexdigest(), origin=origin, unpack="tar")


def stage(lock: CudaLock, target: Path, sources_dir: Path | None) -> tuple[str, ...]:
    """The names of the libraries that are there then."""
    sources.stage_libraries(lock, target, sources_dir)
    return tuple(sorted(path.name for path in target.iterdir()))


def unreachable_reason(lock: CudaLock, sources_dir: Path | None) -> str | None:
    (reason,) = sources.unreachable_reasons([lock], sources_dir)
    return reason


def lock_of(*from_sources: Source, sonames: tuple[str, ...] = (SONAME,)) -> CudaLock:
    part = Component("toolkit", "9.0", sonames, from_sources)
    return CudaLock(components=(part,), path=Path("cuda.lock.toml"))


def forget_libraries() -> None:
    """Forget what was unpacked, so that archives are asked for again."""
    for path in (paths.cache_dir() / "libraries").rglob("sha256.json"):
        path.unlink()


def good_files() -> list[Path]:
    folder = paths.cache_dir() / "sources"
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".part" and path.name != "lock"]


def test_download_is_verified_staged_and_kept(server: Server, archive: bytes, tmp_path: Path) -> None:
    server.files["a.tar"] = archive
    lock = lock_of(source_of(server.url("a.tar"), archive, "first"))
    assert stage(lock, tmp_path / "out" / "libs", None) == (SONAME,)
    assert [path.name for path in (tmp_path / "out" / "libs").iterdir()] == [SONAME]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["libs"]
    server.files.clear()
    forget_libraries()
    assert stage(lock, tmp_path / "again", None) == (SONAME,)
    assert len(server.requests) == 1


def test_nothing_is_staged_on_another_disk(
    server: Server, archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is renamed into its place has to lie beside it; CUDA's gigabytes have no room in a temporary folder."""
    server.files["a.tar"] = archive
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    lock = lock_of(source_of(server.url("a.tar"), archive, "a"))
    assert stage(lock, tmp_path / "libs", None) == (SONAME,)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.tar").write_bytes(archive)
    assert stage(lock, tmp_path / "others", tmp_path / "own") == (SONAME,)


def test_unpacked_libraries_are_kept_and_checked(server: Server, archive: bytes, tmp_path: Path) -> None:
    server.files["a.tar"] = archive
    lock = lock_of(source_of(server.url("a.tar"), archive, "first"))
    sources.stage_libraries(lock, tmp_path / "one", None)
    for path in good_files():
        path.unlink()
    sources.stage_libraries(lock, tmp_path / "two", None)
    assert len(server.requests) == 1
    kept = next((paths.cache_dir() / "libraries").rglob(SONAME))
    kept.unlink()
    kept.write_bytes(b"not what it was")
    sources.stage_libraries(lock, tmp_path / "three", None)
    assert (tmp_path / "three" / SONAME).read_bytes() == (tmp_path / "one" / SONAME).read_bytes()
    assert len(server.requests) == 2


def test_corrupted_archive_is_refused_by_name_and_the_next_source_used(
    server: Server, archive: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = archive[:-1] + b"!"
    server.files |= {"bad.tar": bad, "good.tar": archive}
    first, second = (source_of(server.url(f"{name}.tar"), archive, name) for name in ("bad", "good"))
    assert stage(lock_of(first, second), tmp_path / "libs", None) == (SONAME,)
    told = capsys.readouterr().err
    for part in ("bad.tar of bad is refused", hashlib.sha256(bad).hexdigest(), first.sha256):
        assert part in told
    assert good_files() == [cached_path(second)]


def test_archive_without_the_library_is_named_and_the_next_source_used(
    server: Server, archive: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = io.BytesIO()
    tarfile.open(fileobj=empty, mode="w").close()
    server.files |= {"empty.tar": empty.getvalue(), "good.tar": archive}
    first = source_of(server.url("empty.tar"), empty.getvalue(), "hollow")
    second = source_of(server.url("good.tar"), archive, "good")
    assert stage(lock_of(first, second), tmp_path / "libs", None) == (SONAME,)
    assert f"from hollow: the archive holds no {SONAME}" in capsys.readouterr().err


def test_resumed_download_is_verified_whole(server: Server, archive: bytes, tmp_path: Path) -> None:
    server.files["a.tar"] = archive
    source = source_of(server.url("a.tar"), archive, "first")
    part = cached_path(source).with_name("a.tar.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(archive[:1000])
    assert stage(lock_of(source), tmp_path / "libs", None) == (SONAME,)
    assert server.requests == [("a.tar", "bytes=1000-")]
    assert cached_path(source).read_bytes() == archive
    assert not part.exists()


@pytest.mark.parametrize("left_over", ["wrong beginning", "too long"])
def test_part_that_does_not_fit_is_thrown_away(server: Server, archive: bytes, tmp_path: Path, left_over: str) -> None:
    server.files["a.tar"] = archive
    source = source_of(server.url("a.tar"), archive, "first")
    part = cached_path(source).with_name("a.tar.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"?" * 1000 if left_over == "wrong beginning" else archive + b"more")
    assert stage(lock_of(source), tmp_path / "libs", None) == (SONAME,)
    assert [wanted is None for _, wanted in server.requests] == [False, True]
    assert cached_path(source).read_bytes() == archive


def test_server_without_ranges_sends_all_again(server: Server, archive: bytes, tmp_path: Path) -> None:
    server.files["a.tar"], server.knows_ranges = archive, False
    source = source_of(server.url("a.tar"), archive, "first")
    part = cached_path(source).with_name("a.tar.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(archive[:1000])
    assert stage(lock_of(source), tmp_path / "libs", None) == (SONAME,)
    assert len(server.requests) == 1


def test_broken_connection_is_taken_up_again(
    server: Server, archive: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["a.tar"], server.breaks = archive, [CHUNK_BYTES * 10, CHUNK_BYTES * 10]
    source = source_of(server.url("a.tar"), archive, "first")
    assert stage(lock_of(source), tmp_path / "libs", None) == (SONAME,)
    assert len(server.requests) == 3
    assert all(wanted for _, wanted in server.requests[1:])
    assert "the connection broke off; trying again" in capsys.readouterr().err


def test_all_sources_down_lists_each_with_its_reason(server: Server, archive: bytes, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}/b.tar"
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / "old").touch()
    lock = lock_of(source_of(server.url("a.tar"), archive, "first"), source_of(nobody, archive, "second"))
    with pytest.raises(SourceError, match=r"toolkit 9\.0 could not be had from anywhere") as error:
        sources.stage_libraries(lock, tmp_path / "libs", None)
    assert "first: " in error.value.why
    assert "HTTP status 404" in error.value.why
    assert "second: " in error.value.why
    assert "no connection" in error.value.why
    assert "a.tar or b.tar" in error.value.next_step
    assert "SOURCES_DIR=" in error.value.next_step
    assert (tmp_path / "libs" / "old").exists(), "what was there must stay when nothing better came"
    assert [path.name for path in tmp_path.iterdir()] == ["libs"]


def test_local_folder_is_asked_first(server: Server, archive: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "b.tar").write_bytes(archive)
    first, second = (source_of(server.url(f"{name}.tar"), archive, name) for name in ("a", "b"))
    assert stage(lock_of(first, second), tmp_path / "libs", folder) == (SONAME,)
    assert server.requests == []


def test_local_file_of_another_name_is_found_by_its_content(server: Server, archive: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "cuda (1).tar").write_bytes(archive)
    lock = lock_of(source_of(server.url("a.tar"), archive, "first"))
    assert stage(lock, tmp_path / "libs", folder) == (SONAME,)
    assert server.requests == []


def test_wrong_local_file_is_refused_by_name_and_the_network_asked(
    server: Server, archive: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a.tar").write_bytes(b"something else")
    server.files["a.tar"] = archive
    lock = lock_of(source_of(server.url("a.tar"), archive, "first"))
    assert stage(lock, tmp_path / "libs", folder) == (SONAME,)
    assert f"SOURCES_DIR={folder}: a.tar of first is refused" in capsys.readouterr().err
    assert (folder / "a.tar").read_bytes() == b"something else", "the user's own file stays as it is"


def test_local_folder_that_is_none_is_refused(archive: bytes, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        sources.stage_libraries(
            lock_of(source_of("http://localhost/a", archive, "x")), tmp_path / "libs", tmp_path / "no"
        )


def test_damaged_cached_archive_is_fetched_again(
    server: Server, archive: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["a.tar"] = archive
    source = source_of(server.url("a.tar"), archive, "first")
    cached_path(source).parent.mkdir(parents=True)
    cached_path(source).write_bytes(b"rotten")
    assert stage(lock_of(source), tmp_path / "libs", None) == (SONAME,)
    assert "from the cache: a.tar of first is refused" in capsys.readouterr().err
    assert cached_path(source).read_bytes() == archive


def test_file_url_is_used_where_it_lies(archive: bytes, tmp_path: Path) -> None:
    path = tmp_path / "with space" / "a.tar"
    path.parent.mkdir()
    path.write_bytes(archive)
    lock = lock_of(source_of(path.as_uri(), archive, "local"))
    assert stage(lock, tmp_path / "libs", None) == (SONAME,)
    assert good_files() == []
    forget_libraries()
    path.unlink()
    with pytest.raises(SourceError, match="is missing"):
        sources.stage_libraries(lock, tmp_path / "libs", None)


CHILD = """\
import sys
from pathlib import Path
from gpuenv.cuda import sources
from gpuenv.variants.cuda_lock import Component, CudaLock, Source
source = Source(url=sys.argv[1], sha256=sys.argv[2], origin="first", unpack="tar")
part = Component("toolkit", "9.0", ("libc.so.6",), (source,))
sources.stage_libraries(CudaLock((part,), Path("x")), Path(sys.argv[3]), None)
print(*Path(sys.argv[3]).iterdir())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_download_leaves_no_good_file_and_is_taken_up_again(
    server: Server, archive: bytes, tmp_path: Path, number: signal.Signals
) -> None:
    server.files["a.tar"], server.pause_at = archive, CHUNK_BYTES * 16
    source = source_of(server.url("a.tar"), archive, "first")
    part = cached_path(source).with_name("a.tar.part")
    argv = [sys.executable, "-c", CHILD, server.url("a.tar"), source.sha256, str(tmp_path / "libs")]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as child:
        wait_until(lambda: part.exists() and part.stat().st_size > 0)
        os.kill(child.pid, number)
    assert good_files() == []
    assert not (tmp_path / "libs").exists()
    server.gate.set()
    server.pause_at = None
    assert stage(lock_of(source), tmp_path / "libs", None) == (SONAME,)
    assert server.requests[-1][1] is not None, "the part is used"


def test_two_at_once_download_once(server: Server, archive: bytes, tmp_path: Path) -> None:
    server.files["a.tar"], server.pause_at = archive, CHUNK_BYTES
    source = source_of(server.url("a.tar"), archive, "first")
    argv = [sys.executable, "-c", CHILD, server.url("a.tar"), source.sha256]
    first = subprocess.Popen([*argv, str(tmp_path / "one")], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: bool(server.requests))
    second = subprocess.Popen([*argv, str(tmp_path / "two")], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert second.stderr is not None
    assert "waiting for it" in second.stderr.readline()
    server.gate.set()
    for child in (first, second):
        out, err = child.communicate(timeout=30)
        assert SONAME in out, err
    assert len(server.requests) == 1


def test_everything_at_hand_is_reachable(server: Server, archive: bytes, tmp_path: Path) -> None:
    source = source_of("http://127.0.0.1:1/a.tar", archive, "first")
    (tmp_path / "a.tar").touch()
    assert unreachable_reason(lock_of(source), tmp_path) is None
    assert unreachable_reason(lock_of(source_of((tmp_path / "a.tar").as_uri(), b"", "x")), None) is None
    server.files["a.tar"] = archive
    assert unreachable_reason(lock_of(source, source_of(server.url("a.tar"), archive, "b")), None) is None
    assert server.requests == []


def test_a_bundle_that_is_missing_matters_only_where_something_is(
    archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    source = source_of("http://127.0.0.1:1/a.tar", archive, "first")
    assert "gone.pem" in str(unreachable_reason(lock_of(source), None))
    (tmp_path / "a.tar").touch()
    assert unreachable_reason(lock_of(source), tmp_path) is None


def test_unreachable_lists_every_origin(server: Server, archive: bytes, tmp_path: Path) -> None:
    missing = source_of((tmp_path / "gone.tar").as_uri(), archive, "local")
    reason = unreachable_reason(lock_of(source_of(server.url("a.tar"), archive, "first"), missing), None)
    assert reason == "no source of toolkit 9.0 can be reached (first: HTTP status 404, local: it is missing)"


def test_probe_does_not_wait_for_ever(archive: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "AGAIN_S", ())
    monkeypatch.setattr(questions, "ANSWERS_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.tar"
        reason = unreachable_reason(lock_of(source_of(url, archive, "slow")), None)
    assert reason == "no source of toolkit 9.0 can be reached (slow: no answer in time)"


def wait_until(condition: object, timeout_s: float = 20.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)

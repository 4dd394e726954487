"""Archives and packages that change after they were verified, run something, have no end, or come from anybody."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gpuenv.core import paths, scratch
from gpuenv.core.errors import SourceError
from gpuenv.cuda import archives, sources
from gpuenv.net import build_settings, download, pip_settings
from gpuenv.prefix import pip
from gpuenv.variants.cuda_lock import Component, CudaLock, Source
from gpuenv.variants.locks import Lock, Pin
from tiny import runfile
from tiny.loopback import Handler, serving
from tiny.people import Person

#: A small one.
SONAME = "libdl.so.2"
NAME = "cuda_x_linux.run"


def library() -> bytes:
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").split()
    return next(Path(word) for word in maps if word.endswith("/libc.so.6")).with_name(SONAME).read_bytes()


def packed(kind: str, content: bytes, deed: str = "") -> bytes:
    """An archive of one library."""
    if kind == "runfile":
        return runfile.installer({f"lib64/{SONAME}": content}, deed)
    if kind == "tar":
        return runfile.tar_of({f"lib/{SONAME}": content})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr(f"lib/{SONAME}", content)
    return archive.getvalue()


def lock_of(url: str, content: bytes, kind: str = "tar", size: int | None = None) -> CudaLock:
    source = Source(
        url=url,
        sha256=hashlib.sha256(content).hexdigest(),
        origin="somebody",
        unpack=kind,  # type: ignore[arg-type]
        size=size,
    )
    return CudaLock((Component("toolkit", "9.0", (SONAME,), (source,)),), Path("cuda.lock.toml"))


def renamed(path: Path, content: bytes, owner: int) -> None:
    other = path.with_name("other")
    other.write_bytes(content)
    os.chown(other, owner, owner)
    other.replace(path)


def rewritten(path: Path, content: bytes, _owner: int) -> None:
    path.write_bytes(content)


@pytest.mark.parametrize("exchange", [renamed, rewritten])
@pytest.mark.parametrize("kind", ["tar", "zip", "runfile"])
@pytest.mark.parametrize("place", ["file://", "SOURCES_DIR"])
def test_an_archive_exchanged_after_it_was_verified_is_not_used(  # noqa: PLR0917 - pytest gives them by name
    stranger: Person,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    exchange: Callable[[Path, bytes, int], None],
    kind: str,
    place: str,
) -> None:
    good, evil = packed(kind, library()), packed(kind, library() + b"evil", deed=f"touch {tmp_path}/it-was-run")
    path = stranger.home / NAME
    path.write_bytes(good)
    os.chown(path, stranger.uid, stranger.uid)
    unpack = archives.unpack

    def unpack_late(*what: Any) -> None:
        exchange(path, evil, stranger.uid)
        unpack(*what)

    monkeypatch.setattr(archives, "unpack", unpack_late)
    is_named = place == "file://"
    lock = lock_of(path.as_uri() if is_named else f"http://127.0.0.1:9/{NAME}", good, kind)
    sources.stage_libraries(lock, tmp_path / "libraries", None if is_named else stranger.home)
    assert (tmp_path / "libraries" / SONAME).read_bytes() == library()
    assert not (tmp_path / "it-was-run").exists()


def test_a_package_exchanged_after_it_was_verified_is_not_installed(stranger: Person) -> None:
    path = stranger.home / "a-1.whl"
    path.write_bytes(b"good")
    os.chown(path, stranger.uid, stranger.uid)
    lock = Lock(Path("x"), (Pin("a", "1", None, (hashlib.sha256(b"good").hexdigest(),), path.name, ""),), "", "")
    with scratch.folder("packages") as copies:
        options = pip.local_files(lock, stranger.home, copies)
        path.write_bytes(b"evil")
        shown = Path(options[options.index("--find-links") + 1])
        assert (shown / path.name).read_bytes() == b"good"
        assert shown.stat().st_uid == os.getuid()
        assert not shown.stat().st_mode & 0o077


STAGE = """\
import sys
from pathlib import Path
from gpuenv.cuda import sources
from gpuenv.variants.cuda_lock import Component, CudaLock, Source
source = Source(url=sys.argv[1], sha256=sys.argv[2], origin="somebody", unpack="tar")
part = Component("toolkit", "9.0", (sys.argv[3],), (source,))
sources.stage_libraries(CudaLock((part,), Path("x")), Path.home() / "libraries", Path(sys.argv[4]))
"""


def test_a_folder_of_archives_that_an_administrator_shares_is_used(victim: Person, ground: Path) -> None:
    """Also where the group may write to it."""
    folder, content = ground / "shared", packed("tar", library())
    folder.mkdir()
    (folder / NAME).write_bytes(content)
    os.chown(folder / NAME, 0, victim.uid)
    (folder / NAME).chmod(0o664)
    argv: list[str | Path] = [f"http://127.0.0.1:9/{NAME}", hashlib.sha256(content).hexdigest(), SONAME, folder]
    done = victim.run([sys.executable, "-I", "-c", STAGE, *argv])
    assert done.returncode == 0, done.stderr
    assert (victim.home / "libraries" / SONAME).read_bytes() == library()


@pytest.mark.parametrize("is_readable", [True, False])
def test_a_lock_runs_nothing(tmp_path: Path, is_readable: bool) -> None:
    """Whoever writes a lock chooses the hash, so a script of theirs is "verified"."""
    ran = tmp_path / "it-was-run"
    deed = f"touch {ran}"
    content = packed("runfile", library(), deed) if is_readable else f"#!/bin/sh\n{deed}\n".encode()
    (tmp_path / NAME).write_bytes(content)
    why = ""
    try:
        sources.stage_libraries(lock_of((tmp_path / NAME).as_uri(), content, "runfile"), tmp_path / "libraries", None)
    except SourceError as error:
        why = error.why
    assert not ran.exists()
    assert (tmp_path / "libraries").exists() == is_readable
    assert is_readable or "does not tell where the packed files begin" in why


class Hostile(Handler):
    """Sends without an end, as fast as it can or a byte at a time; an end there is, for the sake of the machine."""

    def answer(self) -> None:
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            for _ in range(400):
                if self.path.startswith("/drip"):
                    self.wfile.write(b"x")
                    time.sleep(0.02)
                else:
                    self.wfile.write(bytes(1 << 17))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    with serving(Hostile) as address:
        yield address


def test_a_body_without_an_end_stops_at_the_size_that_the_lock_knows(server: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="could not be had") as error:
        sources.stage_libraries(lock_of(f"{server}/endless", b"", size=1_000_000), tmp_path / "libraries", None)
    assert "more than the 1000000 bytes that were expected" in error.value.why
    left = [path for path in paths.cache_dir().rglob("*endless*") if path.is_file()]
    assert left == []


def test_an_archive_that_drips_is_given_up(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "SLOW_S", 0.3, raising=False)
    began = time.monotonic()
    with pytest.raises(SourceError, match="could not be had") as error:
        sources.stage_libraries(lock_of(f"{server}/drip", b""), tmp_path / "libraries", None)
    assert "more slowly than 1000 bytes a second" in error.value.why
    assert time.monotonic() - began < 6


def test_no_host_is_trusted_without_a_certificate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_TRUSTED_HOST", "mirror.invalid")
    conf = build_settings.load_network().pip_conf
    environ = pip_settings.pip_environment(os.environ)
    assert "mirror.invalid" not in conf + "".join(environ.values())
    (told,) = [line for line in capsys.readouterr().err.splitlines() if "trusted-host" in line]
    assert "mirror.invalid" in told

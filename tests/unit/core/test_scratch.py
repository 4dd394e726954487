from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from gpuenv.core import locking, paths, processes, scratch


def test_a_folder_is_gone_after_use() -> None:
    with scratch.folder("test") as folder:
        (folder / "file").touch()
    assert not folder.exists()


def test_a_folder_is_gone_after_an_error() -> None:
    with pytest.raises(KeyboardInterrupt), scratch.folder("test") as folder:
        raise KeyboardInterrupt
    assert not folder.exists()


def test_what_a_killed_process_left_is_swept_and_what_is_in_use_stays() -> None:
    script = "import os; from gpuenv.core import scratch\nwith scratch.folder('test'): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script], check=False)
    (left,) = paths.cache_dir().glob("tmp-*")
    with scratch.folder("test") as used:
        assert not left.exists()
        scratch.sweep()
        assert used.exists()


def test_so_is_what_is_left_in_the_folder_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = "scratch.folder('test', is_local=True)"
    script = f"import os; from gpuenv.core import scratch\nwith {used}: os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    (left,) = tmp_path.iterdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch.folder("test", is_local=True) as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert not left.exists()


@pytest.mark.parametrize("name", ["tmp-", "tmp-gpuenv-00000000-1-2-x", "{ours}abc-def-x", "{ours}12", "other"])
def test_what_is_not_ours_is_left_alone(name: str) -> None:
    """Nor is what another machine uses, where several share a home folder."""
    name = name.format(ours=scratch._prefix())
    (paths.cache_dir() / name).mkdir()
    scratch.sweep()
    assert (paths.cache_dir() / name).exists()


def test_what_is_used_in_another_namespace_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """There this process' number and start time are another's, or nobody's."""
    with scratch.folder("test") as used:
        monkeypatch.setattr(processes, "is_alive", lambda _: False)
        scratch.sweep()
        assert used.exists()
    used.mkdir()
    scratch.sweep()
    assert not used.exists(), "nor does it stay once nobody uses it"


def test_the_second_one_waits_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order: list[str] = []
    may_end = threading.Event()
    has_begun = threading.Event()

    def first() -> None:
        with locking.held(tmp_path / "lock", "waiting"):
            has_begun.set()
            may_end.wait()
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    has_begun.wait()
    threading.Timer(0.05, may_end.set).start()
    with locking.held(tmp_path / "lock", "waiting for the first"):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert "waiting for the first" in capsys.readouterr().err


def test_a_free_lock_is_taken_without_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locking.held(tmp_path / "sub/lock", "waiting"):
        pass
    assert capsys.readouterr().err == ""


def test_what_is_no_folder_of_a_killed_run_holds_nobody_up(tmp_path: Path) -> None:
    """Anybody may leave a named pipe, or a link, in the folder for temporary files."""
    os.mkfifo(tmp_path / f"{scratch._prefix()}0-1-x")
    (tmp_path / "mine").mkdir()
    (tmp_path / f"{scratch._prefix()}0-1-y").symlink_to("mine")
    scratch.sweep(tmp_path)
    assert (tmp_path / "mine").is_dir()


def test_a_folder_that_is_nested_too_deep_keeps_nobody_from_anything(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        for name in (f"{scratch._prefix()}999999-1-x", *["d"] * 1500):
            os.mkdir(name, dir_fd=here)
            below = os.open(name, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        scratch.sweep(tmp_path)
    finally:
        os.close(here)
        subprocess.run(["rm", "-rf", *tmp_path.iterdir()], check=True)


def test_what_somebody_else_made_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{scratch._prefix()}999999-1-x").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    scratch.sweep(tmp_path)
    assert list(tmp_path.iterdir())

"""What a full disk is called."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpuenv.core.errors import (
    PART_CHARACTERS,
    GpuenvError,
    closed_file,
    full_disk,
    full_output,
    removed_folder,
    suggest_known,
)

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_disk_and_the_users_share_of_it() -> None:
    for number in (errno.ENOSPC, errno.EDQUOT):
        told = full_disk(OSError(number, "x"))
        assert told is not None
        assert told.what == "the disk is full"
    assert full_disk(OSError(errno.EACCES, "x")) is None
    assert full_disk(ValueError()) is None


@pytest.mark.parametrize(
    ("to", "said"),
    [
        (">/dev/full", "the place where standard output goes is full"),
        ("2>/dev/full", "the place where standard error goes is full"),
        (">/dev/null", "None"),
        (">&- 2>&-", "None"),
        ("2>&1 | cat", "None"),
    ],
)
def test_the_place_where_the_output_goes(to: str, said: str, tmp_path: Path) -> None:
    program = "import sys; from gpuenv.core.errors import full_output as f; open(sys.argv[1], 'w').write(f'{f()}')"
    told = tmp_path / "told"
    argv = ["sh", "-c", f'"$@" {to}', "-", sys.executable, "-c", program, str(told)]
    subprocess.run(argv, capture_output=True, timeout=20, check=True)
    assert told.read_text().splitlines()[0] == said


def test_a_file_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = os.dup(1)
    try:
        with (tmp_path / "output").open("w") as output:
            os.dup2(output.fileno(), 1)
        assert full_output() is None
        monkeypatch.setattr(os, "fstatvfs", lambda _: SimpleNamespace(f_bavail=0))
        told = full_disk(FULL)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    assert told is not None
    assert told.what == "the place where standard output goes is full"


def test_a_current_folder_that_is_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = FileNotFoundError(errno.ENOENT, "x")
    assert removed_folder(missing) is None
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    told = removed_folder(missing)
    assert told is not None
    assert told.what == "the current folder has been removed"
    assert removed_folder(FileNotFoundError(errno.ENOENT, "x", "/nowhere")) is None
    assert removed_folder(ValueError()) is None


@pytest.mark.parametrize(
    ("name", "next_step"),
    [
        ("cuda10", "did you mean VARIANT=cuda10.0?"),
        ("CUDA9.0", "did you mean VARIANT=cuda9.0?"),
        ("nope", "name one of these, or leave it out"),
    ],
)
def test_a_name_is_suggested_where_one_is_near(name: str, next_step: str) -> None:
    told = suggest_known("variant", name, ["cuda9.0", "cuda10.0"])
    assert told.why == "known: cuda9.0, cuda10.0"
    assert told.next_step == next_step


def test_no_part_is_longer_than_a_person_reads() -> None:
    error = GpuenvError("a" * 9_999, "b" * 5_000_000, "c")
    assert (len(error.what), error.next_step) == (9_999, "c")
    assert error.why == "b" * PART_CHARACTERS + "... (5000000 characters)"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to somebody else")
def test_what_root_left_in_ones_own_folder_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `sudo make`."""
    (tmp_path / "my state" / "locks").mkdir(parents=True)
    os.chown(tmp_path / "my state", 60_011, 60_011)
    monkeypatch.setattr(os, "geteuid", lambda: 60_011)
    told = closed_file(PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "my state" / "locks" / "l")))
    assert told is not None
    assert told.why == "the system says: Permission denied, and it is root's, as after `sudo`"
    assert f"""`sudo chown -R "$(id -u)" '{tmp_path / "my state"}'`""" in told.next_step
    for path in (tmp_path / "my state", Path("/etc/shadow")):
        told = closed_file(PermissionError(errno.EACCES, "Permission denied", str(path)))
        assert told is not None
        assert "sudo" not in str(told)

"""What of the host a shell sees."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gpuenv.core.errors import HostError, UsageError
from gpuenv.net import certificates
from gpuenv.shell import workspace


def test_the_work_folder_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "with spaces, 딥러닝: and a colon"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder)
    assert workspace.check_work(None) == folder
    assert workspace.check_work("../link") == folder


def test_a_missing_work_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist") as caught:
        workspace.check_work(str(tmp_path / "a b"))
    assert caught.value.next_step == f"mkdir -p '{tmp_path}/a b'"


def test_the_folder_to_make_is_named_as_every_shell_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageError, match="WORK=~/딥러닝 does not exist") as caught:
        workspace.check_work("~/딥러닝")
    assert caught.value.next_step == f"mkdir -p '{tmp_path}/딥러닝'"


def test_a_current_folder_that_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for value in (None, "below"):
        with pytest.raises(HostError, match="the current folder has been removed") as caught:
            workspace.check_work(value)
        assert caught.value.next_step == "cd to another folder, then repeat"
    assert workspace.check_work(str(tmp_path)) == tmp_path
    with pytest.raises(UsageError, match="does not exist"):
        workspace.check_work(str(gone))


def test_a_file_is_no_work_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="not a folder"):
        workspace.check_work(str(tmp_path / "file"))
    with pytest.raises(UsageError, match="cannot be used"):
        workspace.check_work(str(tmp_path / "file" / "below"))


def test_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(UsageError, match="cannot be used"):
        workspace.check_work(str(tmp_path / "a"))


def test_a_work_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write everything, so the system's answer is made up here; tests/e2e asks as somebody else.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UsageError, match="cannot be written") as caught:
        workspace.check_work(str(tmp_path))
    assert f"user {tmp_path.stat().st_uid}" in caught.value.why


def test_the_variables_of_a_shell() -> None:
    host = {"https_proxy": "http://proxy:3128", "NO_PROXY": "campus", "HTTP_PROXY": "", "TERM": "vt100", "SECRET": "x"}
    assert workspace.environment(host, "kim", has_bundle=False, tty=False) == {
        "HOME": "/home/user",
        "USER": "kim",
        "LOGNAME": "kim",
        "CUDA_CACHE_PATH": "/home/user/.nv/ComputeCache",
        "https_proxy": "http://proxy:3128",
        "NO_PROXY": "campus",
    }
    values = workspace.environment(host, "kim", has_bundle=True, tty=True)
    assert values["TERM"] == "vt100"
    assert {values[name] for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")} == {
        "/etc/gpuenv/ca-bundle.crt"
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://localhost:3128", ["https_proxy"]),
        ("http://user:pw@127.0.0.1:3128/", ["https_proxy"]),
        ("[::1]:3128", ["https_proxy"]),
        ("http://proxy.localhost.example:3128", []),
    ],
)
def test_proxies_on_this_machine(value: str, expected: list[str]) -> None:
    assert workspace.local_proxies({"https_proxy": value, "no_proxy": "localhost"}) == expected


def test_the_bundle_is_mounted_where_the_link_leads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real.pem").touch()
    (tmp_path / "link.pem").symlink_to("real.pem")
    monkeypatch.setattr(certificates, "find_bundle", lambda: tmp_path / "link.pem")
    (mount,) = workspace.ca_mounts()
    assert (mount.source, mount.read_only) == (str(tmp_path / "real.pem"), True)
    monkeypatch.setattr(certificates, "find_bundle", lambda: None)
    assert workspace.ca_mounts() == ()


def test_a_caller_whom_the_image_does_not_know_gets_a_name() -> None:
    assert workspace.names("1234:4000000", "kim") == ("kim:x:1234:4000000::/home/user:/bin/bash", "kim:x:4000000:")
    assert workspace.names("0:4000000", "kim") == ("", "kim:x:4000000:")


def test_the_name_of_nobody() -> None:
    assert workspace.user_name(0) == "root"
    assert workspace.user_name(3_999_999_999) == "user3999999999"


def begin(folder: Path, *command: str, sleep: str = "false") -> subprocess.CompletedProcess[bytes]:
    """What a container does first, done here; ``sleep`` is what it does instead of waiting."""
    argv = workspace.entry(".mark", ("", ""), command)
    environment = {**os.environ, "BASH_FUNC_sleep%%": f"() {{ {sleep}; }}"}
    return subprocess.run(argv, cwd=folder, env=environment, capture_output=True, timeout=20, check=False)


def test_nothing_runs_in_a_folder_that_is_not_the_callers(tmp_path: Path) -> None:
    done = begin(tmp_path, "touch", "ran", sleep="echo waited")
    assert (done.returncode, done.stdout, done.stderr) == (workspace.UNSEEN, b"waited\n" * 20, b"")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    done = begin(tmp_path, "echo", "ran", sleep="touch .mark")
    assert (done.returncode, done.stdout) == (0, b"ran\n")


def test_the_mark_is_gone_before_the_command_runs_with_the_callers_mask(tmp_path: Path) -> None:
    (tmp_path / ".mark").touch()
    before = os.umask(0o027)
    try:
        done = begin(tmp_path, "bash", "-c", 'ls -A; umask; echo "$1"', "-", "a\nb '\"$")
    finally:
        os.umask(before)
    assert (done.returncode, done.stdout) == (0, b"0027\na\nb '\"$\n"), done.stderr


@pytest.mark.parametrize(
    ("command", "said", "code"),
    [
        ("vim x", "bash: vim: command not found\ngpuenv: vim is not in this environment", 127),
        ("nosuch", "bash: nosuch: command not found\n", 127),
        ("apt install git", "gpuenv: apt-get installs nothing here", 100),
    ],
)
def test_what_is_not_inside_is_told(command: str, said: str, code: int, tmp_path: Path) -> None:
    (tmp_path / ".mark").touch()
    done = begin(tmp_path, "env", f"PATH={tmp_path}", "/bin/bash", "-c", command)
    assert done.stderr.decode().startswith(said)
    assert ("not in this environment" in done.stderr.decode()) is (command == "vim x")
    assert done.returncode == code


OF_PIP = "pip --version; pip install 'a b'; pip install --target=here c; VIRTUAL_ENV=/mine pip install d"


def test_pip_is_told_what_it_cannot_do(tmp_path: Path) -> None:
    program = tmp_path / "pip"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    (tmp_path / ".mark").touch()
    done = begin(tmp_path, "env", f"PATH={tmp_path}:/bin", "bash", "-c", OF_PIP)
    assert done.stdout == b"--version\ninstall a b\ninstall --target=here c\ninstall d\n"
    assert done.stderr.decode().count("gpuenv: what pip installs here ends with this shell") == 1

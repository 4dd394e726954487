"""Through testinfra's `local://`, the connection is a real one: commands run on this machine, in this Python."""

from __future__ import annotations

import base64
import io
import shlex
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from gpuenv.core import captured, paths, signals
from gpuenv.core.errors import CheckError
from gpuenv.harness.targets import remote as target_host
from gpuenv.harness.targets.connection import Connection
from gpuenv.harness.targets.model import Target

HERE = Target("here", "host", "cuda10.0", "cpu", prefix=sys.prefix, host="local://")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the host keeps temporary files."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_programs_arrive_run_and_are_removed(temporary: Path) -> None:
    with target_host.connect(HERE) as connection:
        folder = Path(connection.reference)
        assert folder.parent == temporary
        assert folder.stat().st_mode & 0o777 == 0o700
        sent = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert sent == {path.name: path.read_bytes() for path in paths.reference_dir().glob("*.py")}
        assert connection.program("facts")["python"].startswith("3.")
    assert list(temporary.iterdir()) == []


def test_the_folder_goes_whatever_fails(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError), target_host.connect(HERE):
        raise ZeroDivisionError
    assert list(temporary.iterdir()) == []
    monkeypatch.setattr(target_host, "pack_programs", lambda: b"no archive")
    with pytest.raises(CheckError, match="does not take the reference programs") as caught, target_host.connect(HERE):
        pass
    assert len(str(caught.value).splitlines()) == 3
    assert list(temporary.iterdir()) == []


def test_what_was_sent_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with target_host.connect(HERE) as connection:
        assert [output.command.split(" -I -c ")[0] for output in connection.trail] == [shlex.quote(HERE.python)]
        monkeypatch.setattr(target_host, "_UNPACK", "import sys; sys.exit('disk full')")
        with pytest.raises(CheckError) as caught:
            target_host.send_programs(connection)
        assert caught.value.why == "disk full"
        assert connection.trail[-1].command == "(sending the reference programs)"


def test_programs_travel_in_short_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    with target_host.connect(HERE) as connection:
        commands: list[str] = []
        run = connection.host.run

        def note(command: str) -> Any:
            commands.append(command)
            return run(command)

        monkeypatch.setattr(connection.host, "run", note)
        target_host.send_programs(connection)
    assert len(commands) > 2
    # dropbear takes 9000 characters; csh neither line breaks nor exclamation marks inside quotes.
    assert max(map(len, commands)) < 9000
    assert not any("\n" in command or "!" in command for command in commands)
    assert all(command.startswith("/bin/sh -c ") for command in commands)


@pytest.mark.parametrize(
    ("prefix", "why"), [("/nowhere", "/nowhere/bin/python: "), ("{0}", "No space left"), ("{1}", "no message")]
)
def test_a_python_that_is_none(prefix: str, why: str, temporary: Path) -> None:
    for number, script in enumerate(("echo No space left >&2; exit 1", "echo hello")):
        program = temporary / f"{number}/bin/python"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    own = prefix.format(temporary / "0", temporary / "1")
    target = Target("x", "host", "cuda10.0", "cpu", prefix=own, host="local://")
    with pytest.raises(CheckError) as caught, target_host.connect(target):
        pass
    assert why in caught.value.why
    assert f"is {own}/bin/python there" in caught.value.next_step
    assert len(str(caught.value).splitlines()) == 3


def test_output_in_any_encoding_is_shown() -> None:
    connection = Connection(HERE, target_host.open_host("local://"), "")
    assert connection.run(r"printf '\303\251\377'").stdout == "é\ufffd"


def test_archive_holds_every_program() -> None:
    with tarfile.open(fileobj=io.BytesIO(target_host.pack_programs())) as tar:
        assert set(tar.getnames()) == {path.name for path in paths.reference_dir().glob("*.py")}
    assert len(base64.b64encode(target_host.pack_programs())) < 60_000


# --- the client that makes the connection ------------------------------------------------------------------


def test_a_host_that_hangs_is_given_up() -> None:
    began = time.monotonic()
    host = target_host.open_host("local://", limit_s=0.3)
    with pytest.raises(CheckError, match="cannot be reached") as caught:
        # What it started goes with it: the pipe would stay open otherwise.
        Connection(HERE, host, "").run("sleep 30 & sleep 30")
    assert caught.value.why == "no answer within 0.3 s"
    assert time.monotonic() - began < 10


def test_a_client_has_no_terminal_and_no_input() -> None:
    code, _, stdout, _ = target_host.run_local(b"cat; ps -o tty= -p $$; echo end", 10)
    assert (code, stdout.split()) == (0, [b"?", b"end"])


def test_exit_code_and_both_streams() -> None:
    assert target_host.run_local(b"echo a; echo b >&2; exit 3", 10)[::2] == (3, b"a\n")


# --- ssh ---------------------------------------------------------------------------------------------------


def argv_of(uri: str) -> str:
    backend = target_host.open_host(uri).backend
    command, arguments = backend._build_ssh_command("true")
    return str(backend.quote(" ".join(command), *arguments))


@pytest.fixture
def sockets(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(target_host, "control_folder", lambda: str(temporary / "sockets"))
    return temporary / "sockets"


def test_ssh_asks_nothing_ends_by_itself_and_shares_its_connection(sockets: Path) -> None:
    for _ in range(2):  # testinfra hands out the same object again
        argv = argv_of("ssh://me@lab1:2222?ssh_config=/my/config&ssh_identity_file=/key&timeout=7")
        assert argv.count("BatchMode=yes") == 1
    for part in ("-F /my/config", "User=me", "Port=2222", "-i /key", "ConnectTimeout=7", "ServerAliveInterval=15"):
        assert part in argv
    assert f"ControlPath={sockets}/%C" in argv
    assert argv.endswith(" lab1 true")
    assert "StrictHostKeyChecking" not in argv


def test_every_ssh_connection_has_a_time_to_be_made(sockets: Path) -> None:
    assert "ConnectTimeout=10" in argv_of("ssh://lab9")
    assert "ConnectTimeout=10" in argv_of("safe-ssh://lab9")


def test_a_password_may_be_used(sockets: Path) -> None:
    argv = argv_of("ssh://me:secret@lab1")
    assert argv.startswith("sshpass -p secret ssh ")
    # It forbids passwords, too.
    assert "BatchMode" not in argv


def test_what_an_inventory_says_of_ssh_comes_first(sockets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import testinfra
    from testinfra.utils.ansible_runner import AnsibleRunner

    inner = testinfra.get_host("ssh://behind", ssh_extra_args="-o Port=3 -o ControlPath=/own")
    monkeypatch.setattr(AnsibleRunner, "get_host", lambda *_, **__: inner)
    host = target_host.open_host("ansible://lab1?ansible_inventory=/inv")
    assert host is inner
    argv = argv_of("ansible://lab1?ansible_inventory=/inv")
    assert argv.index("Port=3") < argv.index("ServerAliveInterval") < argv.index("BatchMode=yes")
    assert str(sockets) not in argv
    assert target_host.open_host("ansible://lab1?force_ansible=true") is not inner
    monkeypatch.setattr(AnsibleRunner, "get_host", lambda *_, **__: None)
    assert target_host.open_host("ansible://lab2").backend.NAME == "ansible"


def test_a_chroot_is_found_by_its_path() -> None:
    backend = target_host.open_host("chroot:///srv/system?sudo=true").backend
    assert (backend.NAME, backend.name, backend.sudo) == ("chroot", "/srv/system", True)


def test_connections_end_with_their_folder(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (temporary / "sockets").mkdir()
    (temporary / "sockets" / "abc").touch()
    ended: list[list[str]] = []

    def run(argv: list[str], _seconds: float, **_: object) -> None:
        ended.append(argv)
        raise subprocess.TimeoutExpired(argv, 10)

    monkeypatch.setattr(signals, "ask", run)
    target_host.close_connections(str(temporary / "sockets"))
    assert [argv[2:5] for argv in ended] == [[f"ControlPath={temporary}/sockets/abc", "-O", "exit"]]
    assert not (temporary / "sockets").exists()


def test_a_host_that_prints_without_end_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured, "MOST_BYTES", 1 << 20)
    output = Connection(HERE, target_host.open_host(HERE.host), "").run("exec yes")
    assert output.code == target_host.FLOODED
    assert output.stderr == "\nit printed more than 1 MB, and was ended\n"
    assert output.stdout.endswith("y\ny\n")

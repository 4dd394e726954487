"""gpu-shell through a real engine, in a small image made of this machine's own bash and tools."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fakes.engine import sdk
from gpuenv.core import paths, processes
from gpuenv.core.errors import EngineError, HostError
from gpuenv.engine import container as containers
from gpuenv.engine.model import Engine
from gpuenv.shell import workspace
from tiny import small_image

UID = 1234
TIMEOUT_S = 30


@pytest.fixture(scope="module")
def image(engine: Engine) -> Iterator[str]:
    """The tag of the small image."""
    with small_image.imported(engine, f"gpuenv-e2e-shell:{os.getpid()}") as tag:
        yield tag


@pytest.fixture
def work() -> Iterator[Path]:
    """A work folder of the user with number UID, with an awkward name; not below a folder of root's own."""
    with tempfile.TemporaryDirectory(prefix="gpuenv-e2e-") as outer:
        folder = Path(outer) / "딥러닝 1, a:b"
        folder.mkdir()
        Path(outer).chmod(0o755)
        if os.getuid() == 0:
            os.chown(folder, UID, UID)
        yield folder


class Shell:
    """Runs `gpuenv gpu-shell` in a process of its own."""

    def __init__(self, engine: Engine, image: str, work: Path, home: Path) -> None:
        self.engine = engine
        self.work = work
        self.python = sys.executable
        self.driver = small_image.driver(image)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GPUENV_")},
            "DOCKER_HOST": engine.url,
            "GPUENV_WORK": str(work),
            "HOME": str(home),
        }

    def argv(self, *arguments: str) -> list[str]:
        return [self.python, "-c", self.driver, "gpu-shell", *arguments]

    def run(self, command: str, stdin: bytes = b"", **options: Any) -> subprocess.CompletedProcess[bytes]:
        argv = self.argv("--cmd", command)
        return subprocess.run(
            argv, input=stdin, capture_output=True, env=self.environment, timeout=TIMEOUT_S, check=False, **options
        )

    def begin(self, command: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start it and wait until the command has said "ready"."""
        process = subprocess.Popen(
            self.argv("--cmd", f"echo ready; {command}"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            start_new_session=True,
            **options,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == b"ready\n", process.communicate(timeout=TIMEOUT_S)
        return process

    def containers(self) -> list[str]:
        """The containers that mount this test's work folder."""
        found = sdk(self.engine).api.containers(all=True, filters={"label": "gpuenv.project=gpuenv"})
        return [row["Names"][0] for row in found if any(m.get("Source") == str(self.work) for m in row["Mounts"])]

    def assert_nothing_left(self) -> None:
        wait_until(lambda: not self.containers())


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


@pytest.fixture
def shell(engine: Engine, image: str, work: Path, tmp_path: Path) -> Iterator[Shell]:
    made = Shell(engine, image, work, tmp_path)
    yield made
    made.assert_nothing_left()


def last_line(stderr: bytes) -> str:
    return stderr.decode().splitlines()[-1]


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")


def test_the_exit_code_is_passed_on(shell: Shell) -> None:
    done = shell.run("exit 3")
    assert done.returncode == 3
    assert last_line(done.stderr) == "gpuenv: the command ended with exit code 3"


def test_a_start_that_is_refused_is_told_once(shell: Shell) -> None:
    if shell.engine.network == "host":
        pytest.skip("no port is published")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        shell.environment["GPUENV_PORT"] = str(port)
        done = shell.run("true")
    said = done.stderr.decode()
    assert done.returncode == EngineError.exit_code, said
    # Podman 4 keeps no reason with the container; only its client says it.
    what = "podman does not start the container" if shell.engine.kind == "podman" else f"port {port} is taken"
    assert f"gpuenv: error: {what}\n  cause: its own words are above\n" in said
    assert len(re.findall("address already in use|port is already allocated", said)) == 1, said


@pytest.mark.parametrize("descriptor", [1, 2])
def test_a_failure_that_is_known_is_explained(shell: Shell, descriptor: int) -> None:
    failure = "AttributeError: module 'tensorflow._api.v1.compat' has no attribute 'v1'"
    shell.environment["GPUENV_LANG"] = "en"
    done = shell.run(f'echo "{failure}" >&{descriptor}; exit 1')
    assert (done.returncode, (done.stdout + done.stderr).decode().count(failure)) == (1, 1)
    *_, shown, remedy, last = done.stderr.decode().splitlines()
    assert shown.startswith("gpuenv: this shows in its output: The code uses `v1`, which TensorFlow has since 1.13")
    assert remedy.endswith("Run: make gpu-shell VARIANT=cuda10.0")
    assert last == "gpuenv: the command ended with exit code 1"
    assert b"this shows" not in shell.run(f'echo "{failure}" >&2').stderr


def test_output_is_the_commands_and_nothing_else(shell: Shell) -> None:
    done = shell.run("printf 'a\\0b'; printf err >&2")
    assert (done.returncode, done.stdout) == (0, b"a\0b")
    first, rest = done.stderr.decode().split("\n", 1)
    assert first.startswith("gpuenv: cuda10.0-cpu: TensorFlow 1.15.5, Keras 2.2.5, Python 3.6.15; device: CPU")
    assert first.endswith(f"; /work is {shell.work}")
    assert rest == "err"


def test_input_is_passed_on_and_ends(shell: Shell) -> None:
    data = os.urandom(5_000_000)
    done = shell.run("cat > copy; cat copy", stdin=data)
    assert done.stdout == data
    assert (shell.work / "copy").read_bytes() == data


def test_without_a_command_input_is_read_by_bash(shell: Shell) -> None:
    done = subprocess.run(
        shell.argv(), input=b"pwd; exit 4\n", capture_output=True, env=shell.environment, timeout=TIMEOUT_S, check=False
    )
    assert (done.returncode, done.stdout) == (4, b"/work\n")


def test_input_that_nobody_reads(shell: Shell) -> None:
    assert shell.run("true", stdin=b"x" * 3_000_000).returncode == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_costs_neither_the_other_ones_nor_the_exit_code(shell: Shell, closed: str) -> None:
    command = shell.argv("--cmd", "cat; echo hi; echo err >&2; exit 3")
    done = subprocess.run(
        ["bash", "-c", f'exec {closed}; exec "$@"', "-", *command],
        input=b"",
        capture_output=True,
        env=shell.environment,
        timeout=TIMEOUT_S,
        check=False,
    )
    said = [line for line in done.stderr.decode().splitlines() if not line.startswith("gpuenv: ")]
    assert (done.returncode, done.stdout) == (3, b"" if " >&-" in f" {closed}" else b"hi\n"), done.stderr
    assert said == ([] if "2>&-" in closed else ["err"])


def test_nobody_reads_the_output(shell: Shell) -> None:
    """`| head -1` ends an endless command."""
    process = shell.begin("while true; do echo more || exit; done")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(TIMEOUT_S) == 141
    process.stderr.close() if process.stderr else None


class Relay:
    """Stands between us and the engine, and dies as an engine does: every connection ends, and none is made."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.target = engine.url.removeprefix("unix://")
        self.path = folder / "relay.sock"
        self.open: list[socket.socket] = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.target)
                self.open += [client, server]
                if not self.path.exists():
                    # It died between this connection's coming and its being known.
                    self.close()
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self.pump, args=pair, daemon=True).start()

    def pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def die(self) -> None:
        self.path.unlink()
        self.close()

    def close(self) -> None:
        for end in (self.listener, *self.open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.fixture
def stranger(shell: Shell) -> Iterator[dict[str, Any]]:
    """How to start a process as the user UID, who may use the engine, with a home folder and a copy of the project."""
    python = shutil.which("python3", path="/usr/bin")
    if os.getuid() != 0 or python is None or not is_like_ours(python):
        pytest.skip("needs root, and a Python like this one that every user may start")
    with tempfile.TemporaryDirectory(prefix="gpuenv-home-") as folder:
        for part in ("src", "envs"):
            shutil.copytree(paths.project_root() / part, Path(folder) / part)
        shutil.copytree(Path(msgspec.__file__).parent, Path(folder) / "src/msgspec")
        for path in (Path(folder), *Path(folder).rglob("*")):
            os.chown(path, UID, UID)
        shell.python = python
        shell.environment.update(HOME=folder, PYTHONPATH=f"{folder}/src")
        # The engine's own socket may be root's alone.
        relay = Relay(shell.engine, Path(folder))
        relay.path.chmod(0o666)
        shell.environment["DOCKER_HOST"] = f"unix://{relay.path}"
        yield {"user": UID, "group": UID, "extra_groups": []}
        # The watcher of a killed shell needs the copy.
        shell.assert_nothing_left()
        relay.die()
    for volume in containers.volumes(UID):
        remove_volume(shell.engine, volume.source)


def is_like_ours(python: str) -> bool:
    """Whether it can load what was installed for ours, and reads TOML by itself."""
    code = f"import sys, tomllib; assert sys.version_info[:2] == {sys.version_info[:2]}"
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


def test_files_belong_to_the_caller(shell: Shell, stranger: dict[str, Any]) -> None:
    done = shell.run("touch made; touch ~/.keras/x ~/.nv/x && id -u && id -g", **stranger)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{UID}\n{UID}\n".encode()
    made = (shell.work / "made").stat()
    assert (made.st_uid, made.st_gid) == (UID, UID)


def test_what_the_user_of_a_container_expects(shell: Shell, stranger: dict[str, Any]) -> None:
    configured = {"proxies": {"default": {"httpProxy": "http://for-containers:1", "noProxy": "campus"}}}
    (Path(shell.environment["HOME"]) / "config.json").write_text(json.dumps(configured))
    shell.environment.update(
        DOCKER_CONFIG=shell.environment["HOME"], http_proxy="http://localhost:1", all_proxy="http://all:1"
    )
    command = (
        "umask; whoami; id -gn; stat -f -c '%b %S' /dev/shm; echo $http_proxy $HTTP_PROXY $NO_PROXY $all_proxy; ls -A"
    )
    done = shell.run(f"{command}; git; apt-get install git", umask=0o027, **stranger)
    umask, user, group, memory, proxies, *files = done.stdout.decode().splitlines()
    assert (umask, user, group, files) == ("0027", f"user{UID}", f"user{UID}", [])
    blocks, size = map(int, memory.split())
    assert blocks * size > 0.4 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if shell.engine.kind != "podman":
        assert proxies == "http://for-containers:1 http://for-containers:1 campus http://all:1"
    *_, missing, hint, apt, last = done.stderr.decode().splitlines()
    assert (missing, last) == ("bash: git: command not found", "gpuenv: the command ended with exit code 100")
    assert hint.startswith("gpuenv: git is not in this environment")
    assert apt.startswith("gpuenv: apt-get installs nothing here")


def remove_volume(engine: Engine, name: str) -> None:
    # The engine lets go of it a moment after the container is gone.
    wait_until(lambda: was_removed(engine, name))


def was_removed(engine: Engine, volume: str) -> bool:
    from docker.errors import APIError

    try:
        sdk(engine).api.remove_volume(volume)
    except APIError as error:
        return bool(error.status_code == 404)
    return True


def test_a_work_folder_of_somebody_else(shell: Shell, stranger: dict[str, Any]) -> None:
    os.chown(shell.work, 0, 0)
    done = shell.run("true", **stranger)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr.decode()
    assert "next:" in done.stderr.decode()


@needs_root
def test_a_work_folder_that_the_engine_sees_differently(shell: Shell) -> None:
    """As with a daemon in a mount namespace of its own; here it is the caller who has one."""
    private, work = shell.work.parent / "private", str(shell.work)
    private.mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', str(private), work,
         *shell.argv("--cmd", "echo ran; touch ran")],
        capture_output=True, env=shell.environment, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    said = done.stderr.decode()
    assert (done.returncode, done.stdout) == (EngineError.exit_code, b""), said
    assert f"gpuenv: error: the engine has another folder under the name {work}\n  cause: " in said
    assert "\n  next:  set WORK to a folder that the engine shares" in said
    assert [*private.iterdir(), *shell.work.iterdir()] == []


def test_a_command_may_end_as_one_that_does_not_see_the_folder(shell: Shell) -> None:
    done = shell.run(f"exit {workspace.UNSEEN}")
    assert last_line(done.stderr) == f"gpuenv: the command ended with exit code {workspace.UNSEEN}"


def test_a_work_folder_with_any_name_that_is_utf8(shell: Shell) -> None:
    odd = shell.work / "a\nb"
    odd.mkdir(mode=0o777)
    shell.environment["GPUENV_WORK"] = str(odd)
    done = shell.run("umask; touch made")
    assert done.returncode == 0, done.stderr
    assert (odd / "made").exists()
    older = shell.work / os.fsdecode("한글".encode("euc-kr"))
    older.mkdir()
    shell.environment["GPUENV_WORK"] = str(older)
    done = shell.run("true")
    assert (done.returncode, b"WORK is not UTF-8" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("command", ["echo hi", "seq 99999; exec sleep 600"])
def test_the_place_where_the_output_goes_is_full(shell: Shell, command: str) -> None:
    """Also where the command ends well: it would have lost its output, and said nothing."""
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            shell.argv("--cmd", command), stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE,
            env=shell.environment, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    assert done.returncode == HostError.exit_code, done.stderr
    assert b"gpuenv: error: the place where standard output goes is full\n  cause: " in done.stderr


def test_output_that_cannot_be_written_for_another_reason(shell: Shell, tmp_path: Path) -> None:
    """A limit of the caller's; a quota behaves as this does, but for the signal, which Docker's client passes on."""
    if shell.engine.kind == "podman":
        pytest.skip("its client fails also where nothing is lost")
    # 2 MB are no limit to the bytecode that Python writes meanwhile: a smaller one left damaged modules behind.
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 2000; trap "" XFSZ; exec "$@" > "$0"', str(tmp_path / "output"),
         *shell.argv("--cmd", 'trap "" XFSZ; seq 400000')],
        stdin=subprocess.DEVNULL, capture_output=True, env=shell.environment, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == EngineError.exit_code, done.stderr
    assert b"the command ended well, but some of its output is lost" in done.stderr


def test_a_command_that_begins_with_a_dash(shell: Shell) -> None:
    shell.environment["GPUENV_CMD"] = "-x"
    done = subprocess.run(shell.argv(), capture_output=True, env=shell.environment, timeout=TIMEOUT_S, check=False)
    assert (done.returncode, b"-x: command not found" in done.stderr) == (127, True), done.stderr


def test_a_missing_work_folder(shell: Shell) -> None:
    shell.environment["GPUENV_WORK"] = f"{shell.work}/missing"
    done = shell.run("true")
    assert done.returncode == 2
    assert "does not exist" in done.stderr.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_passed_on(shell: Shell, number: signal.Signals) -> None:
    process = shell.begin(f"trap 'echo got; exit 7' {number.name}; echo armed; sleep 600 & wait")
    assert process.stdout is not None
    assert process.stdout.readline() == b"armed\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert out == b"got\n"
    assert process.returncode == 7, err


def test_ctrl_c_reaches_the_program_that_bash_waits_for(shell: Shell) -> None:
    process = shell.begin("sleep 600; echo not reached")
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert (out, process.returncode) == (b"", 130)
    assert last_line(err) == "gpuenv: the command ended with exit code 130 (SIGINT)"


def test_a_command_that_ignores_ctrl_c_is_killed_in_the_end(shell: Shell) -> None:
    process = shell.begin("trap 'echo no' INT; echo armed; while true; do sleep 1; done")
    assert process.stdout is not None
    for expected in (b"armed\n", b"no\n", b"no\n"):
        assert process.stdout.readline() == expected
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 137
    assert "press Ctrl-C once more" in err.decode()


def test_kill_9_leaves_no_container(shell: Shell) -> None:
    process = shell.begin("sleep 600")
    assert len(shell.containers()) == 1
    process.kill()
    process.communicate(timeout=TIMEOUT_S)
    shell.assert_nothing_left()


def test_kill_9_of_everything_is_swept_up_by_the_next(shell: Shell) -> None:
    """Our process and its watcher die at once: then the next shell removes what they left."""
    process = shell.begin("sleep 600")
    watcher = next(pid for pid in all_processes() if is_watcher(pid, shell.containers()[0].lstrip("/")))
    os.kill(watcher, signal.SIGKILL)
    process.kill()
    process.communicate(timeout=TIMEOUT_S)
    assert len(shell.containers()) == 1
    assert shell.run("true").returncode == 0
    shell.assert_nothing_left()


def all_processes() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def is_watcher(pid: int, name: str) -> bool:
    words = processes.command_line(pid)
    return any("reaper_main" in word for word in words) and any(name in word for word in words)


def test_two_at_once(shell: Shell) -> None:
    first, second = shell.begin("sleep 0.2; echo one"), shell.begin("sleep 0.2; echo two")
    outputs = [process.communicate(timeout=TIMEOUT_S)[0] for process in (first, second)]
    assert outputs == [b"one\n", b"two\n"]


@needs_root
def test_a_read_only_home(shell: Shell) -> None:
    shell.environment["HOME"] = "/proc/1"
    done = shell.run("echo fine")
    assert (done.returncode, done.stdout) == (0, b"fine\n"), done.stderr


def test_bad_gpus(shell: Shell) -> None:
    shell.environment["GPUENV_GPUS"] = "one"
    done = shell.run("true")
    assert done.returncode == 2
    assert "GPUS=one" in done.stderr.decode()


@pytest.fixture
def relay(shell: Shell, tmp_path: Path) -> Iterator[Relay]:
    made = Relay(shell.engine, tmp_path)
    shell.environment["DOCKER_HOST"] = f"unix://{made.path}"
    yield made
    # Nobody but us can reach the engine now.
    for name in shell.containers():
        sdk(shell.engine).api.remove_container(name, force=True)


GONE = "stopped answering\n  cause: it was stopped, or it crashed\n  next:  start it again"


def test_the_engine_dies(shell: Shell, relay: Relay) -> None:
    process = shell.begin("sleep 600")
    relay.die()
    _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 5
    assert GONE in err.decode()
    assert "Traceback" not in err.decode()


class Screen:
    """A terminal with gpu-shell in it."""

    def __init__(self, shell: Shell, below: Sequence[str] = (), arguments: Sequence[str] = (), **options: Any) -> None:
        """``below``: a program that starts it and stays."""
        self.leader, follower = pty.openpty()
        self.process = subprocess.Popen(
            [*below, *shell.argv(*arguments)],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env=shell.environment,
            start_new_session=True,
            # Its controlling terminal, so that the kernel tells it of a new size.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - there are no threads here
            **options,
        )
        self.follower = follower
        self.text = ""

    def read_until(self, expected: str) -> str:
        deadline = time.monotonic() + TIMEOUT_S
        while expected not in self.text and time.monotonic() < deadline:
            assert self.process.poll() is None or select.select([self.leader], [], [], 0)[0], self.text
            if select.select([self.leader], [], [], 0.1)[0]:
                self.text += os.read(self.leader, 4096).decode(errors="replace")
        assert expected in self.text, self.text
        before, self.text = self.text.split(expected, 1)
        return before

    def type(self, text: str) -> None:
        os.write(self.leader, text.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.leader)
        os.close(self.follower)


@pytest.fixture
def screen(shell: Shell) -> Iterator[Screen]:
    shell.environment["TERM"] = "vt100"
    made = Screen(shell)
    yield made
    made.close()


def is_in_foreground(command: str) -> bool:
    """Whether a process with this command line has the terminal that it runs in (proc(5): pgrp is tpgid)."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "cmdline").read_bytes() == command.replace(" ", "\0").encode() + b"\0":
                fields = (folder / "stat").read_text().rpartition(") ")[2].split()
                return fields[2] == fields[5]
    return False


def test_a_prompt(screen: Screen) -> None:
    before = termios.tcgetattr(screen.follower)
    screen.read_until("(cuda10.0-cpu) /work")
    screen.type("echo $((6*7)) $TERM; stty size\n")
    screen.read_until("42 vt100\r\n")
    # Ctrl-P is not held back by the engine, and Ctrl-C ends a program, not the shell.
    screen.type("\x10\x10")
    screen.read_until("stty size")
    program = f"sleep 600.{os.getpid()}"
    screen.type(f"\x15{program}\n")
    # Until bash has given it the terminal, Ctrl-C is for bash, which goes on.
    wait_until(lambda: is_in_foreground(program))
    screen.text = ""
    screen.type("\x03")
    screen.read_until("(cuda10.0-cpu) /work")
    screen.type("exit 5\n")
    assert screen.process.wait(TIMEOUT_S) == 5
    screen.read_until("the shell ended with exit code 5")
    assert termios.tcgetattr(screen.follower) == before


def test_ctrl_z_stops_no_command_for_good(shell: Shell) -> None:
    shell.environment["TERM"] = "xterm-kitty"
    program = f"sleep 601.{os.getpid()}"
    screen = Screen(shell, arguments=["--cmd", f"echo $TERM; {program}; echo not reached"])
    try:
        # What the image does not know.
        screen.read_until("xterm-256color\r\n")
        wait_until(lambda: is_in_foreground(program))
        screen.type("\x1a")
        screen.read_until("^Z")
        screen.type("\x03")
        assert screen.process.wait(TIMEOUT_S) == 130
    finally:
        screen.close()


def test_the_size_of_the_terminal(screen: Screen) -> None:
    screen.read_until("(cuda10.0-cpu) /work")
    fcntl.ioctl(screen.leader, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))

    def has_size() -> bool:
        screen.type("stty size\n")
        screen.read_until("stty size\r\n")
        return "33 99" in screen.read_until("(cuda10.0-cpu)")

    wait_until(has_size)
    screen.type("exit\n")
    assert screen.process.wait(TIMEOUT_S) == 0


def test_the_terminal_is_gone(screen: Screen, shell: Shell) -> None:
    """SIGTERM, which bash ignores at a prompt, ends the shell all the same."""
    screen.read_until("(cuda10.0-cpu) /work")
    screen.process.send_signal(signal.SIGTERM)
    assert screen.process.wait(TIMEOUT_S) == 128 + signal.SIGHUP
    shell.assert_nothing_left()


def test_kill_9_at_a_prompt_gives_the_terminal_back(shell: Shell) -> None:
    # Below another program, as below make: when that which has the terminal dies, the terminal dies with it.
    screen = Screen(shell, below=("bash", "-c", '"$@"; cat', "-"))
    try:
        before = termios.tcgetattr(screen.follower)
        screen.read_until("(cuda10.0-cpu) /work")
        assert termios.tcgetattr(screen.follower) != before
        pid = screen.process.pid
        (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        wait_until(lambda: termios.tcgetattr(screen.follower) == before)
        shell.assert_nothing_left()
    finally:
        screen.close()


def test_the_engine_dies_at_a_prompt(shell: Shell, relay: Relay) -> None:
    screen = Screen(shell, below=("bash", "-c", '"$@"; echo "code $?"; cat', "-"))
    try:
        before = termios.tcgetattr(screen.follower)
        screen.read_until("(cuda10.0-cpu) /work")
        relay.die()
        screen.read_until("stopped answering")
        screen.read_until("code 5")
        assert termios.tcgetattr(screen.follower) == before
    finally:
        screen.close()

"""The connection to an environment on another machine: commands run there, and the reference programs travel there."""

from __future__ import annotations

import atexit
import base64
import dataclasses
import functools
import io
import os
import shlex
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gpuenv.core import captured, paths, signals
from gpuenv.core.errors import CheckError
from gpuenv.harness.targets import names
from gpuenv.harness.targets.connection import Connection, Output, last_line
from gpuenv.harness.targets.model import Target, label_of

if TYPE_CHECKING:
    from testinfra.backend.base import CommandResult
    from testinfra.host import Host

#: A host that stops answering is given up after a minute.
SSH_OPTIONS = "-o ServerAliveInterval=15 -o ServerAliveCountMax=4"
#: Nothing is asked on a terminal. With a password this would forbid that, too.
SSH_NO_QUESTIONS = "-o BatchMode=yes"
#: A socket's name takes 58 characters (the one that ssh makes first), the folder's own 20.
SOCKET_FOLDER_CHARACTERS = 24
#: No program of the harness takes as long, not even on a slow and busy machine: something hangs.
COMMAND_LIMIT_S = 3600
#: The exit code of what prints without end: that of a program that was killed.
FLOODED = 128 + signal.SIGKILL
#: Makes a folder on the host; needs nothing but the target's own Python.
_MAKE_FOLDER = "import tempfile; print(tempfile.mkdtemp(prefix='gpuenv-'))"
#: Unpacks in that folder what was put together there. One line: the user's shell on the host may be csh.
_UNPACK = (
    "import base64,io,os,sys,tarfile; os.chdir(sys.argv[1]);"
    "tarfile.open(fileobj=io.BytesIO(base64.b64decode(open('archive').read()))).extractall(); os.remove('archive')"
)
#: Small servers (dropbear) take commands of up to 9000 characters.
CHUNK_CHARACTERS = 6000


def open_host(uri: str, limit_s: float = COMMAND_LIMIT_S) -> Host:
    """testinfra's host, whose commands may take ``limit_s``. With ssh, those of one process share a connection.

    Raises CheckError where an inventory gives it a name that is none.
    """
    import testinfra
    from testinfra.backend import parse_hostspec
    from testinfra.backend.ssh import SshBackend

    host = testinfra.get_host(uri)
    if urlsplit(uri).scheme == "chroot":
        # testinfra takes what stands before the path for the path.
        host = testinfra.get_host(urlsplit(uri).path, **parse_hostspec(uri)[1])
    backend: Any = host.backend
    if backend.NAME == "ansible" and not backend.force_ansible:
        # The connection that the inventory stands for, unless only Ansible knows how to make it.
        files = {"ssh_config": backend.ssh_config, "ssh_identity_file": backend.ssh_identity_file}
        host = backend.ansible_runner.get_host(backend.host, **files) or host
        backend = host.backend
    if why := names.refusal(backend.NAME, names.parts_in(backend)):
        raise CheckError(f"{label_of(uri)} is not asked", why, "correct its name in the inventory")
    if isinstance(backend, SshBackend):
        given = backend.ssh_extra_args or ""
        # testinfra hands out the same backend again for the same address. The user's options stand first and win.
        if SSH_OPTIONS not in given:
            more = "" if backend.host.password else SSH_NO_QUESTIONS
            backend.ssh_extra_args = " ".join(filter(None, (given, SSH_OPTIONS, more)))
        # testinfra formats its command line with `%`; ssh makes one name for each host of %C.
        backend.controlpath = backend.controlpath or f"{control_folder()}/%%C"
    return bounded(host, limit_s)


def bounded(host: Host, limit_s: float = COMMAND_LIMIT_S) -> Host:
    """The same host; its commands have ``limit_s`` and a bound on what they print."""
    backend: Any = host.backend

    def run(command: str, *args: str) -> CommandResult:
        return backend.result(*run_local(backend.quote(command, *args).encode(), limit_s))

    # In the place of testinfra's, which waits for ever and keeps everything.
    vars(backend)["run_local"] = run
    return host


def run_local(line: bytes, limit_s: float) -> tuple[int, bytes, bytes, bytes]:
    """Run the client (ssh, kubectl, ...) that makes a connection: exit code, line, both streams. Raises TimeoutError.

    In a session of its own it has no terminal on which to ask, and Ctrl-C leaves the connection for the cleaning up.
    """
    argv = ["/bin/sh", "-c", os.fsdecode(line)]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    try:
        done = signals.run(argv, limit_s, stdin=nothing, stdout=pipe, stderr=pipe, start_new_session=True)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"no answer within {limit_s:g} s") from None
    except captured.FloodError as flood:
        return FLOODED, line, flood.stdout, flood.stderr + f"\n{flood.strerror}\n".encode()
    return done.returncode, line, done.stdout, done.stderr


@functools.cache
def control_folder() -> str:
    """A folder of this process for ssh's sockets; short, because their paths may have 104 bytes at most."""
    place = tempfile.gettempdir()
    if len(place) > SOCKET_FOLDER_CHARACTERS:
        place = "/tmp"  # noqa: S108 - mkdtemp makes a folder of our own there
    folder = tempfile.mkdtemp(prefix="gpuenv-ssh-", dir=place)
    atexit.register(close_connections, folder)
    return folder


def close_connections(folder: str) -> None:
    """End the connections whose sockets are in ``folder``, and remove it."""
    for socket in Path(folder).iterdir():
        # ssh wants a name for a host here, and does not use it.
        end = ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "host"]
        with suppress(OSError, subprocess.TimeoutExpired):
            signals.ask(end, 10, stdin=subprocess.DEVNULL)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def connect(target: Target) -> Iterator[Connection]:
    """A connection to ``target`` with the reference programs in a folder there, which is removed at the end."""
    connection = Connection(target, open_host(target.host), "")
    output = connection.run(f"{shlex.quote(target.python)} -I -c {shlex.quote(_MAKE_FOLDER)}")
    connection.reference = last_line(output.stdout)
    if output.code != 0 or not connection.reference.startswith("/") or "/gpuenv-" not in connection.reference:
        raise _does_not_take(connection, output)
    try:
        send_programs(connection)
        yield connection
    finally:
        # The host may be gone by now; then there is nothing to be done, and the checks have said so.
        with suppress(CheckError):
            connection.run(f"rm -rf -- {shlex.quote(connection.reference)}")


def send_programs(connection: Connection) -> None:
    """Put the reference programs into their folder on the host. Raises CheckError."""
    # What is sent says nothing to a person who reads a failure.
    aside, place = dataclasses.replace(connection, trail=[]), shlex.quote(connection.reference)
    text = base64.b64encode(pack_programs()).decode("ascii")
    chunks = [text[start : start + CHUNK_CHARACTERS] for start in range(0, len(text), CHUNK_CHARACTERS)]
    commands = [f"printf %s {chunk} >> {place}/archive" for chunk in chunks]
    commands.append(f"{shlex.quote(connection.target.python)} -I -c {shlex.quote(_UNPACK)} {place}")
    for command in commands:
        output = aside.run(command)
        if output.code != 0:
            connection.trail.append(dataclasses.replace(output, command="(sending the reference programs)"))
            raise _does_not_take(connection, output)


def _does_not_take(connection: Connection, output: Output) -> CheckError:
    target = connection.target
    return CheckError(
        f"{target.title} does not take the reference programs (exit code {output.code})",
        last_line(output.stderr) or "no message",
        f"is {target.python} there, and room in /tmp? An environment is named so: "
        f"HOSTS={shlex.quote(f'{label_of(target.host)}?prefix=/opt/gpuenv')}",
    )


def pack_programs() -> bytes:
    """The reference programs as a compressed archive (about 20 kB: it travels in a few commands)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for path in sorted(paths.reference_dir().glob("*.py")):
            tar.add(path, path.name)
    return stream.getvalue()

"""The connection to an environment on another machine: commands run there, and the reference programs travel there."""

from __future__ import annotations

import atexit
import base64
import dataclasses
import functools
import io
import shlex
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gpuenv import paths
from gpuenv.errors import CheckError
from gpuenv.target import Connection, Output, Target, label_of

if TYPE_CHECKING:
    from testinfra.host import Host

#: No question is asked on the terminal, and a host that stops answering is given up after a minute.
SSH_OPTIONS = "-o BatchMode=yes -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
#: How long a shared connection outlives its last command.
SSH_PERSIST_S = 10
#: Makes a folder on the host; needs nothing but the target's own Python.
_MAKE_FOLDER = "import tempfile; print(tempfile.mkdtemp(prefix='gpuenv-'))"
#: Unpacks in that folder what was put together there.
_UNPACK = (
    "import base64,io,os,sys,tarfile; os.chdir(sys.argv[1]);"
    "tarfile.open(fileobj=io.BytesIO(base64.b64decode(open('archive').read()))).extractall(); os.remove('archive')"
)
#: Small servers (dropbear) take commands of up to 9000 characters.
CHUNK_CHARACTERS = 6000


def open_host(uri: str) -> Host:
    """testinfra's host. With ssh, all commands of one process share a connection."""
    import testinfra

    scheme = urlsplit(uri).scheme
    if scheme not in ("ssh", "safe-ssh"):
        return testinfra.get_host(uri)
    # testinfra formats its command line with `%`; ssh makes one name for each host of %C.
    control = f"{control_folder()}/%%C"
    return testinfra.get_host(uri, ssh_extra_args=SSH_OPTIONS, controlpath=control, controlpersist=SSH_PERSIST_S)


@functools.cache
def control_folder() -> str:
    """A folder of this process for ssh's sockets; short, because their paths may have 104 bytes at most."""
    folder = tempfile.mkdtemp(prefix="gpuenv-ssh-", dir="/tmp")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextmanager
def connect(target: Target) -> Iterator[Connection]:
    """A connection to ``target`` with the reference programs in a folder there, which is removed at the end."""
    connection = Connection(target, open_host(target.host), "")
    connection.reference = send_programs(connection)
    try:
        yield connection
    finally:
        # The host may be gone by now; then there is nothing to be done, and the checks have said so.
        with suppress(CheckError):
            connection.run(f"rm -rf -- {shlex.quote(connection.reference)}")


def send_programs(connection: Connection) -> str:
    """Put the reference programs on the host; the folder there. Raises CheckError."""
    python = shlex.quote(connection.target.python)
    output = connection.run(f"{python} -c {shlex.quote(_MAKE_FOLDER)}")
    folder = (output.stdout.strip().splitlines() or [""])[-1]
    if output.code != 0 or not folder.startswith("/") or "/gpuenv-" not in folder:
        raise _does_not_take(connection, output)
    before = len(connection.trail)
    place = shlex.quote(folder)
    text = base64.b64encode(pack_programs()).decode("ascii")
    for start in range(0, len(text), CHUNK_CHARACTERS):
        chunk = text[start : start + CHUNK_CHARACTERS]
        _sent(connection, connection.run(f"printf %s {chunk} >> {place}/archive"))
    _sent(connection, connection.run(f"{python} -c {shlex.quote(_UNPACK)} {place}"))
    # What was sent says nothing to a person who reads a failure.
    del connection.trail[before:]
    return folder


def _sent(connection: Connection, output: Output) -> None:
    if output.code != 0:
        raise _does_not_take(connection, dataclasses.replace(output, command="(sending the reference programs)"))


def _does_not_take(connection: Connection, output: Output) -> CheckError:
    connection.trail[-1] = output
    return CheckError(
        f"{connection.target.title} does not take the reference programs (exit code {output.code})",
        (output.stderr.strip() or "no message").splitlines()[-1][:300],
        f"is {connection.target.python} there? A folder is named so: HOSTS='{label_of(connection.target.host)}"
        "?prefix=/opt/gpuenv'",
    )


def pack_programs() -> bytes:
    """The reference programs as a compressed archive (about 18 kB: it travels in a few commands)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for path in sorted(paths.reference_dir().glob("*.py")):
            tar.add(path, path.name)
    return stream.getvalue()

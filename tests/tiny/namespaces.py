"""Machines that are network namespaces of this one, joined by cables: what one reaches of another is seen for real."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: Seconds for one program; each takes a few at most (two cores).
RUN_S = 120
#: The kernel's settings of that network in /sys, too, but with the control groups that an engine needs.
_PREPARE = """
mount --rbind /sys/fs/cgroup "$1" && mount -t sysfs sysfs /sys && mount --move "$1" /sys/fs/cgroup
ip link set lo up
echo ready
exec cat
"""
#: Says whether something listens ("open"), nothing does there ("closed"), or no answer comes ("silent").
_KNOCK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()
    print("open")
except ConnectionRefusedError:
    print("closed")
except OSError:
    print("silent")
"""
_LISTEN = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    connection, _ = server.accept()
    connection.sendall(b"hello\\n")
    connection.close()
"""


@dataclass(frozen=True)
class Machine:
    """One of them, by the process that keeps it."""

    pid: int

    def argv(self, *words: str | Path) -> list[str]:
        """The command line that runs a program there."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--", *map(str, words)]

    def run(self, *words: str | Path, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program there to its end."""
        return subprocess.run(
            self.argv(*words), env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=RUN_S, check=False,
        )  # fmt: skip

    def do(self, line: str) -> str:
        """Run a program that has to succeed; what it prints."""
        done = self.run(*line.split())
        assert done.returncode == 0, done.stderr
        return done.stdout

    def knock(self, address: str, port: int) -> str:
        """What this machine finds at a port: open, closed, or silent."""
        return self.run(sys.executable, "-c", _KNOCK, address, str(port)).stdout.strip()

    @contextmanager
    def listening(self, address: str, port: int) -> Iterator[None]:
        """Answer "hello" at a port."""
        argv = self.argv(sys.executable, "-c", _LISTEN, address, str(port))
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as server:
            try:
                assert server.stdout is not None
                assert server.stdout.readline() == b"ready\n"
                yield
            finally:
                server.kill()


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """A machine without any cable. ``folder`` is an empty one. Needs root."""
    argv = ["unshare", "--net", "--mount", "sh", "-euc", _PREPARE, "sh", str(folder)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as keeper:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == b"ready\n"
        # It ends with its input.
        yield Machine(keeper.pid)


def join(one: Machine, other: Machine, network: str) -> None:
    """A cable between two machines: the first has the address ``network``.1, the other .2 and sends all there."""
    name = f"to{other.pid}"
    one.do(f"ip link add {name} type veth peer name out netns {other.pid}")
    one.do(f"ip addr add {network}.1/24 dev {name}")
    one.do(f"ip link set {name} up")
    other.do(f"ip addr add {network}.2/24 dev out")
    other.do("ip link set out up")
    other.do(f"ip route add default via {network}.1")

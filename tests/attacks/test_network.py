"""What neighbours reach of a machine with a private engine, and what its containers reach; what is left of it.

The machine and its neighbours are namespaces: nothing of the real machine's network is touched.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpuenv.core import processes
from gpuenv.engine import container as containers
from gpuenv.engine.model import Engine
from gpuenv.host import packages
from tiny import namespaces, small_image
from tiny.command import plain_environment
from tiny.namespaces import Machine

pytestmark = pytest.mark.skipif(
    os.getuid() != 0 or bool(packages.missing()), reason="needs root, dockerd, iptables and ip"
)

#: Networks of documentation: nobody has them.
NEAR, FAR = "198.51.100", "203.0.113"
SECRETS = "169.254.169.254"
PORT = 8080


@dataclass
class Lab:
    """A machine that starts and stops its private engine, and two neighbours on cables of their own."""

    machine: Machine
    near: Machine
    far: Machine
    state: Path

    def gpuenv(self, *words: str) -> None:
        """Run the command on the machine; it has to succeed."""
        own = {"GPUENV_STATE_DIR": str(self.state), "GPUENV_CACHE_DIR": f"{self.state}-cache"}
        done = self.machine.run(
            sys.executable, "-I", "-m", "gpuenv", *words, environment={**plain_environment(), **own}
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> Engine:
        """Start its engine."""
        self.gpuenv("engine", "--engine", "private")
        record = json.loads((self.state / "engine/daemon.json").read_text())
        assert record["network"] == "bridge"
        return Engine("private", record["url"], "a test's", record["api_version"])

    def forwards(self) -> str:
        """Whether the machine's kernel forwards packets."""
        return self.machine.do("cat /proc/sys/net/ipv4/ip_forward").strip()

    def set_forwarding(self, value: str) -> None:
        """As its administrator does."""
        self.machine.run("sh", "-c", f"echo {value} > /proc/sys/net/ipv4/ip_forward")
        assert self.forwards() == value

    def rules(self) -> list[str]:
        """Everything that its firewall holds."""
        tables = ("filter", "nat", "mangle", "raw")
        lines = [line for table in tables for line in self.machine.do(f"iptables -t {table} -S").splitlines()]
        return [line for line in lines if line.startswith("-A")]

    def kill_engine(self) -> None:
        """SIGKILL for dockerd."""
        record = json.loads((self.state / "engine/daemon.json").read_text())
        os.kill(record["pid"], signal.SIGKILL)
        deadline = time.monotonic() + 10
        while processes.is_same(record["pid"], record["began"]):
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    folders = [tmp_path / name for name in ("machine", "near", "far")]
    for folder in folders:
        folder.mkdir()
    machine_folder, near_folder, far_folder = folders
    with (
        namespaces.machine(machine_folder) as machine,
        namespaces.machine(near_folder) as near,
        namespaces.machine(far_folder) as far,
    ):
        namespaces.join(machine, near, NEAR)
        namespaces.join(machine, far, FAR)
        made = Lab(machine, near, far, tmp_path / "state")
        # It began with what the real machine has.
        made.set_forwarding("0")
        yield made
        made.gpuenv("engine-stop")


def test_a_neighbour_reaches_no_container_and_the_machine_is_no_router(lab: Lab) -> None:
    """A neighbour sends packets for the bridge's network through this machine."""
    engine = lab.start()
    assert lab.forwards() == "1"
    with (
        small_image.imported(engine, "gpuenv-attacks:network") as tag,
        containers.running(engine, image=tag, user="1234:1234") as name,
    ):
        networks = engine.call("GET", f"/containers/{name}/json")["NetworkSettings"]["Networks"]
        address = networks["bridge"]["IPAddress"]
        assert lab.machine.knock(address, PORT) == "closed", "the machine itself reaches it"
        assert lab.near.knock(f"{NEAR}.1", PORT) == "closed", "a neighbour reaches the machine"
        assert lab.near.knock(address, PORT) == "silent"
        # Another engine that starts later accepts what its containers send, before all that was there.
        lab.machine.do(f"iptables -I FORWARD -s {NEAR}.0/24 -j ACCEPT")
        assert lab.near.knock(address, PORT) == "silent"
        lab.machine.do(f"iptables -D FORWARD -s {NEAR}.0/24 -j ACCEPT")
        assert lab.near.knock(f"{FAR}.2", PORT) == "silent", "it forwarded nothing before"
        with lab.far.listening(f"{FAR}.2", PORT):
            assert answer(lab, name, f"{FAR}.2", PORT) == "hello\n", "containers reach the network"


def test_a_container_reaches_no_link_local_address_but_its_name_server(lab: Lab) -> None:
    """Where clouds have what gives a machine its secrets: beyond the machine, or on it."""
    lab.far.do(f"ip addr add {SECRETS}/32 dev lo")
    lab.machine.do(f"ip route add {SECRETS} via {FAR}.2")
    lab.machine.do("ip addr add 169.254.1.1/32 dev lo")
    engine = lab.start()
    with (
        small_image.imported(engine, "gpuenv-attacks:network") as tag,
        containers.running(engine, image=tag, user="1234:1234") as name,
        lab.far.listening(SECRETS, 80),
        lab.far.listening(SECRETS, 53),
        lab.machine.listening("169.254.1.1", 80),
    ):
        assert lab.machine.knock(SECRETS, 80) == "open"
        assert answer(lab, name, SECRETS, 80) == ""
        assert answer(lab, name, "169.254.1.1", 80) == ""
        assert answer(lab, name, SECRETS, 53) == "hello\n", "some networks have their only name server there"


def answer(lab: Lab, name: str, address: str, port: int) -> str:
    """What a container is told at a port; empty if nothing within 2 s."""
    knock = f"exec 3<>/dev/tcp/{address}/{port} && read -r -t 2 line <&3 && echo $line"
    record = json.loads((lab.state / "engine/daemon.json").read_text())
    return lab.machine.run("docker", "--host", record["url"], "exec", name, "timeout", "2", "bash", "-c", knock).stdout


def test_at_its_end_the_network_is_as_it_was(lab: Lab) -> None:
    lab.start()
    assert lab.forwards() == "1"
    lab.gpuenv("engine-stop")
    assert (lab.forwards(), lab.rules()) == ("0", [])


def test_so_it_is_after_a_kill_and_the_next_start(lab: Lab) -> None:
    """Of the daemon, and of who started it before all was written down."""
    lab.start()
    lab.kill_engine()
    (lab.state / "engine/daemon.json").unlink()
    lab.start()
    lab.gpuenv("engine-stop")
    assert (lab.forwards(), lab.rules()) == ("0", [])
    lab.start()
    lab.kill_engine()
    lab.gpuenv("engine-stop")
    assert (lab.forwards(), lab.rules()) == ("0", [])


def test_a_machine_that_forwarded_before_goes_on(lab: Lab) -> None:
    lab.set_forwarding("1")
    assert lab.near.knock(f"{FAR}.2", PORT) == "closed"
    lab.start()
    assert lab.near.knock(f"{FAR}.2", PORT) == "closed"
    lab.gpuenv("engine-stop")
    assert (lab.forwards(), lab.rules()) == ("1", [])

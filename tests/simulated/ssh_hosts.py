"""Hosts for ``HOSTS=``: containers of a gpuenv image that run a real ssh server on loopback.

The server is Debian's dropbear, taken from its packages without installing them, in a folder of its own: the
environment in the image stays as it is. Base and host are of one release (the base was made on this machine).
"""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fakes.engine import sdk
from gpuenv.core import paths
from gpuenv.engine import container as containers
from gpuenv.engine import reaper
from gpuenv.engine.model import Engine

if TYPE_CHECKING:
    from docker.models.containers import Container

PACKAGES = ("dropbear-bin", "libtomcrypt1", "libtommath1")
#: Where the server is in the image, and where a gpuenv image has its environment.
SERVER, PREFIX = "/opt/ssh-server", "/opt/gpuenv"
#: Above 1023: the server runs as the image's own user.
PORT = 2222
START_TIMEOUT_S = 30


@dataclass(frozen=True)
class SshHost:
    """One host: its entry for ``HOSTS=``, and its container."""

    uri: str
    container: Container


@dataclass(frozen=True)
class SshHosts:
    """The hosts of one :func:`running_ssh_hosts`. ``config`` is the ssh configuration that knows keys and ports."""

    hosts: tuple[SshHost, ...]
    config: Path

    @property
    def uris(self) -> list[str]:
        """The entries for ``HOSTS=``."""
        return [host.uri for host in self.hosts]


@contextmanager
def running_ssh_hosts(engine: Engine, image: str, count: int, prefix: str = PREFIX) -> Iterator[SshHosts]:
    """``count`` containers of ``image`` (an id or a tag) with an ssh server; they and the server's image are removed.

    Needs apt-get (the server's packages are downloaded, not installed), ssh-keygen, and an engine on this machine.
    """
    with tempfile.TemporaryDirectory(prefix="gpuenv-ssh-hosts-") as name, ExitStack() as stack:
        folder = Path(name)
        make_key(folder / "host")
        make_key(folder / "caller")
        server = build_image(engine, image, folder)
        stack.callback(sdk(engine).images.remove, server, force=True)
        started = [stack.enter_context(_running(engine, server)) for _ in range(count)]
        names = [f"lab{number}" for number in range(1, count + 1)]
        config = write_config(folder, dict(zip(names, map(published_port, started))))
        for container in started:
            wait_for_greeting(published_port(container), container)
        uris = [f"ssh://{one}?ssh_config={config}&prefix={prefix}" for one in names]
        yield SshHosts(tuple(SshHost(uri, one) for uri, one in zip(uris, started)), config)


def make_key(path: Path) -> None:
    """A new key pair; dropbear reads the older of the two private formats."""
    argv = ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-C", "test", "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def build_image(engine: Engine, image: str, folder: Path) -> str:
    """``image`` with the server and the keys in it; the id. No network is used."""
    context = folder / "context"
    shutil.copytree(server_files(), context / "server")
    argv = [str(context / "server" / "dropbearconvert"), "openssh", "dropbear"]
    argv += [str(folder / "host"), str(context / "server" / "hostkey")]
    subprocess.run(argv, env={"LD_LIBRARY_PATH": str(context / "server")}, check=True, capture_output=True)
    shutil.copy(folder / "caller.pub", context / "authorized_keys")
    (context / "Dockerfile").write_text(
        f"FROM {image}\nUSER 0:0\nCOPY server {SERVER}/\nCOPY authorized_keys /home/user/.ssh/\n"
        # The server refuses keys in a folder that others may write into.
        f"RUN chmod 755 /home/user && chown -R 1000:1000 /home/user {SERVER} && chmod 700 /home/user/.ssh\n"
        # The server clears its environment before it starts a session. A shell is process 1, which ends with the
        # server: a signal from inside reaches no process 1, so the server could not be killed there.
        f"USER 1000:1000\nENV LD_LIBRARY_PATH={SERVER}\nENTRYPOINT []\n"
        f'CMD ["/bin/sh", "-c", "{SERVER}/dropbear -F -E -s -p {PORT} -r {SERVER}/hostkey; exit"]\n',
        encoding="utf-8",
    )
    built, _ = sdk(engine).images.build(path=str(context), rm=True, forcerm=True, nocache=True, network_mode="none")
    return str(built.id)


@cache
def server_files() -> Path:
    """A folder with dropbear's programs and the libraries that only they need; fetched once, and kept in the cache."""
    target = paths.cache_dir() / "ssh-server"
    if not (target / "dropbear").exists():
        shutil.rmtree(target, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=paths.cache_dir()) as name:
            folder = Path(name)
            _download(folder)
            for package in folder.glob("*.deb"):
                subprocess.run(["dpkg-deb", "--extract", str(package), str(folder / "root")], check=True)
            _collect(folder / "root", folder / "server")
            (folder / "server").rename(target)
    return target


def _download(folder: Path) -> None:
    # apt's own user cannot write into a private folder, and says so.
    argv = ["apt-get", "-o", "APT::Sandbox::User=root", "download", "--quiet=2", *PACKAGES]
    if subprocess.run(argv, cwd=folder, capture_output=True, check=False).returncode != 0:
        subprocess.run(["apt-get", "update", "--quiet=2"], check=True, capture_output=True)
        subprocess.run(argv, cwd=folder, check=True, capture_output=True)


def _collect(root: Path, target: Path) -> None:
    target.mkdir()
    libraries = (f"usr/lib/x86_64-linux-gnu/{name}" for name in ("libtomcrypt.so.1", "libtommath.so.1"))
    for name in ("usr/sbin/dropbear", "usr/bin/dropbearconvert", *libraries):
        shutil.copy(root / name, target)


@contextmanager
def _running(engine: Engine, image: str) -> Iterator[Container]:
    name = containers.new_name("ssh")
    with reaper.watching(engine, name) as tell:
        container = sdk(engine).containers.run(
            image, name=name, detach=True, labels=containers.own_labels(), cap_drop=["ALL"],
            ports={f"{PORT}/tcp": ("127.0.0.1", 0)},
        )  # fmt: skip
        try:
            yield container
        finally:
            container.remove(force=True)
            tell(reaper.DONE)


def published_port(container: Container) -> int:
    """The port on loopback that leads to the container's server."""
    container.reload()
    published = container.ports[f"{PORT}/tcp"]
    assert published, f"{container.name} has ended: {container.logs(tail=20).decode(errors='replace')}"
    return int(published[0]["HostPort"])


def wait_for_greeting(port: int, container: Container) -> None:
    """Wait until the server answers on ``port``."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.settimeout(5)
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"the ssh server does not answer: {container.logs(tail=20).decode(errors='replace')}")


def write_config(folder: Path, ports: dict[str, int]) -> Path:
    """An ssh configuration for hosts by name: their ports, the caller's key, the host key that has to be shown."""
    key = " ".join((folder / "host.pub").read_text(encoding="utf-8").split()[:2])
    known = [f"[127.0.0.1]:{port} {key}" for port in ports.values()]
    (folder / "known_hosts").write_text("\n".join([*known, ""]), encoding="utf-8")
    common = (
        f"IdentityFile {folder / 'caller'}",
        f"UserKnownHostsFile {folder / 'known_hosts'}",
        *("User user", "IdentitiesOnly yes", "StrictHostKeyChecking yes", "HostName 127.0.0.1"),
    )
    blocks = [_block(name, (*common, f"Port {port}")) for name, port in ports.items()]
    config = folder / "ssh_config"
    config.write_text("\n".join(blocks), encoding="utf-8")
    return config


def _block(name: str, lines: Sequence[str]) -> str:
    return "\n".join([f"Host {shlex.quote(name)}", *(f"  {line}" for line in lines), ""])


def main(argv: list[str]) -> None:
    """Run hosts for another process: print their entries for ``HOSTS=``, go on until standard input ends."""
    kind, url, api_version, tls_dir, image, count = argv
    engine = Engine(kind, url, "", api_version or None, Path(tls_dir) if tls_dir else None)
    with running_ssh_hosts(engine, image, int(count)) as running:
        print(*running.uris, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1:])

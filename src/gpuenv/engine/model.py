"""The container engine: which one is used, why, and how to talk to it.

``auto`` takes, in this order: a Docker daemon that answers, the private daemon if it runs already,
Podman, a private daemon started (and if needed installed) now, and, as the last resort, none: an environment of
this machine (a virtual one, or one of conda). Whatever is not the first of these is announced.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.core import ui
from gpuenv.core.errors import EngineError
from gpuenv.engine.endpoints import Endpoint, UnreachableError, current_docker_endpoints, current_podman_endpoints, ping

if TYPE_CHECKING:
    from docker import DockerClient

    from gpuenv.engine.private_daemon import Daemon

#: Seconds that an engine may stay silent within one request: it unpacks images without a word.
REQUEST_TIMEOUT_S = 180


@dataclass(frozen=True)
class Engine:
    """An engine that answered. ``why`` says in a few words which it is and why it was taken.

    ``network`` is what containers and builds must ask for to reach the network: ``"bridge"``, the
    engine's default, or ``"host"`` where a private engine could not make a bridge.
    """

    kind: str
    url: str
    why: str
    api_version: str | None = None
    tls_dir: Path | None = None
    network: str = "bridge"

    def client(self) -> DockerClient:
        """The SDK's client, connected to this engine; the same one each time."""
        return _connect(self)

    def build_prefix(self) -> tuple[list[str], dict[str, str]]:
        """``([program, ..., "build"], environment)`` that builds with BuildKit (or Podman's builder).

        Raises EngineError if no program on this machine can.
        """
        return _build_prefix(self)


@cache
def _connect(engine: Engine) -> DockerClient:
    import docker
    from docker.tls import TLSConfig

    tls: TLSConfig | bool = False
    if engine.tls_dir is not None:
        authority, certificate, key = (engine.tls_dir / name for name in ("ca.pem", "cert.pem", "key.pem"))
        tls = TLSConfig(
            client_cert=(str(certificate), str(key)) if certificate.exists() else None,
            ca_cert=str(authority) if authority.exists() else None,
            verify=True,
        )
    try:
        # The version is known from the ping: without it the SDK would ask once more.
        return docker.DockerClient(base_url=engine.url, version=engine.api_version, timeout=REQUEST_TIMEOUT_S, tls=tls)
    except docker.errors.DockerException as error:
        raise EngineError(f"{engine.url} cannot be used", str(error), "update the engine") from error


@cache
def _build_prefix(engine: Engine) -> tuple[list[str], dict[str, str]]:
    from gpuenv.engine import build_client

    if engine.kind != "podman":
        environment = build_client.docker_environment(os.environ, engine.url, engine.tls_dir)
        return [build_client.find_client(environment), "build"], environment
    if not shutil.which("podman"):
        raise EngineError(
            f"{engine.url} answers, but there is no `podman` program to build with",
            "Podman's service runs elsewhere",
            "install podman, or set ENGINE=docker",
        )
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    prefix = build_client.podman_prefix(engine.url, runtime, is_root=os.getuid() == 0)
    # Labels and the default shell are kept as Docker keeps them only in Docker's own image format.
    return prefix, {**os.environ, "BUILDAH_FORMAT": "docker"}


def find_engine(request: str | None) -> Engine | None:
    """The engine to use. ``None`` (for auto, venv and conda) means: an environment of this machine.

    Raises EngineError when the one that was asked for is not there.
    """
    if request in (None, "auto"):
        return _find_any()
    if request in ("venv", "conda"):
        return None
    if request == "private":
        from gpuenv.engine import private as private_engine

        private_engine.install()
        return _private(private_engine.start())
    endpoints = current_docker_endpoints() if request == "docker" else current_podman_endpoints()
    refusals: list[str] = []
    engine = _first_answering(endpoints, refusals, want=request)
    if engine is None:
        raise EngineError(
            f"ENGINE={request}, but no {str(request).capitalize()} engine answers",
            "; ".join(refusals),
            describe_better(),
        )
    return engine


def _find_any() -> Engine | None:
    refusals: list[str] = []
    engine = _first_answering(current_docker_endpoints(), refusals)
    if engine is not None:
        return engine
    why = f"no Docker daemon answers ({'; '.join(refusals)})"
    engine = _running_private() or _first_answering(current_podman_endpoints(), refusals)
    if engine is None:
        engine = _new_private(why, refusals)
    if engine is None:
        reasons = "; ".join(refusals)
        ui.say(
            f"no engine: {reasons}. Using an environment of this machine instead of a container. {describe_better()}"
        )
        return None
    ui.say(f"{why}; using {engine.why}. {describe_better()}")
    return engine


def _first_answering(endpoints: Iterable[Endpoint], refusals: list[str], want: str | None = None) -> Engine | None:
    """The first engine that answers (and is a ``want``); why the others do not goes into ``refusals``."""
    for endpoint in endpoints:
        try:
            pong = ping(endpoint)
        except UnreachableError as error:
            refusals.append(f"{error}{_DENIED if error.is_denied else ''}")
            if endpoint.is_chosen and want is None:
                ui.warn(f"{endpoint.origin} names an engine that does not answer: {error}")
            continue
        kind = "podman" if pong.is_podman else "docker"
        if want not in (None, kind):
            refusals.append(f"{endpoint.url} is {kind.capitalize()}")
            continue
        why = f"{kind.capitalize()} at {endpoint.url} ({endpoint.origin})"
        return Engine(kind, endpoint.url, why, pong.api_version, endpoint.tls_dir)
    return None


_DENIED = " (join the group docker with `sudo usermod -aG docker $USER` and log in again, or use rootless Docker)"


def _running_private() -> Engine | None:
    from gpuenv.engine import private as private_engine

    daemon = private_engine.running()
    return _private(daemon) if daemon else None


def _new_private(why: str, refusals: list[str]) -> Engine | None:
    """A private engine started now, if this machine and its user allow and it works; else None."""
    from gpuenv.engine import private as private_engine
    from gpuenv.host import packages as engine_install

    obstacle = private_engine.obstacle()
    if obstacle is None and not engine_install.is_allowed():
        obstacle = "GPUENV_INSTALL_ENGINE=0 forbids a private engine"
    if obstacle is None and not ui.confirm(f"{why}. {private_engine.describe_start()}?"):
        obstacle = "a private engine was declined"
    if obstacle is not None:
        refusals.append(obstacle)
        return None
    try:
        # Installing may have started the distribution's own daemon; then that is simply there.
        is_new = private_engine.install()
        found = _first_answering(current_docker_endpoints(), []) if is_new else None
        return found or _private(private_engine.start())
    except EngineError as error:
        ui.warn(str(error))
        refusals.append(error.what)
        return None


def _private(daemon: Daemon) -> Engine:
    text = f"the private engine at {daemon.url}"
    return Engine("private", daemon.url, text, daemon.api_version, network=daemon.network)


def describe_better() -> str:
    """How to get a better engine than a fallback: one sentence for people."""
    if shutil.which("dockerd") and os.getuid() == 0:
        return "For another engine start Docker's service, or set DOCKER_HOST."
    if shutil.which("podman"):
        return "For Podman run `systemctl --user start podman.socket`; for Docker start its service or set DOCKER_HOST."
    return "For a better one install Docker or Podman, set DOCKER_HOST, or run `sudo make engine` on Debian or Ubuntu."

"""One engine that answered, the SDK's client for it, and the program that builds in it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from gpuenv.core.errors import EngineError

if TYPE_CHECKING:
    from docker import DockerClient

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
    api_version: Optional[str] = None
    tls_dir: Optional[Path] = None
    network: str = "bridge"

    def client(self) -> DockerClient:
        """The SDK's client, connected to this engine; the same one each time."""
        return _connect(self)

    def build_prefix(self) -> tuple[list[str], dict[str, str]]:
        """``([program, ..., "build"], environment)`` that builds with BuildKit (or Podman's builder).

        Raises EngineError if no program on this machine can.
        """
        from gpuenv.engine import build_client

        if self.kind != "podman":
            environment = build_client.docker_environment(os.environ, self.url, self.tls_dir)
            return [build_client.find_client(environment), "build"], environment
        if not shutil.which("podman"):
            raise EngineError(
                f"{self.url} answers, but there is no `podman` program to build with",
                "Podman's service runs elsewhere",
                "install podman, or set ENGINE=docker",
            )
        runtime = os.environ.get("XDG_RUNTIME_DIR")
        prefix = build_client.podman_prefix(self.url, runtime, is_root=os.getuid() == 0)
        # Labels and the default shell are kept as Docker keeps them only in Docker's own image format.
        return prefix, {**os.environ, "BUILDAH_FORMAT": "docker"}


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

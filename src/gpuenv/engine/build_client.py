"""Which program builds images for an engine. The SDK cannot drive BuildKit, so the engine's client does.

A Docker client builds with BuildKit when it has the buildx plugin, or when it is older than 23 and
brings BuildKit itself. Several clients on one machine are common, and not every one is fit.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.core import paths, signals
from gpuenv.core.errors import EngineError

if TYPE_CHECKING:
    from gpuenv.engine.model import Engine

#: Where clients are besides PATH: distributions, hand-made installations, Docker Desktop.
USUAL_CLIENTS = (
    "/usr/bin/docker",
    "/usr/local/bin/docker",
    "/Applications/Docker.app/Contents/Resources/bin/docker",
    "/opt/docker-desktop/bin/docker",
)
#: From this version on the client builds with BuildKit only through the buildx plugin.
FIRST_WITHOUT_BUILDKIT = 23
_TIMEOUT_S = 30


@dataclass(frozen=True)
class DockerClient:
    """What a `docker` program says of itself: its version, and whether the buildx plugin works."""

    path: str
    #: Empty for another program of that name.
    version: tuple[int, ...]
    has_buildx: bool

    @property
    def refusal(self) -> str | None:
        """Why it cannot build with BuildKit, or None if it can."""
        if not self.version:
            return f"{self.path} is not Docker's client"
        if not self.has_buildx and self.version[0] >= FIRST_WITHOUT_BUILDKIT:
            return f"{self.path} (version {self.version[0]}) has no buildx plugin"
        return None


def parse_version(output: str) -> tuple[int, ...]:
    """The version in the output of ``docker --version``; empty if it is another program's."""
    match = re.match(r"Docker version (\d+(?:\.\d+)*)", output)
    return tuple(map(int, match[1].split("."))) if match else ()


def client_paths(search_path: str, usual: tuple[str, ...] = USUAL_CLIENTS) -> list[str]:
    """Every `docker` that can be executed, in order, each real file once."""
    candidates = [str(Path(folder) / "docker") for folder in search_path.split(os.pathsep) if folder]
    found: dict[Path, str] = {}
    for candidate in (*candidates, *usual):
        if os.access(candidate, os.X_OK) and Path(candidate).is_file():
            found.setdefault(Path(candidate).resolve(), candidate)
    return list(found.values())


def find_client(environment: Mapping[str, str], usual: tuple[str, ...] = USUAL_CLIENTS) -> str:
    """The first client that builds with BuildKit and talks to the engine. Raises EngineError if there is none."""
    refusals = []
    for path in client_paths(environment.get("PATH", os.defpath), usual):
        client = ask_client(path, environment)
        if client.refusal:
            refusals.append(client.refusal)
        elif _output([path, "version", "--format", "{{.Server.Version}}"], environment) is not None:
            return path
        else:
            # An old client and a new daemon, or the other way round.
            refusals.append(f"{path} does not get an answer from the engine (no common protocol version)")
    raise EngineError(
        "no Docker client here can build with BuildKit",
        "; ".join(refusals) or "there is no `docker` program",
        "install the buildx plugin (package docker-buildx or docker-buildx-plugin), or Debian 12's docker.io",
    )


def ask_client(path: str, environment: Mapping[str, str], timeout_s: float = _TIMEOUT_S) -> DockerClient:
    """Run a `docker` program to learn what it is."""
    version = parse_version(_output([path, "--version"], environment, timeout_s) or "")
    has_buildx = bool(version) and _output([path, "buildx", "version"], environment, timeout_s) is not None
    return DockerClient(path, version, has_buildx)


def _output(argv: list[str], environment: Mapping[str, str], timeout_s: float = _TIMEOUT_S) -> str | None:
    try:
        done = signals.ask(argv, timeout_s, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def docker_environment(environ: Mapping[str, str], url: str, tls_dir: Path | None) -> dict[str, str]:
    """The environment in which a Docker client uses this engine, and no other, with BuildKit."""
    others = ("DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION")
    kept = {name: value for name, value in environ.items() if name not in others}
    # For images of another platform than ours the client would ask a registry, for the bases made here, too.
    if kept.get("DOCKER_DEFAULT_PLATFORM") != "linux/amd64":
        kept.pop("DOCKER_DEFAULT_PLATFORM", None)
    # With DOCKER_HOST set, buildx's "default" is the engine itself; a builder in a container of its
    # own, which users may have chosen, would see no local image and keep what it builds to itself.
    kept.update(DOCKER_HOST=url, DOCKER_BUILDKIT="1", BUILDX_BUILDER="default")
    # buildx keeps its own records in the home folder, which may be read-only.
    kept.setdefault("BUILDX_CONFIG", str(paths.state_dir() / "buildx"))
    if tls_dir is not None:
        kept.update(DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=str(tls_dir))
    return kept


def podman_prefix(url: str, environ: Mapping[str, str], *, is_root: bool) -> tuple[list[str], dict[str, str]]:
    """``podman build`` for the service at ``url``, directly where the store is this user's own, and its environment."""
    own = "unix:///run/podman/podman.sock" if is_root else f"unix://{environ.get('XDG_RUNTIME_DIR')}/podman/podman.sock"
    # Labels and the default shell are kept as Docker keeps them only in Docker's own image format.
    kept = {**environ, "BUILDAH_FORMAT": "docker"}
    if url == own:
        # A service is sent the context, CUDA's libraries too, packed; the builder itself reads it where it is.
        kept.pop("CONTAINER_HOST", None)
        return ["podman", "build"], kept
    return ["podman", "--url", url, "build"], {**kept, "CONTAINER_HOST": url}


def clients(engine: Engine) -> tuple[list[list[str]], dict[str, str]]:
    """``[[program, ...], ...]``, the best first, that show a container, and their environment. Raises EngineError."""
    if engine.kind == "podman" and shutil.which("podman"):
        # Through the service that made the container: settings and stores of this process may be others.
        return [["podman", "--url", engine.url]], dict(os.environ)
    environment = docker_environment(os.environ, engine.url, engine.tls_dir)
    if engine.api_version:
        # Not set, the client asks first.
        environment["DOCKER_API_VERSION"] = engine.api_version
    found = client_paths(environment.get("PATH", os.defpath))
    if not found:
        raise EngineError(
            f"{engine.url} answers, but there is no program to start a container with",
            f"`{'podman' if engine.kind == 'podman' else 'docker'}` is not on PATH",
            "install Docker's client (package docker-cli, docker-ce-cli or docker.io) or Podman",
        )
    return [[path] for path in found], environment

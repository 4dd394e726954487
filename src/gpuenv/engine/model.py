"""One engine that answered: requests to it, the SDK's client for it, and the program that builds in it.

The few requests of a warm `gpu-shell` are sent with the standard library alone. Importing the SDK takes 0.45 s,
measured on the machine on which `docker run --rm IMAGE true` takes 0.75 s.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import quote, urlencode

from gpuenv.core.errors import EngineError
from gpuenv.engine.endpoints import Endpoint, UnreachableError, client_proxies, connection_to, ping

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.tls import TLSConfig

#: Seconds that an engine may stay silent within one request: it unpacks images without a word.
REQUEST_TIMEOUT_S = 180
REPOSITORIES = ("gpuenv", "gpuenv-base", "gpuenv-builder")


class RefusedError(EngineError):
    """The engine answered no: ``why`` in its own words, which its client has shown already if ``is_told``."""

    def __init__(self, status: int, why: str, request: str = "a request", *, is_told: bool = False) -> None:
        super().__init__(f"the container engine refuses {request}", why, "look at the engine's log")
        self.status = status
        self.is_told = is_told


@dataclass(frozen=True)
class Engine:
    """An engine that answered. ``why`` says in a few words which it is and why it was taken.

    ``network`` is what containers and builds must ask for to reach the network: ``"bridge"``, the
    engine's default, or ``"host"`` where a private engine could not make a bridge. Each request has a
    connection of its own, so a signal handler may send one at any time.
    """

    kind: str
    url: str
    why: str
    api_version: Optional[str] = None
    tls_dir: Optional[Path] = None
    network: str = "bridge"

    @contextmanager
    def sdk(self) -> Iterator[DockerClient]:
        """The SDK's client. What it raises, its libraries' own errors too, leaves as EngineError."""
        from docker.errors import APIError, DockerException
        from requests import RequestException
        from urllib3.exceptions import HTTPError

        try:
            with closing(self._new_client()) as client:
                yield client
        except APIError as error:
            raise RefusedError(error.status_code or 0, str(error.explanation or error)) from error
        except DockerException as error:
            raise EngineError(f"{self.url} cannot be used", str(error), "update the engine") from error
        except (RequestException, HTTPError) as error:
            raise self.connection_lost(error) from error

    def _new_client(self) -> DockerClient:
        import docker
        from docker.errors import InvalidConfigFile
        from docker.utils.config import load_general_config
        from requests import Request

        try:
            # Only looked at here: what is wrong would show in some later request.
            Request("GET", "http://engine", dict.copy(load_general_config().get("HttpHeaders", {}))).prepare()
            # The version is known from the ping: without it the SDK would ask once more.
            return docker.DockerClient(self.url, self.api_version, REQUEST_TIMEOUT_S, self._tls())
        except (InvalidConfigFile, AttributeError, LookupError, TypeError, ValueError) as error:
            # It reads Docker's settings without a look at what they are.
            folder = os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker"
            raise EngineError(
                f"Docker's settings in {folder}/config.json cannot be used",
                f"an entry is not what it has to be ({type(error).__name__}: {error})",
                "correct `auths`, `credsStore`, `credHelpers`, `HttpHeaders`, `proxies` there, or move the file away",
            ) from error

    def build_prefix(self) -> tuple[list[str], dict[str, str]]:
        """``([program, ..., "build"], environment)``, with BuildKit or Podman's builder. Raises EngineError."""
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
        return build_client.podman_prefix(self.url, os.environ, is_root=os.getuid() == 0)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, object] | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> Any:
        """Send one request; the JSON of the answer, or None if it has none. ``body``: JSON, or bytes (a tar).

        Raises RefusedError for an answer of 400 and above, another EngineError when there is no answer.
        """
        version = f"/v{self.api_version}" if self.api_version else ""
        url = f"{version}{quote(path)}" + (f"?{urlencode(query)}" if query else "")
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        kind = "application/x-tar" if isinstance(body, bytes) else "application/json"
        try:
            with closing(connection_to(self._endpoint, timeout_s)) as connection:
                connection.request(method, url, content, {"Content-Type": kind} if content else {})
                response = connection.getresponse()
                answer = response.read()
        except (OSError, http.client.HTTPException, UnreachableError) as error:
            raise self.connection_lost(error) from error
        try:
            value = json.loads(answer)
        except ValueError:
            value = None
        if response.status < http.HTTPStatus.BAD_REQUEST:
            return value
        message = value.get("message") if isinstance(value, dict) else answer.decode(errors="replace").strip()
        raise RefusedError(response.status, message or f"HTTP status {response.status}", f"`{method} {path}`")

    def container_proxies(self) -> dict[str, str]:
        """The proxy variables that Docker's client is configured to set in containers; Podman's has none of its own."""
        return {} if self.kind == "podman" else client_proxies(self.url)

    def listed(self, kind: str, *labels: str) -> list[dict[str, Any]]:
        """The ``containers`` (running or not), ``images`` or ``volumes`` that bear all ``labels``."""
        path = "/volumes" if kind == "volumes" else f"/{kind}/json"
        query = {"filters": json.dumps({"label": labels}), **({"all": 1} if kind == "containers" else {})}
        found = self.call("GET", path, query=query)
        return (found["Volumes"] if kind == "volumes" else found) or []

    def remove_container(self, name: str) -> bool:
        """Remove a container, running or not; whether it was there."""
        try:
            self.call("DELETE", f"/containers/{name}", query={"force": 1, "v": 1})
        except RefusedError as error:
            if error.status == http.HTTPStatus.NOT_FOUND:
                return False
            if error.status != http.HTTPStatus.CONFLICT:
                raise
            # The engine is removing it at this moment.
        return True

    def is_alive(self) -> bool:
        """Whether the engine answers at all."""
        try:
            ping(self._endpoint)
        except UnreachableError:
            return False
        return True

    def connection_lost(self, reason: object) -> EngineError:
        """The error for an engine that stopped answering."""
        return EngineError(
            f"the container engine at {self.url} stopped answering",
            f"it was stopped, or it crashed ({reason})" if str(reason) else "it was stopped, or it crashed",
            "start it again (`make engine` says which one is used), then repeat the command",
        )

    @property
    def _endpoint(self) -> Endpoint:
        return Endpoint(self.url, self.why, self.tls_dir)

    def _tls(self) -> TLSConfig | bool:
        from docker.tls import TLSConfig

        if self.tls_dir is None:
            return False
        authority, certificate, key = (self.tls_dir / name for name in ("ca.pem", "cert.pem", "key.pem"))
        return TLSConfig(
            client_cert=(str(certificate), str(key)) if certificate.exists() else None,
            ca_cert=str(authority) if authority.exists() else None,
            verify=True,
        )


def inspect(engine: Engine, reference: str) -> dict[str, Any] | None:
    """What the engine knows of an image; None if it has none of that name. Raises EngineError."""
    try:
        details: dict[str, Any] = engine.call("GET", f"/images/{reference}/json")
    except RefusedError as error:
        if error.status == http.HTTPStatus.NOT_FOUND:
            return None
        raise
    return details


def labels_in(details: Mapping[str, Any]) -> dict[str, str]:
    """The labels of an inspected image."""
    return (details.get("Config") or {}).get("Labels") or {}


def is_own(tag: str) -> bool:
    """Whether that is a name that this project gives images; what somebody built on one of them bears theirs."""
    return tag.rpartition(":")[0].removeprefix("localhost/") in REPOSITORIES


def login_problem(client: DockerClient, name: str) -> str | None:
    """Why Docker's settings lead to no login for an image: the program that they name for that fails; None if not."""
    from docker import auth
    from docker.errors import DockerException

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            auth.get_config_header(client.api, auth.resolve_repository_name(name)[0])
    except (DockerException, AttributeError, LookupError, TypeError, ValueError) as error:
        return str(error)
    return None

"""Where an engine may listen, in the order the engine's own client looks, and whether it answers.

The question is asked with nothing but the standard library: `docker` takes longer to import than
all of this takes to run.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gpuenv.core import ownership, ui

#: Long enough for a daemon under load, short enough for a person who waits for the next one to be tried.
PING_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Endpoint:
    """An address, what named it (for people), and the folder of ca.pem, cert.pem, key.pem if TLS is used."""

    url: str
    origin: str
    tls_dir: Path | None = None
    #: What takes back the choice of a user, who is told when it does not answer; empty for a usual place.
    undo: str = ""
    is_podman: bool = False
    #: Why it cannot be asked at all; empty if it can.
    problem: str = ""


@dataclass(frozen=True)
class Pong:
    """What an engine says of itself when asked."""

    api_version: str
    is_podman: bool


_PROXY_KEYS = {f"{name}_proxy": f"{name}Proxy" for name in ("http", "https", "ftp", "all", "no")}
#: Why an endpoint does not answer, as far as it makes a difference: this user may not ask it, it says nothing, or it is
#: there and nothing listens.
DENIED, SILENT, STOPPED = "denied", "silent", "stopped"


class UnreachableError(Exception):
    """An endpoint does not answer; the text says why, and so does ``kind``. Only the engine's modules raise it."""

    def __init__(self, reason: str, kind: str = "") -> None:
        super().__init__(reason)
        self.kind = kind


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ping(endpoint: Endpoint) -> Pong:
    """Ask an engine whether it is there. Raises UnreachableError with the reason if it is not."""
    connection = connection_to(endpoint)
    try:
        connection.request("GET", "/_ping")
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(endpoint, error) from error
    finally:
        connection.close()
    version = response.headers.get("Api-Version")
    if response.status != http.HTTPStatus.OK or not version:
        raise UnreachableError(f"{endpoint.url} answers, but not as an engine does (HTTP status {response.status})")
    return Pong(version, is_podman="Libpod-API-Version" in response.headers)


def connection_to(endpoint: Endpoint, timeout_s: float = PING_TIMEOUT_S) -> http.client.HTTPConnection:
    """A connection, not yet opened. Raises UnreachableError for an address that nothing here can speak to."""
    if endpoint.problem:
        raise UnreachableError(endpoint.problem)
    expected = f"{endpoint.url}: expected unix:///path or tcp://host:port"
    try:
        parts = urlsplit(endpoint.url)
        port = parts.port
    except ValueError as error:
        raise UnreachableError(f"{expected} ({error})") from error
    if parts.scheme == "unix":
        return _UnixConnection(parts.path, timeout_s)
    if parts.scheme == "tcp" and parts.hostname:
        if endpoint.tls_dir is None:
            return http.client.HTTPConnection(parts.hostname, port or 2375, timeout=timeout_s)
        context = _tls_context(endpoint, endpoint.tls_dir)
        return http.client.HTTPSConnection(parts.hostname, port or 2376, timeout=timeout_s, context=context)
    if parts.scheme == "ssh":
        # The work folder is mounted into the container, which another machine's engine cannot do.
        raise UnreachableError(f"{endpoint.url}: an engine behind ssh cannot mount this machine's folders")
    raise UnreachableError(expected)


def _tls_context(endpoint: Endpoint, folder: Path) -> ssl.SSLContext:
    authority, certificate, key = (folder / name for name in ("ca.pem", "cert.pem", "key.pem"))
    try:
        context = ssl.create_default_context(cafile=str(authority) if authority.exists() else None)
        if certificate.exists():
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise UnreachableError(f"{endpoint.url}: the certificates in {folder} cannot be used: {error}") from error
    return context


def _unreachable(endpoint: Endpoint, error: Exception) -> UnreachableError:
    place = endpoint.url.replace("unix://", "", 1)
    if isinstance(error, FileNotFoundError):
        return UnreachableError(f"{place} is not there")
    if isinstance(error, PermissionError):
        return UnreachableError(f"permission denied on {place}", DENIED)
    # Until Python 3.10 that of sockets is a class of its own.
    if isinstance(error, (TimeoutError, socket.timeout)):
        return UnreachableError(f"{place} did not answer within {PING_TIMEOUT_S:.0f} s", SILENT)
    if isinstance(error, OSError) and error.errno == errno.ECONNREFUSED:
        return UnreachableError(f"nothing listens on {place}", STOPPED)
    return UnreachableError(f"{place}: {error}")


def docker_endpoints(environ: Mapping[str, str] = os.environ, home: Path | None = None) -> Iterator[Endpoint]:
    """Where Docker may listen. DOCKER_HOST and the client's context come first, as in Docker's own client."""
    home = home or Path(environ.get("HOME") or Path.home())
    host = environ.get("DOCKER_HOST")
    if host:
        certificates = environ.get("DOCKER_CERT_PATH")
        has_tls = host.startswith("tcp:") and (certificates or environ.get("DOCKER_TLS_VERIFY"))
        tls_dir = Path(certificates or home / ".docker") if has_tls else None
        yield Endpoint(host, "DOCKER_HOST", tls_dir, "unset DOCKER_HOST")
    else:
        context = _context_endpoint(environ, home)
        if context:
            yield context
    yield _usual("/var/run/docker.sock", "its usual socket")
    runtime = environ.get("XDG_RUNTIME_DIR")
    if runtime:
        yield _usual(f"{runtime}/docker.sock", "the rootless socket")
    yield _usual(f"{home}/.docker/run/docker.sock", "Docker Desktop's socket")


def _usual(path: str, origin: str, *, is_podman: bool = False) -> Endpoint:
    """A place that the user did not name. What others have put there is not asked: builds get pip's credentials."""
    problem = ""
    if os.path.exists(path):  # noqa: PTH110 - a Path's raises where the folder is closed, which is told when it is asked
        variable = "CONTAINER_HOST" if is_podman else "DOCKER_HOST"
        why = ownership.problem(path) or ownership.problem(os.path.dirname(os.path.realpath(path)))  # noqa: PTH120
        problem = f"{path} is not asked: {why} ({variable}=unix://{path} asks it nevertheless)" if why else ""
    return Endpoint(f"unix://{path}", origin, is_podman=is_podman, problem=problem)


def client_proxies(url: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that Docker's client sets in the containers of the engine at ``url``, from its ``config.json``.

    None, and a warning, where the proxies there are not what Docker writes.
    """
    config = _client_folder(environ, Path(environ.get("HOME") or Path.home())) / "config.json"
    try:
        proxies = _read_json(config).get("proxies") or {}
    except (OSError, ValueError):
        return {}
    chosen = (proxies.get(url) or proxies.get("default") or {}) if isinstance(proxies, dict) else None
    values = {name: chosen.get(key) or "" for name, key in _PROXY_KEYS.items()} if isinstance(chosen, dict) else {}
    if not values or not all(isinstance(value, str) for value in values.values()):
        ui.warn_once(f"`proxies` in {config} are not used: they must be objects of strings, as Docker's client asks")
        return {}
    return {name: value for low, value in values.items() if value for name in (low, low.upper())}


def podman_endpoints(environ: Mapping[str, str] = os.environ) -> Iterator[Endpoint]:
    """Where Podman's Docker-compatible service may listen: what its own client is told, then the usual places."""
    if environ.get("CONTAINER_HOST"):
        host = environ["CONTAINER_HOST"]
        yield Endpoint(host, "CONTAINER_HOST", undo="unset CONTAINER_HOST", is_podman=True)
    runtime = environ.get("XDG_RUNTIME_DIR")
    if runtime:
        yield _usual(f"{runtime}/podman/podman.sock", "Podman's own socket of this user", is_podman=True)
    yield _usual("/run/podman/podman.sock", "Podman's socket of the system", is_podman=True)


def _context_endpoint(environ: Mapping[str, str], home: Path) -> Endpoint | None:
    """The endpoint of the client's current context, also of one that is gone or broken; None for the built-in one."""
    folder = _client_folder(environ, home)
    config = folder / "config.json"
    try:
        name = environ.get("DOCKER_CONTEXT") or _read_json(config).get("currentContext") or "default"
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return Endpoint("", str(config), undo=f"correct {config}", problem=f"{config} cannot be read ({error})")
    if name == "default":
        return None
    origin = f"context {name!r}"
    undo = "unset DOCKER_CONTEXT" if environ.get("DOCKER_CONTEXT") else "docker context use default"
    # The client names a context's folders by the SHA-256 of the context's name.
    key = hashlib.sha256(str(name).encode()).hexdigest()
    meta, tls_dir = folder / "contexts" / "meta" / key / "meta.json", folder / "contexts" / "tls" / key / "docker"
    try:
        host = str(_read_json(meta)["Endpoints"]["docker"]["Host"])
    except FileNotFoundError:
        return Endpoint("", origin, undo=undo, problem=f"there is no {origin} in {folder}")
    except (OSError, ValueError, LookupError, TypeError) as error:
        return Endpoint("", origin, undo=undo, problem=f"{meta} cannot be read ({error!r})")
    return Endpoint(host, origin, tls_dir if tls_dir.is_dir() else None, undo)


def _client_folder(environ: Mapping[str, str], home: Path) -> Path:
    return Path(environ.get("DOCKER_CONFIG") or home / ".docker")


def _read_json(path: Path) -> dict[str, Any]:
    """An object, as Docker writes it; the client takes an empty file for one. Raises OSError and ValueError."""
    content = json.loads(path.read_text(encoding="utf-8") or "{}")
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - as for what is no JSON at all
    return content

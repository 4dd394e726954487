"""The few requests of a warm `gpu-shell`, sent to the engine with the standard library alone.

Everything else goes through the SDK (``Engine.client()``). Importing the SDK takes 0.45 s, measured on the machine
on which `docker run --rm IMAGE true` takes 0.75 s: with it a warm shell could not be as fast as it has to be.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from gpuenv.core.errors import EngineError
from gpuenv.engine.endpoints import Endpoint, UnreachableError, connection_to, ping
from gpuenv.engine.model import REQUEST_TIMEOUT_S, Engine

_HEADER_LIMIT = 65536


class RefusedError(Exception):
    """The engine answered, and said no. Callers turn it into an error for people, or expected it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class Api:
    """Requests to one engine. Each has a connection of its own, so a signal handler may send one at any time."""

    engine: Engine

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, object] | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> Any:
        """Send one request; the JSON of the answer, or None if it has none. ``body``: JSON, or bytes (a tar).

        Raises RefusedError for an answer of 400 and above, EngineError when there is no answer.
        """
        connection = self._connection(timeout_s)
        try:
            self._send(connection, method, path, body, query)
            response = connection.getresponse()
            return _content(response.status, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise self.gone(error) from error
        finally:
            connection.close()

    def begin_wait(self, container_id: str) -> PendingExit:
        """Ask for the next exit of a container, before it is started.

        The engine sends its headers once it listens for the exit, so none can be missed after this returns.
        """
        connection = self._connection(REQUEST_TIMEOUT_S)
        try:
            self._send(connection, "POST", f"/containers/{container_id}/wait", None, {"condition": "next-exit"})
            stream = connection.sock
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self.gone(error) from error
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            _content(response.status, response.read())
        return PendingExit(connection, response, stream)

    def attach(self, container_id: str, *, stdin: bool) -> socket.socket:
        """Attach to a created container; the raw stream in both directions (see `attach.py`)."""
        connection = self._connection(REQUEST_TIMEOUT_S)
        try:
            connection.connect()
            stream = connection.sock
            stream.sendall(
                _upgrade_request(self._url(f"/containers/{container_id}/attach", _attach_query(stdin=stdin)))
            )
            status, rest = _read_header(stream)
        except OSError as error:
            connection.close()
            raise self.gone(error) from error
        if status not in (http.HTTPStatus.SWITCHING_PROTOCOLS, http.HTTPStatus.OK):
            connection.close()
            raise RefusedError(status, rest)
        stream.settimeout(None)
        return stream

    def remove(self, name: str) -> bool:
        """Remove a container, running or not; whether it was there.

        Raises RefusedError when the engine will not, EngineError when it does not answer.
        """
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

    def gone(self, reason: object) -> EngineError:
        """The error for an engine that stopped answering."""
        return EngineError(
            f"the container engine at {self.engine.url} stopped answering",
            f"it was stopped, or it crashed ({reason})" if str(reason) else "it was stopped, or it crashed",
            "start it again (`make engine` says which one is used), then repeat the command",
        )

    @property
    def _endpoint(self) -> Endpoint:
        return Endpoint(self.engine.url, self.engine.why, self.engine.tls_dir)

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        try:
            return connection_to(self._endpoint, timeout_s)
        except UnreachableError as error:
            raise self.gone(error) from error

    def _url(self, path: str, query: Mapping[str, object] | None) -> str:
        version = f"/v{self.engine.api_version}" if self.engine.api_version else ""
        return f"{version}{quote(path)}" + (f"?{urlencode(query)}" if query else "")

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: object,
        query: Mapping[str, object] | None,
    ) -> None:
        is_raw = isinstance(body, bytes)
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/x-tar" if is_raw else "application/json"} if content else {}
        connection.request(method, self._url(path, query), content, headers)


@dataclass(frozen=True)
class PendingExit:
    """The answer to a wait, of which only the header has come; ``stream`` becomes readable at the exit."""

    connection: http.client.HTTPConnection
    response: http.client.HTTPResponse
    stream: socket.socket

    def code(self) -> int | None:
        """Wait for the exit code; None if the engine went away without telling one."""
        self.stream.settimeout(None)
        try:
            return parse_exit(self.response.read())
        except (OSError, http.client.HTTPException):
            return None

    def close(self) -> None:
        """Give the connection up."""
        self.response.close()
        self.connection.close()


def parse_exit(content: bytes) -> int | None:
    """The exit code in the answer to a wait; None if there is none (the engine went away)."""
    try:
        code = json.loads(content)["StatusCode"]
    except (ValueError, KeyError, TypeError):
        return None
    return code if isinstance(code, int) else None


def _content(status: int, content: bytes) -> Any:
    try:
        value = json.loads(content) if content else None
    except ValueError:
        value = None
    if status >= http.HTTPStatus.BAD_REQUEST:
        message = value.get("message") if isinstance(value, dict) else None
        raise RefusedError(status, message or content.decode(errors="replace").strip() or f"HTTP status {status}")
    return value


def _attach_query(*, stdin: bool) -> dict[str, object]:
    # The engine holds back whatever might begin its "detach" keys, by default Ctrl-P, which a shell needs for its
    # history. They cannot be switched off; nobody types these.
    keys = "ctrl-^,ctrl-_,ctrl-^,ctrl-_"
    return {"stream": 1, "stdin": int(stdin), "stdout": 1, "stderr": 1, "detachKeys": keys}


def _upgrade_request(url: str) -> bytes:
    lines = (f"POST {url} HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: tcp", "Content-Length: 0")
    return "\r\n".join((*lines, "", "")).encode()


def _read_header(stream: socket.socket) -> tuple[int, str]:
    """The status of an answer, and its header as text; byte by byte, because what follows is not ours to read."""
    header = b""
    while not header.endswith(b"\r\n\r\n"):
        byte = stream.recv(1)
        if not byte or len(header) > _HEADER_LIMIT:
            raise ConnectionResetError("no answer to attach")
        header += byte
    text = header.decode("latin-1")
    return int(text.split(" ", 2)[1]), text.strip()

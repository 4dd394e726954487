"""The few requests of a warm `gpu-shell`, sent to the engine with the standard library alone.

Everything else goes through the SDK (``Engine.client()``). Importing the SDK takes 0.45 s, measured on the machine
on which `docker run --rm IMAGE true` takes 0.75 s: with it a warm shell could not be as fast as it has to be.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from gpuenv.core.errors import EngineError
from gpuenv.engine.endpoints import Endpoint, UnreachableError, connection_to, ping
from gpuenv.engine.model import REQUEST_TIMEOUT_S, Engine


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
        try:
            return json.loads(self._request(method, path, body, query, timeout_s))
        except ValueError:
            return None

    def log(self, name: str, lines: int) -> bytes:
        """The last ``lines`` of what a container wrote, as the engine kept it; without a terminal in frames.

        Raises RefusedError and EngineError.
        """
        query = {"stdout": 1, "stderr": 1, "tail": lines}
        return self._request("GET", f"/containers/{name}/logs", None, query, REQUEST_TIMEOUT_S)

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

    def connection_lost(self, reason: object) -> EngineError:
        """The error for an engine that stopped answering."""
        return EngineError(
            f"the container engine at {self.engine.url} stopped answering",
            f"it was stopped, or it crashed ({reason})" if str(reason) else "it was stopped, or it crashed",
            "start it again (`make engine` says which one is used), then repeat the command",
        )

    @property
    def _endpoint(self) -> Endpoint:
        return Endpoint(self.engine.url, self.engine.why, self.engine.tls_dir)

    def _request(
        self, method: str, path: str, body: object, query: Mapping[str, object] | None, timeout_s: float
    ) -> bytes:
        version = f"/v{self.engine.api_version}" if self.engine.api_version else ""
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
        if response.status < http.HTTPStatus.BAD_REQUEST:
            return answer
        try:
            message = str(json.loads(answer)["message"])
        except (ValueError, TypeError, KeyError):
            message = answer.decode(errors="replace").strip()
        raise RefusedError(response.status, message or f"HTTP status {response.status}")


def inspect(engine: Engine, reference: str) -> dict[str, Any] | None:
    """What the engine knows of an image; None if it has none of that name. Raises EngineError."""
    try:
        details: dict[str, Any] = Api(engine).call("GET", f"/images/{reference}/json")
    except RefusedError as error:
        if error.status == http.HTTPStatus.NOT_FOUND:
            return None
        raise EngineError(f"{reference} cannot be looked at", error.message, "look at the engine's log") from error
    return details


def labels_in(details: Mapping[str, Any]) -> dict[str, str]:
    """The labels of an inspected image."""
    return (details.get("Config") or {}).get("Labels") or {}

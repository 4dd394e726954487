"""An engine that is a Unix socket and a table of answers; it keeps what it was asked."""

from __future__ import annotations

import json
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from docker import DockerClient

from gpuenv.core import processes
from gpuenv.engine.model import Engine

#: What engines say of themselves in the header of every answer.
DOCKER = {"Api-Version": "1.41"}
PODMAN = {"Api-Version": "1.41", "Libpod-API-Version": "4.3.1"}

#: Of an image that is there, as far as a shell reads them.
LABELS = {
    "gpuenv.variant": "cuda10.0",
    "gpuenv.flavor": "cpu",
    "gpuenv.cuda": "none",
    "gpuenv.tensorflow": "1.15.5",
    "gpuenv.keras": "2.2.5",
    "gpuenv.python": "3.6.15",
}

Answer = Callable[[str, bytes], tuple[int, object]]


@dataclass
class FakeEngine:
    """``answers`` maps the beginning of ``"METHOD /path"`` to a function of the rest and the body."""

    path: Path
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=lambda: DOCKER)

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    @property
    def engine(self) -> Engine:
        return Engine("docker", self.url, "fake", api_version="1.41")

    def answer(self, request: str, body: bytes) -> tuple[int, object]:
        self.asked.append(request)
        for prefix, answer in self.answers.items():
            if request.startswith(prefix):
                return answer(request[len(prefix) :], body)
        return HTTPStatus.NOT_FOUND, {"message": f"no such thing: {request}"}


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    fake: FakeEngine


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, content = self.server.fake.answer(f"{self.command} {self.path.removeprefix('/v1.41')}", body)
        data = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        for name, value in self.server.fake.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = do_PUT = _serve  # noqa: N815 - the library's names

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@cache
def sdk(engine: Engine) -> DockerClient:
    """The SDK's client, with which tests look at an engine and prepare it."""
    return DockerClient(engine.url, engine.api_version, timeout=180)


@contextmanager
def serving(folder: Path, headers: Mapping[str, str] = DOCKER) -> Iterator[FakeEngine]:
    """A fake engine that answers until the end."""
    fake = FakeEngine(folder / "engine.sock", headers=headers)
    fake.answers["GET /_ping"] = lambda _rest, _body: (HTTPStatus.OK, "OK")
    with _Server(str(fake.path), _Handler) as server:
        server.fake = fake
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()


def began(process: subprocess.Popen[bytes]) -> int:
    """The start time of a running process, in ticks since the boot."""
    found = processes.start_time(process.pid)
    assert found is not None
    return found

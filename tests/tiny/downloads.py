"""A server of files on the loopback address, for downloads, whose every bad habit is an attribute."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Knows ``files`` by their path, and remembers ``requests``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        #: (path, Range header) of every GET, in order.
        self.requests: list[tuple[str, str | None]] = []
        self.knows_ranges = True
        #: Break the connection after so many bytes of a body, so many times.
        self.breaks: list[int] = []
        #: Stop sending after so many bytes of a body until `gate` is set.
        self.pause_at: int | None = None
        self.gate = threading.Event()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        known = self.path[1:] in self.server.files
        self.send_response(200 if known else 404)
        self.end_headers()

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path[1:], wanted))
        content = self.server.files.get(self.path[1:])
        if content is None:
            self.send_error(404)
            return
        start = int(wanted[len("bytes=") : -1]) if wanted and self.server.knows_ranges else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.send_body(content[start:])

    def send_body(self, body: bytes) -> None:
        end = self.server.breaks.pop(0) if self.server.breaks else len(body)
        pause = self.server.pause_at
        if pause is not None:
            self.wfile.write(body[:pause])
            self.wfile.flush()
            self.server.gate.wait()
            body, end = body[pause:], end - pause
        try:
            self.wfile.write(body[:end])
        except OSError:
            return  # the client went away, as some tests make it do
        if end < len(body):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Server]:
    """A running one; who still waits at its gate is let through at the end."""
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.gate.set()
        running.shutdown()
        thread.join()

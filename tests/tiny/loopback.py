"""A server on the loopback address, for as long as a test needs it."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    """Says nothing on the terminal; ``answer`` is what a test defines."""

    def do_GET(self) -> None:
        self.answer()

    def do_HEAD(self) -> None:
        """Not with the 501 of the base class: clients take that for a fault that passes, and wait to ask again."""
        self.send_error(HTTPStatus.METHOD_NOT_ALLOWED)

    def answer(self) -> None:
        """Answer one GET."""
        raise NotImplementedError

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that was killed, that goes away, or that does not trust us, is what some tests are about."""


@contextmanager
def serving(handler: type[Handler], certificate: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Serve what ``handler`` answers; the address, with a ``certificate`` (and its key) one of https."""
    server = _Server(("127.0.0.1", 0), handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        # The handshake is left to the thread of each connection, so that a refused one blocks nobody.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""A package index on the loopback address, over HTTP or TLS, that can damage or withhold a file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .loopback import Handler, serving

TIMEOUT_S = 60
#: Before the withheld file comes a base image and pip's own tools, on a machine that may be busy.
ASKED_TIMEOUT_S = 300


class Index:
    """Serves the files of a folder as a simple index. Tests look at ``downloads`` and set ``damaged``, ``withheld``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.downloads: list[str] = []
        #: A file in whose place something else is served.
        self.damaged = ""
        #: A file that is served only after :meth:`release`.
        self.withheld = ""
        #: The network is lost: no question is answered.
        self.is_gone = False
        self._asked = threading.Event()
        self._released = threading.Event()

    def wait_until_asked(self) -> None:
        """Wait until somebody wants the withheld file."""
        assert self._asked.wait(ASKED_TIMEOUT_S), f"nobody asked for {self.withheld}"

    def release(self) -> None:
        """Serve the withheld file to whoever waits for it, and from now on."""
        self._released.set()

    def page(self, project: str) -> bytes:
        """The links of one project, whatever spelling its files use."""
        names = sorted(path.name for path in self.folder.iterdir())
        own = [name for name in names if name.split("-")[0].replace("_", "-").lower() == project]
        return "".join(f'<a href="/files/{name}">{name}</a><br>\n' for name in own).encode()

    def file(self, name: str) -> bytes:
        """The content that is served under a name."""
        self.downloads.append(name)
        if name == self.withheld:
            self._asked.set()
            self._released.wait(TIMEOUT_S)
        content = (self.folder / name).read_bytes()
        return content + b"damaged" if name == self.damaged else content


@contextmanager
def served(folder: Path, certificate: tuple[Path, Path] | None = None) -> Iterator[Index]:
    """Serve ``folder``; with a certificate and its key over TLS."""
    index = Index(folder)

    class Answers(Handler):
        def answer(self) -> None:
            if index.is_gone:
                return
            kind, _, name = self.path.strip("/").partition("/")
            content = index.page(name) if kind == "simple" else index.file(name)
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if kind == "simple" else "application/octet-stream")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with serving(Answers, certificate) as url:
        index.url = f"{url}/simple/"
        try:
            yield index
        finally:
            index.release()

"""Where a log comes from, as far as it shows that itself: the system, and the kind of environment. Pure."""

from __future__ import annotations

import re

# What is looked for first, being quick, then what decides.
_SIGNS = (
    ("windows", b"WinError", re.compile(rb"\[WinError \d")),
    ("windows", b".dll", re.compile(rb"\b(?:cu(?:dart|dnn|blas|fft|rand|solver|sparse|pti)64_\d+|nvcuda)\.dll")),
    ("windows", b":\\", re.compile(rb"(?<![A-Za-z])[A-Z]:\\{1,2}[\w~]")),
    (
        "conda",
        b"conda",
        re.compile(rb"[/\\](?:[Aa]na|[Mm]ini)conda[23]?[/\\]|\bconda (?:install|create|env|activate)\b"),
    ),
    ("conda", b"Conda", re.compile(rb"\bConda\w*Error\b")),
    ("image", b"OCI runtime", re.compile(rb"OCI runtime")),
    ("image", b"docker", re.compile(rb"\bdocker(?:d|-compose)?: |\bdocker (?:run|build|pull|compose)\b")),
    ("image", b"nvidia-container-cli", re.compile(rb"nvidia-container-cli")),
    ("venv", b"venv", re.compile(rb"[/\\]\.?venv\w*[/\\]|python3? -m venv|\bvirtualenv\b")),
)


class Signs:
    """Takes the pieces of a log one after the other."""

    def __init__(self) -> None:
        self._found: set[str] = set()

    def feed(self, piece: bytes) -> None:
        """Look at some whole lines."""
        for name, quick, sure in _SIGNS:
            if name not in self._found and quick in piece and sure.search(piece):
                self._found.add(name)

    @property
    def system(self) -> str | None:
        """``windows``, if the log is certainly from there."""
        return "windows" if "windows" in self._found else None

    @property
    def target(self) -> str | None:
        """The kind of environment, if the log shows signs of one kind and no other."""
        kinds = self._found - {"windows"}
        return kinds.pop() if len(kinds) == 1 else None

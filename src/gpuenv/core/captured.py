"""Reads what a program prints with a bound: of a program that never stops, the end is kept and the program is ended."""

from __future__ import annotations

import errno
import io
import os
import queue
import subprocess
import threading
import time
from collections import deque
from contextlib import suppress
from typing import IO, Any

#: So much of each stream is kept, its end (bytes).
KEPT_BYTES = 4 << 20
#: Whatever prints more on a stream is ended (bytes).
MOST_BYTES = 64 << 20
_CHUNK = 1 << 16


class FloodError(OSError):
    """A program printed more than :data:`MOST_BYTES`. The ends of its streams are kept; it has to be ended."""

    def __init__(self, stdout: Any, stderr: Any) -> None:
        super().__init__(errno.EFBIG, f"it printed more than {MOST_BYTES >> 20} MB, and was ended")
        self.stdout, self.stderr = stdout, stderr


class _Tail:
    """Reads one stream in a thread of its own, to its end or to the bound."""

    def __init__(self, stream: IO[Any], finished: queue.SimpleQueue[_Tail]) -> None:
        self._stream, self._finished = stream, finished
        self._chunks: deque[bytes] = deque()
        self._kept = 0
        self._total = 0
        self.is_given_up = False
        # Its own: whoever gives up on the program closes the other one, whose number may become another file's.
        self._descriptor = os.dup(stream.fileno())
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def is_flood(self) -> bool:
        return self._total > MOST_BYTES

    def _read(self) -> None:
        with suppress(OSError):
            while not self.is_given_up and not self.is_flood and (chunk := os.read(self._descriptor, _CHUNK)):
                self._chunks.append(chunk)
                self._total += len(chunk)
                self._kept += len(chunk)
                while self._kept - len(self._chunks[0]) > KEPT_BYTES:
                    self._kept -= len(self._chunks.popleft())
        os.close(self._descriptor)
        self._finished.put(self)

    @property
    def value(self) -> Any:
        """What is kept; as text where the stream is one."""
        data = b"".join(tuple(self._chunks))
        if self._total > self._kept:
            # Not the half of a line, nor of a character.
            data = data[data.find(b"\n", 0, KEPT_BYTES) + 1 :]
        if not isinstance(self._stream, io.TextIOWrapper):
            return data
        errors = self._stream.errors
        text = data.decode(self._stream.encoding, "replace" if errors in (None, "strict") else errors)
        return text.replace("\r\n", "\n").replace("\r", "\n")


def communicate(process: subprocess.Popen[Any], timeout_s: float | None = None) -> tuple[Any, Any]:
    """As ``Popen.communicate`` without input, but with a bound; what is no text becomes one.

    Raises subprocess.TimeoutExpired and :class:`FloodError`; the process is left to the caller then.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    finished: queue.SimpleQueue[_Tail] = queue.SimpleQueue()
    tails = [_Tail(stream, finished) if stream else None for stream in (process.stdout, process.stderr)]
    reading = [tail for tail in tails if tail]
    try:
        for _ in reading:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if finished.get(timeout=left).is_flood:
                raise FloodError(*(tail.value if tail else None for tail in tails))
        process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise subprocess.TimeoutExpired(process.args, timeout_s or 0) from None
    finally:
        for tail in reading:
            tail.is_given_up = True
    stdout, stderr = (tail.value if tail else None for tail in tails)
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()
    return stdout, stderr

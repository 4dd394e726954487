"""Between our standard streams and a container's: what is typed or piped in, what comes out.

Without a terminal the engine sends frames, each with a header of 8 bytes: the stream (1 output, 2 errors), three
zeros, and the length as a big-endian number (Docker Engine API, "ContainerAttach"). With one it sends plain bytes.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_CHUNK = 1 << 16
_HEADER = struct.Struct(">BxxxL")
_OUTPUTS = {0: 1, 1: 1, 2: 2}
_READABLE = select.POLLIN | select.POLLHUP | select.POLLERR
#: Output that is still on its way when the exit is known. The engine closes the stream itself; if it should not, we go.
_DRAIN_S = 2.0

Write = Callable[[int, memoryview], None]


class BrokenFrameError(Exception):
    """What the engine sends is not made of frames."""


class Frames:
    """Takes the stream in pieces of any size and gives ``(descriptor, part)``, never holding more than a header."""

    def __init__(self) -> None:
        self._header = b""
        self._descriptor = 1
        self._left = 0

    def feed(self, data: memoryview) -> Iterator[tuple[int, memoryview]]:
        """The parts of ``data``, each with the descriptor it belongs to. Raises BrokenFrameError."""
        while data:
            if self._left:
                part, data = data[: self._left], data[self._left :]
                self._left -= len(part)
                yield self._descriptor, part
                continue
            missing = _HEADER.size - len(self._header)
            self._header, data = self._header + bytes(data[:missing]), data[missing:]
            if len(self._header) == _HEADER.size:
                stream, self._left = _HEADER.unpack(self._header)
                self._header = b""
                if stream not in _OUTPUTS:
                    raise BrokenFrameError(stream)
                self._descriptor = _OUTPUTS[stream]


def plain(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The counterpart of :meth:`Frames.feed` for a terminal: all of it is output."""
    yield 1, data


def write_all(descriptor: int, data: memoryview) -> None:
    """Write to one of our own streams, also when somebody else made it non-blocking. Raises BrokenPipeError."""
    while data:
        data = data[_write_some(descriptor, data) :]


def _write_some(descriptor: int, data: memoryview) -> int:
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        poll.poll()
        return 0


@dataclass
class Pump:
    """Moves bytes until the container's end of ``stream`` closes.

    ``stdin`` is the descriptor that is sent to the container, None for none; ``exit_stream`` becomes readable when the
    container ends; ``write`` takes what comes out. Memory is bounded: input is read only when the last piece went
    out, and output is written before more is received.
    """

    stream: socket.socket
    is_terminal: bool
    stdin: int | None = None
    exit_stream: socket.socket | None = None
    write: Write = write_all

    def run(self) -> None:
        """Pump to the end. Raises OSError (the engine is gone), BrokenPipeError (nobody reads our output)."""
        self.stream.setblocking(False)
        split = plain if self.is_terminal else Frames().feed
        self._pending = memoryview(b"")
        buffer = memoryview(bytearray(_CHUNK))
        while True:
            ready = self._wait()
            if self.exit_stream is not None and ready.get(self.exit_stream.fileno()):
                self._drain(buffer, split)
                return
            events = ready.get(self.stream.fileno(), 0)
            if events & select.POLLOUT:
                self._send()
            if self.stdin is not None and ready.get(self.stdin):
                self._read_input(self.stdin)
            if events & _READABLE and not self._receive(buffer, split):
                return

    def _wait(self, timeout_ms: int | None = None) -> dict[int, int]:
        poll = select.poll()
        poll.register(self.stream.fileno(), select.POLLIN | (select.POLLOUT if self._pending else 0))
        if self.stdin is not None and not self._pending:
            poll.register(self.stdin, select.POLLIN)
        if self.exit_stream is not None:
            poll.register(self.exit_stream.fileno(), select.POLLIN)
        return dict(poll.poll(timeout_ms))

    def _receive(self, buffer: memoryview, split: Callable[[memoryview], Iterator[tuple[int, memoryview]]]) -> bool:
        """Pass one piece of output on; False at the end of the stream."""
        try:
            size = self.stream.recv_into(buffer)
        except BlockingIOError:
            return True
        for descriptor, part in split(buffer[:size]):
            self.write(descriptor, part)
        return size > 0

    def _drain(self, buffer: memoryview, split: Callable[[memoryview], Iterator[tuple[int, memoryview]]]) -> None:
        """What is still on its way after the container's end."""
        self.stdin, self.exit_stream, self._pending = None, None, memoryview(b"")
        deadline = time.monotonic() + _DRAIN_S
        while (left := deadline - time.monotonic()) > 0 and self._wait(int(left * 1000)):
            if not self._receive(buffer, split):
                return

    def _read_input(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            # Our terminal is gone (EIO): for the container that is the end of its input.
            data = b""
        if data:
            self._pending = memoryview(data)
            self._send()
        else:
            self.stdin = None
            self._end_input()

    def _send(self) -> None:
        try:
            self._pending = self._pending[self.stream.send(self._pending) :]
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            # The container closed its input, or ended; what it still says is read to the end.
            self.stdin, self._pending = None, memoryview(b"")

    def _end_input(self) -> None:
        try:
            self.stream.shutdown(socket.SHUT_WR)
        except OSError:
            # The other side is gone; reading will tell.
            return

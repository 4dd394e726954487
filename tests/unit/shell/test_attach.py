"""Between our streams and a container's, with a socket pair for the engine."""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from gpuenv.shell import attach
from gpuenv.shell.attach import BrokenFrameError, Frames, Pump

OUTPUT = 3_000_000


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


def collect(frames: Frames, *pieces: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {1: b"", 2: b""}
    for piece in pieces:
        for descriptor, part in frames.feed(memoryview(piece)):
            found[descriptor] += bytes(part)
    return found


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, engines = socket.socketpair()
    with ours, engines:
        yield ours, engines


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):  # the test closed it
            os.close(end)


class Sink:
    """Takes what comes out."""

    def __init__(self) -> None:
        self.data = {1: bytearray(), 2: bytearray()}

    def __call__(self, descriptor: int, part: memoryview) -> None:
        self.data[descriptor] += part


STREAM = frame(1, b"one") + frame(2, b"") + frame(2, b"two\x00\xff") + frame(1, b"three")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 11, len(STREAM)])
def test_frames_in_pieces_of_any_size(size: int) -> None:
    pieces = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    assert collect(Frames(), *pieces) == {1: b"onethree", 2: b"two\x00\xff"}


def test_what_is_no_frame_is_refused() -> None:
    with pytest.raises(BrokenFrameError):
        collect(Frames(), b"HTTP/1.1 500 oops")


def test_output_and_errors_are_kept_apart(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, engines = pair
    engines.sendall(STREAM)
    engines.shutdown(socket.SHUT_WR)
    sink = Sink()
    Pump(ours, is_terminal=False, write=sink).run()
    assert sink.data == {1: b"onethree", 2: b"two\x00\xff"}


def test_a_terminal_gets_the_bytes_as_they_are(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, engines = pair
    engines.sendall(b"\x01\x00\x00\x00not a frame")
    engines.shutdown(socket.SHUT_WR)
    sink = Sink()
    Pump(ours, is_terminal=True, write=sink).run()
    assert sink.data[1] == b"\x01\x00\x00\x00not a frame"


def test_input_is_sent_whole_and_its_end_is_told(
    pair: tuple[socket.socket, socket.socket], pipe: tuple[int, int]
) -> None:
    """The engine echoes; more than all buffers hold goes both ways at once."""
    ours, engines = pair
    data = os.urandom(OUTPUT)

    def feed() -> None:
        with open(pipe[1], "wb", closefd=False) as stream:
            stream.write(data)
        os.close(pipe[1])

    def echo() -> None:
        while piece := engines.recv(65536):
            engines.sendall(frame(1, piece))
        engines.shutdown(socket.SHUT_WR)

    threads = [threading.Thread(target=work, daemon=True) for work in (feed, echo)]
    for thread in threads:
        thread.start()
    sink = Sink()
    Pump(ours, is_terminal=False, stdin=pipe[0], write=sink).run()
    assert bytes(sink.data[1]) == data
    for thread in threads:
        thread.join()


def test_a_container_that_reads_nothing_is_not_waited_for(
    pair: tuple[socket.socket, socket.socket], pipe: tuple[int, int]
) -> None:
    ours, engines = pair
    os.write(pipe[1], b"x" * 60000)
    engines.sendall(frame(1, b"done"))
    engines.shutdown(socket.SHUT_WR)
    sink = Sink()
    Pump(ours, is_terminal=False, stdin=pipe[0], write=sink).run()
    assert sink.data[1] == b"done"


def test_input_after_the_container_closed_its_own(
    pair: tuple[socket.socket, socket.socket], pipe: tuple[int, int]
) -> None:
    ours, engines = pair
    engines.shutdown(socket.SHUT_RD)
    os.write(pipe[1], b"nobody reads this")

    def speak() -> None:
        engines.sendall(frame(2, b"late"))
        engines.shutdown(socket.SHUT_WR)

    waiter = threading.Timer(0.1, speak)
    waiter.start()
    sink = Sink()
    Pump(ours, is_terminal=False, stdin=pipe[0], write=sink).run()
    waiter.join()
    assert sink.data[2] == b"late"


def test_the_known_exit_ends_it_after_what_is_on_its_way(pair: tuple[socket.socket, socket.socket]) -> None:
    """An engine that never closes the stream does not hold us."""
    ours, engines = pair
    exit_ours, exit_engines = socket.socketpair()
    with exit_ours, exit_engines:
        engines.sendall(frame(1, b"last words"))
        exit_engines.sendall(b'{"StatusCode":0}')
        sink = Sink()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attach, "_DRAIN_S", 0.05)
            Pump(ours, is_terminal=False, exit_stream=exit_ours, write=sink).run()
    assert sink.data[1] == b"last words"


def test_nobody_reads_our_output(pair: tuple[socket.socket, socket.socket], pipe: tuple[int, int]) -> None:
    ours, engines = pair
    os.close(pipe[0])
    engines.sendall(frame(1, b"x"))
    with pytest.raises(BrokenPipeError):
        Pump(ours, is_terminal=False, write=lambda _, part: attach.write_all(pipe[1], part)).run()


def test_a_non_blocking_output_is_written_whole(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    received = bytearray()

    def read() -> None:
        while len(received) < OUTPUT:
            select.select([pipe[0]], [], [])
            received.extend(os.read(pipe[0], 4096))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    attach.write_all(pipe[1], memoryview(b"y" * OUTPUT))
    reader.join()
    assert received == b"y" * OUTPUT

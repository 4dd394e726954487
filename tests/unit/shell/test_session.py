"""What of a container's end is the engine's word, and what is left in our streams."""

from __future__ import annotations

import os
import subprocess
import sys

from gpuenv.shell import session


def test_a_pipe_that_nobody_reads() -> None:
    source, sink = os.pipe()
    assert not session.is_unread(sink)
    os.close(source)
    assert session.is_unread(sink)
    os.close(sink)
    assert not session.is_unread(sink)


def test_neither_a_file_nor_a_closed_stream_is_such_a_pipe() -> None:
    code = "from gpuenv.shell import session; import sys; sys.exit(session.is_unread(1) or session.is_unread(2))"
    done = subprocess.run(["bash", "-c", 'exec "$@" > /dev/null 2>&-', "-", sys.executable, "-c", code], check=False)
    assert done.returncode == 0

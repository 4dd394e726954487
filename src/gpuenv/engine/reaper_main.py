"""The program behind `reaper.py`: waits until its parent ends, then removes what that left behind.

Run as a file, with isolated Python; until there is something to do it imports next to nothing.
"""

from __future__ import annotations

import signal
import sys


def main(order: str) -> None:
    """Wait for the parent's end (end of file on standard input), then clean up."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    said = sys.stdin.buffer.read()

    import json
    import pathlib

    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
    from gpuenv.engine import reaper

    reaper.clean_up(json.loads(order), said)


if __name__ == "__main__":
    main(sys.argv[1])

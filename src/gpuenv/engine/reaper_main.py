"""The program behind `reaper.py`: waits until its parent ends, then removes what that left behind.

Run as a file, with isolated Python; until there is something to do it imports next to nothing.
"""

from __future__ import annotations

import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpuenv.engine.model import Engine

#: A container whose making was under way when the parent died appears a little later.
_PATIENCE_S = 10.0
_PAUSE_S = 0.2


def main(order_text: str) -> None:
    """Wait for the parent's end (end of file on standard input), then clean up."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    said = sys.stdin.buffer.read()

    import json

    order = json.loads(order_text)
    if not said and order["terminal"] is not None:
        import contextlib
        import termios

        # The terminal may be gone, too.
        with contextlib.suppress(termios.error, OSError):
            termios.tcsetattr(order["terminal"], termios.TCSANOW, order["settings"])

    import pathlib

    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
    from gpuenv.engine.model import Engine

    tls_dir = pathlib.Path(order["tls_dir"]) if order["tls_dir"] else None
    engine = Engine(order["kind"], order["url"], "", order["api_version"], tls_dir)
    if said != b"done":
        remove_patiently(engine, order["name"], time.monotonic() + _PATIENCE_S)
    sweep(engine, order["host"])


def remove_patiently(engine: Engine, name: str, deadline: float) -> bool:
    """Remove a container that may not be there yet; whether it was removed before ``deadline`` (monotonic)."""
    import contextlib

    from gpuenv.core.errors import EngineError

    while True:
        with contextlib.suppress(EngineError):
            if engine.remove_container(name):
                return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE_S)


def sweep(engine: Engine, host: str) -> list[str]:
    """Remove the containers of this machine and user whose owners are dead; their names."""
    import contextlib

    from gpuenv.core import processes
    from gpuenv.core.errors import EngineError

    swept = []
    # The next one sweeps again.
    with contextlib.suppress(EngineError):
        for container in engine.listed("containers", f"gpuenv.host={host}"):
            owner = (container.get("Labels") or {}).get("gpuenv.owner", "")
            if processes.is_alive(owner) is False:
                engine.remove_container(container["Id"])
                swept.append(container["Names"][0].lstrip("/"))
    return swept


if __name__ == "__main__":
    main(sys.argv[1])

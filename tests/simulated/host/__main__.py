"""Makes this machine a simulated host by hand, for an engine of your own: see docs/simulated-host.md.

eval "$(PYTHONPATH=tests .venv/bin/python -m simulated.host FOLDER SCENARIO)"
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from gpuenv.core.errors import GpuenvError

from .machine import make_current, prepare
from .scenario import find_scenario


def main(arguments: list[str]) -> int:
    """Prepare FOLDER unless that was done, switch it to SCENARIO, and print what a shell has to know."""
    if len(arguments) != 2:
        print("usage: python -m simulated.host FOLDER SCENARIO", file=sys.stderr)
        return 2
    folder = Path(arguments[0]).resolve()
    try:
        scenario = find_scenario(arguments[1])
        if not (folder / "bin").exists():
            prepare(folder)
        root = make_current(folder, scenario)
    except GpuenvError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"export GPUENV_NVIDIA_PROC={shlex.quote(str(root / 'proc/driver/nvidia'))}")
    # An engine that is started with this PATH finds the hook, gpuenv finds nvidia-smi.
    print(f'export PATH={shlex.quote(str(folder / "bin"))}:{shlex.quote(str(root / "path"))}:"$PATH"')
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

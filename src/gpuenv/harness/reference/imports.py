"""Import the modules of every installed distribution, each distribution in a fresh process."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import distributions
from common import cores, emit

TIMEOUT_S = 120


def try_import(modules):
    """Import ``modules`` in a new interpreter; ``None``, or what it printed when it failed."""
    command = [sys.executable, "-I", "-c", "import " + ", ".join(modules)]
    try:
        subprocess.run(
            command, check=True, cwd="/", timeout=TIMEOUT_S, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except subprocess.TimeoutExpired:
        return "still importing after %d s" % TIMEOUT_S
    except subprocess.CalledProcessError as error:
        text = error.output.decode("utf-8", "replace").strip()
        return "exit code %d\n%s" % (error.returncode, text[-2000:])
    return None


def run(names):
    """``{distribution: {"modules": [...], "error": text or None}}`` for ``names``, or for all."""
    wanted = [one for one in distributions.installed() if not names or one.name in names]
    modules = {one.name: one.modules() for one in wanted}
    with ThreadPoolExecutor(cores()) as pool:
        errors = pool.map(lambda name: try_import(modules[name]) if modules[name] else None, modules)
        return {name: {"modules": modules[name], "error": error} for name, error in zip(modules, errors)}


if __name__ == "__main__":
    emit(run(sys.argv[1:]))

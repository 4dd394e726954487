"""The last resort: a plain virtual environment on a CPython of this machine, cpu flavor, same locks."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from gpuenv import atomic, certificates, filelock, locks, paths, pythons, ui
from gpuenv.errors import BuildError, HostError
from gpuenv.pythons import LocalPython
from gpuenv.variants import Variant

#: Written last. Without it an environment is half made, whatever else is there.
COMPLETE = "gpuenv-complete"
#: Settings with which pip would install elsewhere than into the environment.
_ELSEWHERE = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
LOG_TAIL_LINES = 8


def ensure_venv(variant: Variant) -> Path:
    """The complete environment of the variant's cpu lock, made if missing; two at once make it once.

    Raises HostError without a Python of the variant's version, BuildError if pip fails.
    """
    lock = locks.load_lock(variant.lock_path("cpu"))
    name = f"{variant.name}-cpu-{lock.digest[:12]}"
    folder = paths.cache_dir() / "venvs" / name
    if is_complete(folder, lock.digest):
        return folder
    with filelock.held(paths.state_dir() / "venvs" / f"{name}.lock", f"waiting for another gpuenv that makes {name}"):
        if not is_complete(folder, lock.digest):
            _make(variant, lock, folder)
    return folder


def is_complete(folder: Path, digest: str) -> bool:
    """Whether the environment was made to its end from this lock, and its interpreter is still there."""
    try:
        marked = (folder / COMPLETE).read_text(encoding="utf-8").strip()
    except OSError:
        return False
    return marked == digest and os.access(folder / "bin" / "python", os.X_OK)


def _make(variant: Variant, lock: locks.Lock, folder: Path) -> None:
    """Make it in place, because a virtual environment cannot be moved; the marker comes last."""
    python = pythons.find_python(variant.python_minor, variant.python)
    if python is None:
        raise missing_python(variant)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = paths.state_dir() / "venvs" / f"{folder.name}.log"
    differs = "" if python.version == variant.python else f" (pinned: {variant.python})"
    ui.say(f"making the environment {folder.name} with Python {python.version}{differs} (log: {log})")
    log.unlink(missing_ok=True)
    try:
        _install(variant, lock, folder, python, log)
        atomic.write_text(folder / COMPLETE, lock.digest + "\n")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _install(variant: Variant, lock: locks.Lock, folder: Path, python: LocalPython, log: Path) -> None:
    _run([str(python.executable), "-m", "venv", str(folder)], log)
    requirements = folder / "requirements"
    requirements.mkdir()
    for name, text in locks.split_for_build(lock, variant, "cpu").items():
        (requirements / name).write_text(text, encoding="utf-8")
    for title, argv in pip_steps(folder, requirements):
        ui.say(title)
        _run(argv, log)


def pip_steps(folder: Path, requirements: Path) -> list[tuple[str, list[str]]]:
    """What is installed, in order, with a title each: the locked pip first, which then installs the rest."""
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--require-hashes", "--no-deps"]
    # The locked build tools build; an isolated build would fetch others, of which no hash is known.
    sources = [*pip, "--no-build-isolation", "-r", str(requirements / "sources.txt")]
    packages = [str(path) for path in sorted(requirements.glob("packages-*.txt"))]
    steps = [
        ("installing pip and the build tools", [*pip, "-r", str(requirements / "tools.txt")]),
        ("building what exists as source only", sources),
        ("installing the packages", pip + [part for path in packages for part in ("-r", path)]),
    ]
    is_empty = not (requirements / "sources.txt").read_text(encoding="utf-8").strip()
    return [step for step in steps if not (is_empty and step[1] is sources)]


def pip_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's variables (index, proxy, certificates) without those that lead pip elsewhere.

    The pip of this Python knows no authorities but its own; it is told of the host's (pip's own `cert` wins).
    """
    kept = {name: value for name, value in environ.items() if name not in _ELSEWHERE}
    bundle = certificates.find_bundle(environ)
    if bundle is not None:
        kept["REQUESTS_CA_BUNDLE"] = str(bundle)
    kept.update(PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1", PYTHONNOUSERSITE="1")
    return kept


def _run(argv: list[str], log: Path) -> None:
    with log.open("ab") as output:
        done = subprocess.run(
            argv,
            env=pip_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        tail = "\n".join(f"    {line}" for line in lines[-LOG_TAIL_LINES:])
        raise BuildError(
            f"the environment could not be made ({argv[2]} failed)",
            f"the end of its output:\n{tail}",
            f"see {log}; index and proxy are those of pip's own settings (`pip config list`)",
        )


def missing_python(variant: Variant) -> HostError:
    """The error when this machine has no Python of the variant's version."""
    return HostError(
        f"there is no complete CPython {variant.python_minor} on this machine",
        f"{variant.name} needs one where there is no container engine; PATH, pyenv, uv and conda were searched",
        f"`pyenv install {variant.python}`, or `uv python install {variant.python_minor}`, or "
        f"`conda create -n python{variant.python_minor} python={variant.python_minor}`; or install Docker",
    )

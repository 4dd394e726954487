"""Filling an environment with the packages of a lock: by its own Python and the locked pip, every file hashed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

from packaging.utils import canonicalize_name

from gpuenv.core import paths, signals, ui
from gpuenv.core.errors import BuildError, GpuenvError, HostError, end_of_output
from gpuenv.net import certificates
from gpuenv.prefix import folder as prefixes
from gpuenv.prefix.folder import Prefix
from gpuenv.variants import locks
from gpuenv.variants.model import Variant

#: Settings with which pip would install elsewhere than into the environment, and those of another Python.
_ELSEWHERE = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
#: What programs write when a disk is full (the system's own words, and those of a program that translates them).
FULL_DISK = ("No space left on device", "Disk quota exceeded", "os error 28")
#: A disk with less (10 MB) is full whatever a program says: ensurepip alone unpacks as much.
FULL_BYTES = 10_000_000


def install(prefix: Prefix, variant: Variant, flavor: str, lock: locks.Lock, sources_dir: Path | None) -> None:
    """Install what ``lock`` pins for Linux; wheels of ``sources_dir`` are taken from there.

    Raises BuildError with the end of pip's output, or if what is there then is not what the lock says; HostError for a
    full disk.
    """
    requirements = prefix.folder / "requirements"
    requirements.mkdir()
    for name, text in locks.split_for_build(lock, variant, flavor).items():
        (requirements / name).write_text(text, encoding="utf-8")
    for title, argv in pip_steps(prefix.folder, requirements, local_files(lock, sources_dir)):
        ui.say(title)
        run(argv, prefix)
    check_installed(prefix, lock)


def check_installed(prefix: Prefix, lock: locks.Lock) -> None:
    """Raise BuildError unless every package of the lock is there in its version.

    pip may have been told to put them elsewhere, by a setting that is no variable. What is there besides came with
    conda's Python; the harness looks at that.
    """
    found = read_installed(prefix.folder)
    wrong = [
        f"{pin.name} {found[pin.name]} instead of {pin.version}" if pin.name in found else f"no {pin.name}"
        for pin in locks.linux_pins(lock)
        if found.get(pin.name) != pin.version
    ]
    if wrong:
        raise BuildError(
            f"{prefix.folder} does not hold what was installed: {', '.join(wrong[:3])}{', ...' if wrong[3:] else ''}",
            "pip put it elsewhere: look for target, prefix or root in its settings (`pip config list`)",
            "remove that setting, or run it with PIP_CONFIG_FILE=/dev/null",
        )


def read_installed(folder: Path) -> dict[str, str]:
    """Name -> version of every package in an environment, from the metadata on its disk."""
    sites = [str(path) for path in sorted(folder.glob("lib/python3.*/site-packages"))]
    return {canonicalize_name(one.metadata["Name"]): one.version for one in metadata.distributions(path=sites)}


def local_files(lock: locks.Lock, sources_dir: Path | None) -> list[str]:
    """Options of pip for a folder of packages; the index is asked for nothing where the folder has them all."""
    if sources_dir is None:
        return []
    is_whole = all((sources_dir / pin.linux).is_file() for pin in locks.linux_pins(lock))
    return [*(["--no-index"] if is_whole else []), "--find-links", str(sources_dir.absolute())]


def pip_steps(folder: Path, requirements: Path, options: list[str] | None = None) -> list[tuple[str, list[str]]]:
    """What is installed, in order, with a title each: the locked pip first, which then installs the rest."""
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--require-hashes", "--no-deps", *(options or [])]
    # The locked build tools build; an isolated build would fetch others, of which no hash is known.
    sources = [*pip, "--no-build-isolation", "-r", str(requirements / "sources.txt")]
    packages = [str(path) for path in sorted(requirements.glob("packages-*.txt"))]
    steps = [
        # Anew even in the right version: conda's own files of pip are not those whose hashes are known.
        ("installing pip and the build tools", [*pip, "--force-reinstall", "-r", str(requirements / "tools.txt")]),
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
    # Another pip than the one of an activated environment is what conda's is to a setting that many have.
    kept.update(
        PIP_REQUIRE_VIRTUALENV="0",
        PIP_USER="0",
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        PIP_NO_INPUT="1",
        PYTHONNOUSERSITE="1",
    )
    return kept


def run(
    argv: list[str],
    prefix: Prefix,
    environ: Mapping[str, str] | None = None,
    explain: Callable[[str], GpuenvError] | None = None,
) -> None:
    """Run one program that makes the environment; its output goes into the log.

    Raises HostError for a full disk; else what ``explain`` makes of the output, or BuildError with its end.
    """
    prefix.log.parent.mkdir(parents=True, exist_ok=True)
    with prefix.log.open("ab") as output:
        begin = output.tell()
        done = signals.run(
            argv,
            env=pip_environment(os.environ if environ is None else environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=prefixes.inherited(),
        )
    if done.returncode != 0:
        text = prefix.log.read_bytes()[begin:].decode("utf-8", "replace")
        place = full_place(prefix.folder, text)
        if place is not None:
            raise full(place)
        raise explain(text) if explain is not None else _failed(argv, prefix, text)


def _failed(argv: list[str], prefix: Prefix, text: str) -> BuildError:
    return BuildError(
        f"the environment could not be made ({argv[2] if len(argv) > 2 else argv[0]} failed)",
        end_of_output(text),
        f"see {prefix.log}; index and proxy are those of pip's own settings (`pip config list`)",
    )


def full_place(folder: Path, text: str) -> Path | None:
    """The folder whose disk was full when a program failed with that output; None if none was.

    Not every program says so (`python -m venv` does not), and it need not be the environment's own disk.
    """
    parent = next(path for path in folder.parents if path.is_dir())
    places = [parent, paths.cache_dir(), Path(tempfile.gettempdir())]
    fullest = min(places, key=lambda place: shutil.disk_usage(place).free)
    if shutil.disk_usage(fullest).free < FULL_BYTES:
        return fullest
    return parent if any(words in text for words in FULL_DISK) else None


def full(place: Path) -> HostError:
    """The error for a disk that was full before the environment was made."""
    return HostError(
        f"the disk of {place} is full",
        "an environment takes up to 6 GB while it is made; what was made of it has been removed",
        f"make room there (`df -h {shlex.quote(str(place))}`), or name folders of another disk: PREFIX= for the "
        "environment, GPUENV_CACHE_DIR= for downloads, TMPDIR= for what is unpacked",
    )

"""Filling an environment with the packages of a lock: by its own Python and the locked pip, every file hashed."""

from __future__ import annotations

from pathlib import Path

from gpuenv.core import scratch, ui
from gpuenv.core.errors import BuildError
from gpuenv.cuda import files
from gpuenv.prefix.making import Making
from gpuenv.variants import locks
from gpuenv.variants.environment import Environment


def install(making: Making, environment: Environment, lock: locks.Lock, sources_dir: Path | None) -> None:
    """Install what ``lock`` pins for Linux; wheels of ``sources_dir`` are taken from there.

    Raises BuildError with the end of pip's output, or if what is there then is not what the lock says.
    """
    folder = making.prefix.folder
    requirements = folder / "requirements"
    requirements.mkdir()
    for name, text in locks.split_for_build(lock, environment).items():
        (requirements / name).write_text(text, encoding="utf-8")
    with scratch.folder("packages") as copies:
        for title, argv in pip_steps(folder, requirements, local_files(lock, sources_dir, copies)):
            ui.say(title)
            making.run(argv)
    check_installed(folder, lock)


def check_installed(folder: Path, lock: locks.Lock) -> None:
    """Raise BuildError unless every package of the lock is there in its version: pip may have put them elsewhere.

    What is there besides came with conda's Python; the harness looks at that.
    """
    from importlib import metadata

    from packaging.utils import canonicalize_name

    # Read from the metadata on the disk.
    sites = [str(path) for path in sorted(folder.glob("lib/python3.*/site-packages"))]
    found: dict[str, str] = {
        canonicalize_name(one.metadata["Name"]): one.version for one in metadata.distributions(path=sites)
    }
    wrong = [
        f"{pin.name} {found[pin.name]} instead of {pin.version}" if pin.name in found else f"no {pin.name}"
        for pin in locks.linux_pins(lock)
        if found.get(pin.name) != pin.version
    ]
    if wrong:
        raise BuildError(
            f"{folder} does not hold what was installed: {', '.join(wrong[:3])}{', ...' if wrong[3:] else ''}",
            "pip put it elsewhere: look for target, prefix or root in its settings (`pip config list`)",
            "remove that setting, or run it with PIP_CONFIG_FILE=/dev/null",
        )


def local_files(lock: locks.Lock, sources_dir: Path | None, copies: Path) -> list[str]:
    """Options of pip for a folder of packages; the index is asked for nothing where the folder has them all.

    pip hashes a file of a folder and opens it anew to install it. So it is shown copies, in the empty folder ``copies``
    that is closed to others, of those that the lock names.
    """
    if sources_dir is None:
        return []
    pins = locks.linux_pins(lock)
    present = [pin for pin in pins if (sources_dir / pin.linux).is_file()]
    wrong = [
        pin
        for pin in present
        if not files.copy_verified(sources_dir / pin.linux, pin.hashes, copies / pin.linux, pin.linux_bytes)
    ]
    for pin in wrong:
        ui.warn(f"{pin.linux} of SOURCES_DIR is another file than the lock names; the index is asked for it")
    is_whole = len(present) - len(wrong) == len(pins)
    return [*(["--no-index"] if is_whole else []), "--find-links", str(copies)]


def pip_steps(folder: Path, requirements: Path, options: list[str] | None = None) -> list[tuple[str, list[str]]]:
    """What is installed, in order, with a title each: the locked pip first, which then installs the rest."""
    python = str(folder / "bin" / "python")
    pip = [python, "-I", "-m", "pip", "install", "--require-hashes", "--no-deps", *(options or [])]
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

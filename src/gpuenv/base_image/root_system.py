"""Makes a minimal Debian or Ubuntu system as a tar archive, by mmdebstrap from the host's own sources.

The host's proxies, credentials and certificates reach the mirrors and stay on the host: in the
archive there is no source list, no apt setting and no package list.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpuenv.base_image import apt_sources
from gpuenv.core import closed, paths, signals, ui
from gpuenv.core.errors import HostError
from gpuenv.core.ui import end_of_output
from gpuenv.host import packages
from gpuenv.net import redact

ETC_APT = Path("/etc/apt")
#: As Debian's own slim images: documentation goes, licenses stay.
DPKG_OPTIONS = (
    "force-unsafe-io",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/lintian/*",
    "path-include=/usr/share/doc/*/copyright",
)
#: What mmdebstrap writes of the host's settings, what apt and dpkg leave behind.
_TRACES = (
    "etc/apt/sources.list",
    "etc/apt/sources.list.d/*",
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/apt/auth.conf.d/*",
    "var/lib/apt/lists/*",
    "var/cache/apt/*",
    "var/cache/debconf/*-old",
    "var/lib/dpkg/*-old",
    "var/log/*.log",
    "var/log/apt",
    "etc/resolv.conf",
    "etc/hostname",
)
#: Without it apt makes /usr whole with a program that drags in all of Perl (45 MB).
_MERGED_USR_HOOK = Path("/usr/share/mmdebstrap/hooks/maybe-merged-usr")
_STOP_TIMEOUT_S = 20


@dataclass(frozen=True)
class System:
    """A release, the Python to lay over it (a tar archive from /), and a scratch folder."""

    codename: str
    python_minor: str
    python_tar: Path
    folder: Path


def check_program() -> None:
    """Have mmdebstrap, installing it if that is allowed. Raises HostError or EngineError."""
    if shutil.which("mmdebstrap"):
        return
    reason = program_obstacle()
    if reason is None and not ui.confirm("install mmdebstrap with apt-get (a base image is made with it)"):
        reason = "it is not installed, and installing it was declined"
    if reason:
        raise HostError(
            "a base image cannot be made without mmdebstrap", reason, "run `sudo apt-get install mmdebstrap`"
        )
    packages.install(["mmdebstrap"], paths.state_dir() / "engine" / "apt.log")


def program_obstacle() -> str | None:
    """Why there is no mmdebstrap and none may be installed; None if there is one, or may be."""
    if shutil.which("mmdebstrap"):
        return None
    if os.getuid() != 0:
        return "it is not installed, and only root can install it"
    return None if packages.is_allowed() else "it is not installed, and GPUENV_INSTALL_ENGINE=0 forbids installing"


def make(system: System, packages: Sequence[str]) -> Path:
    """Make the system with ``packages`` and the Python; returns the tar archive. Raises HostError."""
    sources = apt_sources.pick_sources(ETC_APT, system.codename)
    if not sources:
        raise HostError(
            "no base image can be made on this machine",
            f"{ETC_APT} has no source for the release {system.codename}",
            "add the distribution's own sources, or set BASE=registry",
        )
    mirrors = [system.folder / f"sources-{number}" for number in range(len(sources))]
    for mirror, text in zip(mirrors, sources):
        mirror.write_text(text, encoding="utf-8")
    options = system.folder / "apt.conf"
    options.touch(mode=0o600)  # A proxy's address may carry a password.
    config = signals.ask(["apt-config", "dump"]).stdout
    options.write_text(apt_options(config, ETC_APT), encoding="utf-8")
    archive = system.folder / "system.tar"
    log = paths.state_dir() / "mmdebstrap.log"
    _run([*own_mounts(), *mmdebstrap_argv(system, packages, mirrors, options, archive)], system.folder, log)
    return archive


def apt_options(apt_config_dump: str, etc_apt: Path) -> str:
    """The settings of apt while the system is made: the host's way to mirrors and its credentials for them."""
    credentials = f'Dir::Etc::netrc "{etc_apt}/auth.conf";\nDir::Etc::netrcparts "{etc_apt}/auth.conf.d";\n'
    lean = 'Acquire::Languages "none";\nAPT::Install-Recommends "false";\n'
    return apt_sources.transport_options(apt_config_dump) + credentials + lean


def mmdebstrap_argv(
    system: System, packages: Sequence[str], mirrors: Sequence[Path], options: Path, archive: Path
) -> list[str]:
    """The command line that makes the system. As root it works directly, else in a user namespace of its own."""
    interpreter, library = (f"/usr/local/{folder}/python{system.python_minor}" for folder in ("bin", "lib"))
    hooks = (
        f"tar-in {shlex.quote(str(system.python_tar))} /",
        'chroot "$1" ldconfig',
        # The published images leave this to each container, which as another user cannot keep it.
        f'chroot "$1" {interpreter} -I -m compileall -q {library}',
        "rm -rf " + " ".join(f'"$1"/{trace}' for trace in _TRACES),
    )
    return [
        "mmdebstrap",
        "--variant=minbase",
        "--mode=auto",
        *([f"--hook-dir={_MERGED_USR_HOOK}"] if _MERGED_USR_HOOK.is_dir() else []),
        f"--aptopt={options}",
        *(f"--dpkgopt={option}" for option in DPKG_OPTIONS),
        f"--include={','.join(sorted(set(packages)))}",
        *(f"--customize-hook={hook}" for hook in hooks),
        system.codename,
        str(archive),
        *map(str, mirrors),
    ]


def own_mounts() -> list[str]:
    """What gives root's mmdebstrap its own mount namespace: nothing it mounts outlives it.

    Empty for other users, whose mmdebstrap makes one by itself, and where the kernel refuses (some containers).
    """
    namespace = ["unshare", "--mount"]
    if os.getuid() != 0 or not shutil.which(namespace[0]):
        return []
    works = subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode == 0
    return namespace if works else []


def _run(argv: list[str], folder: Path, log: Path) -> None:
    """Run mmdebstrap to its end. Raises HostError with the end of its output; on Ctrl-C lets it tidy up first."""
    environment = {**os.environ, "TMPDIR": str(folder), "LC_ALL": "C.UTF-8"}
    nothing, errors = subprocess.DEVNULL, subprocess.STDOUT
    with open(log, "wb", opener=closed.opener) as output, redact.hidden_in(log):
        done = signals.run(
            argv, patience_s=_STOP_TIMEOUT_S, env=environment, stdin=nothing, stdout=output, stderr=errors
        )
    if done.returncode != 0:
        said = end_of_output(log.read_text(errors="replace"))
        raise HostError("mmdebstrap failed", said, f"see {log}, or set BASE=registry")

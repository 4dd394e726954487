"""Makes a base image on this machine: a minimal system of the host's own release, and a CPython of the host.

The Python was compiled against the host's libraries; so the system has to be the same release, and
brings exactly the packages that own the libraries it links.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpuenv.base_image import apt_sources, python_tree, root_system
from gpuenv.core import locking, paths, scratch, ui
from gpuenv.core.errors import EngineError, HostError
from gpuenv.engine.model import Engine, inspect, labels_in
from gpuenv.host import pythons, systems
from gpuenv.host.pythons import LocalPython
from gpuenv.variants.environment import Environment
from gpuenv.variants.model import Variant

#: What the published slim images have besides the Python's libraries.
BASE_PACKAGES = ("ca-certificates", "netbase", "tzdata")
#: What the published full images have that building a source distribution needs, and libgomp.
BUILDER_PACKAGES = ("binutils", "g++", "gcc", "libc6-dev", "libgomp1", "make")
#: A change in any of these files makes another base.
_RECIPE = ("local.py", "root_system.py", "python_tree.py", "relocate.py", "apt_sources.py")


@dataclass(frozen=True)
class BasePlan:
    """What a local base will be made of; ``key`` (SHA-256) names the content."""

    python: LocalPython
    minor: str
    wanted: str
    system: str
    codename: str
    key: str

    @property
    def summary(self) -> str:
        """For people: the system, the Python, and how it differs from the pinned one."""
        differs = "" if self.python.version == self.wanted else f" (pinned: {self.wanted})"
        return f"{self.system} and the CPython {self.python.version}{differs} in {self.python.prefix}"


@dataclass(frozen=True)
class Base:
    """References for FROM. ``identity`` changes whenever what they stand for changes.

    ``builder`` exists in the engine only if it was asked for; its name is always known.
    """

    image: str
    builder: str
    kind: str
    identity: str


def plan(variant: Variant) -> BasePlan:
    """Look at what this machine has. Raises HostError if no base can be made of it."""
    release = systems.read_os_release()
    codename = apt_sources.suite_of(release)
    if codename is None or not systems.is_debian(release):
        raise _impossible("this system is neither Debian nor Ubuntu")
    found = [python for python in pythons.find_pythons(variant.python_minor) if python.prefix != Path("/usr")]
    if not found:
        raise _impossible(
            f"there is no CPython {variant.python_minor} on PATH, in pyenv, uv or conda "
            "(the distribution's own in /usr does not count: it cannot be moved)",
            f"install one, for example with `pyenv install {variant.python}`; or make the registry reachable",
        )
    python = next((python for python in found if python.version == variant.python), found[0])
    system = release.get("PRETTY_NAME", codename)
    folder = Path(__file__).parent
    recipe = b"".join(hashlib.sha256((folder / name).read_bytes()).digest() for name in _RECIPE)
    key = content_key(codename, python.version, platform.machine(), recipe)
    return BasePlan(python, variant.python_minor, variant.python, system, codename, key)


def content_key(codename: str, python_version: str, machine: str, recipe: bytes) -> str:
    """SHA-256 over everything that decides what a local base contains."""
    parts = (codename.encode(), python_version.encode(), machine.encode(), recipe)
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _impossible(why: str, next_step: str = "make the registry reachable and set BASE=registry") -> HostError:
    return HostError("no base image can be made on this machine", why, next_step)


def _local_base(key: str) -> Base:
    """The names that a local base with this key has."""
    return Base(f"gpuenv-base:{key[:12]}", f"gpuenv-builder:{key[:12]}", "local", key)


def _packages(base: Base, flavor: str) -> dict[str, tuple[str, ...]]:
    """The images of a local base that a flavor is built on, and their packages besides the Python's own libraries."""
    packages: dict[str, tuple[str, ...]] = {base.image: BASE_PACKAGES}
    if flavor == "gpu":
        packages[base.builder] = (*BASE_PACKAGES, *BUILDER_PACKAGES)
    return packages


def find_made(engine: Engine, environment: Environment) -> Base | None:
    """The local base that was made before from what this machine has now, if the engine still has it."""
    try:
        made = _local_base(plan(environment.variant).key)
    except HostError:
        return None
    return made if all(_has(engine, name, made.identity) for name in _packages(made, environment.flavor)) else None


def _has(engine: Engine, reference: str, key: str) -> bool:
    """Whether the engine has this image with this whole key; the tag carries only its beginning."""
    image = inspect(engine, reference)
    return image is not None and labels_in(image).get("gpuenv.key") == key


def make(engine: Engine, plan: BasePlan, flavor: str) -> Base:
    """Make what the engine lacks of it; two at once make it once. Raises HostError or EngineError."""
    made = _local_base(plan.key)
    with locking.held(paths.state_dir() / "base.lock", "waiting for another gpuenv that makes a base image"):
        scratch.sweep()
        packages = _packages(made, flavor)
        lacking = {name: packages[name] for name in packages if not _has(engine, name, plan.key)}
        if lacking:
            _make(engine, plan, lacking)
    return made


def _make(engine: Engine, plan: BasePlan, lacking: Mapping[str, tuple[str, ...]]) -> None:
    """Make each image of ``lacking`` with its packages."""
    root_system.check_program()
    with scratch.folder("base") as folder:
        ui.say(f"copying the CPython in {plan.python.prefix}")
        python_tar, packages = _pack_python(plan, folder)
        system = root_system.System(plan.codename, plan.minor, python_tar, folder)
        for reference, more in lacking.items():
            ui.say(f"making {reference} with mmdebstrap (about a minute)")
            archive = root_system.make(system, (*packages, *more))
            # Only now does the tag come to be: whatever was interrupted before has left none. The whole reference is
            # the repository: every engine takes that, while Podman 4.3 leaves out a tag of its own.
            with engine.sdk() as client:
                take = client.api.import_image_from_file
                result = take(str(archive), repository=reference, changes=image_changes(plan))
            if "error" in result or not _has(engine, reference, plan.key):
                raise EngineError(f"{reference} could not be imported", result.strip(), "look at the engine's log")
            archive.unlink()


def _pack_python(plan: BasePlan, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """The Python as a tar archive to be laid over a system, and the packages that it needs."""
    tree = folder / "python"
    python_tree.copy(plan.python, plan.minor, tree)
    packages, loose = python_tree.find_libraries(tree / "usr/local", plan.python.prefix)
    for library in loose:
        shutil.copy2(library, tree / "usr/local/lib" / library.name)
    archive = folder / "python.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(tree / "usr", "usr", filter=_owned_by_root)
    shutil.rmtree(tree)
    return archive, packages


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    # Whatever the umask was when it was installed: everybody reads it, only root writes it.
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


def image_changes(plan: BasePlan) -> list[str]:
    """The image's settings, as Dockerfile lines; the same as those of the published Python images."""
    labels = {
        "gpuenv.project": "gpuenv",
        "gpuenv.base": "local",
        "gpuenv.key": plan.key,
        "gpuenv.python": plan.python.version,
    }
    path = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    return [f"ENV PATH={path}", "ENV LANG=C.UTF-8", 'CMD ["python3"]', *(f"LABEL {k}={v}" for k, v in labels.items())]

"""A user's world in one folder: a small file system with home, work, state and cache, variants, an index, an engine."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import docker

from gpuenv.core import paths
from tiny.command import copy_bases, plain_environment
from tiny.index import Index, served
from tiny.variant import Tiny, fetch_tools, make_tiny

#: Bytes of the file system: the base image, some tiny ones and build caches take 1 GB, and a build wants 1 GB free.
SIZE = 5 * 10**9
VARIANTS = 2
#: Marks every process that is started here, in its environment.
MARK = "GPUENV_SOAK"
#: One command that nobody disturbs: the first build takes a minute where two cores are shared.
LIMIT_S = 300
#: What the commands' own unit tests are here: the real ones take longer than a round.
_UNIT_TESTS = "import time\n\ndef test_unit():\n    time.sleep(0.5)\n"
_UNIT_CONFTEST = """import os

def pytest_configure(config):
    config.option.basetemp = f"{os.path.dirname(__file__)}/of-{os.getpid()}"
"""
_SHIM = """#!/bin/sh
[ "$4" = test-env ] && exec {python} -I {folder}/test_env.py test-env
exec {python} "$@"
"""
_TEST_ENV = """
import pathlib, sys
from gpuenv import cli
from gpuenv.core import paths
from gpuenv.harness import command
tests_dir = command.tests_dir
command.tests_dir = lambda suite: pathlib.Path({folder!r}) / "unit" if suite == "unit" else tests_dir(suite)
paths.reports_dir = lambda: pathlib.Path({folder!r}) / "reports"
sys.exit(cli.main())
"""


@dataclass(frozen=True)
class World:
    """Its folders, and how commands are started in it. ``root`` is a file system of its own if ``is_small``."""

    root: Path
    token: str
    environment: dict[str, str]
    variants: tuple[Tiny, ...]
    index: Index
    is_small: bool
    #: The images that were seen whole.
    good: set[str] = field(default_factory=set)
    #: Bytes that the file system held before the first round.
    used: int = 0

    @property
    def work(self) -> Path:
        """The user's work folder."""
        return self.root / "work"

    @property
    def state(self) -> Path:
        """The command's state folder."""
        return self.root / "state"

    @property
    def cache(self) -> Path:
        """The command's cache folder."""
        return self.root / "cache"

    def argv(self, goal: str, *settings: str) -> list[str]:
        """``make goal settings`` in the checkout."""
        return ["make", "-s", "-C", str(paths.project_root()), f"VENV={self.root}/venv", goal, *settings]

    def variables(self, variant: Tiny) -> dict[str, str]:
        """The environment of a command that is about a variant."""
        return {**self.environment, "GPUENV_ENVS_DIR": str(variant.envs)}

    def run(self, log: Path, variant: Tiny, goal: str, *settings: str) -> tuple[int, str]:
        """Run a command that nobody disturbs: its exit code (of make) and its standard output."""
        with log.open("ab") as errors:
            errors.write(f"$ make {goal} {' '.join(settings)}\n".encode())
            errors.flush()
            try:
                done = subprocess.run(
                    self.argv(goal, *settings),
                    env=self.variables(variant),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    timeout=LIMIT_S,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return 124, ""
            errors.write(done.stdout)
        return done.returncode, done.stdout.decode(errors="replace")

    def daemon(self) -> int | None:
        """The process number of the private engine of this world; None if it does not run."""
        with contextlib.suppress(OSError, ValueError):
            pid = int(json.loads((self.state / "engine/daemon.json").read_bytes())["pid"])
            # Its arguments name its data: no other process is taken for it.
            if f"{self.state}/engine/data".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None

    @property
    def url(self) -> str:
        """Where its engine listens."""
        return str(json.loads((self.state / "engine/daemon.json").read_bytes())["url"])

    def marked(self) -> dict[int, list[str]]:
        """The living processes that were started here, and what they were started with."""
        mark, found = f"{MARK}={self.token}".encode(), {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        return found

    def is_engines(self, pid: int) -> bool:
        """Whether a process is the engine's: the daemon, or one that it started. Raises OSError if it is gone."""
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        program = line.split(b"\0")[0].rpartition(b"/")[2]
        return program in (b"dockerd", b"containerd", b"containerd-shim-runc-v2", b"runc", b"docker-proxy")


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def opened() -> Iterator[World]:
    """A world whose engine runs and has a base image; all of it is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="gpuenv-soak-", dir=os.environ.get("TMPDIR", "/var/tmp"))).resolve()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        root = folder / "disk"
        root.mkdir()
        is_small = _mounted(folder / "image", root)
        if is_small:
            stack.callback(subprocess.run, ["umount", "--lazy", str(root)], check=False)
        token = secrets.token_hex(8)
        for name in ("home", "tmp", "state", "cache", "packages", "tools", "logs"):
            (root / name).mkdir()
        pins = fetch_tools(root / "tools")
        made = tuple(
            make_tiny(root / name, name, root / "tools", pins) for name in (f"soak-{n}" for n in range(VARIANTS))
        )
        for variant in made:
            shutil.copytree(variant.packages, root / "packages", dirs_exist_ok=True)
        _make_work(root / "work")
        _make_shim(root)
        index = stack.enter_context(served(root / "packages"))
        environment = {
            **plain_environment(),
            MARK: token,
            "HOME": str(root / "home"),
            "TMPDIR": str(root / "tmp"),
            "GPUENV_STATE_DIR": str(root / "state"),
            "GPUENV_CACHE_DIR": str(root / "cache"),
            "GPUENV_ENGINE": "private",
            "PYENV_ROOT": os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv")),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": index.url,
        }
        for name in ("DOCKER_CONTEXT", "XDG_STATE_HOME", "XDG_CACHE_HOME", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
            environment.pop(name, None)
        world = World(root, token, environment, made, index, is_small)
        stack.callback(_close, world)
        _settle(world)
        yield dataclasses.replace(world, used=shutil.disk_usage(root).used)


def _settle(world: World) -> None:
    """Start the engine, give it a base image, and build every image and environment once."""
    log = world.root / "logs" / "settle"
    code, _ = world.run(log, world.variants[0], "engine")
    if code == 0:
        if os.environ.get("DOCKER_HOST"):
            source = docker.from_env()
            copy_bases(source, world.url)
            source.close()
        for variant in world.variants:
            settings = (f"VARIANT={variant.name}", "FLAVOR=cpu")
            code = (
                code
                or world.run(log, variant, "images", *settings)[0]
                or world.run(log, variant, "venv-env", *settings)[0]
            )
    if code != 0:
        raise SystemExit(f"soak: nothing could be done:\n{log.read_text(errors='replace')}")


def _mounted(image: Path, root: Path) -> bool:
    """Mount a file system of its own where loop devices allow it."""
    with image.open("wb") as file:
        file.truncate(SIZE)
    made = ["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], ["mount", "-o", "loop", str(image), str(root)]
    return all(subprocess.run(argv, capture_output=True, check=False).returncode == 0 for argv in made)


def _make_work(work: Path) -> None:
    """What the user has: a file to work with, a log, and an environment of their own."""
    (work / "mine/bin").mkdir(parents=True)
    (work / "mine/pyvenv.cfg").write_text("home = /usr/bin\n")
    (work / "mine/bin/python").write_text("#!/bin/sh\n")
    (work / "keep.txt").write_text("what the user keeps\n" * 1000)
    (work / "log.txt").write_text("ImportError: Could not find 'cudart64_100.dll'. TensorFlow requires it\n")


def _make_shim(root: Path) -> None:
    """A ``.venv`` for make that is the real one, but for the unit tests and the reports of `test-env`."""
    venv = root / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "unit").mkdir()
    (venv / "unit/test_unit.py").write_text(_UNIT_TESTS)
    (venv / "unit/conftest.py").write_text(_UNIT_CONFTEST)
    (venv / "test_env.py").write_text(_TEST_ENV.format(folder=str(venv)))
    (venv / "bin/python").write_text(_SHIM.format(python=sys.executable, folder=venv))
    (venv / "bin/python").chmod(0o755)
    for name in ("ready", "ready-report"):
        (venv / name).touch()


def _close(world: World) -> None:
    """Stop the engine, and end what is left of what was started here."""
    world.run(world.root / "logs" / "engine", world.variants[0], "engine-stop")
    for pid in world.marked():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

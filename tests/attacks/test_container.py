"""What a program in a container of `gpu-shell` can do to this machine: through a real engine, in a small image."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpuenv.core import paths
from gpuenv.engine.model import Engine
from gpuenv.host import packages
from tiny import engines, small_image
from tiny.command import plain_environment

pytestmark = pytest.mark.skipif(
    not os.environ.get("DOCKER_HOST") and (os.getuid() != 0 or bool(packages.missing())),
    reason="needs an engine: DOCKER_HOST, or root with dockerd, iptables and ip",
)

folders, engine = engines.folders, engines.engine

RUN_S = 60
#: Says of each file whether it can be written, or made where it is not there.
TRY = 'for name in {names}; do touch "$name" 2>/dev/null && echo "WROTE $name"; done; '
MOVE = "mv {0} {1} 2>/dev/null && echo MOVED {0}; "
#: What the next command on the host runs, or would run if it were there.
TARGETS = (
    *("Makefile", "src/gpuenv/cli.py", "src/gpuenv/new.py", ".venv/bin/python", ".git/hooks/pre-commit"),
    *("GNUmakefile", "makefile", "conftest.py", "pytest.ini", "gpuenv.py", "new"),
)


@pytest.fixture(scope="module")
def image(engine: Engine) -> Iterator[str]:
    with small_image.imported(engine, f"gpuenv-attacks:{os.getpid()}") as tag:
        yield tag


@dataclass
class Checkout:
    """A checkout of its own, ``home/src/gpuenv``, and the command from there."""

    folder: Path
    engine: Engine
    driver: str

    @property
    def home(self) -> Path:
        return self.folder.parents[1]

    def run(self, *words: str, more: str = "") -> subprocess.CompletedProcess[str]:
        """`gpuenv gpu-shell` in the checkout, from its own sources."""
        begin = f"import sys; sys.path.insert(0, {str(self.folder / 'src')!r})\n{more}\n"
        return subprocess.run(
            [sys.executable, "-I", "-c", begin + self.driver, "gpu-shell", "--flavor", "cpu", *words],
            cwd=self.folder,
            env={**plain_environment(), "DOCKER_HOST": self.engine.url, "HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )


@pytest.fixture
def checkout(engine: Engine, image: str) -> Iterator[Checkout]:
    with tempfile.TemporaryDirectory(prefix="gpuenv-tests-", ignore_cleanup_errors=True) as name:
        made = Path(name) / "home/src/gpuenv"
        Path(name).chmod(0o755)
        shutil.copytree(paths.project_root() / "src", made / "src", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(paths.project_root() / "envs", made / "envs")
        (made / "Makefile").touch()
        for folder in (".venv/bin", ".git/hooks"):
            (made / folder).mkdir(parents=True)
        yield Checkout(made, engine, small_image.driver(image))


def test_a_program_changes_nothing_of_the_checkout_that_it_was_started_from(checkout: Checkout) -> None:
    """`make gpu-shell` without WORK, and with that by hand. As root, root's own rights are in the container, too."""
    attack = (
        TRY.format(names=" ".join(TARGETS)) + "mv src x 2>/dev/null && echo MOVED; mv work x 2>/dev/null && echo MOVED;"
    )
    for given in ((), ("--work", "."), ("--work", str(checkout.folder))):
        done = checkout.run(
            *given, "--cmd", f"{attack} cat src/gpuenv/cli.py >/dev/null; echo mine > work/result; ls -A work"
        )
        assert (done.returncode, done.stdout) == (0, "result\n"), done.stderr
        assert "/work, read-only but for /work/work" in done.stderr.replace(str(checkout.folder), "/work")
    assert (checkout.folder / "work/result").read_text() == "mine\n"
    names = {path.name for path in checkout.folder.iterdir()}
    assert names == {"Makefile", "src", "envs", ".venv", ".git", "work"}


def test_nor_where_the_work_folder_has_the_checkout_in_it(checkout: Checkout) -> None:
    """Nor puts another folder in its place."""
    names = " ".join(f"src/gpuenv/{name}" for name in TARGETS)
    attack = TRY.format(names=names) + MOVE.format("src", "x") + MOVE.format("src/gpuenv", "src/x")
    command = f"{attack} echo mine > result; echo mine > src/result; ls"
    done = checkout.run("--work", str(checkout.home), "--cmd", command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == ["result", "src"], "the rest is the user's"
    assert "WROTE" not in done.stdout
    assert "MOVED" not in done.stdout
    assert "but src/gpuenv in it read-only" in done.stderr
    assert (checkout.home / "src/result").read_text() == "mine\n"


def test_nor_where_a_part_of_it_is_the_work_folder(checkout: Checkout) -> None:
    for part in ("src", ".venv/bin", ".git"):
        done = checkout.run("--work", part, "--cmd", "touch new")
        assert done.returncode != 0
        assert "is what gpuenv itself runs from" in done.stderr
        assert not (checkout.folder / part / "new").exists()


def test_any_exit_code_of_a_command_there_is_its_own(checkout: Checkout) -> None:
    """97 is also that of a container which sees another folder."""
    done = checkout.run("--cmd", "exit 97")
    assert done.returncode == 97
    assert "another folder" not in done.stderr


def test_processes_are_limited_and_loaders_of_data_have_memory_to_share(checkout: Checkout) -> None:
    where = "/sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max"
    done = checkout.run("--cmd", f"cat {where} 2>/dev/null; df -k --output=size /dev/shm")
    limit, _, shared_kb = done.stdout.split()
    assert 1000 <= int(limit) <= max(4096, 64 * (os.cpu_count() or 1))
    assert int(shared_kb) > 500_000, "the engine's own 64 MB are too few"


def test_no_port_in_the_network_of_the_machine(checkout: Checkout) -> None:
    """Where a private engine could make no bridge: what listens at all addresses would be open to everybody."""
    more = f"""
from gpuenv.engine.model import Engine
from gpuenv.shell import command
command.find_engine = lambda _: Engine("private", {checkout.engine.url!r}, "", network="host")
"""
    done = checkout.run("--port", "18889", "--cmd", "echo ran", more=more)
    assert (done.returncode != 0, done.stdout) == (True, "")
    assert "PORT=18889 cannot be opened on 127.0.0.1 alone" in done.stderr

"""What users do: commands that are started, on a terminal or not, and what has to be there when one succeeded."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import shutil
import signal
import subprocess
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from docker import DockerClient
from docker.errors import ImageNotFound

from tiny.variant import Tiny

from .world import World

#: Once it was broken off, a command has this many seconds: ten of them are a container's that takes no notice.
END_LIMIT_S = 90


@dataclass
class Doing:
    """One command under way.

    ``expected``: make's exit codes where nobody disturbs it; ``result``: the file that success makes, and its content.
    """

    name: str
    variant: Tiny
    log: Path
    argv: list[str]
    environment: dict[str, str]
    expected: tuple[int, ...] = (0,)
    result: tuple[Path, str] | None = None
    #: Seconds that it takes at most before it is worth no break any more.
    length_s: float = 2.0
    typed: str = ""
    needs_break: bool = False
    #: Whether the user has removed what another command for the same variant may need.
    removes: bool = False
    process: subprocess.Popen[bytes] = field(init=False)
    terminal: int | None = None

    def start(self) -> None:
        """Start it in a session of its own, as a terminal does."""
        with self.log.open("ab") as output:
            output.write(f"$ {' '.join(self.argv)}\n".encode())
            output.flush()
            if not self.typed:
                self.process = subprocess.Popen(
                    self.argv,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
                return
            self.terminal, slave = pty.openpty()
            self.process = subprocess.Popen(
                self.argv,
                env={**self.environment, "TERM": "xterm"},
                stdin=slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one system call
            )
            os.close(slave)
            os.set_blocking(self.terminal, False)
            with contextlib.suppress(OSError):
                os.write(self.terminal, self.typed.encode())

    def hang_up(self) -> None:
        """Close the terminal."""
        if self.terminal is not None:
            os.close(self.terminal)
            self.terminal = None

    def listen(self) -> None:
        """Read what the terminal shows: a full one would stop the command."""
        if self.terminal is not None:
            with contextlib.suppress(OSError), self.log.open("ab") as output:
                output.write(os.read(self.terminal, 65536))

    def wait(self, deadline: float) -> bool:
        """Whether it ended before ``deadline`` (monotonic); else it is killed."""
        last_typed = time.monotonic()
        while self.process.poll() is None:
            self.listen()
            if self.terminal is not None and time.monotonic() > last_typed + 2:
                # Ctrl-C at a prompt loses what was typed ahead.
                with contextlib.suppress(OSError):
                    os.write(self.terminal, b"exit\n")
                last_typed = time.monotonic()
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
                self.hang_up()
                return False
            time.sleep(0.02)
        self.listen()
        self.hang_up()
        return True


def choose(world: World, random: Random, label: str) -> Doing:
    """One of the things that users do; ``label`` names its log and its file."""
    variant = random.choice(world.variants)
    kind = random.choices([shell, prompt, image, venv, tests, explain], [6, 2, 4, 2, 1, 1])[0]
    doing = kind(world, random, variant, label)
    doing.log.write_bytes(b"")
    return doing


def _doing(world: World, variant: Tiny, label: str, goal: str, *settings: str, **more: object) -> Doing:
    name = f"{goal} {variant.name}"
    log = world.root / "logs" / label
    return Doing(name, variant, log, world.argv(goal, *settings), world.variables(variant), **more)  # type: ignore[arg-type]


def _of(variant: Tiny) -> tuple[str, str]:
    return f"VARIANT={variant.name}", "FLAVOR=cpu"


def shell(world: World, random: Random, variant: Tiny, label: str) -> Doing:
    """One command in a shell: short, longer, failing, stubborn, or one that writes much."""
    out = world.work / f"out-{label}"
    commands = {
        f"echo whole > {out.name}": (0,),
        f"sleep 1; echo whole > {out.name}": (0,),
        f"sleep 3; echo whole > {out.name}": (0,),
        f"head -c 3000000 /dev/zero > big-{label} && rm big-{label} && echo whole > {out.name}": (0,),
        f"trap '' INT TERM HUP; sleep 2; echo whole > {out.name}": (0,),
        "exit 3": (2,),
        "seq 100000; exit 4": (2,),
    }
    command = random.choice(list(commands))
    result = (out, "whole\n") if out.name in command else None
    return _doing(
        world, variant, label, "gpu-shell", *_of(variant), f"WORK={world.work}", f"CMD={command}",
        expected=commands[command], result=result,
    )  # fmt: skip


def prompt(world: World, _random: Random, variant: Tiny, label: str) -> Doing:
    """A shell at a terminal, in which somebody types."""
    out = world.work / f"out-{label}"
    typed = f"sleep 1; echo whole > {out.name}\nexit\n"
    return _doing(
        world, variant, label, "gpu-shell", *_of(variant), f"WORK={world.work}", typed=typed, result=(out, "whole\n")
    )


def image(world: World, random: Random, variant: Tiny, label: str) -> Doing:
    """An image; often one that the user has removed, sometimes with all that builds keep."""
    removes, prunes = random.random() < 0.7, random.random() < 0.2
    with contextlib.closing(DockerClient(world.url)) as client:
        if removes:
            with contextlib.suppress(ImageNotFound):
                client.images.remove(variant.tag)
        if prunes:
            client.api.prune_builds()
    return _doing(world, variant, label, "images", *_of(variant), length_s=4, removes=removes)


def venv(world: World, random: Random, variant: Tiny, label: str) -> Doing:
    """An environment of this machine: in the cache, in a named folder, or where the user has one of their own."""
    folder = world.root / "environments" / variant.name
    name, expected = random.choice([("", (0,)), (f"PREFIX={folder}", (0,)), (f"PREFIX={world.work}/mine", (2,))])
    if random.random() < 0.7:
        for made in (folder, *world.cache.glob(f"venvs/{variant.name}-*")):
            shutil.rmtree(made, ignore_errors=True)
    settings = [*_of(variant), *([name] if name else [])]
    return _doing(world, variant, label, "venv-env", *settings, expected=expected, length_s=6, removes=True)


def tests(world: World, _random: Random, variant: Tiny, label: str) -> Doing:
    """The harness on one target; a tiny image passes none of it, and all of it takes longer than a round."""
    settings = (*_of(variant), "TARGET=image", "JOBS=1")
    return _doing(world, variant, label, "test-env", *settings, expected=(2,), length_s=9, needs_break=True)


def explain(world: World, _random: Random, variant: Tiny, label: str) -> Doing:
    """What a log means."""
    return _doing(world, variant, label, "explain", f"LOG={world.work}/log.txt", length_s=0.5)

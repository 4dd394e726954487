"""Rounds: what is done is drawn from the seed and the round's number; one line each, and at the end what remained."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

from docker import DockerClient

from gpuenv.core import paths, signals
from gpuenv.core.errors import GpuenvError
from gpuenv.core.settings import OPTIONS
from tiny.variant import Tiny

from . import checks, troubles, users
from .world import LIMIT_S, World, opened

KINDS = ("containers", "images", "environments", "locks", "processes", "files", "outside", "mounts", "disk", "commands")
_DEFAULT_ROUNDS = 20


class Round:
    """One round: what users do at once, what happens to them, and what is left of it."""

    def __init__(self, world: World, seed: int, number: int, baseline: set[str]) -> None:
        self.world = world
        self.seed = seed
        self.number = number
        self.random = Random(f"{seed}/{number}")
        self.baseline = baseline
        self.found: list[tuple[str, str]] = []
        self.logs: list[Path] = []
        self.what = ""
        self.victims: list[users.Doing] = []

    def run(self, missing: dict[str, str]) -> None:
        """Do it, let it end, and look."""
        random, world = self.random, self.world
        before = checks.kept(world.work)
        count = 1 if random.random() < 0.75 else 2
        doings = [users.choose(world, random, f"{self.number}-{place}") for place in range(count)]
        self.logs = [doing.log for doing in doings]
        trouble = random.choice(troubles.TROUBLES) if random.random() < 0.35 else ""
        trouble = "" if trouble in missing else trouble
        breaks = random.random() < 0.75 or any(doing.needs_break for doing in doings)
        how = random.choices(list(troubles.WAYS), list(troubles.WAYS.values()))[0] if breaks else ""
        for doing in doings:
            troubles.prepare(world, doing, trouble, random)
        self.what = " + ".join(doing.name for doing in doings)
        self.what += "".join(f", {word}" for word in (trouble, how) if word)
        self._live(doings, trouble, how)
        self._find("processes", checks.patiently(lambda: checks.orphans(world)))
        for doing in doings:
            others = [other for other in doings if other is not doing and other.variant is doing.variant]
            is_disturbed = doing in self.victims or trouble in troubles.HARD or how.endswith(" of the engine")
            self._judge(doing, is_disturbed=is_disturbed or any(other.removes for other in others))
        self._look({doing.variant.name: doing.variant for doing in doings}, before)

    def _live(self, doings: list[users.Doing], trouble: str, how: str) -> None:
        random = self.random
        if how:
            self.victims = [doing for doing in doings if doing.needs_break] or [random.choice(doings)]
        with contextlib.ExitStack() as stack:
            for doing in doings:
                doing.start()
                time.sleep(random.uniform(0, 0.5) if len(doings) > 1 else 0)
            self._pause(doings, random.uniform(0, doings[0].length_s / 2) if trouble else 0)
            stack.enter_context(troubles.suffered(self.world, trouble, random))
            for victim in list(self.victims):
                self._pause(doings, random.uniform(0, victim.length_s))
                if not troubles.break_off(self.world, victim, how):
                    self.what += ", too late"
                    if not victim.needs_break:
                        self.victims.remove(victim)
            began = time.monotonic()
            for doing in doings:
                limit_s = users.END_LIMIT_S if doing in self.victims else LIMIT_S
                if not doing.wait(began + limit_s):
                    self._find("commands", [f"{doing.name} did not end within {limit_s} s"])
            self.what += f", ended in {time.monotonic() - began:.0f} s"

    @staticmethod
    def _pause(doings: list[users.Doing], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and any(doing.process.poll() is None for doing in doings):
            for doing in doings:
                doing.listen()
            time.sleep(0.02)

    def _judge(self, doing: users.Doing, *, is_disturbed: bool) -> None:
        code = doing.process.returncode
        if not is_disturbed and code not in doing.expected:
            self._find("commands", [f"{doing.name} ended with {code}"])
        if doing.result and code == 0:
            path, content = doing.result
            # A Ctrl-C drops what was typed ahead, and the prompt that comes later goes on without.
            is_dropped = is_disturbed and bool(doing.typed) and not path.exists()
            if not is_dropped and (not path.is_file() or path.read_text() != content):
                self._find("files", [f"{path.name} is not there, though the command succeeded"])
        if not doing.needs_break:
            self._find("commands", checks.words(doing.log.read_text(errors="replace")))

    def _look(self, touched: dict[str, Tiny], before: dict[str, str]) -> None:
        world, log = self.world, self.world.root / "logs" / f"{self.number}-next"
        self.logs.append(log)
        first = next(iter(touched.values()))
        # Whatever became of the engine: the next command finds it, or starts it again.
        if world.daemon() is None:
            code, _ = world.run(log, first, "engine")
            if code != 0:
                self._find("commands", [f"the next command (make engine) ended with {code}"])
                return
        with contextlib.closing(DockerClient(world.url)) as client:
            self._find("images", checks.images(client, touched.values(), world.good))
            say = "sha256sum < keep.txt"
            settings = (f"VARIANT={first.name}", "FLAVOR=cpu", f"WORK={world.work}", f"CMD={say}")
            code, said = world.run(log, first, "gpu-shell", *settings)
            if code != 0 or said.split()[:1] != [before["keep.txt"]]:
                self._find("commands", [f"the next command (make gpu-shell) ended with {code}: {said!r}"])
            self._find("images", checks.images(client, touched.values(), world.good))
            self._find("containers", checks.patiently(lambda: checks.containers(client)))
        folders = [*world.cache.glob("venvs/*"), *(world.root / "environments").glob("*")]
        self._find("environments", checks.environments(folders))
        self._find("locks", checks.patiently(lambda: checks.locks(world.state) + checks.locks(world.cache)))
        self._find("processes", checks.patiently(lambda: checks.orphans(world)))
        self._find("files", checks.files(world.work, before))
        self._find("outside", sorted(checks.outside(world) - self.baseline))
        self._find("mounts", checks.patiently(lambda: checks.mounts(world)))

    def _find(self, kind: str, lines: object) -> None:
        self.found += [(kind, str(line)) for line in lines]  # type: ignore[attr-defined]


def soak(world: World, seed: int, rounds: int) -> tuple[Counter[str], int]:
    """Run the rounds; how much of each kind was found, and how many rounds were done."""
    missing = troubles.possible(world)
    for name, why in missing.items():
        print(f"soak: {name} is left out: {why}")
    total: Counter[str] = Counter()
    done = 0
    try:
        for number in range(1, rounds + 1):
            run_one(world, Round(world, seed, number, checks.outside(world)), missing, total)
            done = number
        for kind, line in finish(world):
            print(f"soak: at the end: {line}")
            total[kind] += 1
    except KeyboardInterrupt:
        print(f"soak: broken off after {done} rounds")
    return total, done


def run_one(world: World, one: Round, missing: dict[str, str], total: Counter[str]) -> None:
    """Run one round, say what it found, and tidy up after it."""
    began = time.monotonic()
    one.run(missing)
    used = shutil.disk_usage(world.root).used
    if used - world.used > checks.GROWTH:
        one.found.append(("disk", f"the file system holds {used / 1e6:.0f} MB, {world.used / 1e6:.0f} MB at first"))
    total.update(kind for kind, _ in one.found)
    verdict = "; ".join(line for _, line in one.found) or "ok"
    seconds = time.monotonic() - began
    print(
        f"soak: seed {one.seed} round {one.number}: {one.what}: {verdict} ({seconds:.1f} s, {used / 1e6:.0f} MB)",
        flush=True,
    )
    if one.found:
        keep(one)
    for log in one.logs:
        log.unlink(missing_ok=True)
    for path in world.work.glob("*-*"):
        path.unlink()


def finish(world: World) -> Iterator[tuple[str, str]]:
    """After all rounds: what killed commands left goes with the next ones, and `make clean` leaves nothing."""
    log = world.root / "logs" / "last"
    for variant in world.variants:
        for goal in ("images", "venv-env"):
            code, _ = world.run(log, variant, goal, f"VARIANT={variant.name}", "FLAVOR=cpu")
            if code:
                yield "commands", f"make {goal} ended with {code}: {log.read_text(errors='replace')[-2000:]}"
    doing = users.tests(world, Random(0), world.variants[0], "tests")
    doing.start()
    time.sleep(doing.length_s)
    troubles.break_off(world, doing, "ctrl-c")
    doing.wait(time.monotonic() + users.END_LIMIT_S)
    yield from (("outside", line) for line in checks.patiently(lambda: checks.swept(world)))
    # Where the engine has its socket.
    run = [Path(world.url.removeprefix("unix://")).parent] if world.daemon() else []
    code, _ = world.run(log, world.variants[0], "clean", "YES=1")
    if code:
        yield "commands", f"make clean ended with {code}: {log.read_text(errors='replace')[-2000:]}"
    left = [path for folder in (world.state, world.cache) if folder.exists() for path in folder.rglob("*")]
    left += [folder for folder in run if folder.exists()]
    yield from (("outside", f"{path} is left by make clean") for path in left[:20])
    yield from (("processes", line) for line in checks.patiently(lambda: checks.orphans(world)))


def keep(one: Round) -> None:
    """Keep what a round printed, and what was found, in `reports`."""
    folder = paths.reports_dir()
    folder.mkdir(exist_ok=True)
    texts = [f"{one.what}\n", *(f"{kind}: {line}\n" for kind, line in one.found)]
    texts += [f"\n== {log.name}\n{log.read_text(errors='replace')}" for log in one.logs if log.exists()]
    engine = one.world.state / "engine/dockerd.log"
    texts += [f"\n== {engine}\n{engine.read_text(errors='replace')[-20000:]}"] if engine.exists() else []
    path = folder / f"soak-{one.seed}-{one.number}.log"
    path.write_text("".join(texts))
    print(f"soak: the log of this round: {path}")


def summary(seed: int, rounds: int, total: Counter[str]) -> tuple[str, int]:
    """The last line, and the exit code."""
    counts = ", ".join(f"{total[kind]} {kind}" for kind in KINDS)
    return f"soak: seed {seed}, {rounds} rounds: {counts} left or wrong", 1 if total.total() else 0


def main() -> int:
    """Read N and SEED, and run."""
    given = {name: os.environ.get(f"GPUENV_{name.upper()}") for name in ("n", "seed")}
    try:
        read = {name: OPTIONS[name].value(text) for name, text in given.items() if text}
    except GpuenvError as error:
        print(f"gpuenv: error: {error}", file=sys.stderr)
        return error.exit_code
    rounds, seed = int(str(read.get("n", _DEFAULT_ROUNDS))), int(str(read.get("seed", secrets.randbelow(10**6))))
    print(f"soak: seed {seed}; `make soak N={rounds} SEED={seed}` does the same again", flush=True)
    with signals.ending_cleanly(), opened() as world:
        total, done = soak(world, seed, rounds)
    line, code = summary(seed, done, total)
    print(line)
    return code if done == rounds else 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())

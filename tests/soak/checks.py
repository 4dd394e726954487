"""What must not be left of a round: each check gives a line for each thing that it finds."""

from __future__ import annotations

import fcntl
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from docker import DockerClient

from tiny.variant import Tiny

from .world import World, digest

#: Seconds for what ends by itself: a watcher tries for 10 s to remove what may still be made.
PATIENCE_S = 30.0
#: Bytes that the file system may hold beyond what it held after the first round: the images and build caches of all
#: tiny variants are 200 MB.
GROWTH = 10**9
_LOCKS = ("*.lock", "*/*.lock", "*/lock", "*/*/lock")
#: What a killed command leaves, named after its process: a later one removes it, at the latest the last (`finish`).
_SWEPT = "tmp-gpuenv-"
_IMPORTS = "import tensorflow, keras, tinysource, {probe}; print({probe}.CONTENT)"


def patiently(check: Callable[[], list[str]]) -> list[str]:
    """What a check finds still after some time."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            found = check()
        except OSError as error:
            # What ends or is removed while it is looked at is looked for again.
            found = [str(error)]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def orphans(world: World) -> list[str]:
    """Processes that were started here, but for the engine's."""
    running = {pid: words for pid, words in world.marked().items() if not world.is_engines(pid)}
    return [f"process {pid}: {' '.join(words)[:200]}" for pid, words in running.items()]


def containers(client: DockerClient) -> list[str]:
    """Containers of any kind: the engine is ours alone."""
    return [f"container {one['Names'][0]} ({one['State']})" for one in client.api.containers(all=True)]


def images(client: DockerClient, variants: Iterable[Tiny], good: set[str]) -> list[str]:
    """Images that have a variant's name, and lack what belongs into one; ``good`` are those that were seen whole."""
    found = []
    names = {tag: one["Id"] for one in client.api.images() for tag in one["RepoTags"] or ()}
    for variant in variants:
        if names.get(variant.tag, "none") not in {*good, "none"}:
            probe = variant.probe.partition("-")[0]
            command = ["python", "-c", _IMPORTS.format(probe=probe)]
            try:
                said = client.containers.run(variant.tag, command, network_mode="none", remove=True)
            except Exception as error:  # noqa: BLE001 - whatever it is, the image does not do
                found.append(f"image {variant.tag} is half: {error}")
                continue
            if said.decode().strip() != variant.name:
                found.append(f"image {variant.tag} holds {said!r}")
                continue
            good.add(names[variant.tag])
    return found


def environments(folders: Iterable[Path]) -> list[str]:
    """Environments that count as whole, and lack what belongs into one."""
    found = []
    for folder in folders:
        variant = re.search(r"soak-\d+", folder.name)
        if not variant or not (folder / "gpuenv-complete").exists():
            continue
        code = _IMPORTS.format(probe=f"probe_{variant[0].replace('-', '_')}")
        try:
            done = subprocess.run([folder / "bin/python", "-c", code], capture_output=True, text=True, check=False)
        except OSError as error:
            found.append(f"environment {folder} is half: {error}")
            continue
        if done.stdout.strip() != variant[0]:
            found.append(f"environment {folder} is half: {done.stderr.strip()[-200:]}")
    return found


def locks(folder: Path) -> list[str]:
    """Locks below a folder that somebody holds still."""
    found = []
    for path in (one for pattern in _LOCKS for one in folder.glob(pattern)):
        with path.open("rb+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append(f"lock {path} is held")
    return found


def files(work: Path, before: dict[str, str]) -> list[str]:
    """The user's files that are gone or not what they were."""
    now = {name: digest(work / name) for name in before if (work / name).is_file()}
    wrong = [name for name in sorted(before) if now.get(name) != before[name]]
    return [f"file {name} of the user is {'changed' if name in now else 'lost'}" for name in wrong]


def kept(work: Path) -> dict[str, str]:
    """What :func:`files` compares: every file of the user's by its digest."""
    return {str(path.relative_to(work)): digest(path) for path in work.rglob("*") if path.is_file()}


def outside(world: World) -> set[str]:
    """What is where nothing of ours belongs: top folders of the machine, and the user's home and temporary folder.

    Not where other programs of the machine write meanwhile, as its package manager does in /etc and /var.
    """
    folders = ["/", "/opt", "/srv", "/usr/local", "/usr/local/bin", str(Path("~").expanduser())]
    folders += [str(world.root / name) for name in ("home", "tmp")]
    found = {f"{folder}/{name}" for folder in folders for name in _names(Path(folder)) if not name.startswith(_SWEPT)}
    # Docker's own client keeps a number there from its first build on.
    return found - {str(world.root / "home/.docker")}


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def mounts(world: World) -> list[str]:
    """What is mounted below the world without a container, but for the engine's data on itself."""
    allowed = {str(world.root), str(world.state / "engine/data")}
    lines = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [f"mount {line}" for line in lines if line.startswith(str(world.root)) and line not in allowed]


def swept(world: World) -> list[str]:
    """Temporary folders that no later command removed."""
    places = world.root / "tmp", world.cache
    return [f"folder {path} is never removed" for place in places for path in place.glob(f"{_SWEPT}*")]


def words(log: str) -> Iterator[str]:
    """What no command may ever print. Ctrl-C before the interpreter is ready ends in Python's own words."""
    if "something unforeseen" in log:
        yield "a command calls its end unforeseen"
    for found in re.finditer(r"Traceback \(most recent call last\):\n(?:[ \t].*\n)+(?P<last>.*)", log):
        if not found["last"].startswith(("KeyboardInterrupt", "gpuenv.core.signals.Ended")):
            yield f"a traceback: {found['last'][:200]}"

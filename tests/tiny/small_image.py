"""A small image of this machine's own bash and tools, and the command with it instead of one that has to be built."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fakes.engine import LABELS, sdk
from gpuenv.engine.model import Engine

PROGRAMS = (
    *(
        "bash",
        "cat",
        "df",
        "env",
        "head",
        "id",
        "ls",
        "mkdir",
        "mv",
        "pwd",
        "rm",
        "seq",
        "sleep",
        "stat",
        "stty",
        "touch",
    ),
    *("timeout", "true", "whoami"),
)
#: The command itself, with an image that is already there instead of one to be built.
DRIVER = """
import sys, types
from gpuenv import cli
from gpuenv.images import image
labels = {labels!r}
image.ensure_image = lambda *args, **options: types.SimpleNamespace(tag={tag!r}, labels=labels)
sys.exit(cli.main())
"""


def libraries_of(program: str) -> set[str]:
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"(/\S+) \(0x", listed))


def make_root() -> bytes:
    """A root file system of a few programs of this machine and their libraries."""
    files = {path for name in PROGRAMS if (path := shutil.which(name))}
    files |= {library for program in set(files) for library in libraries_of(program)}
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for folder in ("etc", "tmp", "work", "home/user", "home/user/.keras", "home/user/.nv", "bin", "usr/bin"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755 if folder in ("etc", "bin", "usr/bin") else 0o1777
            archive.addfile(entry)
        for name, text in {
            "etc/passwd": "root:x:0:0::/:/bin/bash\n",
            "etc/group": "",
            "lib/terminfo/v/vt100": "",
        }.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o666
            archive.addfile(entry, io.BytesIO(text.encode()))
        for name in sorted(files):
            data = Path(name).read_bytes()
            places = {name, f"/usr/bin/{Path(name).name}"} if Path(name).name in PROGRAMS else {name}
            for place in places:
                entry = tarfile.TarInfo(place.lstrip("/"))
                entry.size, entry.mode = len(data), 0o755
                archive.addfile(entry, io.BytesIO(data))
    return content.getvalue()


@contextmanager
def imported(engine: Engine, tag: str) -> Iterator[str]:
    """The small image in an engine, removed at the end."""
    api = sdk(engine).api
    api.import_image_from_data(make_root(), repository=tag)
    try:
        yield tag
    finally:
        api.remove_image(tag, force=True)


def driver(tag: str) -> str:
    """A program that is the command, with that image."""
    return DRIVER.format(labels=LABELS, tag=tag)

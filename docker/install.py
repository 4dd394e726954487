"""Install hashed requirements during the build of an image; nothing of this file ends in the image.

    install.py REQUIREMENTS [FOLDER]             into /opt/gpuenv, with the wheels in FOLDER
    install.py --build FOLDER REQUIREMENTS       build wheels into FOLDER instead

pip is asked for an index only when a file is missing in the folder of downloads, which the builds of this
machine share: with it, installing 80 small packages takes 8 s instead of 25, and needs no network.

Runs under the Python of the image: standard library only, syntax of Python 3.6.
"""

import argparse
import hashlib
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ENVIRONMENT = Path("/opt/gpuenv")
DOWNLOADS = Path("/run/wheels")
#: pip spends its time on reading index pages, one processor each; more at a time is unkind to an index.
PARALLEL = 4
#: A folder that a killed build left (seconds).
STALE_S = 24 * 3600
#: Folders below folders: compileall stops at 10 unless told otherwise, and TensorFlow has more.
DEPTH = "50"

_PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;\\]+)(?P<rest>(?:[^\n]*\\\n)*[^\n]*)$", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def main(argv=None):
    """Fetch what is missing, then install or build without an index; returns pip's exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", metavar="FOLDER")
    parser.add_argument("requirements")
    parser.add_argument("built", nargs="?", metavar="FOLDER")
    args = parser.parse_args(argv)
    pins = parse_pins(Path(args.requirements).read_text())
    status = fetch([pin for pin in pins if find_file(pin, DOWNLOADS) is None])
    if status:
        return status
    with tempfile.TemporaryDirectory() as links:
        link_files(pins, Path(links))
        local = ["--no-cache-dir", "--no-index", "--find-links", links, "--no-deps"]
        locked = ["--require-hashes", "-r", args.requirements]
        if args.build:
            return pip("wheel", *local, *locked, "--no-build-isolation", "--wheel-dir", args.build) if pins else 0
        built = sorted(str(path) for path in Path(args.built).glob("*.whl")) if args.built else []
        # Compiled afterwards and at once, because pip uses one processor for it.
        for what in (locked if pins else [], built):
            status = status or (pip("install", *local, "--no-compile", *what) if what else 0)
    return status or compile_all(ENVIRONMENT / "lib")


class Pin:
    """One requirement: name, version, the allowed sha256 sums, and its text as pip reads it."""

    def __init__(self, name, version, hashes, text):
        self.prefix = f"{normalize(name)}-{version.lower()}"
        self.hashes = hashes
        self.text = text

    def matches(self, file_name):
        """Whether a file name can be one of this pin."""
        name, _, rest = file_name.partition("-")
        if file_name.endswith(".whl"):
            return f"{normalize(name)}-{rest.split('-')[0].lower()}" == self.prefix
        return normalize(file_name).startswith(normalize(self.prefix))


def normalize(name):
    """A distribution's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_pins(text):
    """The pins of a hashed requirements file; comments are skipped."""
    lines = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    return [Pin(m["name"], m["version"], set(_HASH.findall(m["rest"])), m[0]) for m in _PIN.finditer(lines)]


def find_file(pin, folder):
    """The file of a pin, its sum verified, or None. Names are a hint only: the sum decides."""
    candidates = (path for path in sorted(folder.iterdir()) if path.is_file() and pin.matches(path.name))
    return next((path for path in candidates if sha256(path) in pin.hashes), None)


def link_files(pins, folder):
    """Show pip the verified files and no others: of two files of one version it might prefer the wrong one."""
    for pin in pins:
        path = find_file(pin, DOWNLOADS)
        if path is None:
            sys.exit(f"{pin.prefix} was downloaded, but not as any of the files in the lock")
        (folder / path.name).symlink_to(path)


def sha256(path):
    """The sum of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def fetch(missing):
    """Download pins, several at a time; each file appears in the folder whole, by a rename."""
    if not missing:
        return 0
    remove_stale(DOWNLOADS)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=str(DOWNLOADS)))
    try:
        groups = [missing[start::PARALLEL] for start in range(min(PARALLEL, len(missing)))]
        with ThreadPoolExecutor(PARALLEL) as pool:
            statuses = list(pool.map(download, groups, itertools.count(), itertools.repeat(partial)))
        for path in partial.glob("*/*"):
            os.replace(str(path), str(DOWNLOADS / path.name))
    finally:
        shutil.rmtree(str(partial), ignore_errors=True)
    # A status below 0 is a signal's.
    return next((status for status in statuses if status), 0)


def download(pins, number, partial):
    """Download one group of pins into a folder of its own."""
    folder = partial / str(number)
    folder.mkdir()
    requirements = partial / f"{number}.txt"
    requirements.write_text("\n".join(pin.text for pin in pins) + "\n")
    options = ["--no-cache-dir", "--progress-bar", "off", "--no-deps", "--require-hashes", "--no-build-isolation"]
    return pip("download", *options, "--dest", str(folder), "-r", str(requirements))


def remove_stale(folder):
    """Remove what builds left that were killed."""
    for path in folder.glob(".partial-*"):
        if time.time() - path.stat().st_mtime > STALE_S:
            shutil.rmtree(str(path), ignore_errors=True)


def pip(*arguments):
    """Run the environment's own pip; returns its exit status."""
    return subprocess.call([str(ENVIRONMENT / "bin/python"), "-m", "pip", *arguments])


def compile_all(folder):
    """Compile to bytecode on all processors. Files that are no Python of this version stay as they are, as with pip."""
    subprocess.call([sys.executable, "-m", "compileall", "-qq", "-j", "0", "-r", DEPTH, str(folder)])
    return 0


if __name__ == "__main__":
    sys.exit(main())

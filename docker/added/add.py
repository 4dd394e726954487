"""Install a user's requirements beside what an image's lock holds; nothing of this file ends in the image.

    add.py FOLDER VARIABLES     the folder with main.txt, and constraints.txt, which is the lock; and a file of JSON
                                with the variables that these name, by whose values pip replaces them

Runs under the Python of the image: standard library only, syntax of Python 3.6.
"""

import csv
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path


def main(argv=None):
    """Install; returns pip's exit status, or 1 if a file of the lock was overwritten."""
    folder, variables = map(Path, sys.argv[1:] if argv is None else argv)
    site = Path(sysconfig.get_path("purelib"))
    before = read_records(site)
    options = ["--cache-dir", "/run/pip-cache", "--progress-bar", "off"]
    files = ["-c", str(folder / "constraints.txt"), "-r", str(folder / "main.txt")]
    environment = dict(os.environ, **json.loads(variables.read_text()))
    status = subprocess.call([sys.executable, "-m", "pip", "install", *options, *files], env=environment)
    if status:
        return status
    after = read_records(site)
    found = find_overwritten(before, after)
    for line in found:
        print("not added: " + line)
    # The harness tells by it what is the lock's and what is the user's.
    place = Path(sys.prefix) / "gpuenv-added.json"
    place.write_text(json.dumps(dict(name.rsplit("-", 1) for name in sorted(after.keys() - before.keys()))))
    return 1 if found else 0


def read_records(site):
    """``{distribution-version: {path: hash}}`` of what is installed; bytecode, which has no hash, is left out."""
    found = {}
    for path in sorted(site.glob("*.dist-info/RECORD")):
        with path.open(newline="", encoding="utf-8") as stream:
            rows = [row for row in csv.reader(stream) if len(row) > 1 and row[1]]
        found[path.parent.name[: -len(".dist-info")]] = {row[0]: row[1] for row in rows}
    return found


def find_overwritten(before, after):
    """A line for each distribution that has gone, and for each new one that brings another's file differently."""
    owners = {path: (name, value) for name, files in before.items() for path, value in files.items()}
    found = ["%s of the lock would be replaced" % name for name in sorted(before.keys() - after.keys())]
    for name in sorted(after.keys() - before.keys()):
        files = after[name].items()
        taken = [path for path, value in files if path in owners and owners[path][1] != value]
        found += [
            "%s brings %s, which is a file of %s in the lock" % (name, path, owners[path][0]) for path in taken[:1]
        ]
    return found


if __name__ == "__main__":
    sys.exit(main())

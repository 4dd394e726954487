"""Keras' own tests, by the pytest of this target: FOLDER (their archives), the tests that are meant, --deselect=ID.

They run on the installed Keras: of the source distribution only the tests are unpacked. What they need besides is
on the path of their processes alone.
"""

import functools
import glob
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from multiprocessing.pool import ThreadPool
from xml.etree import ElementTree as ET

from common import cores, emit

#: Some tests of Keras count what its threads have done so far, and fail once in a while on busy cores
#: (test_model_methods: 71 batches fetched ahead instead of 60): what is wrong fails a second time.
TWICE = ("--force-flaky", "--max-runs=2", "--min-passes=1", "--no-flaky-report")
#: Of what pytest says.
LAST_LINES = 15


def run(archives, arguments):
    """Run them, as many at a time as there are cores; on a GPU one, as each takes all of its memory."""
    options = [one for one in arguments if one.startswith("--")]
    names = [one for one in arguments if one not in options]
    folder = tempfile.mkdtemp()
    try:
        unpack(archives, folder)
        at_a_time = 1 if os.path.exists("/dev/nvidiactl") else cores()
        with ThreadPool(at_a_time) as pool:
            return dict(zip(names, pool.map(functools.partial(run_one, folder, options), names, chunksize=1)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unpack(archives, folder):
    """Put the tests into ``tests``, and packages into ``site``."""
    (source,) = glob.glob(os.path.join(archives, "*.tar.gz"))
    with tarfile.open(source) as archive:
        root = archive.getnames()[0].split("/")[0]
        # Its sum, and the wheels', are the lock's.
        archive.extractall(folder, [one for one in archive if one.name.startswith(root + "/tests/")])  # noqa: S202
    os.rename(os.path.join(folder, root, "tests"), os.path.join(folder, "tests"))
    for wheel in glob.glob(os.path.join(archives, "*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(os.path.join(folder, "site"))  # noqa: S202


def run_one(folder, options, name):
    """One folder or file of tests: how many passed and were skipped, which failed, and how long it took."""
    began = time.time()
    report = os.path.join(folder, name.replace("/", "-") + ".xml")
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", "tests", "--junit-xml", report, *options]
    # The plugin that Keras' own tests name for this.
    options += TWICE if os.path.isdir(os.path.join(folder, "site", "flaky")) else ()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, os.path.join("tests", name)],
        cwd=folder,
        # What is said last comes last: errors of its start stand on the other stream.
        env=dict(os.environ, PYTHONPATH=os.path.join(folder, "site"), PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    found = count(report) if os.path.exists(report) else {"passed": 0, "skipped": 0, "failed": []}
    last = done.stdout.decode("utf-8", "replace").strip().splitlines()[-LAST_LINES:]
    return dict(found, exit_code=done.returncode, seconds=time.time() - began, last=last)


def count(report):
    """How many passed and were skipped, and which failed, by the XML that pytest wrote."""
    cases = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - our own pytest's
        # What was run twice stands there twice, and but the last time without what became of it.
        cases.setdefault((case.get("classname"), case.get("name")), []).extend(case)
    found = {"passed": 0, "skipped": 0, "failed": []}
    for (_, test), parts in cases.items():
        problem = next((one for one in parts if one.tag in ("failure", "error")), None)
        if problem is not None:
            found["failed"].append("{}: {}".format(test, (problem.get("message") or "")[:200]))
        else:
            found["skipped" if any(one.tag == "skipped" for one in parts) else "passed"] += 1
    return found


if __name__ == "__main__":
    emit(run(sys.argv[1], sys.argv[2:]))

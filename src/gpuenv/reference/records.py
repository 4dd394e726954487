"""Every installed file against the RECORD of its distribution: missing, altered, or of another size."""

import base64
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import distributions
from common import emit

CHUNK_BYTES = 1 << 20


def digest(path):
    """The sha256 of a file as RECORD writes it: URL-safe base64 without padding."""
    total = hashlib.sha256()
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):
            total.update(chunk)
    return base64.urlsafe_b64encode(total.digest()).rstrip(b"=").decode()


def problem(folder, row):
    """What is wrong with one row's file, or None. Rows without a hash (bytecode) only have to say nothing."""
    path, expected, _ = row
    full = os.path.normpath(os.path.join(folder, path))
    if not expected:
        return None
    if not os.path.isfile(full):
        return "missing: " + path
    algorithm, _, value = expected.partition("=")
    if algorithm != "sha256":
        return "unknown hash: " + expected
    return None if digest(full) == value else "altered: " + path


def run():
    """``{distribution: [problems]}`` for those that have any, and how many files were read."""
    jobs = []
    bad = {}
    for one in distributions.installed():
        rows = one.record()
        if not rows:
            bad[one.name] = ["it has no RECORD"]
        jobs += [(one.name, one.folder, row) for row in rows]
    # Hashing releases the interpreter's lock, so threads use every core.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for (name, _, _), found in zip(jobs, pool.map(lambda job: problem(job[1], job[2]), jobs)):
            if found:
                bad.setdefault(name, []).append(found)
    return {"problems": bad, "files": sum(1 for job in jobs if job[2][1])}


if __name__ == "__main__":
    emit(run())

"""Jupyter as `gpu-shell PORT=` starts it: the address that it prints, and whether it answers from outside.

Nothing comes in from another machine here; another address of this one does, where Jupyter listens at all of them.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from multiprocessing.pool import ThreadPool
from urllib.request import urlopen

from common import emit

OUTSIDE = "127.0.0.2"
#: A start takes 3 s, and on a busy machine several times as long.
PATIENCE_S = 120
_ADDRESS = re.compile(r"(http://[^\s?]{1,200})\?token=")


def run():
    """Both programs: the addresses that they print, the HTTP status of an answer, and the last thing they said."""
    with ThreadPool(2) as pool:
        return dict(pool.map(serve, ("lab", "notebook")))


def serve(name):
    """Start one, look, and end it."""
    folder = tempfile.mkdtemp()
    with socket.socket() as free:
        free.bind((OUTSIDE, 0))
        port = free.getsockname()[1]
    environ = dict(os.environ, JUPYTER_PORT=str(port), JUPYTER_PORT_RETRIES="0", JUPYTER_IP="0.0.0.0")  # noqa: S104
    for variable in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        environ[variable] = os.path.join(folder, variable)
    said = os.path.join(folder, "said")
    with open(said, "wb") as stream:
        argv = [sys.executable, "-m", "jupyter", name]
        server = subprocess.Popen(argv, cwd=folder, env=environ, stdout=stream, stderr=subprocess.STDOUT)
    try:
        printed, status = [], None
        deadline = time.time() + PATIENCE_S
        while not printed and server.poll() is None and time.time() < deadline:
            time.sleep(0.1)
            printed = sorted(set(_ADDRESS.findall(_read(said))))
        if printed:
            status = _status("http://{}:{}/api".format(OUTSIDE, port))
        last = (_read(said).strip().splitlines() or [""])[-1]
        return name, {"printed": printed, "port": port, "status": status, "said": last}
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _status(address):
    try:
        with urlopen(address, timeout=PATIENCE_S) as answer:  # noqa: S310
            return answer.status
    except OSError as error:
        return str(error)


def _read(path):
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()


if __name__ == "__main__":
    emit(run())

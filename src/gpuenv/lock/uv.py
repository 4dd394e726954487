"""Runs uv, the resolver, with the index and network settings of the host's pip."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from gpuenv.core import paths, signals
from gpuenv.core.errors import DataError, GpuenvError, HostError, SourceError
from gpuenv.net import certificates
from gpuenv.net.pip_settings import PipSettings, load_pip_settings

#: What uv writes, in lower case, when something outside the requirements is wrong: the marks, the cause and the remedy.
_CAUSES: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("invalid peer certificate", "unknownissuer", "certificate verify failed"),
        "the index's certificate is not signed by an authority that this machine trusts",
        "name the CA bundle of your network: PIP_CERT=/path/to/bundle.crt",
    ),
    (
        ("401 unauthorized", "403 forbidden", "407 proxy"),
        "the index or the proxy refuses this machine",
        "check the credentials in PIP_INDEX_URL and PIP_PROXY",
    ),
    (
        ("error sending request", "failed to fetch", "dns error", "connection", "timed out", "could not connect"),
        "the package index cannot be reached",
        "check the network, or name another index: PIP_INDEX_URL=https://...",
    ),
)


def run_uv(argv: list[str], folder: Path, purpose: str) -> None:
    """Run uv in ``folder``. Raises HostError when there is none; SourceError or DataError with uv's own text."""
    if importlib.util.find_spec("uv") is None:
        raise HostError(
            "there is no uv, the resolver",
            "only the runtime requirements are installed here",
            "run `make lock`, which prepares .venv with src/requirements-dev.txt",
        )
    environ = {**os.environ, **uv_variables(load_pip_settings(), os.environ, paths.cache_dir())}
    # The Python that reads a source's metadata. Not named, uv starts every Python of the host until one looks right.
    command = [sys.executable, "-I", "-m", "uv", *argv, "--python", sys.executable]
    done = signals.run(command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise explain_failure(done.stderr, purpose)


def uv_variables(settings: PipSettings, environ: Mapping[str, str], cache: Path) -> dict[str, str]:
    """The settings of pip as uv's variables; a UV_* variable that the user has set stays as it is.

    Verification is never switched off.
    """
    wanted = {
        "UV_CACHE_DIR": str(cache / "uv"),
        "UV_DEFAULT_INDEX": settings.index_url,
        "UV_INDEX": " ".join(settings.extra_index_urls),
        "UV_HTTP_TIMEOUT": str(int(settings.timeout_s)) if settings.timeout_s else None,
    }
    translated = {name: value for name, value in wanted.items() if value and not environ.get(name)}
    # These exist without pip too; what pip was told is more particular to an index.
    bundle = certificates.find_bundle(environ, settings.cert)
    if bundle:
        translated["SSL_CERT_FILE"] = str(bundle)
    if settings.proxy:
        translated.update(HTTP_PROXY=settings.proxy, HTTPS_PROXY=settings.proxy, ALL_PROXY=settings.proxy)
    return translated


def explain_failure(stderr: str, purpose: str) -> GpuenvError:
    """The error for what uv wrote: a network error, an unsatisfiable set, or anything else."""
    text = stderr.strip() or "uv wrote nothing"
    what = f"the requirements cannot be resolved {purpose}"
    if "no solution found" in text.lower():
        return DataError(what, f"no set of versions fits; uv says:\n{text}", "change a pin in requirements.in")
    for marks, cause, remedy in _CAUSES:
        if any(mark in text.lower() for mark in marks):
            return SourceError(what, f"{cause}; uv says:\n{text}", remedy)
    return DataError(what, f"uv says:\n{text}", "correct requirements.in")

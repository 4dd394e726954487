"""Pulls a pinned image, and tells a registry that cannot be reached from one that refuses."""

from __future__ import annotations

import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from gpuenv.core import ui
from gpuenv.core.deadline import gather
from gpuenv.core.errors import SourceError
from gpuenv.engine.model import Engine, RefusedError, inspect
from gpuenv.variants.model import BaseImage

#: For the whole question, name resolution included, which has no time limit of its own.
PROBE_TIMEOUT_S = 4.0
#: Where images without a host in their name come from; the engine's own rule.
DEFAULT_REGISTRY = "https://registry-1.docker.io"

#: What engines say when it is the way to the registry that fails, not the registry that refuses.
_UNREACHABLE = re.compile(
    r"no such host|dial tcp|i/o timeout|timeout exceeded|connection (refused|reset)|network is unreachable"
    r"|no route to host|server misbehaving|temporary failure|proxyconnect|x509|tls:|\bEOF\b|deadline exceeded"
    r"|\b50[0234] ",
    re.IGNORECASE,
)


class RegistryUnreachableError(Exception):
    """The registry cannot be reached; the text says why. Caught by :mod:`gpuenv.base_image.base`."""


def split_name(reference: str) -> tuple[str, str]:
    """``name:tag`` into the registry's URL and the name without tag, by the engine's rule.

    The first part of a name is a host if it contains a dot or a colon, or is ``localhost``.
    """
    name = reference.rpartition(":")[0]
    host = name.split("/")[0]
    has_host = "/" in name and ("." in host or ":" in host or host == "localhost")
    return (f"https://{host}" if has_host else DEFAULT_REGISTRY), name


def has_pinned(engine: Engine, base: BaseImage) -> bool:
    """Whether the engine has the image already, by digest."""
    return inspect(engine, f"{split_name(base.reference)[1]}@{base.digest}") is not None


def probe(url: str, timeout_s: float = PROBE_TIMEOUT_S) -> str | None:
    """Why no registry answers at ``url``; None if one does, whatever it answers."""
    # With a deadline, because resolving a name can take the system much longer than any time limit of ours.
    answer = gather({url: partial(_ask, url, timeout_s)}, timeout_s)[url]
    return None if answer is None else f"{urlsplit(url).netloc}: {answer}"


def _ask(url: str, timeout_s: float) -> object:
    """Why there is no answer; None if there is one. Raises OSError and ValueError."""
    try:
        with urllib.request.urlopen(f"{url}/v2/", timeout=timeout_s):  # noqa: S310 (always http or https)
            return None
    except urllib.error.HTTPError as error:
        error.close()  # 401 is the usual answer to an unknown caller: the registry is there.
        return None
    except urllib.error.URLError as error:
        # A certificate that this Python does not know is an answer: the engine has its own authorities.
        return None if isinstance(error.reason, ssl.SSLError) else error.reason


def has_detour(info: Mapping[str, Any]) -> bool:
    """Whether the engine reaches registries on a way of its own (mirror, proxy), from its ``/info``."""
    mirrors = (info.get("RegistryConfig") or {}).get("Mirrors")
    return bool(mirrors or info.get("HttpProxy") or info.get("HttpsProxy"))


def pull(engine: Engine, base: BaseImage) -> None:
    """Pull by digest, progress shown. Raises RegistryUnreachableError, or SourceError if it is refused."""
    name = split_name(base.reference)[1]
    layers: dict[str, tuple[int, int]] = {}
    try:
        with engine.sdk() as client, ui.download_progress(f"pulling {base.reference}", None) as progress:
            for event in client.api.pull(name, tag=base.digest, stream=True, decode=True):
                if "error" in event:
                    raise pull_error(base, str(event["error"]))
                detail = event.get("progressDetail") or {}
                if event.get("status") == "Downloading" and detail.get("total"):
                    layers[event["id"]] = (detail["current"], detail["total"])
                    done, total = (sum(values) for values in zip(*layers.values()))
                    progress.update(progress.task_ids[0], completed=done, total=total)
    except RefusedError as error:
        raise pull_error(base, error.why) from error


def pull_error(base: BaseImage, message: str) -> Exception:
    """What a failed pull means: unreachable (a local base will do), or an answer that says no."""
    if _UNREACHABLE.search(message) and "manifest unknown" not in message:
        return RegistryUnreachableError(message)
    return SourceError(
        f"{base.pinned} could not be pulled",
        message,
        "sign in with `docker login` if the registry asks for it, or set BASE=local to make a base on this machine",
    )

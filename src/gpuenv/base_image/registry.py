"""Pulls a pinned image, and tells a registry that cannot be reached from one that refuses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from gpuenv.core import ui
from gpuenv.core.errors import SourceError
from gpuenv.engine.model import Engine, RefusedError, inspect, login_problem
from gpuenv.net.questions import ANSWERS_S, Question, ask_all
from gpuenv.variants.model import BaseImage

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


def inspect_pinned(engine: Engine, base: BaseImage) -> dict[str, Any] | None:
    """What the engine knows of the image, by digest; None if it does not have it."""
    return inspect(engine, f"{split_name(base.reference)[1]}@{base.digest}")


def has_pinned(engine: Engine, base: BaseImage) -> bool:
    """Whether the engine has the image already, by digest."""
    return inspect_pinned(engine, base) is not None


def question(url: str, verify: str | bool) -> Question:
    """Whether a registry answers at ``url``, also to a stranger."""
    return Question("registry", urlsplit(url).netloc, f"{url}/v2/", verify, trusts_anybody=True)


def probe(url: str) -> str | None:
    """Why no registry answers at ``url``, an error of its server included; None if one does."""
    asked = question(url, verify=True)
    problem = ask_all([asked], ANSWERS_S)[asked.url].problem
    return f"{asked.name}: {problem}" if problem else None


def has_detour(engine: Engine, info: Mapping[str, Any]) -> bool:
    """Whether an engine may reach registries that this process does not: from elsewhere, or by what is in ``/info``."""
    mirrors = (info.get("RegistryConfig") or {}).get("Mirrors")
    is_elsewhere = urlsplit(engine.url).scheme != "unix"
    return bool(is_elsewhere or mirrors or info.get("HttpProxy") or info.get("HttpsProxy"))


def pull(engine: Engine, base: BaseImage) -> None:
    """Pull by digest, progress shown. Raises RegistryUnreachableError, or SourceError if it is refused."""
    name = split_name(base.reference)[1]
    layers: dict[str, tuple[int, int]] = {}
    try:
        with engine.sdk() as client, ui.download_progress(f"pulling {base.reference}", None) as progress:
            problem = login_problem(client, name)
            if problem is not None:
                ui.warn(f"pulling without a login, as what `credsStore` or `credHelpers` names fails: {problem}")
            # Nobody, as Docker's own client does then: a registry that wants somebody says so.
            who: dict[str, str] | None = None if problem is None else {}
            for event in client.api.pull(name, tag=base.digest, stream=True, decode=True, auth_config=who):
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

"""Finds the container engine to use, and says why.

``auto`` takes, in this order: a Docker daemon that answers, the private daemon if it runs already,
Podman, a private daemon started (and if needed installed) now, and, as the last resort, none: an environment of
this machine (a virtual one, or one of conda). Whatever is not the first of these is announced,
in full once in its life.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gpuenv.core import atomic, paths, ui
from gpuenv.core.errors import EngineError
from gpuenv.engine.endpoints import DENIED, Endpoint, UnreachableError, docker_endpoints, ping, podman_endpoints
from gpuenv.engine.model import Engine


def find_engine(request: str | None) -> Engine | None:
    """The engine to use, or None for an environment of this machine. Raises EngineError if a named one is not there."""
    if request in (None, "auto"):
        return _find_any()
    if request in ("venv", "conda"):
        return None
    if request == "private":
        from gpuenv.engine import private

        private.install()
        return private.start().engine
    endpoints = docker_endpoints() if request == "docker" else podman_endpoints()
    refusals: list[str] = []
    engine = _first(_ask(endpoints), refusals, want=request)
    if engine is None:
        raise EngineError(
            f"ENGINE={request}, but no {str(request).capitalize()} engine answers",
            "; ".join(refusals),
            _describe_podman() if request == "podman" else describe_better(),
        )
    return engine


def _find_any() -> Engine | None:
    refusals: list[str] = []
    engine = _first(_telling(_ask(docker_endpoints())), refusals)
    if engine is not None:
        return engine
    why = f"no Docker daemon answers ({'; '.join(refusals)})"
    running = _first(_fallbacks(), refusals)
    engine = running or _new_private(why, refusals)
    if engine is None:
        reasons = "; ".join(refusals)
        ui.say(
            f"no engine: {reasons}. Using an environment of this machine instead of a container. {describe_better()}"
        )
        return None
    # The question before a new one is started has given the reason.
    _announce(engine, why, is_told=running is None)
    return engine


def _announce(engine: Engine, why: str, *, is_told: bool) -> None:
    """Say which engine takes the place of Docker: with the reason once in its life, then in a clause."""
    life = f"{engine.url} {why}"
    with suppress(OSError):
        # Each start of an engine makes its socket anew.
        socket = Path(urlsplit(engine.url).path).stat()
        life += f" {socket.st_ino} {socket.st_ctime_ns}"
    announced = paths.state_dir() / "announced"
    is_known = announced.is_file() and announced.read_text(encoding="utf-8") == life
    ui.say(f"using {engine.why}" if is_told or is_known else f"{why}; using {engine.why}. {describe_better()}")
    if not is_known:
        atomic.write_text(announced, life, mode=0o600)


@dataclass(frozen=True)
class Refused:
    """An endpoint that does not answer, and why."""

    endpoint: Endpoint
    error: UnreachableError


def candidates() -> Iterator[Engine | Refused]:
    """What `auto` looks at, in its order, without starting anything: the first engine is the one it takes."""
    yield from _telling(_ask(docker_endpoints()))
    yield from _fallbacks()


def _fallbacks() -> Iterator[Engine | Refused]:
    from gpuenv.engine import private

    daemon = private.running()
    if daemon is not None:
        yield from _telling([daemon.engine])
    yield from _ask(podman_endpoints())


def _telling(found: Iterable[Engine | Refused]) -> Iterator[Engine | Refused]:
    """What was found; before an engine, what the user named for Podman if that does not answer: nobody asks it then."""
    for one in found:
        if isinstance(one, Engine):
            named = (endpoint for endpoint in podman_endpoints() if endpoint.undo)
            yield from (other for other in _ask(named) if isinstance(other, Refused))
        yield one


def _ask(endpoints: Iterable[Endpoint]) -> Iterator[Engine | Refused]:
    for endpoint in endpoints:
        try:
            pong = ping(endpoint)
        except UnreachableError as error:
            yield Refused(endpoint, error)
            continue
        kind = "podman" if pong.is_podman else "docker"
        why = f"{kind.capitalize()} at {endpoint.url} ({endpoint.origin})"
        yield Engine(kind, endpoint.url, why, pong.api_version, endpoint.tls_dir)


def _first(found: Iterable[Engine | Refused], refusals: list[str], want: str | None = None) -> Engine | None:
    """The first engine (that is a ``want``); why it is none before goes into ``refusals``."""
    for one in found:
        if isinstance(one, Engine):
            if want in (None, one.kind):
                return one
            refusals.append(f"{one.url} is {one.kind.capitalize()}")
        else:
            ways = "join the group docker with `sudo usermod -aG docker $USER` and log in again, or use rootless Docker"
            refusals.append(f"{one.error} ({ways})" if one.error.kind == DENIED else str(one.error))
            if one.endpoint.undo:
                ui.warn(f"{one.endpoint.origin} names an engine that does not answer: {one.error}")
    return None


def private_obstacle() -> str | None:
    """Why `auto` would not start a private engine; None if it would."""
    from gpuenv.engine import private
    from gpuenv.host import packages

    obstacle = private.obstacle()
    if obstacle is None and not packages.is_allowed():
        obstacle = "GPUENV_INSTALL_ENGINE=0 forbids a private engine"
    return obstacle


def _new_private(why: str, refusals: list[str]) -> Engine | None:
    """A private engine started now, if this machine and its user allow and it works; else None."""
    from gpuenv.engine import private

    obstacle = private_obstacle()
    if obstacle is None and not ui.confirm(f"{private.describe_start()}, because {why}"):
        obstacle = "a private engine was declined"
    if obstacle is not None:
        refusals.append(obstacle)
        return None
    try:
        # Installing may have started the distribution's own daemon; then that is simply there.
        is_new = private.install()
        found = _first(_ask(docker_endpoints()), []) if is_new else None
        return found or private.start().engine
    except EngineError as error:
        ui.warn(str(error))
        refusals.append(error.what)
        return None


def describe_better() -> str:
    """How to get a better engine than a fallback: one sentence for people."""
    if shutil.which("dockerd") and os.getuid() == 0:
        return "For another engine start Docker's service, or set DOCKER_HOST."
    if shutil.which("podman"):
        return "For Podman run `systemctl --user start podman.socket`; for Docker start its service or set DOCKER_HOST."
    return "For a better one install Docker or Podman, set DOCKER_HOST, or run `sudo make engine` on Debian or Ubuntu."


def _describe_podman() -> str:
    """How to get the engine that ENGINE=podman asks for."""
    install = "" if shutil.which("podman") else "install Podman, "
    user = "--user " if os.getuid() else ""
    return f"{install}start Podman's service (`systemctl {user}start podman.socket`), or set CONTAINER_HOST"

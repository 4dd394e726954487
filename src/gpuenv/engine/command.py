"""``gpuenv engine`` and ``gpuenv engine-stop``."""

from __future__ import annotations

import shlex

from gpuenv.core import ui
from gpuenv.core.errors import EngineError
from gpuenv.core.settings import Settings
from gpuenv.engine import private
from gpuenv.engine.find import describe_better, find_engine


def run(settings: Settings) -> int:
    """Find or start an engine and say which it is, or stop the private one.

    People read standard error; standard output is one line for ``eval "$(gpuenv engine)"``.
    """
    if settings.verb == "engine-stop":
        ui.say("the private engine is stopped" if private.stop() else "the private engine does not run")
        return 0
    engine = find_engine(settings.engine)
    if engine is None:
        raise EngineError("no container engine is used", "none answers and none can be started", describe_better())
    info = engine.call("GET", "/info")
    ui.say(f"engine: {engine.why}")
    ui.say(f"version: {info.get('ServerVersion')} ({engine.kind}, storage driver {info.get('Driver')})")
    ui.say(f"data: {info.get('DockerRootDir')}")
    print(f"export DOCKER_HOST={shlex.quote(engine.url)}", flush=True)
    return 0

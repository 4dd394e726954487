"""One container with the user's streams attached to it by the engine's own client, from its making to its exit code."""

from __future__ import annotations

import select
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpuenv.core import processes, signals
from gpuenv.core.errors import EngineError, full_output
from gpuenv.core.signals import PassOn, passed_on
from gpuenv.engine import build_client, reaper
from gpuenv.engine import container as containers
from gpuenv.engine.container import Spec
from gpuenv.engine.model import Engine, RefusedError
from gpuenv.shell import terminal

#: A signal is on its way to somebody who waits; a dead engine is noticed by the client, not here. Also of a log.
_KILL_TIMEOUT_S = 10.0
#: The client has been started, but not yet the container.
_START_PATIENCE_S = 10.0
_PAUSE_S = 0.05
_END_PATIENCE_S = 2.0
_LOG_LINES = "1000"
#: What a client holds back, in case they are the keys that detach it. They cannot be switched off; nobody types these.
_DETACH_KEYS = "--detach-keys=ctrl-^,ctrl-_,ctrl-^,ctrl-_"
#: Podman and Docker, before the first start.
_NOT_STARTED = ("created", "configured", "initialized")


def run_attached(engine: Engine, spec: Spec, mark: Path, tail: bytearray) -> int:
    """Run ``spec`` with our streams and return its exit code; the container is going afterwards.

    ``mark`` is a file that is removed if this process is killed; after a failure, the end of what the container wrote
    goes into ``tail``. Raises EngineError, and BrokenPipeError when nobody reads our output.
    """
    with reaper.watching(engine, spec.name, 0 if spec.tty else None, mark) as tell:
        try:
            return _Session(engine, spec, tail).run()
        finally:
            # By the watcher: nobody waits for that.
            tell(reaper.REMOVE)


@dataclass
class _Session:
    engine: Engine
    spec: Spec
    tail: bytearray

    def run(self) -> int:
        self.receiver = PassOn(self._kill, is_terminal=self.spec.tty)
        with passed_on(self.receiver):
            code = containers.start(self.engine, self.spec, self._launch)
        if code != 0 and self.spec.log.get("Type") != "none":
            self.tail += self._log()
        return code

    def _launch(self, _container_id: str) -> int:
        clients, self.environment = build_client.clients(self.engine)
        flags = ["--attach", _DETACH_KEYS, *(["--interactive"] if self.spec.stdin else [])]
        for client in clients:
            self.client = client
            # What Docker's does not do by itself: signals are passed on by us, once.
            quiet = ["--sig-proxy=false"] if client[0] == "podman" else []
            code = self._run_client([*client, "start", *quiet, *flags, self.spec.name])
            if code == 0 and self.engine.kind != "podman":
                return 0
            state = self._state()
            if state["Status"] not in _NOT_STARTED:
                return self._exit_code(code, state)
            if state.get("Error"):
                raise RefusedError(500, state["Error"], is_told=True)
        raise EngineError(
            f"{clients[0][0]} does not start the container",
            "its own words are above",
            "mend what they name; else update it, or the engine",
        )

    def _log(self) -> bytes:
        """The end of what the container wrote, as far as the engine kept it; empty if it does not say."""
        argv = [*self.client, "logs", "--tail", _LOG_LINES, self.spec.name]
        pipe, nothing, errors = subprocess.PIPE, subprocess.DEVNULL, subprocess.STDOUT
        with suppress(OSError, subprocess.TimeoutExpired):
            done = signals.run(argv, _KILL_TIMEOUT_S, env=self.environment, stdin=nothing, stdout=pipe, stderr=errors)
            return bytes(done.stdout) if done.returncode == 0 else b""
        return b""

    def _run_client(self, argv: list[str]) -> int:
        with ExitStack() as stack:
            if self.spec.tty:
                stack.enter_context(terminal.kept(0))
            client = subprocess.Popen(
                argv,
                env=self.environment,
                stdin=None if self.spec.stdin else subprocess.DEVNULL,
                # A session of its own: signals for the group reach us alone, who pass them on once.
                start_new_session=True,
                preexec_fn=processes.ending_with_parent(signal.SIGKILL),  # noqa: PLW1509 - we have no threads
            )
            # An error here ends us, and that the client; the container is the watcher's.
            stack.enter_context(terminal.told_of(client))
            self.receiver.started()
            return signals.wait(client)

    def _exit_code(self, code: int, state: dict[str, Any]) -> int:
        """The engine's word; what the client said (``code``) may be its own failure."""
        ended = None if state["Running"] else int(state["ExitCode"])
        if ended is not None and code in (0, ended):
            return ended
        if code == -signal.SIGPIPE or any(is_unread(descriptor) for descriptor in (1, 2)):
            raise BrokenPipeError
        # Else some of the output would be lost, and nobody would know.
        full = full_output()
        if full:
            raise full
        if ended is None:
            # The client was cut off at the container's end, or before.
            with suppress(EngineError):
                waited = self.engine.call("POST", f"/containers/{self.spec.name}/wait", timeout_s=_END_PATIENCE_S)
                ended = int(waited["StatusCode"])
        # A quota, a broken disk. (Podman's client fails also if nobody reads the input.)
        if ended == 0 and self.engine.kind != "podman":
            raise EngineError(
                "the command ended well, but some of its output is lost",
                f"the engine's client ended with {code}: its own words are above",
                "mend what they name, or send the output elsewhere, then repeat",
            )
        if ended is not None:
            return ended
        raise self.engine.connection_lost("it answers again, but the client lost the container")

    def _state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = self.engine.call("GET", f"/containers/{self.spec.name}/json")["State"]
        except RefusedError as error:
            raise self.engine.connection_lost("it answers again, but lost the container") from error
        except EngineError as error:
            raise self.engine.connection_lost("") from error
        return state

    def _kill(self, name: str) -> None:
        """Pass a signal on, if need be once the container has been started."""
        deadline = time.monotonic() + _START_PATIENCE_S
        # No answer: the client sees that, too.
        with suppress(EngineError):
            while time.monotonic() < deadline:
                with suppress(RefusedError):
                    self._send(name)
                    return
                if self._state()["Status"] not in (*_NOT_STARTED, "running"):
                    return
                time.sleep(_PAUSE_S)

    def _send(self, name: str) -> None:
        place = f"/containers/{self.spec.name}"
        if self.engine.kind == "podman" and not self.spec.tty and name != "SIGKILL":
            # Its init program tells bash alone, which waits for its child first.
            command = ["bash", "-c", f"kill -s {name.removeprefix('SIG')} -1"]
            made = self.engine.call("POST", f"{place}/exec", {"Cmd": command}, timeout_s=_KILL_TIMEOUT_S)
            self.engine.call("POST", f"/exec/{made['Id']}/start", {"Detach": True}, timeout_s=_KILL_TIMEOUT_S)
        else:
            self.engine.call("POST", f"{place}/kill", query={"signal": name}, timeout_s=_KILL_TIMEOUT_S)


def is_unread(descriptor: int) -> bool:
    """Whether ``descriptor`` is a pipe that nobody reads any more."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))

"""One container with our streams attached to it, from its making to its exit code."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass

from gpuenv.core.errors import EngineError
from gpuenv.core.signals import PassOn, passed_on
from gpuenv.engine import container as containers
from gpuenv.engine import reaper
from gpuenv.engine.api import Api, PendingExit, RefusedError
from gpuenv.engine.container import Spec
from gpuenv.engine.model import Engine
from gpuenv.shell import terminal
from gpuenv.shell.attach import BrokenFrameError, Pump, write_all
from gpuenv.shell.tails import Tail

#: A signal is on its way to somebody who waits; a dead engine is noticed by the pump, not here.
_KILL_TIMEOUT_S = 10.0


def run_attached(engine: Engine, spec: Spec, names: bytes | None = None, tail: Tail | None = None) -> int:
    """Run ``spec`` with our streams and return its exit code; the container is gone or going afterwards.

    ``names`` is a tar of files that are put into the container before it starts; the end of what it writes is kept
    in ``tail``. Raises EngineError, and
    BrokenPipeError when nobody reads our output.
    """
    api = Api(engine)
    with reaper.watching(engine, spec.name, 0 if spec.tty else None) as watch:
        try:
            code = _Session(api, spec, names, tail or Tail()).run()
        except BaseException:
            # Whatever this cannot remove (a making that is still under way, an engine that is gone) the watcher will.
            with suppress(EngineError, RefusedError):
                if api.remove(spec.name):
                    watch.done()
            raise
        watch.done()
        return code


@dataclass
class _Session:
    api: Api
    spec: Spec
    names: bytes | None
    tail: Tail

    def run(self) -> int:
        receiver = PassOn(self._kill, is_terminal=self.spec.tty)
        with ExitStack() as links, passed_on(receiver):

            def prepare(container_id: str) -> tuple[Pump, PendingExit | None]:
                return self._link(container_id, links)

            container_id, (pump, pending) = containers.start(self.api, self.spec, prepare)
            receiver.started()
            self._pump(container_id, pump)
            return self._exit_code(container_id, pending)

    def _link(self, container_id: str, links: ExitStack) -> tuple[Pump, PendingExit | None]:
        if self.names is not None:
            self.api.call("PUT", f"/containers/{container_id}/archive", self.names, {"path": "/"})
        stream = self.api.attach(container_id, stdin=self.spec.stdin)
        links.callback(stream.close)
        pending = None
        if self.spec.auto_remove:
            pending = self.api.begin_wait(container_id)
            links.callback(pending.close)
        pump = Pump(
            stream,
            is_terminal=self.spec.tty,
            stdin=0 if self.spec.stdin else None,
            exit_stream=pending.stream if pending else None,
            write=self.tail.passing(write_all),
        )
        return pump, pending

    def _pump(self, container_id: str, pump: Pump) -> None:
        def resize(rows: int, columns: int) -> None:
            # A container that has just ended has no size.
            with suppress(RefusedError, EngineError):
                self.api.call("POST", f"/containers/{container_id}/resize", query={"h": rows, "w": columns})

        with ExitStack() as stack:
            if self.spec.tty:
                stack.enter_context(terminal.raw(0))
                stack.enter_context(terminal.sized(0, resize))
            try:
                pump.run()
            except BrokenPipeError:
                raise
            except OSError as error:
                raise self.api.gone(error) from error
            except BrokenFrameError as error:
                raise EngineError(
                    f"{self.api.engine.url} sends output that is not understood",
                    f"a frame of kind {error}",
                    "update the engine",
                ) from error

    def _exit_code(self, container_id: str, pending: PendingExit | None) -> int:
        if pending is None:
            code = int(self.api.call("POST", f"/containers/{container_id}/wait")["StatusCode"])
            self.api.remove(container_id)
            return code
        known = pending.code()
        if known is None:
            raise self.api.gone("" if not self.api.is_alive() else "it answers again, but lost the container")
        return known

    def _kill(self, name: str) -> None:
        # Refused: it has just ended. No answer: the pump sees that, too, and says so.
        with suppress(RefusedError, EngineError):
            self.api.call(
                "POST", f"/containers/{self.spec.name}/kill", query={"signal": name}, timeout_s=_KILL_TIMEOUT_S
            )

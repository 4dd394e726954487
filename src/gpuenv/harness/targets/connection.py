"""A connection to a target: commands and reference programs that run in it, and what they said."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shlex
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuenv.core.errors import CheckError, GpuenvError
from gpuenv.harness.targets.model import Target
from gpuenv.prefix import activate
from gpuenv.variants.kinds import TITLES

if TYPE_CHECKING:
    from testinfra.host import Host

#: Where the reference programs are inside a container (mounted read-only).
REFERENCE_IN_IMAGE = "/gpuenv-reference"
#: So much of a stream is shown in a report.
SHOWN_LINES, SHOWN_WIDTH = 40, 400


def last_line(text: str) -> str:
    """The last line of ``text``, which in a message says most; "" if there is none."""
    return (text.strip().splitlines() or [""])[-1].strip()[:300]


@dataclass(frozen=True)
class Output:
    """A command that ran in a target, its exit code and both its streams."""

    command: str
    code: int
    stdout: str
    stderr: str

    def render(self) -> str:
        """The command and the end of both streams, for a report."""
        parts = [f"$ {self.command}", f"exit code {self.code}"]
        for name, text in (("standard output", self.stdout), ("standard error", self.stderr)):
            lines = text.splitlines()
            is_cut = len(lines) > SHOWN_LINES
            parts.append(f"--- {name}" + (f" (last {SHOWN_LINES} of {len(lines)} lines)" if is_cut else ""))
            parts += [
                line if len(line) <= SHOWN_WIDTH else f"{line[:SHOWN_WIDTH]}... ({len(line)} characters)"
                for line in lines[-SHOWN_LINES:]
            ]
        return "\n".join(parts)


@dataclass
class Connection:
    """A target that can be talked to. ``trail`` keeps what ran, so that a failing check can show it."""

    target: Target
    host: Host
    reference: str
    user: str = ""
    work_dir: Path | None = None
    trail: list[Output] = field(default_factory=list)
    #: Why the engine did not give the devices that were requested; the target then runs without them.
    refused: GpuenvError | None = None
    #: How many cores the programs may use (None: all that they find).
    cores: int | None = None
    _begun: dict[str, Future[Output]] = field(default_factory=dict)

    def run(self, command: str, *, sees_gpus: bool = False) -> Output:
        """Run a shell command in the target. Raises CheckError when the connection is lost.

        Devices of a simulated driver are hidden unless ``sees_gpus``: TensorFlow ends as with a broken GPU there.
        """
        # No bytecode beside read-only programs.
        values = {"PYTHONDONTWRITEBYTECODE": "1"}
        if self.target.has_simulated_driver and not sees_gpus:
            values["CUDA_VISIBLE_DEVICES"] = ""
        if self.cores is not None:
            values["GPUENV_CORES"] = str(self.cores)
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
        line = f"export {settings}; {command}"
        if self.target.kind in TITLES:
            line = f"{activate.shell_line(self.target.kind, self.target.prefix)}; {line}"
        try:
            # Over ssh the user's own shell reads the command, and csh knows no `export`.
            result = self.host.run(f"/bin/sh -c {shlex.quote(line)}" if self.target.kind == "host" else line)
        except Exception as error:  # a backend's own errors are of any kind
            # testinfra's error for ssh's own exit code 255 holds the whole result, with what ssh said.
            said = str(getattr(error.args[0] if error.args else None, "stderr", error))
            next_step = f"try {self.target.address or 'the engine'} by hand"
            why = last_line(said) or type(error).__name__
            raise CheckError(f"{self.target.title} cannot be reached", why, next_step) from error
        # Not testinfra's own decoding: it asks the host for its encoding, and fails on what does not fit.
        stdout, stderr = (stream.decode("utf-8", "replace") for stream in (result.stdout_bytes, result.stderr_bytes))
        output = Output(command, result.rc, stdout, stderr)
        self.trail.append(output)
        return output

    def program(self, name: str, *args: str, sees_gpus: bool = False) -> ProgramResult:
        """Run one reference program with the target's Python. Raises CheckError if it gives no result."""
        begun = None if args or sees_gpus else self._begun.pop(name, None)
        if begun is None:
            output = self.run(self._command(name, *args), sees_gpus=sees_gpus)
        else:
            output = begun.result()
            self.trail.append(output)
        return ProgramResult(output, parse_result(output))

    def begin(self, name: str) -> None:
        """Start a program whose result :meth:`program` gives later, beside what runs meanwhile.

        Only where the target has a core for it: alone on two cores, the whole harness takes 20 s instead of 24 s.
        """
        if (self.cores or 1) > 1:
            aside = dataclasses.replace(self, trail=[], _begun={})
            with_one_thread = ThreadPoolExecutor(1)
            self._begun[name] = with_one_thread.submit(aside.run, self._command(name))
            with_one_thread.shutdown(wait=False)

    def _command(self, name: str, *args: str) -> str:
        return shlex.join([self.target.python, f"{self.reference}/{name}.py", *args])


@dataclass(frozen=True)
class ProgramResult:
    """What a reference program found (``data``), and the output that it came from."""

    output: Output
    data: Any

    def __getitem__(self, key: str) -> Any:
        """One part of the data."""
        return self.data[key]


def parse_result(output: Output) -> Any:
    """The JSON on the last line of standard output. Raises CheckError when there is none."""
    if output.code == 0:
        with contextlib.suppress(json.JSONDecodeError):
            return json.loads(output.stdout.strip().rpartition("\n")[2])
    raise CheckError(
        f"`{output.command}` ended with exit code {output.code} and no result",
        last_line(output.stderr) or "it printed nothing on standard error",
        "read its output below; the same program runs with `make gpu-shell` in the same target",
    )

"""A target: something in which the checks of ``tests/env`` run commands, whatever it is made of.

The plan of one run is a JSON file: the command writes it, pytest (in other processes) reads it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gpuenv.core.errors import CheckError, GpuenvError
from gpuenv.prefix import activate
from gpuenv.variants.kinds import TITLES

if TYPE_CHECKING:
    from testinfra.host import Host

#: Where the reference programs are inside a container (mounted read-only).
REFERENCE_IN_IMAGE = "/gpuenv-reference"
#: What every command gets: no bytecode beside read-only programs, and C++ messages kept to warnings.
ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(frozen=True)
class Target:
    """One environment under test, or one that could not be made and why (``missing``).

    ``identity`` goes into the ids of the checks; ``title`` is for people. ``image`` is the image's
    id, ``prefix`` the folder of a virtual or conda environment. ``cuda`` is genuine, simulated or none.
    A target of kind ``host`` is another machine's environment: ``host`` is its address for testinfra,
    ``driver`` the version of its NVIDIA driver.
    """

    identity: str
    kind: str
    variant: str
    flavor: str
    cuda: str = "none"
    image: str = ""
    prefix: str = ""
    missing: str | None = None
    #: It was asked for by name, so that a missing one is a failure and not a "not tested".
    is_required: bool = False
    host: str = ""
    driver: str | None = None
    #: The driver knows devices and computes nothing: programs that would compute on them must not see them.
    has_simulated_driver: bool = False

    @property
    def title(self) -> str:
        """The name for people; what is simulated is called so."""
        return f"{self.name} (simulated {', simulated '.join(self.simulated)})" if self.simulated else self.name

    @property
    def name(self) -> str:
        """The title without what is simulated."""
        base = f"{self.variant}-{self.flavor}" + (f" ({TITLES[self.kind]})" if self.kind in TITLES else "")
        if self.kind == "host":
            return f"{base} on {self.address}" + (f" in {self.prefix}" if self.prefix else "")
        return base

    @property
    def simulated(self) -> tuple[str, ...]:
        """Its simulated parts: ``("CUDA", "driver")``."""
        parts = (("CUDA", self.cuda == "simulated"), ("driver", self.has_simulated_driver))
        return tuple(part for part, is_so in parts if is_so)

    @property
    def address(self) -> str:
        """``host`` as people and reports may see it."""
        return label_of(self.host) if self.host else ""

    @property
    def python(self) -> str:
        """The command that starts the target's own Python."""
        return f"{self.prefix}/bin/python" if self.prefix else "python"


def label_of(address: str) -> str:
    """A host's address without password and settings: ``"ssh://me@lab1:22"``."""
    parts = urlsplit(address)
    user, separator, place = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{user.partition(':')[0]}{separator}{place}{parts.path}"


def last_line(text: str) -> str:
    """The last line of ``text``, which in a message says most; "" if there is none."""
    return (text.strip().splitlines() or [""])[-1].strip()[:300]


@dataclass(frozen=True)
class Plan:
    """What one run of the harness tests, and on what host.

    ``engine`` holds the fields of :class:`gpuenv.engine.model.Engine`; ``host_driver`` is the version of the
    host's NVIDIA driver; ``require_gpu`` is None where each target decides (see the GPU policy). ``left_out`` says
    what nobody asked for. ``at_a_time`` targets are tested at a time, ``jobs`` of them on this machine's cores.
    """

    run: str
    targets: tuple[Target, ...]
    engine: dict[str, Any] | None = None
    host_driver: str | None = None
    require_gpu: bool | None = None
    left_out: str = ""
    at_a_time: int = 1
    jobs: int = 1

    @property
    def cores(self) -> int:
        """How many of this machine's cores a target on it may use: its share when several are tested at a time."""
        return max(1, (os.cpu_count() or 1) // self.jobs)

    @property
    def testable(self) -> tuple[Target, ...]:
        """The targets that exist."""
        return tuple(target for target in self.targets if target.missing is None)

    def driver_of(self, target: Target) -> str | None:
        """The version of the NVIDIA driver of the machine that ``target`` runs on."""
        return target.driver if target.kind == "host" else self.host_driver


def save_plan(plan: Plan, path: Path) -> None:
    """Write the plan as JSON."""
    path.write_text(json.dumps(dataclasses.asdict(plan), indent=2, default=str), encoding="utf-8")


def load_plan(path: Path) -> Plan:
    """Read what :func:`save_plan` wrote."""
    data = json.loads(path.read_text(encoding="utf-8"))
    data["targets"] = tuple(Target(**target) for target in data["targets"])
    return Plan(**data)


@dataclass(frozen=True)
class Output:
    """A command that ran in a target, its exit code and both its streams."""

    command: str
    code: int
    stdout: str
    stderr: str

    def render(self, max_lines: int = 40, max_width: int = 400) -> str:
        """The command and the end of both streams, for a report."""
        parts = [f"$ {self.command}", f"exit code {self.code}"]
        for name, text in (("standard output", self.stdout), ("standard error", self.stderr)):
            lines = [_shortened(line, max_width) for line in text.splitlines()]
            left_out = max(0, len(lines) - max_lines)
            parts.append(f"--- {name}" + (f" (last {max_lines} of {len(lines)} lines)" if left_out else ""))
            parts += lines[left_out:]
        return "\n".join(parts)


def _shortened(line: str, max_width: int) -> str:
    return line if len(line) <= max_width else f"{line[:max_width]}... ({len(line)} characters)"


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
        values = dict(ENVIRONMENT)
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
            raise unreachable(self.target, error) from error
        # Not testinfra's own decoding: it asks the host for its encoding, and fails on what does not fit.
        stdout, stderr = (stream.decode("utf-8", "replace") for stream in (result.stdout_bytes, result.stderr_bytes))
        output = Output(command, result.rc, stdout, stderr)
        self.trail.append(output)
        return output

    def program(self, name: str, *args: str, sees_gpus: bool = False) -> Result:
        """Run one reference program with the target's Python. Raises CheckError if it gives no result."""
        begun = None if args or sees_gpus else self._begun.pop(name, None)
        if begun is None:
            output = self.run(self._command(name, *args), sees_gpus=sees_gpus)
        else:
            output = begun.result()
            self.trail.append(output)
        return Result(output, parse_result(output))

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


def unreachable(target: Target, error: Exception) -> CheckError:
    """An error of a connection that cannot be made or is lost, as one of ours."""
    # testinfra's error for ssh's own exit code 255 holds the whole result, with what ssh said.
    said = getattr(error.args[0] if error.args else None, "stderr", None)
    cause = last_line(str(error) if said is None else str(said)) or type(error).__name__
    return CheckError(f"{target.title} cannot be reached", cause, f"try {target.address or 'the engine'} by hand")


@dataclass(frozen=True)
class Result:
    """What a reference program found (``data``), and the output that it came from."""

    output: Output
    data: Any

    def __getitem__(self, key: str) -> Any:
        """One part of the data."""
        return self.data[key]


def parse_result(output: Output) -> Any:
    """The JSON on the last line of standard output. Raises CheckError when there is none."""
    lines = output.stdout.strip().splitlines()
    try:
        if output.code == 0 and lines:
            return json.loads(lines[-1])
    except json.JSONDecodeError:
        pass
    last = (output.stderr.strip().splitlines() or ["it printed nothing on standard error"])[-1]
    raise CheckError(
        f"`{output.command}` ended with exit code {output.code} and no result",
        last[:300],
        "read its output below; the same program runs with `make gpu-shell` in the same target",
    )

"""A target: something in which the checks of ``tests/env`` run commands, whatever it is made of.

The plan of one run is a JSON file: the command writes it, pytest (in other processes) reads it, and writes others.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Optional
from urllib.parse import urlsplit

import msgspec

from gpuenv.engine.model import Engine
from gpuenv.variants.kinds import TITLES


@dataclass(frozen=True)
class Target:
    """One environment under test, or one that could not be made and why (``missing``).

    ``identity`` goes into the ids of the checks; ``title`` is for people. ``image`` is the image's
    id, ``prefix`` the folder of a virtual or conda environment. ``cuda`` is complete, index or none.
    A target of kind ``host`` is another machine's environment: ``host`` is its address for testinfra.
    ``driver`` is the version of the NVIDIA driver of the machine that it is on.
    """

    identity: str
    kind: str
    variant: str
    flavor: str
    cuda: str = "none"
    image: str = ""
    prefix: str = ""
    missing: Optional[str] = None
    #: It was asked for by name, so that a missing one is a failure and not a "not tested".
    is_required: bool = False
    host: str = ""
    driver: Optional[str] = None
    #: The driver knows devices and computes nothing: programs that would compute on them must not see them.
    has_simulated_driver: bool = False
    #: The requirements file whose packages the user added; what they are is not the lock's.
    added: str = ""

    def lacking(self, reason: str, *, is_required: bool = True) -> Target:
        """The same target as one that could not be made."""
        return dataclasses.replace(self, missing=reason, is_required=is_required)

    @property
    def title(self) -> str:
        """The name for people; what is not genuine is called so."""
        return f"{self.name} ({', '.join(self.notes)})" if self.notes else self.name

    @property
    def name(self) -> str:
        """The title without the notes."""
        base = f"{self.variant}-{self.flavor}" + (f" ({TITLES[self.kind]})" if self.kind in TITLES else "")
        base += f" with {self.added}" if self.added else ""
        if self.kind == "host":
            return f"{base} on {self.address}" + (f" in {self.prefix}" if self.prefix else "")
        return base

    @property
    def notes(self) -> tuple[str, ...]:
        """What of it is not genuine."""
        parts = (
            ("cuFFT, cuSOLVER: stand-ins", self.cuda == "index"),
            ("simulated driver", self.has_simulated_driver),
        )
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


@dataclass(frozen=True)
class Plan:
    """What one run of the harness tests, and on what host.

    ``engine`` runs the images, if there are any; ``host_driver`` is the version of this machine's NVIDIA driver;
    ``require_gpu`` is None where each target decides (see the GPU policy). ``left_out`` says what nobody asked for.
    ``at_a_time`` targets are tested at a time, ``jobs`` of them on this machine's cores. ``upstream``: Keras' own
    tests, too.
    """

    run: str
    targets: tuple[Target, ...]
    engine: Optional[Engine] = None
    host_driver: Optional[str] = None
    require_gpu: Optional[bool] = None
    left_out: str = ""
    at_a_time: int = 1
    jobs: int = 1
    upstream: bool = False

    @property
    def cores(self) -> int:
        """How many of this machine's cores a target on it may use: its share when several are tested at a time."""
        return max(1, (os.cpu_count() or 1) // self.jobs)

    @property
    def testable(self) -> tuple[Target, ...]:
        """The targets that exist."""
        return tuple(target for target in self.targets if target.missing is None)


def save_plan(plan: Plan, path: Path) -> None:
    """Write the plan as JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(plan, enc_hook=str), indent=2))


def load_plan(path: Path) -> Plan:
    """Read what :func:`save_plan` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Plan, dec_hook=lambda kind, text: kind(text))

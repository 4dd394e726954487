"""The table of simulated hosts (hosts.toml): what group gpu has to say on each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gpuenv.core.schema import read_toml

VARIANTS = ("cuda9.0", "cuda10.0")
#: What a driver can be asked without computing anything on it, and what cannot be known without computing.
ANSWERED = ("promised", "driver", "driver-floor", "devices", "nvidia-smi", "capability", "none-requested")
COMPUTED = ("listed", "agrees-with-numpy", "ran-there", "memory-grows")


@dataclass(frozen=True)
class HostFault:
    """One host as one variant meets it; what the fields mean stands at the top of hosts.toml."""

    scenario: str
    variant: str
    fails: tuple[str, ...]
    says: str = ""
    next: str = ""
    silent: bool = False

    @property
    def target(self) -> str:
        """The identity of the target that is checked."""
        return f"{self.variant}-gpu-index"


@cache
def load_host_faults() -> tuple[HostFault, ...]:
    """Every host for every variant. A field that is not known is a TypeError."""
    table = read_toml(Path(__file__).with_name("hosts.toml"))["host"]
    return tuple(_parse(name, row, variant) for name, row in table.items() for variant in VARIANTS)


def _parse(name: str, row: Mapping[str, Any], variant: str) -> HostFault:
    chosen = {key: value[variant] if isinstance(value, dict) else value for key, value in row.items()}
    return HostFault(name, variant, **{**chosen, "fails": tuple(chosen["fails"])})


def render_rows() -> list[str]:
    """The rows of README.md: scenario, and what fails for each variant."""
    by_name: dict[str, list[HostFault]] = {}
    for fault in load_host_faults():
        by_name.setdefault(fault.scenario, []).append(fault)
    return [f"| `{name}` | {' | '.join(map(_render_fails, faults))} |" for name, faults in by_name.items()]


def _render_fails(fault: HostFault) -> str:
    return ", ".join(f"`{check}`" for check in fault.fails) or "nothing: all that it can be asked passes"

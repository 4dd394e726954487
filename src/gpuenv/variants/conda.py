"""Reads the optional table `[conda]` of a variant.toml: what conda is asked for, and from which channels."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gpuenv.core.schema import SONAME, Table

_CHANNEL = re.compile(r"[\w./-]+")
_SPEC = re.compile(r"(?:(?P<channel>[\w./-]+)::)?(?P<rest>[a-z0-9_.-]+={1,2}[\w.]+(?:=[\w.]+)?)")
_EXPECTED = 'specifications such as "cudatoolkit=10.0.130", or "defaults::cudnn=7.6.5=cuda9.0_0"'


@dataclass(frozen=True)
class Conda:
    """The conda side of a variant. ``gpu`` holds specifications, each with its channel where only one has it;
    ``not_shipped`` are SONAMEs of the CUDA lock that none of these packages carries on both systems.
    """

    channels: tuple[str, ...]
    gpu_channels: tuple[str, ...]
    gpu: tuple[str, ...]
    not_shipped: tuple[str, ...] = ()


def read_conda(table: Table) -> Conda:
    """Read the table `[conda]`. Raises DataError naming file, key and expectation."""
    return Conda(
        channels=table.texts("channels", _CHANNEL, "names of channels"),
        gpu_channels=table.optional_texts("gpu_channels", _CHANNEL, "names of channels"),
        gpu=table.texts("gpu", _SPEC, _EXPECTED),
        not_shipped=table.optional_texts("not_shipped", SONAME, 'SONAMEs such as "libcupti.so.10.0"'),
    )

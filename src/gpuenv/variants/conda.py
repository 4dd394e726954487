"""Reads the optional table `[conda]` of a variant.toml: what conda is asked for, and from which channels."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gpuenv.core.schema import Data, Soname

Channel = Annotated[str, Meta(pattern=r"^[\w./-]+\Z", description="names of channels")]
Spec = Annotated[
    str,
    Meta(
        pattern=r"^([\w./-]+::)?[a-z0-9_.-]+={1,2}[\w.]+(=[\w.]+)?\Z",
        description='specifications such as "cudatoolkit=10.0.130", or "defaults::cudnn=7.6.5=cuda9.0_0"',
    ),
]


class Conda(Data, frozen=True):
    """The conda side of a variant. ``gpu`` holds specifications, each with its channel where only one has it;
    ``not_shipped`` are SONAMEs of the CUDA lock that none of these packages carries on both systems.
    """

    channels: Annotated[tuple[Channel, ...], Meta(min_length=1)]
    gpu: Annotated[tuple[Spec, ...], Meta(min_length=1)]
    gpu_channels: tuple[Channel, ...] = ()
    not_shipped: tuple[Soname, ...] = ()

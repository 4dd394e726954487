"""Specifies what a variant takes from conda (`[conda]` in variant.toml), and writes its environment.yml.

conda brings Python, pip and the CUDA libraries. Every package comes by pip from the same hashed lock as the image's,
because conda has neither the versions nor the hashes.
"""

from __future__ import annotations

from pathlib import Path

from gpuenv.core.errors import UsageError
from gpuenv.variants.cuda_lock import load_cuda_lock
from gpuenv.variants.environment import Environment
from gpuenv.variants.kinds import FLAVORS
from gpuenv.variants.locks import TOOLS, drifted, read_checked, sha256_hex, with_header
from gpuenv.variants.model import CondaTable, Variant

#: The systems that the file serves, as conda calls them.
SUBDIRS = ("linux-64", "win-64")


def of(variant: Variant) -> CondaTable:
    """The conda side of ``variant``. Raises UsageError for a variant without one."""
    if variant.conda is None:
        raise UsageError(
            f"{variant.name} has no conda environment",
            f"{variant.folder / 'variant.toml'} has no table [conda]",
            "use `make venv-env`, or an image: `make gpu-shell`",
        )
    return variant.conda


def channels(environment: Environment) -> tuple[str, ...]:
    """Its channels, the one that wins first."""
    conda = of(environment.variant)
    return (*conda.channels, *(conda.gpu_channels if environment.flavor == "gpu" else ()))


def specifications(environment: Environment) -> tuple[str, ...]:
    """What conda is asked for; a package that only one channel has names that (``channel::name=version``)."""
    conda = of(environment.variant)
    return (f"python={environment.variant.python}", *TOOLS, *(conda.gpu if environment.flavor == "gpu" else ()))


def without_channel(specification: str) -> str:
    """``"cudnn=7.6.5"`` for ``"defaults::cudnn=7.6.5"``: not every program knows the longer form for `defaults`."""
    return specification.rpartition("::")[2]


def cuda_names(variant: Variant) -> list[str]:
    """The SONAMEs of the CUDA libraries that the conda packages carry."""
    left_out = of(variant).not_shipped
    return [name for name in load_cuda_lock(variant.cuda_lock_path).sonames if name not in left_out]


def path(environment: Environment) -> Path:
    """Where its file stands, beside the requirements that this names."""
    name = "environment.yml" if environment.flavor == "gpu" else f"environment-{environment.flavor}.yml"
    return environment.variant.folder / name


def environments(variant: Variant) -> tuple[Environment, ...]:
    """Those that have a file: both flavors; none for a variant without a conda side."""
    return tuple(Environment(variant, flavor) for flavor in FLAVORS) if variant.conda else ()


def inputs_digest(environment: Environment, lock_text: str) -> str:
    """The sha256 (hex) of what the file is made from: its specifications, and the text of the pip lock."""
    return sha256_hex("\n".join([*channels(environment), *specifications(environment), sha256_hex(lock_text)]))


def render(environment: Environment, lock_text: str) -> str:
    """The text of the file; ``lock_text`` is that of the requirements that it installs."""
    variant, flavor, file = environment.variant, environment.flavor, path(environment)
    lines = [f"# conda env create -f {file.parent.parent.name}/{file.parent.name}/{file.name}"]
    lines += ["# The same with mamba or micromamba instead of conda; on Linux (linux-64) and Windows (win-64).", "#"]
    lines += _remarks(environment)
    # The gpu flavor, which people mean, has the plain name.
    lines += [f"name: gpuenv-{variant.name}{'' if flavor == 'gpu' else f'-{flavor}'}", "channels:"]
    named = channels(environment)
    # Else conda adds its own default channels to those that stand here.
    lines += [f"  - {channel}" for channel in (*named, *(() if "defaults" in named else ("nodefaults",)))]
    lines += ["dependencies:"]
    lines += [f"  - {without_channel(each)}" for each in specifications(environment)]
    # Relative to this file, as conda, mamba and micromamba read it.
    lines += ["  - pip:", "      - --require-hashes", f"      - -r {variant.lock_path(flavor).name}"]
    body = "".join(f"{line}\n" for line in lines)
    return with_header(variant.name, body, inputs_digest(environment, lock_text))


def _remarks(environment: Environment) -> list[str]:
    """What a person has to know before typing that command."""
    lines = ["# Everything but Python and CUDA comes by pip from the hashed lock that the images are made from."]
    if environment.flavor == "gpu":
        version = environment.variant.cuda.version
        lines.append(f"# Without an NVIDIA driver on this machine, set CONDA_OVERRIDE_CUDA={version} first.")
    if len(channels(environment)) > 1:
        last = channels(environment)[-1]
        lines.append(f"# Only `{last}` has this CUDA. With `channel_priority: strict` in a condarc nothing fits:")
        lines.append("# set CONDA_CHANNEL_PRIORITY=flexible (micromamba: --channel-priority flexible).")
    return lines


def check(variant: Variant) -> None:
    """Raise DataError unless both files are there, unedited and made from the present inputs."""
    for environment in environments(variant):
        file, lock = path(environment), variant.lock_path(environment.flavor)
        made_from, _, _ = read_checked(file)
        text = lock.read_text(encoding="utf-8")
        if made_from != inputs_digest(environment, text):
            why = f"[conda] of variant.toml, or {lock.name}, changed after it was made"
            raise drifted(file, why, variant.name)
        # The same inputs, and another text: this program has changed since.
        if file.read_text(encoding="utf-8") != render(environment, text):
            raise drifted(file, "`make lock` writes it differently now", variant.name)

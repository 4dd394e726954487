"""Python on this machine, where it serves as a fallback or gets in the way: interpreters, conda, packages."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from gpuenv.doctor.facts import Conda, Pythons, Wish
from gpuenv.doctor.findings import Finding, Findings, Mend, ok, warning

#: Channels by which an environment of ours can be made; others decide about versions in ways that nobody pinned.
KNOWN_CHANNELS = ("defaults", "conda-forge", "nodefaults", "main")


def python(pythons: Pythons, wish: Wish) -> Iterator[Finding]:
    """The interpreter of the fallbacks: a local base image, and the environment without an engine (P42)."""
    for minor, found in sorted(pythons.found.items()):
        pinned = next(one.python for one in wish.variants if one.python_minor == minor)
        if found is None:
            text = f"no complete CPython {minor}: needed only where there is no engine, or no registry"
            mend = f"pyenv install {pinned}  (or uv python install {minor}, or conda create -n py python={minor})"
            yield warning(text, mend)
        else:
            differs = "" if found.version == pinned else f" (pinned: {pinned})"
            yield ok(f"CPython {found.version}{differs} in {found.prefix}")


def conda(conda: Conda) -> Finding:
    """Whether there is a conda; nothing here needs it."""
    return ok(conda.program or "not found, and not needed")


def conda_settings(conda: Conda) -> Findings:
    """Settings that can be read: conda stops at one that cannot."""
    return [
        warning(
            f"conda stops at {config.path}: {config.problem}",
            f"{shlex.join(['mv', config.path, f'{config.path}.broken'])}  (or correct it)",
        )
        for config in conda.configs
        if config.problem is not None
    ] or ok(f"{len(conda.configs)} read" if conda.configs else "none")


def conda_channels(conda: Conda) -> Finding:
    """Channels that are mixed in give other versions than those pinned (P49, P50)."""
    channels = list(dict.fromkeys(channel for config in conda.configs for channel in config.channels))
    foreign = [channel for channel in channels if channel.rpartition("/")[2] not in KNOWN_CHANNELS]
    if foreign:
        text = f"condarc adds {', '.join(foreign)}: environments get other builds (make conda-env does not ask there)"
        return warning(text, shlex.join(["conda", "config", "--remove", "channels", foreign[0]]))
    return ok(", ".join(channels) or "none set")


def conda_ssl(conda: Conda) -> Findings:
    """Verification that is switched off is the usual answer to a campus proxy, and the wrong one (P51).

    The right one is the bundle that has the campus' own certificate in it.
    """
    return [
        warning(
            f"ssl_verify is switched off in {config.path}: anybody on the way can change what is installed",
            Mend("verify-by-condarc" if config.is_file else "verify-by-variable", name=shlex.quote(config.path)),
        )
        for config in conda.configs
        if config.is_unverified
    ] or ok("verification is not switched off")


def tensorflow(conda: Conda) -> Finding:
    """Two distributions that write the same files: the one installed last wins, often without GPU (P46)."""
    names = sorted(conda.packages)
    if {"tensorflow", "tensorflow-gpu"} <= set(names):
        text = ", ".join(f"{name} {conda.packages[name]}" for name in names)
        pip = f"{conda.active}/bin/python -m pip"
        wanted = f"tensorflow-gpu=={conda.packages['tensorflow-gpu']}"
        mend = f"{pip} uninstall -y tensorflow tensorflow-gpu && {pip} install {wanted}  (or use make gpu-shell)"
        return warning(f"{conda.active} mixes {text}: GPUs may be ignored without a word", mend)
    if names:
        return ok(f"{conda.active} has {names[0]} {conda.packages[names[0]]}; gpuenv uses its own")
    return ok("none in an active environment")

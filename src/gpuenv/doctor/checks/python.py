"""Python on this machine, where it serves as a fallback or gets in the way: interpreters, conda, packages. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from gpuenv.doctor.facts import Conda, CondaConfig, Machine, Pythons, Wish
from gpuenv.doctor.findings import Finding, ok, warning
from gpuenv.doctor.remedies import find_remedy

#: What YAML and conda read as "no".
_FALSE = ("false", "no", "off", "0", "<false>")
#: Channels by which an environment of ours can be made; others decide about versions in ways that nobody pinned.
KNOWN_CHANNELS = ("defaults", "conda-forge", "nodefaults", "main")


def check_python(pythons: Pythons, wish: Wish) -> list[Finding]:
    """The interpreter of the fallbacks: a local base image, and the environment without an engine (P42)."""
    return [finding for minor in sorted(pythons.found) for finding in _judge_python(minor, pythons, wish)]


def _judge_python(minor: str, pythons: Pythons, wish: Wish) -> list[Finding]:
    found = pythons.found[minor]
    variant = next(one for one in wish.variants if one.python_minor == minor)
    if found is None:
        return warning(
            "python",
            f"no complete CPython {minor}: needed only where there is no engine, or no registry",
            f"pyenv install {variant.python}  (or uv python install {minor}, or conda create -n py python={minor})",
        )
    differs = "" if found.version == variant.python else f" (pinned: {variant.python})"
    return ok("python", f"CPython {found.version}{differs} in {found.prefix}")


def check_conda(conda: Conda) -> list[Finding]:
    """Whether there is a conda; nothing here needs it."""
    return ok("conda", conda.program or "not found, and not needed")


def check_conda_settings(conda: Conda) -> list[Finding]:
    """Settings that can be read: conda stops at one that cannot."""
    return [
        finding
        for config in conda.configs
        if config.problem is not None
        for finding in warning(
            "conda-settings",
            f"conda stops at {config.path}: {config.problem}",
            f"mv {config.path} {config.path}.broken  (or correct it)",
        )
    ] or ok("conda-settings", f"{len(conda.configs)} read" if conda.configs else "none")


def check_channels(conda: Conda) -> list[Finding]:
    """Channels that are mixed in give other versions than those pinned (P49, P50)."""
    channels = list(dict.fromkeys(channel for config in conda.configs for channel in config.channels))
    foreign = [channel for channel in channels if channel.rpartition("/")[2] not in KNOWN_CHANNELS]
    if foreign:
        text = f"condarc adds {', '.join(foreign)}: environments get other builds (make conda-env does not ask there)"
        return warning("conda-channels", text, f"conda config --remove channels {foreign[0]}")
    return ok("conda-channels", ", ".join(channels) or "none set")


def check_verification(conda: Conda, machine: Machine) -> list[Finding]:
    """Verification that is switched off is the usual answer to a campus proxy, and the wrong one (P51)."""
    return list(_verification(conda.configs, machine.system)) or ok("conda-ssl", "verification is not switched off")


def _verification(configs: tuple[CondaConfig, ...], system: str) -> Iterator[Finding]:
    """The cure is the bundle that has the campus' own certificate in it."""
    bundle = find_remedy("bundle", system)
    # Elsewhere there is no bundle of the system's: one is named.
    first = "" if "path" in bundle else f"{find_remedy('trust-authority', system)} && "
    for config in configs:
        if (config.ssl_verify or "").lower() in _FALSE and config.ssl_verify:
            text = f"ssl_verify is switched off in {config.path}: anybody on the way can change what is installed"
            is_file = "/" in config.path or "\\" in config.path
            then = f"conda config --file {config.path} --set ssl_verify {bundle}"
            yield from warning("conda-ssl", text, first + (then if is_file else f"export {config.path}={bundle}"))


def check_mixed(conda: Conda) -> list[Finding]:
    """Two distributions that write the same files: the one installed last wins, often without GPU (P46)."""
    names = sorted(conda.packages)
    if {"tensorflow", "tensorflow-gpu"} <= set(names):
        text = ", ".join(f"{name} {conda.packages[name]}" for name in names)
        pip = f"{conda.active}/bin/python -m pip"
        wanted = f"tensorflow-gpu=={conda.packages['tensorflow-gpu']}"
        remedy = f"{pip} uninstall -y tensorflow tensorflow-gpu && {pip} install {wanted}  (or use make gpu-shell)"
        return warning("tensorflow", f"{conda.active} mixes {text}: GPUs may be ignored without a word", remedy)
    if names:
        return ok("tensorflow", f"{conda.active} has {names[0]} {conda.packages[names[0]]}; gpuenv uses its own")
    return ok("tensorflow", "none in an active environment")

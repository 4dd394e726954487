"""Finds the source of conda packages: the variant's channels, a mirror (`CHANNELS=`), or a folder (`SOURCES_DIR=`)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpuenv.conda import spec as conda_spec
from gpuenv.conda.spec import SUBDIRS
from gpuenv.core.errors import HostError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.net import certificates
from gpuenv.net.pip_settings import load_pip_settings
from gpuenv.variants.environment import Environment

_PACKAGES = (".conda", ".tar.bz2")


@dataclass(frozen=True)
class CondaRequest:
    """What conda is asked for. ``specifications`` name their channel only where that is one of ``channels``."""

    channels: tuple[str, ...]
    specifications: tuple[str, ...]


def request(environment: Environment, settings: Settings, scratch: Path) -> CondaRequest:
    """What to ask for and where; ``scratch`` is a folder that stays until the packages are installed."""
    wanted = conda_spec.specifications(environment)
    local = local_channel(settings.sources_dir, scratch)
    named = parse_channels(settings.channels)
    if local is not None or named:
        # A mirror has another name: who names one says with it that everything is there.
        return CondaRequest((local,) if local else named, tuple(map(conda_spec.without_channel, wanted)))
    return CondaRequest(conda_spec.channels(environment), wanted)


def parse_channels(text: str | None) -> tuple[str, ...]:
    """The channels of ``CHANNELS=``: names, addresses or folders, the one that wins first. Raises UsageError."""
    text = (text or "").strip()
    # One folder may have a blank, or a comma, in its name.
    is_folder = "/" in text and Path(text).expanduser().is_dir()
    channels = [text] if is_folder else text.replace(",", " ").split()
    for place, channel in enumerate(channels):
        if channel.startswith("-"):
            raise UsageError(f"CHANNELS={channel} is no channel", "options begin with a dash", "name a channel")
        if channel.startswith(("/", "~", ".")):
            folder = Path(channel).expanduser()
            if not folder.is_dir():
                why, remedy = "it is missing or a file", "name a folder, a channel or a mirror"
                raise UsageError(f"CHANNELS={channel} is not a folder", why, remedy)
            channels[place] = folder.resolve().as_uri()
    return tuple(channels)


def local_channel(folder: Path | None, scratch: Path) -> str | None:
    """The address of the channel in a folder: one that is laid out as such, or packages that lie there loose.

    None where the folder has no conda packages at all: then it is meant for CUDA's archives.
    """
    if folder is None or not folder.is_dir():
        return None
    if any((folder / subdir / "repodata.json").is_file() for subdir in SUBDIRS):
        return folder.resolve().as_uri()
    packages = [path for path in sorted(folder.iterdir()) if path.name.endswith(_PACKAGES)]
    if not packages:
        return None
    # A copy, for the user's folder stays as it is; it costs nothing where both are on one file system.
    made = scratch / "channel"
    (made / SUBDIRS[0]).mkdir(parents=True)
    for path in packages:
        try:
            os.link(path, made / SUBDIRS[0] / path.name)
        except OSError:  # noqa: PERF203 - another file system
            shutil.copy(path, made / SUBDIRS[0])
    index(made)
    return made.as_uri()


def index(channel: Path) -> None:
    """Write the repodata.json of a channel's folder, from what its packages say of themselves."""
    try:
        import asyncio

        from rattler.index import index_fs
    except ImportError as error:
        raise HostError(
            f"{channel} cannot be indexed",
            "the package py-rattler is not installed (it needs Python 3.10 or newer for the command itself)",
            "give the folder of a channel with its repodata.json, made by `conda index`",
        ) from error
    (channel / "noarch").mkdir(parents=True, exist_ok=True)
    asyncio.run(index_fs(channel))


def network_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """What conda, mamba, micromamba and rattler read: the CA bundle and the proxy that this machine uses.

    Whatever a condarc says, certificates are verified: these variables win over it.
    """
    settings = load_pip_settings()
    bundle = certificates.find_bundle(environ, settings.cert)
    found = {"CONDA_SSL_VERIFY": str(bundle or "true"), "MAMBA_SSL_VERIFY": str(bundle or "<system>")}
    if bundle is not None:
        found.update(SSL_CERT_FILE=str(bundle), REQUESTS_CA_BUNDLE=str(bundle), CURL_CA_BUNDLE=str(bundle))
    if settings.proxy:
        # A variable that is set is more particular to conda than what pip was told.
        for name in ("http_proxy", "https_proxy"):
            if not environ.get(name) and not environ.get(name.upper()):
                found[name] = settings.proxy
    return found

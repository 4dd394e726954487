"""Finds the source of conda packages: the variant's channels, a mirror (`CHANNELS=`), or a folder (`SOURCES_DIR=`)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gpuenv.conda import spec as conda_spec
from gpuenv.conda import verified
from gpuenv.conda.condarc import Mirrors
from gpuenv.conda.lock import Package
from gpuenv.conda.spec import SUBDIRS
from gpuenv.core.errors import GpuenvError, SourceError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.net import certificates, redact
from gpuenv.net.pip_settings import load_pip_settings
from gpuenv.variants.environment import Environment

_PACKAGES = (".conda", ".tar.bz2")
#: Where channels are that are called by their names only.
_PUBLIC = "https://conda.anaconda.org"
#: How `defaults`, which is a list of addresses in conda's own settings, is called as one channel.
_DEFAULTS = {"defaults": "main"}


@dataclass(frozen=True)
class CondaRequest:
    """What conda is asked for. ``specifications`` name their channel only where that is one of ``channels``."""

    channels: tuple[str, ...]
    specifications: tuple[str, ...]


def request(environment: Environment, settings: Settings) -> CondaRequest:
    """What to ask for and where. Raises UsageError for a channel that may not be used."""
    wanted = conda_spec.specifications(environment)
    local = local_channel(settings.sources_dir)
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
    return tuple(map(_allowed, channels))


def _allowed(channel: str) -> str:
    """The channel, unless anybody on the way could change what it sends. Raises UsageError."""
    try:
        parts = urlsplit(channel)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError(f"the channel {redact.text(channel)} is no address", str(error), "correct it") from error
    if parts.scheme not in ("", "https", "http", "file"):
        what, why = (
            f"the channel {redact.text(channel)} is refused",
            f"{parts.scheme}: is no way to fetch packages here",
        )
        raise UsageError(what, why, "name it with https://, or a folder")
    # Between this machine and itself there is nobody.
    if parts.scheme == "http" and not _is_loopback(host):
        raise UsageError(
            f"the channel {redact.text(channel)} is refused",
            "http:// is neither encrypted nor signed: anybody on the way can send other packages",
            "name it with https://, or a folder",
        )
    return channel


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def local_channel(folder: Path | None) -> str | None:
    """The address of the channel in a folder: one that is laid out as such, or packages that lie there loose.

    None where the folder has no conda packages at all: then it is meant for CUDA's archives.
    """
    if folder is None or not folder.is_dir():
        return None
    places = [folder, *(folder / subdir for subdir in (*SUBDIRS, "noarch"))]
    has_some = any(path.name.endswith(_PACKAGES) for place in places if place.is_dir() for path in place.iterdir())
    return folder.resolve().as_uri() if has_some else None


def address(channel: str, mirrors: Mirrors | None = None) -> str:
    """Where a channel is: those that are called by their names only have one public server, or what ``mirrors`` say.

    Raises UsageError for a mirror that may not be used.
    """
    mirrors, name = mirrors or Mirrors(), public_name(channel)
    if "://" in channel:
        return _allowed(channel.rstrip("/"))
    if channel in _DEFAULTS and mirrors.defaults:
        named = [each for each in mirrors.defaults if _is_called(each, channel)]
        return address((named or mirrors.defaults)[0], replace(mirrors, defaults=()))
    base = (mirrors.customs.get(name) or mirrors.alias or _PUBLIC).rstrip("/")
    return _allowed(base if base.endswith(f"/{name}") else f"{base}/{name}")


def public_name(channel: str) -> str:
    """What a channel is called on the public server."""
    return _DEFAULTS.get(channel, channel)


def locate(
    channels: Sequence[str], packages: Iterable[Package], scratch: Path, mirrors: Mirrors | None = None
) -> list[tuple[Package, str]]:
    """Where each package is fetched from. From folders they are copied into ``scratch``, and verified meanwhile: what
    is verified is what will be used, whoever may write to the folder.

    ``scratch`` is a folder that stays until the packages are installed. Raises SourceError for what a folder lacks,
    and for another file than the lock names; UsageError for a package that none of several addresses is for.
    """
    found, missing = [], []
    addresses = {channel: address(channel, mirrors) for channel in channels}
    for package in packages:
        named = [each for each in channels if _is_called(each, package.channel)]
        for channel in [*named, *(each for each in channels if each not in named)]:
            parts = urlsplit(addresses[channel])
            if parts.scheme != "file":
                # Which of several would have it, nobody can say.
                if channel not in named and len(channels) > 1:
                    continue
                found.append((package, f"{addresses[channel]}/{package.file}"))
                break
            folder = Path(unquote(parts.path))
            places = (folder / package.file, folder / package.file_name)
            if path := next((path for path in places if path.exists()), None):
                found.append((package, verified.take(path, package, scratch / "channel" / package.file).as_uri()))
                break
        else:
            missing.append(package)
    if missing:
        raise _lacking(list(addresses.values()), missing)
    return found


def _is_called(channel: str, name: str) -> bool:
    return public_name(channel.rstrip("/").rpartition("/")[2]) == public_name(name)


def _lacking(channels: Sequence[str], missing: Sequence[Package]) -> GpuenvError:
    if any(urlsplit(each).scheme != "file" for each in channels):
        absent = ", ".join(sorted({package.channel for package in missing}))
        return UsageError(
            f"no channel of {', '.join(map(redact.text, channels))} is called {absent}",
            "of several, each package is fetched from the one that is called as its channel in conda.lock.toml",
            "name all of them with CHANNELS=, by addresses that end so, or one that has everything",
        )
    names = [package.file_name for package in missing]
    folders = [Path(unquote(urlsplit(each).path)) for each in channels]
    alike = (path for folder in folders for path in folder.glob(f"{missing[0].name}-[0-9]*"))
    lying = sorted(path.name for path in alike if path.is_file())
    others = f"; {', '.join(lying[:3])} is not of the lock" if lying else ""
    return SourceError(
        f"{', '.join(map(str, folders))} lacks {', '.join(names[:3])}{', ...' if names[3:] else ''}",
        f"only the files that conda.lock.toml of the variant names are used{others}",
        "put those files there (all their names stand in that lock), or let a channel be asked",
    )


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

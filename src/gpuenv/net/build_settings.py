"""Hands the host's CA bundle, proxies and pip settings to a build.

Bundle and pip configuration (which may hold a password) go in as secrets, mounted for one step and in no layer.
Proxies go in as build arguments that every builder predefines: these are in no layer and no history.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gpuenv.core import ui
from gpuenv.core.errors import HostError
from gpuenv.net import certificates
from gpuenv.net.pip_settings import PipSettings, load_pip_settings

#: Where the Dockerfile's secret mount puts the bundle.
CA_INSIDE = "/run/secrets/ca"
#: BuildKit refuses a larger secret.
SECRET_LIMIT_BYTES = 500 * 1024
#: This machine itself; inside a container, that one.
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy")

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


@dataclass(frozen=True)
class BuildNetwork:
    """What a build is told. ``ca_path`` and ``ca_origin`` (what named it) are for people."""

    pip_conf: str
    ca_pem: str | None
    ca_path: Path | None
    ca_origin: str
    proxies: tuple[str, ...]


def load_network() -> BuildNetwork:
    """Read what the host says. Raises HostError for a bundle that is missing, or UsageError for pip's settings."""
    settings = load_pip_settings()
    path, origin = certificates.find_named(os.environ, settings.cert)
    if settings.index_url and urlsplit(settings.index_url).scheme == "file":
        ui.warn("pip's index-url is a folder of this machine, which a build cannot see; using the public index")
    pem = read_certificates(path) if path else None
    return BuildNetwork(render_pip_conf(settings, has_ca=bool(pem)), pem, path, origin, proxy_names(os.environ))


def read_certificates(path: Path) -> str:
    """The certificates of a bundle, each once, without comments between them. Raises HostError if there is none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise _unusable(path, f"it cannot be read: {error.strerror}") from error
    parts = [part.split(_END)[0] for part in text.split(_BEGIN)[1:] if _END in part]
    pem = "".join(f"{_BEGIN}{part}{_END}\n" for part in dict.fromkeys(parts))
    if not pem:
        raise _unusable(path, "it holds no certificate in PEM form")
    if len(pem) > SECRET_LIMIT_BYTES:
        raise _unusable(path, f"it holds {len(pem) // 1024} KB of certificates, and a build accepts 500")
    return pem


def _unusable(path: Path, why: str) -> HostError:
    return HostError(f"the CA bundle {path} is not usable", why, "name another one with PIP_CERT=<file>")


def proxy_host(address: str) -> str | None:
    """The host in a proxy's address, with or without a scheme; None if that is no address with a port to use."""
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        is_usable = parts.port != 0
    except ValueError:
        return None
    return parts.hostname if is_usable else None


def proxy_names(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The proxy variables that are set, in the spelling in which they are."""
    return tuple(name for low in PROXY_VARIABLES for name in (low, low.upper()) if environ.get(name))


def render_pip_conf(settings: PipSettings, *, has_ca: bool) -> str:
    """The pip configuration of a build; folders of this machine are left out, a build cannot see them."""
    lines = ["[global]", "no-input = true", "disable-pip-version-check = true"]
    if has_ca:
        lines.append(f"cert = {CA_INSIDE}")
    if settings.index_url and urlsplit(settings.index_url).scheme != "file":
        lines.append(f"index-url = {settings.index_url}")
    if settings.extra_index_urls:
        lines.append("extra-index-url =" + "".join(f"\n    {value}" for value in settings.extra_index_urls))
    if settings.trusted_hosts:
        lines.append("trusted-host =" + "".join(f"\n    {value}" for value in settings.trusted_hosts))
    if settings.proxy:
        lines.append(f"proxy = {settings.proxy}")
    if settings.timeout_s is not None:
        lines.append(f"timeout = {settings.timeout_s:g}")
    return "\n".join(lines) + "\n"


def write_secrets(network: BuildNetwork, folder: Path, more: Mapping[str, str] | None = None) -> dict[str, Path]:
    """Write what a build mounts as secrets, and ``more``, readable by this user only; returns their files by id."""
    folder.mkdir(mode=0o700)
    contents = {"pip": network.pip_conf, **({"ca": network.ca_pem} if network.ca_pem else {}), **(more or {})}
    for name, content in contents.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(content, encoding="utf-8")
    return {name: folder / name for name in contents}

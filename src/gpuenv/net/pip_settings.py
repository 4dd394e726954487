"""Reads the settings of the host's pip (index, proxy, certificates), and runs a pip with these and no other ones.

The files and their order are pip's own ("Configuration" in pip's documentation); the ``PIP_*`` variables win. They are
read without pip, because a virtual environment may lack it.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gpuenv.core import ui
from gpuenv.core.errors import UsageError
from gpuenv.net import certificates

#: What a network or a campus asks for. Everything else that pip reads decides where or whether something is installed.
_OF_THE_NETWORK = (
    *("index-url", "extra-index-url", "no-index", "find-links", "trusted-host", "keyring-provider"),
    *("proxy", "cert", "client-cert", "timeout", "default-timeout", "retries", "cache-dir", "no-cache-dir"),
)
#: What pip reads as "no".
_NO = ("0", "false", "f", "no", "n", "off")


@dataclass(frozen=True)
class PipSettings:
    """Settings as pip means them; None or empty where the host says nothing."""

    index_url: str | None = None
    #: http and https only: see :func:`parse_settings`.
    extra_index_urls: tuple[str, ...] = ()
    cert: Path | None = None
    proxy: str | None = None
    timeout_s: float | None = None
    #: Of http indexes, which pip ignores else.
    trusted_hosts: tuple[str, ...] = ()
    #: Whether no index is to be asked at all.
    no_index: bool = False


def load_pip_settings() -> PipSettings:
    """The settings of this host. Raises UsageError for a file or value that pip could not use."""
    return parse_settings(_read_values(os.environ))


def pip_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables for a pip that installs what it is told, where it is told to.

    Of pip's settings, in files too, those of the network are left, except for what switches verification off; of
    Python's variables none. Older releases of pip bring their own list of authorities, so the host's is named. Raises
    UsageError for settings that pip could not use, HostError for certificates that are named and missing.
    """
    of_others = ("PIP_", "PYTHON", "VIRTUAL_ENV")
    kept = {name: value for name, value in environ.items() if not name.startswith(of_others)}
    bundle = certificates.find_bundle(environ)
    if bundle is not None:
        # Not PIP_CERT: that would win over `cert` in a file of the user's.
        kept.setdefault("REQUESTS_CA_BUNDLE", str(bundle))
    settings = ((key, value) for key, value in _read_values(environ).items() if key in _OF_THE_NETWORK)
    kept.update((f"PIP_{key.upper().replace('-', '_')}", value) for key, value in settings)
    return {
        **kept,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PYTHONNOUSERSITE": "1",
    }


def _read_values(environ: Mapping[str, str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for path in config_files(environ, Path.home(), Path(sys.prefix)):
        if not _exists(path):
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except PermissionError:
            # As pip does, which says nothing.
            ui.warn_once(f"this user may not read {path}, so what it tells pip is not used")
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise _unusable(str(path), f"it cannot be read: {error}") from error
        values.update(parse_config(text, str(path)))
    # Empty ones count as unset, as for pip.
    given = ((name.removeprefix("PIP_"), value) for name, value in environ.items() if name.startswith("PIP_"))
    values.update((_key(name), value) for name, value in given if value)
    hosts = values.pop("trusted-host", "").split()
    plain = _without_certificate(values)
    if kept := [host for host in hosts if host.lower() in plain]:
        values["trusted-host"] = " ".join(kept)
    if dropped := [host for host in hosts if host not in kept]:
        ui.warn_once(
            f"pip's trusted-host ({', '.join(dropped)}) is not used, as verification is never switched off; name your"
            " network's CA bundle with SSL_CERT_FILE"
        )
    return values


def _without_certificate(values: Mapping[str, str]) -> set[str]:
    """The hosts, with and without a port, of indexes by http, where there is none to verify; none of https beside."""
    urls = " ".join(values.get(key, "") for key in ("index-url", "extra-index-url", "find-links")).split()
    return _hosts(urls, "http") - _hosts(urls, "https")


def _hosts(urls: Iterable[str], scheme: str) -> set[str]:
    found = set()
    for url in urls:
        # What is no address is told by pip.
        with contextlib.suppress(ValueError):
            parts = urlsplit(url)
            if parts.scheme == scheme:
                found |= {parts.hostname or "", parts.netloc.rpartition("@")[2].lower()}
    return found


def config_files(environ: Mapping[str, str], home: Path, prefix: Path) -> list[Path]:
    """The files pip would read, lowest priority first; not all of them exist."""
    explicit = environ.get("PIP_CONFIG_FILE")
    if explicit == os.devnull:
        return []
    shared = [Path(folder) / "pip/pip.conf" for folder in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")]
    own = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf"
    # Like pip: a file that is named and exists takes the place of the user's.
    users = [] if explicit and _exists(explicit) else [home / ".pip/pip.conf", own]
    named = [Path(explicit)] if explicit else []
    return [*shared, Path("/etc/pip.conf"), *users, prefix / "pip.conf", *named]


def parse_config(text: str, name: str) -> dict[str, str]:
    """The keys of ``[global]`` and ``[install]`` (which wins) of one file. Raises UsageError for no ini file."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text, source=name)
    except configparser.Error as error:
        raise _unusable(name, f"it is not an ini file: {error}") from error
    sections = [parser.items(section) for section in ("global", "install") if parser.has_section(section)]
    return {_key(key): value for items in sections for key, value in items if value}


def parse_settings(values: Mapping[str, str]) -> PipSettings:
    """Read merged keys. Raises UsageError for a timeout that is no number.

    Folders (``find-links``, ``file://``) beside the main index are left out: a lock must hold what the index serves to
    everybody, and a build cannot see them.
    """
    timeout = values.get("default-timeout", values.get("timeout"))
    try:
        timeout_s = float(timeout) if timeout else None
    except ValueError as error:
        raise _unusable("pip's setting `timeout`", f"{timeout!r} is not a number of seconds") from error
    extra = values.get("extra-index-url", "").split()
    return PipSettings(
        index_url=values.get("index-url"),
        extra_index_urls=tuple(url for url in extra if url.startswith(("http://", "https://"))),
        trusted_hosts=tuple(values.get("trusted-host", "").split()),
        cert=Path(values["cert"]).expanduser() if "cert" in values else None,
        proxy=with_scheme(values.get("proxy", "")) or None,
        timeout_s=timeout_s,
        no_index=values.get("no-index", "no").lower() not in _NO,
    )


def with_scheme(proxy: str) -> str:
    """A proxy's address as programs read it: without a scheme it is one of HTTP."""
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _exists(path: str | Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - Path's own raises in a folder that is closed to this user


def _key(name: str) -> str:
    return name.lower().replace("_", "-")


def _unusable(what: str, why: str) -> UsageError:
    return UsageError(f"{what} is not usable", why, "correct it; `python3 -m pip config debug` lists what pip reads")

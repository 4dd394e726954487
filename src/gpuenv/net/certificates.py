"""Finds the certificate authorities that this host trusts: a campus or company adds its own to the system's bundle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from gpuenv.core.errors import HostError

#: What the common programs read, strongest first.
VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
#: Where the common systems keep the bundle that `update-ca-certificates` and its kin maintain.
SYSTEM_BUNDLES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
    Path("/etc/ssl/cert.pem"),
)


def find_named(environ: Mapping[str, str], cert: Path | None = None) -> tuple[Path | None, str]:
    """The bundle of this host and what named it: pip's setting ``cert``, what curl and OpenSSL are told, the system.

    Raises HostError when a named one is missing.
    """
    for name, file in (("PIP_CERT", cert), *((name, environ.get(name)) for name in VARIABLES)):
        if file and not Path(file).exists():
            by = "pip's setting `cert`" if file is cert else name
            raise HostError(f"the CA bundle {file} is missing", f"{by} names it", f"correct or unset {name}")
        if file:
            return Path(file), name
    bundle = next((path for path in SYSTEM_BUNDLES if path.is_file()), None)
    return bundle, "the system" if bundle else ""


def find_bundle(environ: Mapping[str, str] = os.environ, cert: Path | None = None) -> Path | None:
    """The same without what named it."""
    return find_named(environ, cert)[0]


def verify_setting() -> str | bool:
    """What `requests` takes as ``verify``: a bundle, or True for the one it brings along; never False."""
    bundle = find_bundle()
    return str(bundle) if bundle else True

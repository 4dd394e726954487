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


def find_bundle(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The bundle that the user named, else the system's, else None. Raises HostError when a named one is missing."""
    for variable in VARIABLES:
        named = environ.get(variable)
        if named and not Path(named).exists():
            raise HostError(f"the CA bundle {named} is missing", f"{variable} names it", f"correct or unset {variable}")
        if named:
            return Path(named)
    return next((path for path in SYSTEM_BUNDLES if path.is_file()), None)


def verify_setting() -> str | bool:
    """What `requests` takes as ``verify``: a bundle, or True for the one it brings along; never False."""
    bundle = find_bundle()
    return str(bundle) if bundle else True

"""Names in addresses of other machines: those that a client (ssh, kubectl, ...) takes for a name and nothing else.

They stand on command lines, where options begin with a dash, and in the user's own settings of ssh, where `%h` may be
read by a shell. What an inventory says counts like what is typed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gpuenv.core.ui import printable

_HOST = re.compile(r"\w[\w.-]*|[0-9A-Fa-f:.]+(?:%\w[\w.-]*)?")
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*")
#: A name of an inventory, or what Ansible and Salt match its names with.
_PATTERN = re.compile(r"[^-\s/?#][^\s/?#]*")
_NAMES = {
    **dict.fromkeys(("ssh", "safe-ssh", "paramiko", "winrm"), _HOST),
    **dict.fromkeys(("docker", "podman", "kubectl", "openshift", "lxc"), _CONTAINER),
    **dict.fromkeys(("ansible", "salt"), _PATTERN),
}
_WORD = re.compile(r"\w[\w.:@/+\\$-]*")
#: testinfra quotes the value for a shell, and puts it between double quotes: what needs quotes would be read there.
_QUOTED = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.:@/+-]*")
_NUMBER = re.compile(r"[0-9]{1,5}")
_PARTS = {
    "user": _WORD,
    "port": _NUMBER,
    "sudo_user": _WORD,
    "namespace": _CONTAINER,
    "container": _CONTAINER,
    "context": _QUOTED,
    "kubeconfig": re.compile(rf"/{_QUOTED.pattern}"),
}


def parts_of(kind: str, place: str) -> dict[str, Any]:
    """The name, user and port that testinfra finds before the settings of an address. Raises ValueError."""
    from testinfra.backend.base import BaseBackend

    if _NAMES.get(kind) is _HOST:
        return {**vars(BaseBackend.parse_hostspec(place))}
    name, user = BaseBackend.parse_containerspec(place) if kind in ("docker", "podman") else (place, None)
    return {"name": name, "user": user}


def parts_in(backend: Any) -> dict[str, Any]:
    """The same, and the settings, of a connection that testinfra has made, from an inventory for one."""
    host = getattr(backend, "host", None)
    named = host if hasattr(host, "user") else backend
    parts = {key: getattr(named, key, None) for key in ("name", "user", "port")}
    return {**{key: getattr(backend, key, None) for key in _PARTS if key not in parts}, **parts}


def refusal(kind: str, parts: Mapping[str, Any]) -> str | None:
    """Why an address with these parts is not used; None if each is a name of its kind, or not given."""
    patterns = {"name": _NAMES.get(kind), **_PARTS}
    for key, pattern in patterns.items():
        value = str(parts.get(key) or "")
        if value and pattern and not (pattern.fullmatch(value) and printable(value) == value):
            begins = "it begins with a dash, as options do" if value.startswith("-") else "characters of no such name"
            return f"{key} {value!r}: {begins}"
    return None

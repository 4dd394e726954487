"""What of the host a shell sees: the work folder, the caller's name, proxies and certificate authorities."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from gpuenv.core.errors import UsageError, removed_folder
from gpuenv.engine.container import HOME, Mount
from gpuenv.net import certificates

WORK_INSIDE = "/work"
CA_BUNDLE_INSIDE = "/etc/gpuenv/ca-bundle.crt"
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
_ROOT = 0
#: The exit code of a container that sees another work folder; a command may end with it, too.
UNSEEN = 97


def check_work(value: str | None) -> Path:
    """The work folder, absolute. Raises UsageError if it is missing, no folder, or not writable for the caller."""
    named = Path(value or ".")
    try:
        folder = named.expanduser().resolve(strict=True)
        is_folder = folder.is_dir()
    except FileNotFoundError as error:
        remedy = f"mkdir -p {shlex.quote(str(named.expanduser()))}"
        missing = UsageError(f"WORK={named} does not exist", f"there is no {error.filename}", remedy)
        raise removed_folder(error) or missing from error
    except (OSError, RuntimeError) as error:
        raise UsageError(f"WORK={named} cannot be used", str(error), "set WORK to another folder") from error
    if not is_folder:
        raise UsageError(
            f"WORK={named} is not a folder", "a file has that name", f"WORK={shlex.quote(str(folder.parent))}"
        )
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        owner = folder.stat()
        raise UsageError(
            f"WORK={named} cannot be written",
            f"it belongs to user {owner.st_uid}, its mode is {owner.st_mode & 0o7777:04o}, and you are user "
            f"{os.geteuid()}; or its file system is read-only",
            "copy it to a folder of your own and set WORK to that",
        )
    return folder


def user_name(uid: int) -> str:
    """The caller's name; ``user<uid>`` where the host knows none (a container, a lost directory service)."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user{uid}"


def environment(environ: Mapping[str, str], name: str, *, has_bundle: bool, tty: bool) -> dict[str, str]:
    """The variables of a shell beyond the image's own."""
    values = {
        "HOME": HOME,
        "USER": name,
        "LOGNAME": name,
        # Beside the volume's root, so that the folder is made by whoever needs it.
        "CUDA_CACHE_PATH": f"{HOME}/.nv/ComputeCache",
    }
    if tty:
        values["TERM"] = environ.get("TERM", "xterm")
    for lower in _PROXIES:
        values.update({key: environ[key] for key in (lower, lower.upper()) if environ.get(key)})
    if has_bundle:
        values.update(dict.fromkeys(_CA_VARIABLES, CA_BUNDLE_INSIDE))
    return values


def port_variables(port: int | None, address: str | None = None) -> dict[str, str]:
    """What makes Jupyter listen at ``port``, and nowhere else; at ``address`` where the image's settings are read."""
    if port is None:
        return {}
    values = {"JUPYTER_PORT": str(port), "JUPYTER_PORT_RETRIES": "0"}
    return {**values, "JUPYTER_IP": address} if address else values


def local_proxies(values: Mapping[str, str]) -> list[str]:
    """Names of proxy variables that point to this machine itself, which inside a container is another one."""
    named = {name: value for name, value in values.items() if name.lower() in _PROXIES[:-1]}
    if not named:
        return []
    from gpuenv.net.build_settings import LOCAL_HOSTS, proxy_host

    return [name for name, value in named.items() if proxy_host(value) in LOCAL_HOSTS]


def ca_mounts() -> tuple[Mount, ...]:
    """The host's bundle of authorities, so that a network that inspects TLS works inside, too, verified."""
    bundle = certificates.find_bundle()
    if bundle is None:
        return ()
    return (Mount(str(bundle.resolve()), CA_BUNDLE_INSIDE, read_only=True),)


def names(user: str, name: str) -> tuple[str, str]:
    """Lines for /etc/passwd and /etc/group that name ``user`` (``uid:gid``); empty for root, whom each image names.

    Without them a prompt says "I have no name!", and `whoami` and Python's ``pwd.getpwuid`` fail.
    """
    uid, gid = map(int, user.split(":"))
    try:
        group = grp.getgrgid(gid).gr_name
    except KeyError:
        group = name
    return (
        "" if uid == _ROOT else f"{name}:x:{uid}:{gid}::{HOME}:/bin/bash",
        "" if gid == _ROOT else f"{group}:x:{gid}:",
    )


def entry(mark: str, names: tuple[str, str], command: Sequence[str]) -> tuple[str, ...]:
    """``command`` as a container is given it, below what `entry.bash` does first (its arguments are explained there).

    ``mark`` is a file of the work folder, which the command is not started without.
    """
    program = Path(__file__).with_name("entry.bash").read_text(encoding="utf-8")
    return ("bash", "-c", program, "gpuenv", str(UNSEEN), mark, f"{umask():04o}", *names, *command)


def umask() -> int:
    """The caller's mask of rights for new files. It can be read only by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

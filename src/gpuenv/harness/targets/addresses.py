"""The entries of ``HOSTS=``: testinfra's addresses, with the folder of the environment there.

testinfra takes no notice of a setting or a path that it does not know; here nothing is left out without a word.
Whatever a message shows of an entry is shown without its password.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from gpuenv.core.errors import UsageError
from gpuenv.net import redact

#: What testinfra reads behind the `?`: those that are true or false, and those with a value.
FLAGS = ("sudo", "ssl", "no_ssl", "no_verify_ssl", "force_ansible")
FILES = ("ssh_config", "ssh_identity_file", "ansible_inventory", "kubeconfig")
VALUES = (
    *FILES, "sudo_user", "namespace", "container", "context", "timeout", "controlpersist",
    "read_timeout_sec", "operation_timeout_sec",
)  # fmt: skip
#: The one of ours: the environment's folder.
PREFIX = "prefix"
#: Kinds that need no name: this machine; all hosts of the inventory.
_NAMELESS = ("local", "ansible")


@dataclass(frozen=True)
class Address:
    """One entry of HOSTS: ``uri`` is testinfra's, ``prefix`` the environment's folder there ("": what PATH finds)."""

    uri: str
    prefix: str


def parse_hosts(text: str) -> tuple[Address, ...]:
    """The entries of ``HOSTS="ssh://lab1 ssh://lab2?prefix=/opt/gpuenv"``. Raises UsageError."""
    found = tuple(_parse_address(word) for word in text.split())
    if not found:
        raise UsageError("HOSTS= names no host", "it is empty", 'try HOSTS="ssh://lab1 ssh://lab2"')
    if len(set(found)) != len(found):
        twice = next(word for number, word in enumerate(text.split()) if found[number] in found[:number])
        raise UsageError(f"HOSTS: {redact.password(twice)} is named twice", "each is one target", "name it once")
    return found


def _parse_address(word: str) -> Address:
    try:
        parts = urlsplit(word)
    except ValueError as error:
        raise _refused(word, str(error), "the address of IPv6 stands in brackets: ssh://[::1]:22") from error
    _check_place(word, parts)
    settings = [_parse_setting(word, *pair) for pair in parse_qsl(parts.query, keep_blank_values=True)]
    prefix = dict(settings).get(PREFIX, "").rstrip("/")
    query = urlencode([(name, value) for name, value in settings if name != PREFIX], safe="/:,")
    # urlunsplit would drop the slashes of `local://`.
    return Address(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}" + (f"?{query}" if query else ""), prefix)


def _check_place(word: str, parts: SplitResult) -> None:
    """Everything before the settings. Raises UsageError."""
    from testinfra.backend import BACKENDS

    if "://" not in word or parts.scheme not in BACKENDS:
        guess = redact.password(f"ssh://{word.rpartition('://')[2]}")
        raise _refused(
            word, f"expected KIND://NAME, KIND one of {', '.join(sorted(BACKENDS))}", f"did you mean {guess}?"
        )
    has_path = parts.path.rstrip("/") != ""
    if parts.scheme == "chroot":
        if parts.netloc or not has_path:
            raise _refused(word, "a chroot is named by its absolute path", "write chroot:///srv/system")
    elif has_path or parts.fragment:
        next_step = "write ?prefix=/opt/gpuenv; in a password, write / ? # as %2F %3F %23"
        raise _refused(word, "behind the name only settings may follow", next_step)
    elif not parts.netloc.rpartition("@")[2] and parts.scheme not in _NAMELESS:
        raise _refused(word, "the name is missing", f"write {parts.scheme}://NAME")


def _parse_setting(word: str, name: str, value: str) -> tuple[str, str]:
    """A setting, with the folder of this process put before a relative file. Raises UsageError."""
    if name == PREFIX:
        if not value.startswith("/"):
            raise _refused(word, f"prefix={value} is no absolute path", "start it with /")
    elif name in FLAGS:
        if value.lower() not in ("true", "false"):
            raise _refused(word, f"{name}={value} is neither true nor false", f"write {name}=true")
    elif name not in VALUES:
        known = ", ".join(sorted((PREFIX, *FLAGS, *VALUES)))
        raise _refused(
            word, f"there is no setting {name}", f"known are {known}; a port stands behind the name: lab1:22"
        )
    elif name in FILES and "," not in value:
        # The checks run in another folder. An inventory may be a list of names with a comma, too.
        return name, str(Path(value).expanduser().absolute())
    return name, value


def _refused(word: str, why: str, next_step: str) -> UsageError:
    return UsageError(f"HOSTS: {redact.password(word)} cannot be used", why, next_step)

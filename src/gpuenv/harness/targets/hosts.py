"""Which environments on other machines a run has (``HOSTS=``), through any connection that testinfra knows.

testinfra takes no notice of a setting or a path that it does not know; here nothing is left out without a word.
Whatever a message shows of an entry is shown without its password.
"""

from __future__ import annotations

import dataclasses
import itertools
import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from gpuenv.core import ui
from gpuenv.core.errors import GpuenvError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.cuda import stand_ins
from gpuenv.harness.targets import names
from gpuenv.harness.targets.connection import Connection, last_line
from gpuenv.harness.targets.model import Target, label_of
from gpuenv.harness.targets.remote import open_host
from gpuenv.host import gpu
from gpuenv.net import redact
from gpuenv.prefix import trust
from gpuenv.variants import model as variants
from gpuenv.variants.environment import name_of
from gpuenv.variants.model import Variant

#: Hosts that are asked at the same time whether they are there.
PROBES = 16
#: A host whose shell has not answered by then (a hanging file server, say) is given up.
PROBE_LIMIT_S = 60
#: How the reason begins when nothing on a host answers; else its Python is what does not start.
UNREACHED = "it cannot be reached"
_REACHED, _STAND_INS = "gpuenv-reached", "gpuenv-cuda-stand-ins"
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
    _check_names(word, parts, dict(settings))
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


def _check_names(word: str, parts: SplitResult, settings: dict[str, str]) -> None:
    try:
        why = names.refusal(parts.scheme, {**settings, **names.parts_of(parts.scheme, parts.netloc)})
    except ValueError:
        why = "the name cannot be read"
    if why:
        raise _refused(word, why, "name the machine as its own settings, or those of ssh, do")


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


def list_targets(settings: Settings) -> tuple[Target, ...]:
    """A target for each host of ``settings.hosts``, all asked at once. Raises UsageError.

    One that does not answer is a required target that is missing: a failure of that host alone.
    """
    variant = variants.find_variant(settings.variant)
    # With REQUIRE_GPU=1 a host without a driver must not turn into a cpu target, which would pass without a GPU.
    flavor = "gpu" if settings.require_gpu else None
    if settings.flavor not in (None, "all"):
        flavor = settings.flavor
    addresses = parse_hosts(settings.hosts or "")
    # Two groups of an inventory may share a host.
    entries = list(dict.fromkeys(one for address in addresses for one in expand(address)))
    ui.say(f"asking {len(entries)} host{'s' * (len(entries) != 1)}")
    with ThreadPoolExecutor(PROBES) as pool:
        return with_own_identities(list(pool.map(lambda address: probe(address, variant, flavor), entries)))


def with_own_identities(targets: Sequence[Target]) -> tuple[Target, ...]:
    """Two environments of one host, or two pods of one name, are told apart by a number."""
    names = [target.identity for target in targets]
    for place, name in enumerate(names):
        if name in names[:place]:
            numbered = (f"{name}-{number}" for number in itertools.count(2))
            names[place] = next(one for one in numbered if one not in names)
    return tuple(dataclasses.replace(target, identity=name) for target, name in zip(targets, names))


def expand(address: Address) -> list[Address]:
    """The hosts behind one entry: those of an inventory (``ansible://group?ansible_inventory=...``), else itself.

    Raises UsageError: how many targets an inventory has is not known without it.
    """
    from testinfra.backend import get_backend_class, parse_hostspec

    place, settings = parse_hostspec(address.uri)
    if settings["connection"] not in ("ansible", "salt"):
        return [address]
    try:
        found = list(get_backend_class(settings["connection"]).get_hosts(place, **settings))
        unread = "no host of the inventory has this name, and no group"
    except Exception as error:  # noqa: BLE001 - Ansible and Salt have their own kinds
        found, unread = [], last_line(str(error)) or type(error).__name__
    kind, query = settings["connection"], urlsplit(address.uri).query
    why = next(filter(None, (names.refusal(kind, {"name": one}) for one in found)), None if found else unread)
    if why:
        next_step = f"check the inventory; {kind} has to be installed here"
        raise UsageError(f"HOSTS: {label_of(address.uri)} names no hosts that can be used", why, next_step)
    return [dataclasses.replace(address, uri=f"{kind}://{one}" + (f"?{query}" if query else "")) for one in found]


def probe(address: Address, variant: Variant, flavor: str | None) -> Target:
    """The target behind ``address``: reached or not, with its driver. A host with one is ``gpu``, as everywhere.

    Whose an environment is can be seen on this machine alone.
    """
    blank = _blank(address, variant, flavor or "cpu")
    if address.prefix and urlsplit(address.uri).scheme == "local" and (why := trust.problem(Path(address.prefix))):
        return blank.lacking(f"its Python is not started: {why}")
    # Last of all whether its Python starts.
    ask = f"echo {_REACHED}; cat /proc/driver/nvidia/version 2>/dev/null; {_look_for_stand_ins(address.prefix)}; "
    try:
        host = open_host(address.uri, PROBE_LIMIT_S)
        output = Connection(blank, host, "").run(f"{ask}{shlex.quote(blank.python)} -I -c pass")
    except Exception as error:  # noqa: BLE001 - a backend may raise anything; it is that host's failure alone
        why = error.why if isinstance(error, GpuenvError) else last_line(str(error)) or type(error).__name__
        return blank.lacking(f"{UNREACHED}: {why}")
    if output.code != 0:
        what = "its Python does not start" if _REACHED in output.stdout else UNREACHED
        return blank.lacking(f"{what}: {last_line(output.stderr) or f'exit code {output.code}'}")
    driver = gpu.parse_driver_version(output.stdout)
    found = _blank(address, variant, flavor or ("gpu" if driver else "cpu"))
    return dataclasses.replace(
        found,
        cuda="index" if found.cuda == "complete" and _STAND_INS in output.stdout else found.cuda,
        driver=driver,
        has_simulated_driver=driver is not None and "SIMULATED" in output.stdout,
    )


def _look_for_stand_ins(prefix: str) -> str:
    """A line of sh that tells whether CUDA has stand-ins; each names itself inside, and is small."""
    places = "/usr/local/cuda-*/lib64" + (f" {shlex.quote(prefix)}/lib/cuda-*" if prefix else "")
    found = f"find {places} -type f -size -100k -exec grep -ls {stand_ins.MARKER} {{}} + 2>/dev/null"
    return f"{found} | grep -q . && echo {_STAND_INS}"


def _blank(address: Address, variant: Variant, flavor: str) -> Target:
    identity = f"{name_of(variant.name, flavor)}-on-{label_of(address.uri)}"
    cuda = "complete" if flavor == "gpu" else "none"
    return Target(identity, "host", variant.name, flavor, cuda, prefix=address.prefix, host=address.uri)

"""Which environments on other machines a run has (``HOSTS=``), through any connection that testinfra knows."""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from gpuenv import gpu, ui, variants
from gpuenv.errors import GpuenvError, UsageError
from gpuenv.target import Connection, Target, label_of
from gpuenv.target_host import open_host
from gpuenv.variants import Variant

#: Hosts that are asked at the same time whether they are there.
PROBES = 16


@dataclass(frozen=True)
class Address:
    """One entry of HOSTS: ``uri`` is testinfra's, ``prefix`` the environment's folder there ("": what PATH finds)."""

    uri: str
    prefix: str


def parse_hosts(text: str) -> tuple[Address, ...]:
    """The entries of ``HOSTS="ssh://lab1 ssh://lab2?prefix=/opt/gpuenv"``. Raises UsageError."""
    found = tuple(_parse_address(word) for word in text.split())
    if not found or len(set(found)) != len(found):
        raise UsageError(f"HOSTS={text!r} names no host, or one twice", "each is one target", "name each once")
    return found


def _parse_address(word: str) -> Address:
    from testinfra.backend import BACKENDS

    parts = urlsplit(word)
    if parts.scheme not in BACKENDS or "://" not in word:
        raise UsageError(
            f"HOSTS: {word!r} is no connection",
            f"expected KIND://NAME, with KIND one of {', '.join(sorted(BACKENDS))}",
            f"did you mean ssh://{word.rpartition('://')[2]}?",
        )
    settings = parse_qsl(parts.query, keep_blank_values=True)
    prefix = dict(settings).get("prefix", "").rstrip("/")
    if prefix and not prefix.startswith("/"):
        raise UsageError(f"HOSTS: prefix={prefix} is no absolute path", f"in {word!r}", "start it with /")
    query = urlencode([(name, value) for name, value in settings if name != "prefix"], safe="/:,")
    # urlunsplit would drop the slashes of `local://`.
    return Address(f"{parts.scheme}://{parts.netloc}{parts.path}" + (f"?{query}" if query else ""), prefix)


def list_targets(args: argparse.Namespace) -> tuple[Target, ...]:
    """A target for each host of ``args.hosts``, all asked at once. Raises UsageError.

    One that does not answer is a required target that is missing: a failure of that host alone.
    """
    variant = variants.find_variant(args.variant)
    flavor = variants.check_flavor(args.flavor) if args.flavor else None
    entries = [one for address in parse_hosts(args.hosts) for one in expand(address)]
    ui.say(f"asking {len(entries)} host{'s' * (len(entries) != 1)}")
    with ThreadPoolExecutor(PROBES) as pool:
        return with_own_identities(list(pool.map(lambda address: probe(address, variant, flavor), entries)))


def with_own_identities(targets: Sequence[Target]) -> tuple[Target, ...]:
    """Two environments of one host, or two pods of one name, are told apart by a number."""
    seen: Counter[str] = Counter()
    result = []
    for target in targets:
        seen[target.identity] += 1
        number = seen[target.identity]
        suffix = f"-{number}" if number > 1 else ""
        result.append(dataclasses.replace(target, identity=target.identity + suffix))
    return tuple(result)


def expand(address: Address) -> list[Address]:
    """The hosts behind one entry: those of an inventory (``ansible://group?ansible_inventory=...``), else itself."""
    from testinfra.backend import get_backend_class, parse_hostspec

    name, settings = parse_hostspec(address.uri)
    if settings["connection"] not in ("ansible", "salt"):
        return [address]
    try:
        names = get_backend_class(settings["connection"]).get_hosts(name, **settings)
    except Exception as error:
        raise UsageError(
            f"HOSTS: {label_of(address.uri)} names no hosts", str(error), "install ansible here; check the inventory"
        ) from error
    parts = urlsplit(address.uri)
    return [dataclasses.replace(address, uri=urlunsplit(parts._replace(netloc=one))) for one in names]


def probe(address: Address, variant: Variant, flavor: str | None) -> Target:
    """The target behind ``address``: reached or not, with its driver. A host with one is ``gpu``, as everywhere."""
    blank = _blank(address, variant, flavor or "cpu")
    try:
        output = Connection(blank, open_host(address.uri), "").run("cat /proc/driver/nvidia/version 2>/dev/null; true")
    except Exception as error:  # noqa: BLE001 - a backend may raise anything; it is that host's failure alone
        return _lost(blank, error.why if isinstance(error, GpuenvError) else str(error))
    if output.code != 0:
        return _lost(blank, (output.stderr.strip() or f"exit code {output.code}").splitlines()[-1])
    driver = gpu.parse_driver_version(output.stdout)
    return dataclasses.replace(
        _blank(address, variant, flavor or ("gpu" if driver else "cpu")),
        driver=driver,
        has_simulated_driver=driver is not None and "SIMULATED" in output.stdout,
    )


def _blank(address: Address, variant: Variant, flavor: str) -> Target:
    identity = f"{variant.name}-{flavor}-on-{label_of(address.uri)}"
    cuda = "genuine" if flavor == "gpu" else "none"
    return Target(identity, "host", variant.name, flavor, cuda, prefix=address.prefix, host=address.uri)


def _lost(blank: Target, why: str) -> Target:
    return dataclasses.replace(blank, missing=f"it cannot be reached: {why}", is_required=True)

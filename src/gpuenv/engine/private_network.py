"""Makes the private engine's bridge and the firewall rules that forward its traffic.

The daemon is not allowed to write firewall rules itself: at its start it would empty the chains that
it shares with any other Docker daemon, and cut that one's containers off. It must not be started
with ``--bridge=none`` either where ``docker0`` is another daemon's, because it deletes that.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
from contextlib import suppress
from pathlib import Path

from gpuenv.core import signals, ui
from gpuenv.host import packages

_DEVICES = Path("/sys/class/net")
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_LINK_LOCAL = "169.254.0.0/16"
#: The bridges of all private engines.
_GUARDED = "gpuenv+"
#: Where it is, the first of them found a machine that forwards nothing.
_GUARD = ("filter", "FORWARD", "!", "-i", _GUARDED, "!", "-o", _GUARDED, "-j", "DROP")


def bridge_name(run_folder: Path) -> str:
    """An interface name (at most 15 characters) that is the same for the same private engine."""
    return f"gpuenv{run_folder.name[-8:]}"


def make_bridge(name: str) -> str | None:
    """Make the bridge unless it is there; returns why that is not possible, or None.

    It gets an address of its own. Without one a bridge takes the lowest of its containers', which changes when that
    one ends: connections of all the others then stall for some 15 s (measured).
    """
    if (_DEVICES / name).exists():
        return None
    return _failure(["ip", "link", "add", "name", name, "address", mac_address(name), "type", "bridge"])


def mac_address(name: str) -> str:
    """A locally administered unicast address (02:...), the same for the same name."""
    digest = hashlib.sha256(name.encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))


def allow_forwarding(name: str, subnet: str) -> str | None:
    """Let containers of ``subnet`` reach the network; returns why that is not possible, or None."""
    # Forwarding is the last: until then nobody gets through.
    reason = next(filter(None, (_put(rule, "-I") for rule in rules(name, subnet))), None) or _forward()
    if reason is not None:
        _delete_naming(name)
    return reason


def remove(name: str) -> None:
    """Take rules and bridge away again, as far as they are there, and put the kernel's forwarding back."""
    _delete_naming(name)
    _failure(["ip", "link", "delete", name])
    if _failure(argv("-C", _GUARD)) is not None or any(_DEVICES.glob("gpuenv*/bridge")):
        return
    # Also one that nothing hangs on at the moment: its owner found forwarding on, and will not ask again.
    if any(_DEVICES.glob("*/bridge")):
        ui.say("this machine goes on forwarding packets, which it did not before: other bridges may need it")
        return
    # First this: whoever is killed in between leaves no router.
    with suppress(OSError):
        _FORWARDING.write_text("0\n", encoding="ascii")
        _delete_naming(_GUARDED)


def rules(name: str, subnet: str) -> tuple[tuple[str, ...], ...]:
    """The rules as ``(table, chain, specification...)``: masquerading, the way out and back, and what is closed.

    What is closed stands in ``mangle``: there it counts before all that others accept, in whatever order they began.
    Services of clouds that give a machine its secrets have link-local addresses; some have the only name server there.
    """
    known = ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED")
    secrets = [
        ("mangle", "PREROUTING", "-i", name, "-d", _LINK_LOCAL, "-p", protocol, "!", "--dport", "53", "-j", "DROP")
        for protocol in ("tcp", "udp")
    ]
    return (
        ("nat", "POSTROUTING", "-s", subnet, "!", "-o", name, "-j", "MASQUERADE"),
        ("mangle", "FORWARD", "!", "-i", name, "-o", name, *known[:2], "!", *known[2:], "-j", "DROP"),
        *secrets,
        ("filter", "FORWARD", "-i", name, "-j", "ACCEPT"),
        ("filter", "FORWARD", "-o", name, *known, "-j", "ACCEPT"),
    )


def _forward() -> str | None:
    """Have the kernel forward packets; where it did not, only those of private engines and what others accept."""
    try:
        if _FORWARDING.read_text(encoding="ascii").strip() != "0":
            return None
        reason = _put(_GUARD, "-A")
        if reason is None:
            _FORWARDING.write_text("1\n", encoding="ascii")
    except OSError as error:
        return f"{_FORWARDING}: {error.strerror}"
    return reason


def _put(rule: tuple[str, ...], action: str) -> str | None:
    """Add a rule (``-I``: as the first one, ``-A``: as the last) unless it is there; why that fails, or None."""
    return _failure(argv("-C", rule)) and _failure(argv(action, rule))


def _delete_naming(interface: str) -> None:
    """Delete all rules of ours that name an interface."""
    for table, chain in (
        ("nat", "POSTROUTING"),
        ("mangle", "FORWARD"),
        ("mangle", "PREROUTING"),
        ("filter", "FORWARD"),
    ):
        done = run(["iptables", "--wait", "-t", table, "-S", chain])
        for line in done.stdout.splitlines() if isinstance(done, subprocess.CompletedProcess) else ():
            words = shlex.split(line)
            if words[0] == "-A" and interface in words:
                _failure(argv("-D", (table, *words[1:])))


def argv(action: str, rule: tuple[str, ...]) -> list[str]:
    """The iptables command for ``action`` (-C, -I, -D) on a rule."""
    table, chain, *specification = rule
    return ["iptables", "--wait", "-t", table, action, chain, *specification]


def _failure(command: list[str]) -> str | None:
    """Run a command; what it says if it fails, else None."""
    done = run(command)
    if isinstance(done, str):
        return f"{command[0]}: {done}"
    if done.returncode == 0:
        return None
    return f"{command[0]}: {(done.stderr or done.stdout).strip() or f'exit code {done.returncode}'}"


def run(command: list[str]) -> subprocess.CompletedProcess[str] | str:
    """What a command of the system did, or why it could not be run."""
    environment = {**os.environ, "PATH": packages.search_path()}
    try:
        return signals.ask(command, 60, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)

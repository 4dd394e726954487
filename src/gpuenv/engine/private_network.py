"""Makes the private engine's bridge and the firewall rules that forward its traffic.

The daemon is not allowed to write firewall rules itself: at its start it would empty the chains that
it shares with any other Docker daemon, and cut that one's containers off. It must not be started
with ``--bridge=none`` either where ``docker0`` is another daemon's, because it deletes that.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from gpuenv.host import packages


def bridge_name(run_folder: Path) -> str:
    """An interface name (at most 15 characters) that is the same for the same private engine."""
    return f"gpuenv{run_folder.name[-8:]}"


def make_bridge(name: str) -> str | None:
    """Make the bridge unless it is there; returns why that is not possible, or None.

    It gets an address of its own. Without one a bridge takes the lowest of its containers', which changes when that
    one ends: connections of all the others then stall for some 15 s (measured).
    """
    if (Path("/sys/class/net") / name).exists():
        return None
    return _failure(["ip", "link", "add", "name", name, "address", mac_address(name), "type", "bridge"])


def mac_address(name: str) -> str:
    """A locally administered unicast address (02:...), the same for the same name."""
    digest = hashlib.sha256(name.encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))


def allow_forwarding(name: str, subnet: str) -> str | None:
    """Let containers of ``subnet`` reach the network; returns why that is not possible, or None."""
    for rule in rules(name, subnet):
        reason = _failure(argv("-C", rule)) and _failure(argv("-I", rule))
        if reason is not None:
            return reason
    return None


def remove(name: str, subnet: str) -> None:
    """Take rules and bridge away again, as far as they are there."""
    for rule in rules(name, subnet) if subnet else ():
        _failure(argv("-D", rule))
    _failure(["ip", "link", "delete", name])


def rules(name: str, subnet: str) -> tuple[tuple[str, ...], ...]:
    """The rules as ``(table, chain, specification...)``: masquerading, and the way out and back."""
    return (
        ("nat", "POSTROUTING", "-s", subnet, "!", "-o", name, "-j", "MASQUERADE"),
        ("filter", "FORWARD", "-i", name, "-j", "ACCEPT"),
        ("filter", "FORWARD", "-o", name, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"),
    )


def argv(action: str, rule: tuple[str, ...]) -> list[str]:
    """The iptables command for ``action`` (-C, -I, -D) on a rule."""
    table, chain, *specification = rule
    return ["iptables", "--wait", "-t", table, action, chain, *specification]


def _failure(command: list[str]) -> str | None:
    """Run a command; what it says if it fails, else None."""
    environment = {**os.environ, "PATH": packages.search_path()}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}"
    if done.returncode == 0:
        return None
    return f"{command[0]}: {(done.stderr or done.stdout).strip() or f'exit code {done.returncode}'}"

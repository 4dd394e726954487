"""The ways to packages, images and archives, and the clock that certificates are judged by. Pure."""

from __future__ import annotations

from datetime import datetime, timezone
from urllib.parse import urlsplit

from gpuenv.doctor.facts import Clock, Engines, Machine, Network, Pythons, Wish
from gpuenv.doctor.findings import Finding, error, ok, unknown, warning
from gpuenv.doctor.remedies import find_remedy
from gpuenv.net.questions import Answer

#: A clock is wrong if it is off by more: time zones set by hand make up to 14 hours.
CLOCK_TOLERANCE_S = 24 * 3600
_LOCAL = ("localhost", "127.0.0.1", "::1")


def check_proxy(network: Network) -> list[Finding]:
    """Proxies, in one spelling only, that can be read; one on this machine is not reached from containers."""
    if not network.proxies:
        return ok("proxy", "none set")
    values = {name.lower(): value for name, value in network.proxies}
    for name, value in network.proxies:
        if values[name.lower()] != value:
            text = f"{name} and its other spelling differ: programs go different ways"
            return warning("proxy", text, f"unset {name}")
        is_proxy = name.lower() != "no_proxy"
        host = _host_of(value) if is_proxy else None
        if is_proxy and host is None:
            return error("proxy", f"{name}={value} is no address of a proxy", f"export {name}=http://<host>:<port>")
        if host in _LOCAL:
            text = f"{name} points to this machine itself ({value}): a build reaches it, a shell's container does not"
            return warning("proxy", text, "use the proxy's own address instead of localhost")
    return ok("proxy", ", ".join(f"{name}={value}" for name, value in network.proxies))


def _host_of(address: str) -> str | None:
    """The host in a proxy's address, whose port can be read; None if it is none."""
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        is_usable = parts.port != 0
    except ValueError:
        return None
    return parts.hostname if is_usable else None


def check_bundle(network: Network, machine: Machine) -> list[Finding]:
    """The certificate authorities that everything here trusts."""
    if network.bundle_problem is not None:
        return error("ca-bundle", network.bundle_problem, network.bundle_remedy or "export SSL_CERT_FILE=<file>")
    if network.missing_bundles:
        name, file = network.missing_bundles[0]
        return warning("ca-bundle", f"{name}={file} is missing: some programs trust nobody", f"unset {name}")
    if network.bundle is None:
        return warning("ca-bundle", "this system has none", find_remedy("install-authorities", machine.system))
    return ok("ca-bundle", f"{network.bundle} ({network.bundle_origin})")


def check_pip_settings(network: Network) -> list[Finding]:
    """pip's own settings can be read."""
    if network.pip_problem is not None:
        return error("pip-settings", network.pip_problem, "python3 -m pip config debug")
    return ok("pip-settings", "readable")


def check_index(network: Network, machine: Machine) -> list[Finding]:
    """The package index, where a build takes its wheels from."""
    remedy = "export PIP_INDEX_URL=https://<mirror>/simple  (where there is a proxy: export https_proxy=http://<host>:<port>)"
    for answer in network.answers:
        if answer.kind == "index-folder" and answer.problem is not None:
            return warning(
                "index", f"{answer.name}: {answer.problem}", "unset PIP_INDEX_URL  (or name a folder that is there)"
            )
    return _judge("index", network, machine, remedy)


def check_registry(network: Network, machine: Machine, engines: Engines) -> list[Finding]:
    """The container registry; without it a base is made on the spot."""
    if engines.running is not None and engines.running.has_detour:
        return ok("registry", "the engine has a way of its own (a mirror, a proxy)")
    remedy = (
        "make gpu-shell BASE=local  (a base made here, on Debian and Ubuntu; or give the engine a proxy or a mirror)"
    )
    return _judge("registry", network, machine, remedy)


def check_archives(network: Network, machine: Machine) -> list[Finding]:
    """The archives of CUDA, which only gpu images need."""
    answers = [answer for answer in network.answers if answer.kind == "archive"]
    untrusted = next((answer for answer in answers if answer.is_untrusted), None)
    missing = [reason for reason in network.archive_obstacles.values() if reason is not None]
    if not missing:
        return ok("archives", "every one is on this machine or answers")
    if untrusted is not None:
        return _distrust("archives", untrusted, machine)
    remedy = "fetch them elsewhere and run with SOURCES_DIR=<folder>; for a trial CUDA=simulated"
    if answers and all(answer.is_silent for answer in answers):
        return unknown("archives", f"no source of the CUDA archives answered in time: {missing[0]}", remedy)
    return warning("archives", f"gpu images cannot be built: {missing[0]}", remedy)


def check_channels(network: Network, machine: Machine, engines: Engines, pythons: Pythons, wish: Wish) -> list[Finding]:
    """conda's channels, without which there is nothing where neither an engine nor a Python of the version is."""
    failed = [answer for answer in network.answers if answer.kind == "channel" and answer.problem is not None]
    has_engine = engines.running is not None or engines.private_obstacle is None
    if not failed or has_engine or all(pythons.found.get(one.python_minor) for one in wish.variants):
        answers = "; ".join(f"{one.name} cannot be reached ({one.problem}), and is not needed" for one in failed)
        return ok("channels", answers or "every one of the conda environments answers")
    remedy = "make conda-env CHANNELS=https://<mirror>/conda-forge  (or SOURCES_DIR=<folder of packages>)"
    return _judge("channel", network, machine, remedy, name="channels")


def check_mirror(network: Network, machine: Machine) -> list[Finding]:
    """The distribution's own mirror, where an engine and a local base come from."""
    if not any(answer.kind == "apt" for answer in network.answers):
        return ok("mirror", "not needed")
    return _judge("apt", network, machine, "sudo apt-get update  (shows what is wrong)", name="mirror")


def _judge(kind: str, network: Network, machine: Machine, remedy: str, name: str | None = None) -> list[Finding]:
    check = name or kind
    answers = [answer for answer in network.answers if answer.kind == kind]
    if not answers:
        return unknown(check, "no address is known to ask", remedy)
    failed = [answer for answer in answers if answer.problem is not None]
    if not failed:
        return ok(check, f"{', '.join(answer.name for answer in answers)} answers")
    first = failed[0]
    if first.is_untrusted:
        return _distrust(check, first, machine)
    if first.is_silent:
        return unknown(check, f"{first.name} did not answer in time", remedy)
    if first.proxy:
        remedy = "export https_proxy=http://<host>:<port>  (the proxy's right address; without one: unset https_proxy)"
    return warning(check, f"{first.name} cannot be reached: {first.problem}", remedy)


def _distrust(check: str, answer: Answer, machine: Machine) -> list[Finding]:
    text = (
        f"the certificate of {urlsplit(answer.name).netloc or answer.name} is not trusted: a proxy that inspects TLS, "
    )
    text += "or a wrong clock"
    remedy = f"{find_remedy('trust-authority', machine.system)}; never switch verification off"
    return warning(check, text, remedy)


def check_clock(clock: Clock, network: Network, machine: Machine) -> list[Finding]:
    """Certificates are not valid at another time; compared with what answered, and with the project's own files."""
    remedy = find_remedy("set-clock", machine.system)
    here = datetime.fromtimestamp(clock.now, timezone.utc).date().isoformat()
    if clock.now < clock.newest_file - CLOCK_TOLERANCE_S:
        text = f"it says {here}, and files of this project are {_days(clock.newest_file - clock.now)} newer"
        return error("clock", text, remedy)
    dates = [answer for answer in network.answers if answer.date is not None]
    if not dates:
        return ok("clock", f"{here}, not before the files of this project (nothing else answered that has a clock)")
    # Several answer: one server whose own clock is wrong must not decide.
    ordered = sorted(dates, key=lambda answer: answer.date or 0.0)
    witness = ordered[len(ordered) // 2]
    off_s = clock.now - (witness.date or 0.0)
    if abs(off_s) <= CLOCK_TOLERANCE_S:
        return ok("clock", f"{here}, as {witness.name} says")
    text = f"it says {here}, {_days(abs(off_s))} {'after' if off_s > 0 else 'before'} what {witness.name} says"
    return error("clock", text, remedy)


def _days(seconds: float) -> str:
    days = round(seconds / 86400)
    return f"{days} day{'s' if days != 1 else ''}"

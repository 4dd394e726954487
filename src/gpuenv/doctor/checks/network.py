"""The ways to packages, images and archives, and the clock that certificates are judged by."""

from __future__ import annotations

from datetime import datetime, timezone
from urllib.parse import urlsplit

from gpuenv.doctor.facts import Clock, Engines, Network, Pythons, Wish
from gpuenv.doctor.findings import CONTAINER, INSTALL, Finding, Mend, error, ok, refusal, unknown, warning
from gpuenv.net.build_settings import LOCAL_HOSTS, proxy_host
from gpuenv.net.questions import Answer

#: A clock is wrong if it is off by more: time zones set by hand make up to 14 hours.
CLOCK_TOLERANCE_S = 24 * 3600


def proxy(network: Network) -> Finding:
    """Proxies, in one spelling only, that can be read; one on this machine is not reached from containers."""
    if not network.proxies:
        return ok("none set")
    values = {name.lower(): value for name, value in network.proxies}
    for name, value in network.proxies:
        if values[name.lower()] != value:
            text = f"{name} and its other spelling differ: programs go different ways"
            return warning(text, f"unset {name}")
        if name.lower() == "no_proxy":
            continue
        host = proxy_host(value)
        if host is None:
            return error(f"{name}={value} is no address of a proxy", f"export {name}=http://<host>:<port>")
        if host in LOCAL_HOSTS:
            text = f"{name} points to this machine itself ({value}): a build reaches it, a shell's container does not"
            return warning(text, "use the proxy's own address instead of localhost")
    return ok(", ".join(f"{name}={value}" for name, value in network.proxies))


def ca_bundle(network: Network) -> Finding:
    """The certificate authorities that everything here trusts."""
    if network.bundle_problem is not None:
        return refusal(network.bundle_problem, CONTAINER, INSTALL)
    if network.missing_bundles:
        name, file = network.missing_bundles[0]
        return warning(f"{name}={file} is missing: some programs trust nobody", f"unset {name}")
    if network.bundle is None:
        return warning("this system has none", Mend("install-authorities"))
    return ok(f"{network.bundle} ({network.bundle_origin})")


def pip_settings(network: Network) -> Finding:
    """pip's own settings can be read."""
    problem = network.pip_problem
    if problem is not None:
        return error(f"{problem.what}: {problem.why}", "python3 -m pip config debug", INSTALL)
    return ok("readable")


def index(network: Network) -> Finding:
    """The package index, where a build takes its wheels from."""
    folders = network.failures("index-folder")
    if folders:
        mend = "unset PIP_INDEX_URL  (or name a folder that is there)"
        return warning(f"{folders[0].name}: {folders[0].problem}", mend)
    proxied = "where there is a proxy: export https_proxy=http://<host>:<port>"
    return _judge("index", network, f"export PIP_INDEX_URL=https://<mirror>/simple  ({proxied})")


def registry(network: Network, engines: Engines) -> Finding:
    """The container registry; without it a base is made on the spot."""
    if engines.running is not None and engines.running.has_detour:
        return ok("the engine has a way of its own (a mirror, a proxy)")
    here = "a base made here, on Debian and Ubuntu; or give the engine a proxy or a mirror"
    return _judge("registry", network, f"make gpu-shell BASE=local  ({here})")


def archives(network: Network) -> Finding:
    """The archives of CUDA, which only gpu images need; without them the package index serves."""
    answers = network.of_kind("archive")
    untrusted = next((answer for answer in answers if answer.is_untrusted), None)
    missing = [reason for reason in network.archive_obstacles.values() if reason is not None]
    if not missing:
        return ok("every one is on this machine or answers")
    if untrusted is not None:
        return _distrust(untrusted)
    lost = list(filter(None, map(network.cuda_obstacle, network.archive_obstacles)))
    if not lost:
        return ok(f"{missing[0]}; the package index serves instead, without cuFFT and cuSOLVER")
    mend = "fetch them elsewhere and run with SOURCES_DIR=<folder>"
    if answers and all(answer.is_silent for answer in answers):
        return unknown(f"no source of the CUDA archives answered in time: {lost[0]}", mend)
    return warning(f"gpu images cannot be built: {lost[0]}", mend)


def channels(network: Network, engines: Engines, pythons: Pythons, wish: Wish) -> Finding:
    """conda's channels, without which there is nothing where neither an engine nor a Python of the version is."""
    failed = network.failures("channel")
    has_engine = engines.running is not None or engines.private_obstacle is None
    if not failed or has_engine or all(pythons.found.get(one.python_minor) for one in wish.variants):
        answers = "; ".join(f"{one.name} cannot be reached ({one.problem}), and is not needed" for one in failed)
        return ok(answers or "every one of the conda environments answers")
    mend = "make conda-env CHANNELS=https://<mirror>/conda-forge  (or SOURCES_DIR=<folder of packages>)"
    return _judge("channel", network, mend)


def mirror(network: Network) -> Finding:
    """The distribution's own mirror, where an engine and a local base come from."""
    return _judge("apt", network, Mend("update-lists")) if network.of_kind("apt") else ok("not needed")


def _judge(kind: str, network: Network, mend: Mend | str) -> Finding:
    answers, failed = network.of_kind(kind), network.failures(kind)
    if not answers:
        return unknown("no address is known to ask", mend)
    if not failed:
        return ok(f"{', '.join(answer.name for answer in answers)} answers")
    first = failed[0]
    if first.is_untrusted:
        return _distrust(first)
    if first.is_silent:
        return unknown(f"{first.name} did not answer in time", mend)
    if first.proxy:
        mend = "export https_proxy=http://<host>:<port>  (the proxy's right address; without one: unset https_proxy)"
    return warning(f"{first.name} cannot be reached: {first.problem}", mend)


def _distrust(answer: Answer) -> Finding:
    name = urlsplit(answer.name).netloc or answer.name
    text = f"the certificate of {name} is not trusted: a proxy that inspects TLS, or a wrong clock"
    return warning(text, Mend("distrust"))


def clock(clock: Clock, network: Network) -> Finding:
    """Certificates are not valid at another time; compared with what answered, and with the project's own files."""
    here = datetime.fromtimestamp(clock.now, timezone.utc).date().isoformat()
    if clock.now < clock.newest_file - CLOCK_TOLERANCE_S:
        text = f"it says {here}, and files of this project are {_days(clock.newest_file - clock.now)} newer"
        return error(text, Mend("set-clock"))
    dates = sorted((answer.date, answer.name) for answer in network.answers if answer.date is not None)
    if not dates:
        return ok(f"{here}, not before the files of this project (nothing else answered that has a clock)")
    # Several answer: one server whose own clock is wrong must not decide.
    date, witness = dates[len(dates) // 2]
    off_s = clock.now - date
    if abs(off_s) <= CLOCK_TOLERANCE_S:
        return ok(f"{here}, as {witness} says")
    text = f"it says {here}, {_days(abs(off_s))} {'after' if off_s > 0 else 'before'} what {witness} says"
    return error(text, Mend("set-clock"))


def _days(seconds: float) -> str:
    days = round(seconds / 86400)
    return f"{days} day{'s' if days != 1 else ''}"

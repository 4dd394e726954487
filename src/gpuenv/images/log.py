"""Reads the output of a build: the step it is at, and why it failed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gpuenv.core.ui import end_of_output
from gpuenv.explain import command as explain
from gpuenv.explain.command import Diagnosis
from gpuenv.net import redact
from gpuenv.net.build_settings import BuildNetwork

_STEP = re.compile(r"#(?P<number>\d+) (?:\[(?P<stage>[\w.-]+) +\d+/\d+\] (?:RUN|COPY)\b|exporting to image$)")
_END = re.compile(r"#(?P<number>\d+) (?P<how>DONE|CACHED|ERROR)\b ?(?P<time>[\d.]+s)?")
_PREFIX = re.compile(r"#\d+ (?:\d+\.\d+ )?")
_PODMAN_STEP = re.compile(r"(?:\[\d+/\d+\] )?STEP \d+/\d+: (?P<what>(?:FROM|RUN|COPY) .{0,60})")

#: Enough for pip's report of a wrong hash and what led to it.
KEPT_LINES = 200
#: A step that takes less is not worth a line (seconds).
SHOWN_S = 1.0


class StepReader:
    """Turns the lines of ``--progress plain`` into a line for people per step that does something."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._unchanged: set[str] = set()

    def read(self, line: str) -> str | None:
        """What is to be said after this line, or None."""
        begin = _STEP.match(line)
        if begin:
            self._names.setdefault(begin["number"], begin["stage"] or "writing the image")
            return None
        end = _END.match(line)
        if end and end["number"] in self._names:
            return self._finish(self._names.pop(end["number"]), end["how"], float((end["time"] or "0s")[:-1]))
        podman = _PODMAN_STEP.match(line)
        return f"  {podman['what']}" if podman else None

    def _finish(self, name: str, how: str, seconds: float) -> str | None:
        if how == "ERROR":
            return f"  {name}: failed"
        if how == "DONE":
            return f"  {name}: {seconds:.0f} s" if seconds >= SHOWN_S else None
        # A stage of several steps says it once.
        is_known = name in self._unchanged
        self._unchanged.add(name)
        return None if is_known else f"  {name}: unchanged"

    @property
    def current(self) -> str:
        """The steps that are under way, for a live display."""
        return ", ".join(dict.fromkeys(self._names.values()))


def strip_prefix(line: str) -> str:
    """A line without the number of its step and its time."""
    return _PREFIX.sub("", line, count=1).rstrip()


def find_cause(lines: Sequence[str], network: BuildNetwork) -> Diagnosis:
    """Why a build failed, from the last lines that it printed (without prefixes)."""
    text = "\n".join(lines)
    return (
        _conflict(text)
        or _wrong_hash(text)
        or _no_space(text)
        or _bad_certificate(text, network)
        or _no_index(text, network)
        or explain.diagnose(text)
        or _no_version(text)
        or Diagnosis(end_of_output(text, "log"), "")
    )


_CONFLICT = re.compile(r"^The conflict is caused by:\n(?P<lines>(?: {4}.+\n)+)", re.MULTILINE)
_OVERWRITTEN = re.compile(r"^not added: (?P<what>.+)$", re.MULTILINE)
_FROM_USER, _FROM_LOCK = "The user requested ", "The user requested (constraint) "
#: More are versions of the same package that pip tried.
_NAMED_CAUSES = 3


def _conflict(text: str) -> Diagnosis | None:
    """What a user's requirements want that goes not with the lock (see `added.py`)."""
    remedy = "take it out, or ask for a version that goes with what the lock holds"
    overwritten = _OVERWRITTEN.search(text)
    if overwritten is not None:
        return Diagnosis(overwritten["what"], remedy)
    match = _CONFLICT.search(text + "\n")
    if match is None:
        return None
    causes = [line.strip() for line in match["lines"].splitlines()]
    held = [line.removeprefix(_FROM_LOCK) for line in causes if line.startswith(_FROM_LOCK)]
    wanted = [line.replace(_FROM_USER, "it asks for ") for line in causes if not line.startswith(_FROM_LOCK)]
    said = " and ".join(dict.fromkeys(wanted[:_NAMED_CAUSES]))
    return Diagnosis(f"{said}, and the lock holds {', '.join(held)}" if held else f"{said}: no version is both", remedy)


_MISMATCH = re.compile(
    r"^ {4}(?P<package>\S+) from (?P<url>\S+)(?: .*)?\n(?P<expected>(?: +(?:Expected|or) .*\n)+)"
    r" +Got +(?P<got>[0-9a-f]{64})",
    re.MULTILINE,
)


def _wrong_hash(text: str) -> Diagnosis | None:
    match = _MISMATCH.search(text)
    if match is None:
        return None
    expected = " or ".join(re.findall(r"[0-9a-f]{64}", match["expected"]))
    file = match["url"].split("#")[0].rsplit("/", 1)[-1]
    return Diagnosis(
        f"{match['package']} is refused: {file} has sha256 {match['got']}, and the lock names {expected}",
        "the file was damaged on its way or replaced on the index: try again, or use another index (PIP_INDEX_URL)",
    )


def _no_space(text: str) -> Diagnosis | None:
    if not re.search(r"no space left on device|Errno 28\]|disk quota exceeded", text, re.IGNORECASE):
        return None
    return Diagnosis(
        "the engine's disk is full", "make room (`docker system df` shows what an engine holds), then run it again"
    )


def _bad_certificate(text: str, network: BuildNetwork) -> Diagnosis | None:
    match = re.search(r"CERTIFICATE_VERIFY_FAILED\]? ?(?P<detail>[^\n()]*)", text)
    if match is None:
        return None
    host = re.search(r"host='([^']+)'", text)
    whose = f" of {host[1]}" if host else ""
    given = f"{network.ca_path} ({network.ca_origin})" if network.ca_path else "no bundle of this host"
    variable = network.ca_origin if network.ca_origin.isupper() else "SSL_CERT_FILE"
    return Diagnosis(
        f"the certificate{whose} is signed by nobody that the CA bundle knows; the build was given {given}",
        f"name the bundle of your network (a proxy that reads TLS has its own CA): {variable}=<file> make images",
    )


def _no_version(text: str) -> Diagnosis | None:
    match = re.search(r"satisfies the requirement (?P<what>.{1,300}?) \((?P<known>from versions: [^()\n]*)\)", text)
    if match is None:
        return None
    why = f"No matching distribution found for {match['what']} and this variant's Python ({match['known']})"
    return Diagnosis(why, "correct its name or version; versions for a newer Python are not offered")


def _no_index(text: str, network: BuildNetwork) -> Diagnosis | None:
    match = re.search(
        r"Name or service not known|Temporary failure in name resolution|Connection refused|Network is unreachable"
        r"|No route to host|timed out|Cannot connect to proxy|Tunnel connection failed[^'\n)]*|Connection reset",
        text,
    )
    if match is None or ("No matching distribution" not in text and "Max retries exceeded" not in text):
        return None
    hosts = sorted(set(re.findall(r"host='([^']+)', port=(\d+)", text)))
    index = re.search(r"^index-url = (\S+)$", network.pip_conf, re.MULTILINE)
    name = ", ".join(f"{host}:{port}" for host, port in hosts) or (redact.text(index[1]) if index else "it")
    proxies = f"; proxies handed in: {', '.join(network.proxies)}" if network.proxies else "; no proxy is set"
    return Diagnosis(
        f"the package index cannot be reached ({name}: {match[0]}{proxies})",
        "check the network; set HTTPS_PROXY or PIP_INDEX_URL if this machine needs them",
    )

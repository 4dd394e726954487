"""Translates the failures of conda, mamba, micromamba and rattler into cause and next command."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from gpuenv.conda import spec as conda_spec
from gpuenv.conda.channels import CondaRequest
from gpuenv.core.errors import BuildError, DataError, GpuenvError, SourceError
from gpuenv.core.ui import end_of_output
from gpuenv.net import redact

#: rattler and mamba draw a tree; conda writes sentences. The package, and what it asks for.
_REQUIRES = (
    re.compile(r"[└├]─+ *(?P<who>[a-z0-9_.-]+) (?P<version>[\w.]+)[^\n]* would require[,\s]*\n"
               r"[\s│└├─]*(?P<what>[a-z_][a-z0-9_.-]*) (?P<range>[^,\n]+),? (?:for which|which)"),
    re.compile(r"nothing provides (?:requested )?(?P<what>[a-z_][\w.-]*) (?P<range>\S+) needed by "
               r"(?P<who>[a-z0-9_.-]+?)-(?P<version>\d[\w.]*)"),
    re.compile(r"(?P<who>[a-z0-9_.-]+)-(?P<version>\d[\w.]*)-\S+ requires (?P<what>[a-z_][\w.-]*) "
               r"(?P<range>[^,\n]+?),? but none of the providers"),
    re.compile(r"(?P<who>[a-z0-9_.-]+)==?(?P<version>[\w.]+)\S* -> (?P<what>[a-z_][\w.-]*)"
               r"\[version='(?P<range>[^']+)'"),
)  # fmt: skip
_MISSING = (
    re.compile(r"No candidates were found for (\S.*?)\.?\s*$", re.MULTILINE),
    re.compile(r"nothing provides requested (\S+ \S+)"),
    re.compile(r"(?:ResolvePackageNotFound|PackagesNotFoundError)[^\n]*\n(?:[^\n]*\n)?\s+- (\S+)"),
    re.compile(r"[└├]─+ *(\S+(?: +\S+)?) +does not exist"),
)
_URL = re.compile(r"https?://[^\s)>'\"]+|file://[^\s)>'\"]+")
_HASH = ("hash mismatch", "ChecksumMismatch", "checksum", "SHA256", "sha256 sum", "MD5")
#: What unpacking says where it comes before the sum.
_DAMAGED = ("bzip2: invalid data", "bzip2: bz2 header missing", "invalid zstd")
_TLS = ("CERTIFICATE_VERIFY_FAILED", "invalid peer certificate", "UnknownIssuer", "SSL certificate problem", "SSLError")
_DOWN = (
    "error sending request", "HTTP 000", "Connection refused", "CONNECTION FAILED", "Could not resolve host",
    "dns error", "timed out", "Max retries exceeded", "Download error", "os error 111", "Failed to connect",
)  # fmt: skip


def explain(text: str, *, program: str, request: CondaRequest, log: Path) -> GpuenvError:
    """The error for what ``program`` wrote. A full disk is told before (see :mod:`gpuenv.prefix.pip`)."""
    # A mirror's address may hold a password, and what a program writes, too.
    request = CondaRequest(tuple(map(redact.text, request.channels)), request.specifications)
    text = redact.text(text)
    readers: Sequence[Callable[[str, CondaRequest], GpuenvError | None]] = (
        _hash_mismatch, _collision, _vanished, _no_candidate, _untrusted, _unreachable,
    )  # fmt: skip
    for reader in readers:
        found = reader(text, request)
        if found is not None:
            return found
    return BuildError(
        f"{program} could not make the environment",
        end_of_output(text),
        f"see {log}",
    )


def _hash_mismatch(text: str, _: CondaRequest) -> GpuenvError | None:
    if _line_with(text, _DAMAGED) is not None:
        return SourceError(
            f"the channel gave a damaged file: {_name_of(text)}",
            f"a download that broke off, or a proxy that rewrites files: {_line_with(text, _DAMAGED)}".strip()[:300],
            "run the same again; if it stays, name another mirror with CHANNELS=",
        )
    line = _line_with(text, _HASH)
    if line is None or not re.search(r"mismatch|expect|does not match|didn't match|incorrect", line):
        return None
    return SourceError(
        f"the channel gave another file than it promised: {_name_of(line)}",
        f"a damaged download, a proxy that rewrites files, or a mirror that is being updated: {line.strip()[:300]}",
        "run the same again; if it stays, name another mirror with CHANNELS=",
    )


def _collision(text: str, request: CondaRequest) -> GpuenvError | None:
    match = next((match for pattern in _REQUIRES if (match := pattern.search(text))), None)
    if match is None:
        return None
    first = f"{match['who']} {match['version']} needs {match['what']} {match['range'].strip()}"
    return DataError(
        "no set of conda packages fits: two requirements collide",
        f"{first}; against it stands {_against(match['what'], request)}",
        "correct [conda] in variant.toml and run `make lock`"
        if not match["what"].startswith("__")
        else f"set CONDA_OVERRIDE_{match['what'].strip('_').upper()} to a version that fits, or use FLAVOR=cpu",
    )


def _against(name: str, request: CondaRequest) -> str:
    """What was asked for of the same package; for ``__cuda`` and its kin, the machine."""
    if name.startswith("__"):
        return f"this machine, which has no {name} of that version (no driver, or an old one)"
    wanted = [each for each in request.specifications if _package(each) == name]
    return f"{wanted[0]}, which is asked for" if wanted else f"that {' and '.join(request.channels)} has no such {name}"


def _package(specification: str) -> str:
    return conda_spec.without_channel(specification).partition("=")[0]


def _vanished(text: str, _: CondaRequest) -> GpuenvError | None:
    line = next(
        (line for line in text.splitlines() if "404" in line and re.search(r"\.(conda|tar\.bz2)\b", line)), None
    )
    if line is None:
        return None
    return SourceError(
        f"a package is gone from the channel: {_name_of(line)}",
        f"the channel lists it, and does not give it: {line.strip()[:300]}",
        "run the same again (a mirror may be updating), or name another one with CHANNELS=",
    )


def _no_candidate(text: str, request: CondaRequest) -> GpuenvError | None:
    match = next((match for pattern in _MISSING if (match := pattern.search(text))), None)
    if match is None:
        return None
    return DataError(
        f"no channel has {match[1].strip()}",
        f"it was looked for in {', '.join(request.channels)}; the package vanished, or the mirror holds a part only",
        "name a channel that has it with CHANNELS=, or correct [conda] in variant.toml and run `make lock`",
    )


def _untrusted(text: str, _: CondaRequest) -> GpuenvError | None:
    if _line_with(text, _TLS) is None:
        return None
    return SourceError(
        "the channel's certificate is not trusted",
        "it is not signed by an authority that this machine knows: a proxy that inspects TLS, or a mirror's own",
        "name the CA bundle of your network: PIP_CERT=/path/to/bundle.crt (verification is never switched off)",
    )


def _unreachable(text: str, request: CondaRequest) -> GpuenvError | None:
    line = _line_with(text, _DOWN) or _line_with(text, ("could not find subdir", "404"))
    if line is None:
        return None
    urls = _URL.findall(line) or list(request.channels)
    return SourceError(
        f"the channel {urls[0]} does not answer",
        line.strip()[:300],
        "check network and proxy; or name a mirror with CHANNELS=, or a folder of packages with SOURCES_DIR=",
    )


def _line_with(text: str, words: Sequence[str]) -> str | None:
    return next((line for line in text.splitlines() if any(word.lower() in line.lower() for word in words)), None)


def _name_of(line: str) -> str:
    match = re.search(r"([\w.+-]+\.(?:conda|tar\.bz2))", line)
    return match[1] if match else "a package"

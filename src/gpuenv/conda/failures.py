"""Translates the failures of conda, mamba, micromamba and rattler into cause and next command."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from gpuenv.conda import spec as conda_spec
from gpuenv.conda.channels import CondaRequest
from gpuenv.core.errors import BuildError, DataError, GpuenvError, SourceError
from gpuenv.core.ui import end_of_output
from gpuenv.net import redact

#: rattler and mamba draw a tree; conda writes sentences. The package, and what it asks for.
_REQUIRES = (
    re.compile(r"[└├]─{1,9} {0,9}(?P<who>[a-z0-9_.-]{1,80}) (?P<version>[\w.]{1,40}\b)[^\n]{0,200} "
               r"would require[,\s]{0,9}\n"
               r"[\s│└├─]{0,200}(?P<what>[a-z_][a-z0-9_.-]{0,80}) (?P<range>[^,\n]{1,200}),? (?:for which|which)"),
    re.compile(r"nothing provides (?:requested )?(?P<what>[a-z_][\w.-]{0,80}) (?P<range>\S{1,80}) needed by "
               r"(?P<who>[a-z0-9_.-]{1,80}?)-(?P<version>\d[\w.]*)"),
    re.compile(r"(?<![a-z0-9_.-])(?P<who>[a-z0-9_.-]{1,80})-(?P<version>\d[\w.]{0,40})-[^\s-]{1,80} "
               r"requires (?P<what>[a-z_][\w.-]{0,80}) (?P<range>[^,\n]{1,200}?),? but none of the providers"),
    re.compile(r"(?<![a-z0-9_.-])(?P<who>[a-z0-9_.-]{1,80})==?(?P<version>[\w.]{1,40})(?![\w.])\S{0,80} -> "
               r"(?P<what>[a-z_][\w.-]{0,80})\[version='(?P<range>[^']{1,200})'"),
)  # fmt: skip
_MISSING = (
    re.compile(r"No candidates were found for (\S.{0,200}?)\.?[ \t]{0,9}$", re.MULTILINE),
    re.compile(r"nothing provides requested (\S{1,80} \S{1,80})"),
    re.compile(r"(?:ResolvePackageNotFound|PackagesNotFoundError)[^\n]{0,200}\n(?:[^\n]{0,200}\n)?[ \t]{1,20}- (\S+)"),
    re.compile(r"[└├]─{1,9} {0,9}(\S{1,80}(?: {1,9}\S{1,80})?) {1,9}does not exist"),
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
    """The error for what ``program`` wrote. A full disk is told before (see :mod:`gpuenv.prefix.making`)."""
    # A mirror's address may hold a password, and what a program writes, too.
    request = CondaRequest(tuple(map(redact.text, request.channels)), request.specifications)
    text = redact.text(text)
    unknown = BuildError(f"{program} could not make the environment", end_of_output(text), f"see {log}")
    return next(chain(_damage(text), _collision(text, request), _absence(text, request)), unknown)


def _damage(text: str) -> Iterator[GpuenvError]:
    if (line := _line_with(text, _DAMAGED)) is not None:
        yield SourceError(
            f"the channel gave a damaged file: {_name_of(text)}",
            f"a download that broke off, or a proxy that rewrites files: {line}".strip()[:300],
            "run the same again; if it stays, name another mirror with CHANNELS=",
        )
    line = _line_with(text, _HASH)
    if line is not None and re.search(r"mismatch|expect|does not match|didn't match|incorrect", line):
        yield SourceError(
            f"the channel gave another file than it promised: {_name_of(line)}",
            f"a damaged download, a proxy that rewrites files, or a mirror that is being updated: {line.strip()[:300]}",
            "run the same again; if it stays, name another mirror with CHANNELS=",
        )


def _collision(text: str, request: CondaRequest) -> Iterator[GpuenvError]:
    match = _first_match(_REQUIRES, text)
    if match is None:
        return
    name = match["what"]
    wanted = [each for each in request.specifications if conda_spec.without_channel(each).partition("=")[0] == name]
    against = (
        f"{wanted[0]}, which is asked for" if wanted else f"that {' and '.join(request.channels)} has no such {name}"
    )
    remedy = "correct [conda] in variant.toml and run `make lock`"
    if name.startswith("__"):
        against = f"this machine, which has no {name} of that version (no driver, or an old one)"
        remedy = f"set CONDA_OVERRIDE_{name.strip('_').upper()} to a version that fits, or use FLAVOR=cpu"
    yield DataError(
        "no set of conda packages fits: two requirements collide",
        f"{match['who']} {match['version']} needs {name} {match['range'].strip()}; against it stands {against}",
        remedy,
    )


def _absence(text: str, request: CondaRequest) -> Iterator[GpuenvError]:
    gone = (line for line in text.splitlines() if "404" in line and re.search(r"\.(conda|tar\.bz2)\b", line))
    for line in gone:
        yield SourceError(
            f"a package is gone from the channel: {_name_of(line)}",
            f"the channel lists it, and does not give it: {line.strip()[:300]}",
            "run the same again (a mirror may be updating), or name another one with CHANNELS=",
        )
    if match := _first_match(_MISSING, text):
        names = ", ".join(request.channels)
        yield DataError(
            f"no channel has {match[1].strip()}",
            f"it was looked for in {names}; the package vanished, or the mirror holds a part only",
            "name a channel that has it with CHANNELS=, or correct [conda] in variant.toml and run `make lock`",
        )
    if _line_with(text, _TLS) is not None:
        yield SourceError(
            "the channel's certificate is not trusted",
            "it is not signed by an authority that this machine knows: a proxy that inspects TLS, or a mirror's own",
            "name the CA bundle of your network: PIP_CERT=/path/to/bundle.crt (verification is never switched off)",
        )
    down = _line_with(text, _DOWN) or _line_with(text, ("could not find subdir", "404"))
    if down is not None:
        yield SourceError(
            f"the channel {(_URL.findall(down) or request.channels)[0]} does not answer",
            down.strip()[:300],
            "check network and proxy; or name a mirror with CHANNELS=, or a folder of packages with SOURCES_DIR=",
        )


def _first_match(patterns: Sequence[re.Pattern[str]], text: str) -> re.Match[str] | None:
    return next((match for pattern in patterns if (match := pattern.search(text))), None)


def _line_with(text: str, words: Sequence[str]) -> str | None:
    return next((line for line in text.splitlines() if any(word.lower() in line.lower() for word in words)), None)


def _name_of(line: str) -> str:
    match = re.search(r"([\w.+-]{1,200}\.(?:conda|tar\.bz2))", line)
    return match[1] if match else "a package"

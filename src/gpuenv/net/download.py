"""Downloads files over HTTP, taking up a broken-off one where it stopped, and asks the package index.

Nothing here trusts what it gets: whoever asks for a file verifies the whole of it afterwards. Nothing goes on for ever
either: what is larger than it may be, or comes too slowly, is given up.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from gpuenv.core import ui
from gpuenv.core.errors import HostError, SourceError
from gpuenv.net import certificates, redact
from gpuenv.net.pip_settings import PipSettings, load_pip_settings

ATTEMPTS = 3
#: Pause before the second attempt; twice as long before the third.
PAUSE_S = 1.0
#: To connect; between two pieces of data.
TIMEOUT_S = (10.0, 60.0)
#: What comes more slowly than this, over so long, is as good as not coming: a modem of 1994 brings three times as much
#: (28.8 kbit/s), and the smallest archive of a lock would still take days. Looked at with every piece that comes.
SLOWEST_BYTES_S, SLOW_S = 1000, 60.0
_INDEX_TIMEOUT_S = 60.0
#: Of one answer of an index: pages of 10 MB are the largest seen, and sources that `make lock` looks into have 30 MB.
INDEX_LIMIT_BYTES = 200_000_000
#: A project's page, the simple repository API in its two forms; an index that knows neither header sends HTML. It has
#: three times what the largest seen has at most, and takes as long as pip would wait for four answers.
PAGE = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"
PAGE_LIMIT_BYTES, _PAGE_S = 30_000_000, 60.0
_CHUNK_BYTES = 1 << 18
#: Archives are compressed already, and a server that compresses again would break the offsets of a resumption.
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "gpuenv"}


class TooSlowError(requests.Timeout):
    """Something comes, but more slowly than :data:`SLOWEST_BYTES_S`."""


def fetch(url: str, part: Path, label: str, limit_bytes: int, settings: PipSettings | None = None) -> bool:
    """Download ``url`` to ``part``, going on after what is already there; returns whether anything was.

    With ``settings`` the proxy and certificates of pip are used, as for the index that it is from.

    Raises SourceError when it fails repeatedly or finally, and beyond ``limit_bytes``, after which nothing is left of
    it; HostError when it cannot be written.
    """
    was_begun = part.exists() and part.stat().st_size > 0
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _transfer(url, part, label, limit_bytes, _access(settings or PipSettings()))
            break
        except SourceError:
            part.unlink(missing_ok=True)
            raise
        except requests.RequestException as error:  # an OSError too, so it comes first
            # An answer such as 404 will be the same in a second; a broken line may not.
            is_final = error.response is not None and error.response.status_code < requests.codes.server_error
            if is_final or attempt == ATTEMPTS:
                raise SourceError(
                    f"{redact.address(url)} did not yield it", describe(error), "check the network and its proxy"
                ) from error
            ui.say(f"{label}: {describe(error)}; trying again")
            time.sleep(PAUSE_S * attempt)
        except OSError as error:
            raise HostError(f"{part} cannot be written", str(error), "make room, or set GPUENV_CACHE_DIR") from error
    return was_begun


def describe(error: requests.RequestException) -> str:
    """One line for what went wrong."""
    if isinstance(error, requests.exceptions.SSLError):
        return "the certificate is not trusted (set SSL_CERT_FILE to your network's CA bundle)"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy refused or did not answer"
    if isinstance(error, requests.Timeout):
        is_slow = isinstance(error, TooSlowError)
        return f"it came more slowly than {SLOWEST_BYTES_S} bytes a second" if is_slow else "no answer in time"
    if error.response is not None:
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    return "no connection" if isinstance(error, requests.ConnectionError) else redact.text(str(error))


def _access(settings: PipSettings) -> dict[str, Any]:
    """How pip's settings say that servers are reached, in the words of `requests`."""
    return {
        "verify": str(settings.cert) if settings.cert else certificates.verify_setting(),
        "proxies": {"http": settings.proxy, "https": settings.proxy} if settings.proxy else None,
    }


def _transfer(url: str, part: Path, label: str, limit_bytes: int, access: dict[str, Any]) -> None:
    start = part.stat().st_size if part.exists() else 0
    headers = {**_HEADERS, "Range": f"bytes={start}-"} if start else _HEADERS
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S, **access) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            # Everything is here, or more than there is: the caller's verification tells which.
            return
        response.raise_for_status()
        is_continued = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        begin = start if response.status_code == requests.codes.partial_content and is_continued else 0
        _write(response, part, begin, label, limit_bytes)


def _write(response: requests.Response, part: Path, begin: int, label: str, limit_bytes: int) -> None:
    length = response.headers.get("Content-Length", "")
    expected = begin + int(length) if length.isdigit() else None
    if expected is not None and expected > limit_bytes:
        raise _too_long(response.url, f"{expected} bytes are announced", limit_bytes)
    with (
        # Nobody else may write to it, whatever the mask: what is verified is used without a copy then.
        open(part, "r+b" if begin else "wb", opener=_open_private) as stream,
        ui.download_progress(label, expected) as progress,
    ):
        stream.seek(begin)
        progress.update(progress.task_ids[0], advance=begin)
        for piece in pieces(response, limit_bytes - begin):
            stream.write(piece)
            progress.update(progress.task_ids[0], advance=len(piece))
        if expected is not None and stream.tell() < expected:
            raise requests.exceptions.ChunkedEncodingError(f"ended after {stream.tell()} of {expected} bytes")


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def pieces(response: requests.Response, limit_bytes: int, limit_s: float = inf) -> Iterator[bytes]:
    """What comes, as it comes. Raises SourceError beyond ``limit_bytes``, Timeout beyond ``limit_s`` seconds,
    TooSlowError, and as requests does.
    """
    left = limit_bytes
    begun, count = time.monotonic(), 0
    end = begun + limit_s
    while piece := _next_piece(response):
        left, count = left - len(piece), count + len(piece)
        if left < 0:
            raise _too_long(response.url, "it does not end there", limit_bytes)
        seconds = time.monotonic() - begun
        if seconds >= SLOW_S:
            if count < SLOWEST_BYTES_S * seconds:
                raise TooSlowError
            begun, count = time.monotonic(), 0
        if time.monotonic() > end:
            raise requests.Timeout
        yield piece


def _next_piece(response: requests.Response) -> bytes:
    """What is there already; `iter_content` would wait for a whole chunk, which a byte at a time fills in days."""
    is_packed = "Content-Encoding" in response.headers
    if response.raw.length_remaining == 0 and not is_packed:
        # Some releases of Python do not notice, and wait for what follows on the same connection.
        return b""
    try:
        piece: bytes = response.raw.read1(_CHUNK_BYTES, decode_content=True)
    except ReadTimeoutError as error:
        raise requests.ReadTimeout from error
    except HTTPError as error:
        raise requests.exceptions.ChunkedEncodingError from error
    return piece


def _too_long(url: str, why: str, limit_bytes: int) -> SourceError:
    return SourceError(
        f"{redact.address(url)} yields more than the {limit_bytes} bytes that were expected",
        why,
        "name another source, or correct it",
    )


def ask_index(url: str, what: str, accept: str = "*/*") -> requests.Response:
    """Ask the index as the host's pip would: its login, proxy, certificates. Raises SourceError beginning ``what``.

    ``accept`` is PAGE for a project's page, which has narrower bounds.
    """
    settings = load_pip_settings()
    limit_bytes, limit_s = (PAGE_LIMIT_BYTES, _PAGE_S) if accept == PAGE else (INDEX_LIMIT_BYTES, inf)
    timeout = settings.timeout_s or _INDEX_TIMEOUT_S
    try:
        answer = get_whole(with_login(url, settings), accept, limit_bytes, limit_s, timeout, **_access(settings))
        answer.raise_for_status()
    except requests.RequestException as error:
        remedy = "check the network, or name another index: PIP_INDEX_URL=https://..."
        raise SourceError(what, describe(error), remedy) from error
    return answer


def get_whole(
    url: str, accept: str, limit_bytes: int, limit_s: float, timeout: float, **access: Any
) -> requests.Response:
    """An answer with all that it sends, if it is no error. Raises SourceError if it is too long, and as requests does.

    ``limit_s`` (seconds) is for the whole of it, ``timeout`` for the time between two pieces.
    """
    with requests.get(url, headers={"Accept": accept}, stream=True, timeout=timeout, **access) as answer:
        content = b"".join(pieces(answer, limit_bytes, limit_s)) if answer.ok else b""
    # From here `content`, `text` and `json` read it.
    answer.raw = io.BytesIO(content)
    return answer


def with_login(url: str, settings: PipSettings) -> str:
    """Add the user and password of a configured index on the same host; of several, of the one that is nearest.

    What an index of https is told goes to no http.
    """
    parts = urlsplit(url)
    indexes = [urlsplit(index) for index in (settings.index_url, *settings.extra_index_urls) if index]
    own = [index for index in indexes if "@" in index.netloc and index.scheme == parts.scheme]
    here = [index for index in own if index.netloc.rpartition("@")[2] == parts.netloc]
    nearest = max(here, key=lambda index: len(index.path) if parts.path.startswith(index.path) else 0, default=parts)
    return parts._replace(netloc=nearest.netloc).geturl()

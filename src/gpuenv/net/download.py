"""Downloads files over HTTP, taking up a broken-off one where it stopped, and asks the package index.

Nothing here trusts what it gets: whoever asks for a file verifies the whole of it afterwards.
"""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import urlsplit

import requests

from gpuenv.core import ui
from gpuenv.core.errors import HostError, SourceError
from gpuenv.net import certificates
from gpuenv.net.pip_settings import PipSettings, load_pip_settings

ATTEMPTS = 3
#: Pause before the second attempt; twice as long before the third.
PAUSE_S = 1.0
#: To connect; between two pieces of data.
TIMEOUT_S = (10.0, 60.0)
_INDEX_TIMEOUT_S = 60.0
_CHUNK_BYTES = 1 << 18
#: Archives are compressed already, and a server that compresses again would break the offsets of a resumption.
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "gpuenv"}


def fetch(url: str, part: Path, label: str) -> bool:
    """Download ``url`` to ``part``, going on after what is already there; returns whether anything was.

    Raises SourceError when it fails repeatedly or finally, HostError when it cannot be written.
    """
    was_begun = part.exists() and part.stat().st_size > 0
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _transfer(url, part, label)
            break
        except requests.RequestException as error:  # an OSError too, so it comes first
            # An answer such as 404 will be the same in a second; a broken line may not.
            is_final = error.response is not None and error.response.status_code < requests.codes.server_error
            if is_final or attempt == ATTEMPTS:
                raise SourceError(
                    f"{url} did not yield it", describe(error), "check the network and its proxy"
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
        return "no answer in time"
    if error.response is not None:
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    return "no connection" if isinstance(error, requests.ConnectionError) else str(error)


def _transfer(url: str, part: Path, label: str) -> None:
    start = part.stat().st_size if part.exists() else 0
    headers = {**_HEADERS, "Range": f"bytes={start}-"} if start else _HEADERS
    verify = certificates.verify_setting()
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S, verify=verify) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            # Everything is here, or more than there is: the caller's verification tells which.
            return
        response.raise_for_status()
        is_continued = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        begin = start if response.status_code == requests.codes.partial_content and is_continued else 0
        _write(response, part, begin, label)


def _write(response: requests.Response, part: Path, begin: int, label: str) -> None:
    length = response.headers.get("Content-Length", "")
    expected = begin + int(length) if length.isdigit() else None
    with part.open("r+b" if begin else "wb") as stream, ui.download_progress(label, expected) as progress:
        stream.seek(begin)
        progress.update(progress.task_ids[0], advance=begin)
        for chunk in response.iter_content(_CHUNK_BYTES):
            stream.write(chunk)
            progress.update(progress.task_ids[0], advance=len(chunk))
        if expected is not None and stream.tell() < expected:
            raise requests.exceptions.ChunkedEncodingError(f"ended after {stream.tell()} of {expected} bytes")


def ask_index(url: str, what: str, accept: str = "*/*") -> requests.Response:
    """Ask the index as the host's pip would: its login, proxy, certificates. Raises SourceError beginning ``what``."""
    settings = load_pip_settings()
    try:
        answer = requests.get(
            with_login(url, settings),
            headers={"Accept": accept},
            timeout=settings.timeout_s or _INDEX_TIMEOUT_S,
            verify=str(settings.cert) if settings.cert else certificates.verify_setting(),
            proxies={"http": settings.proxy, "https": settings.proxy} if settings.proxy else None,
        )
        answer.raise_for_status()
    except requests.RequestException as error:
        remedy = "check the network, or name another index: PIP_INDEX_URL=https://..."
        raise SourceError(what, describe(error), remedy) from error
    return answer


def with_login(url: str, settings: PipSettings) -> str:
    """Add the user and password of a configured index on the same host; of several, of the one that is nearest."""
    parts = urlsplit(url)
    indexes = [urlsplit(index) for index in (settings.index_url, *settings.extra_index_urls) if index]
    here = [index for index in indexes if "@" in index.netloc and index.netloc.rpartition("@")[2] == parts.netloc]
    nearest = max(here, key=lambda index: len(index.path) if parts.path.startswith(index.path) else 0, default=parts)
    return parts._replace(netloc=nearest.netloc).geturl()

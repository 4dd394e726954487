"""Asks the package index over HTTP as the host's pip would: its login, proxy, certificates and patience."""

from __future__ import annotations

from urllib.parse import urlsplit

import requests

from gpuenv.core.errors import SourceError
from gpuenv.net import certificates
from gpuenv.net.download import describe
from gpuenv.net.pip_settings import PipSettings, load_pip_settings

_TIMEOUT_S = 60.0


def get(url: str, what: str, accept: str = "*/*") -> requests.Response:
    """Fetch one address of the index. Raises SourceError, which begins with ``what``."""
    settings = load_pip_settings()
    try:
        answer = requests.get(
            with_login(url, settings),
            headers={"Accept": accept},
            timeout=settings.timeout_s or _TIMEOUT_S,
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

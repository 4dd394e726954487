"""The index is asked as the host's pip would ask it."""

from __future__ import annotations

import pytest

from gpuenv.core.errors import SourceError
from gpuenv.net import download
from gpuenv.net.pip_settings import PipSettings


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://i.invalid/simple/x/", "https://me:secret@i.invalid/simple/x/"),
        ("https://i.invalid/f/x.tar.gz", "https://me:secret@i.invalid/f/x.tar.gz"),
        ("https://i.invalid/second/x/", "https://you:s2@i.invalid/second/x/"),
        ("https://other.invalid/x.tar.gz", "https://other.invalid/x.tar.gz"),
    ],
)
def test_the_login_of_an_index_is_used_on_its_host_only(url: str, asked: str) -> None:
    more = ("https://you:s2@i.invalid/second", "https://i.invalid/third")
    settings = PipSettings(index_url="https://me:secret@i.invalid/simple/", extra_index_urls=more)
    assert download.with_login(url, settings) == asked


def test_an_index_that_does_not_answer_is_told() -> None:
    with pytest.raises(SourceError, match="x is not known") as caught:
        download.ask_index("http://127.0.0.1:9/simple/x/", "x is not known")
    assert "PIP_INDEX_URL" in caught.value.next_step

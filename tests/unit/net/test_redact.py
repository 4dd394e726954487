"""What of an address nobody may see."""

from __future__ import annotations

import pytest

from gpuenv.net import redact


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("me:p@ss@proxy:3128", "proxy:3128"),
        ("http://me:secret@proxy:3128", "http://proxy:3128"),
        ("me:secret@proxy:3128", "proxy:3128"),
        ("http://proxy:3128", "http://proxy:3128"),
    ],
)
def test_a_proxys_password_is_never_shown(address: str, shown: str) -> None:
    assert redact.address(address) == shown


def test_all_addresses_of_a_text_are_shown_without_logins_and_tokens() -> None:
    text = "GET https://me:pw@a.invalid/t/tk-1/x/ from me@b, /t/c/ and http://c.invalid/p/t/tk-2/y"
    shown = "GET https://a.invalid/t/<token>/x/ from me@b, /t/c/ and http://c.invalid/p/t/<token>/y"
    assert redact.text(text) == shown


def test_a_user_may_be_shown() -> None:
    assert redact.password("ssh://me:sec@ret@lab1:22") == "ssh://me:***@lab1:22"

"""What of an address nobody may see."""

from __future__ import annotations

from pathlib import Path

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


def test_each_token_of_what_has_no_spaces_is_hidden() -> None:
    text = '["https://a.invalid/t/tk-1","https://b.invalid/t/tk-2/x"]'
    assert redact.text(text) == '["https://a.invalid/t/<token>","https://b.invalid/t/<token>/x"]'
    assert redact.text(redact.text(text)) == redact.text(text)


def test_what_is_written_to_a_file_is_hidden_from_a_byte_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    before, new = b"//me:old@h \xff\n", b"//me:new@h \xff\n"
    log.write_bytes(before)
    with redact.hidden_in(log, len(before)), log.open("ab") as stream:
        stream.write(new)
    assert log.read_bytes() == before + b"//h \xff\n"


def test_a_user_may_be_shown() -> None:
    assert redact.password("ssh://me:sec@ret@lab1:22") == "ssh://me:***@lab1:22"

"""What pip refuses and uv does not see."""

from __future__ import annotations

import pytest

from gpuenv.lock import exclusions

PYTHON = "3.6.15"


@pytest.mark.parametrize(
    ("requires_python", "is_accepted"),
    [("", True), (">=3.6", True), ("!=3.6.*,>=2.7", False), ("<3.6", False), (">=3.6.*", True), (">=3.7", False)],
)
def test_accepts_as_pip_does(requires_python: str, is_accepted: bool) -> None:
    assert exclusions.accepts(requires_python, PYTHON) is is_accepted


def test_the_html_form_of_an_index_is_read() -> None:
    page = """<!DOCTYPE html>
        <a href="../f/x-1.0.tar.gz#sha256=aa" data-requires-python="&gt;=2.7,!=3.6.*">x-1.0.tar.gz</a>
        <a href="http://index.invalid/x-0.9-py3-none-any.whl">x-0.9-py3-none-any.whl</a><br>"""
    assert exclusions.parse_page(page) == {"x-1.0.tar.gz": ">=2.7,!=3.6.*", "x-0.9-py3-none-any.whl": ""}


def test_the_index_of_each_package_is_read() -> None:
    text = "a-b==1.0\n    # from http://one.invalid/simple\nc==2.0 ; sys_platform == 'win32'\n    # from http://two.invalid\n"
    assert exclusions.parse_annotations(text) == {"a-b": "http://one.invalid/simple", "c": "http://two.invalid"}

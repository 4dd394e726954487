"""What tests of the report share."""

from __future__ import annotations

import pytest

from gpuenv.harness.report import learned


@pytest.fixture
def words_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without pictures, which take half a second each: for tests of all the rest."""
    monkeypatch.setattr(learned, "why_none", lambda: "this test looks at words")

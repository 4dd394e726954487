from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.core.errors import HostError
from gpuenv.net import certificates


def test_named_bundles_win_over_the_systems(tmp_path: Path) -> None:
    first, second = tmp_path / "first.pem", tmp_path / "second.pem"
    first.touch()
    second.touch()
    assert certificates.find_bundle({"SSL_CERT_FILE": str(second)}) == second
    assert certificates.find_bundle({"SSL_CERT_FILE": str(second), "REQUESTS_CA_BUNDLE": str(first)}) == first


def test_named_bundle_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="SSL_CERT_FILE names it"):
        certificates.find_bundle({"SSL_CERT_FILE": str(tmp_path / "gone.pem")})


def test_without_any_bundle_verification_stays_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in certificates.VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(certificates, "SYSTEM_BUNDLES", (tmp_path / "none.pem",))
    assert certificates.find_bundle({}) is None
    assert certificates.verify_setting() is True

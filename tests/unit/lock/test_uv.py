"""What uv is told, and what it tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.core.errors import DataError, GpuenvError, SourceError
from gpuenv.lock import uv
from gpuenv.net.pip_settings import PipSettings


def test_settings_of_pip_reach_uv(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.crt"
    bundle.touch()
    settings = PipSettings("http://i.invalid", ("http://e.invalid",), bundle, "http://p.invalid:3128", 180.0)
    assert uv.uv_variables(settings, {}, Path("/c")) == {
        "UV_CACHE_DIR": "/c/uv",
        "UV_DEFAULT_INDEX": "http://i.invalid",
        "UV_INDEX": "http://e.invalid",
        "UV_HTTP_TIMEOUT": "180",
        "SSL_CERT_FILE": str(bundle),
        "HTTP_PROXY": "http://p.invalid:3128",
        "HTTPS_PROXY": "http://p.invalid:3128",
        "ALL_PROXY": "http://p.invalid:3128",
    }


def test_verification_stays_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpuenv.net.certificates.SYSTEM_BUNDLES", ())
    assert uv.uv_variables(PipSettings(index_url="http://i.invalid"), {}, Path("/c")).keys() == {
        "UV_CACHE_DIR",
        "UV_DEFAULT_INDEX",
    }


def test_what_the_user_told_uv_stays() -> None:
    told = {"UV_DEFAULT_INDEX": "http://mine.invalid"}
    assert "UV_DEFAULT_INDEX" not in uv.uv_variables(PipSettings(index_url="http://i.invalid"), told, Path("/c"))


@pytest.mark.parametrize(
    ("stderr", "kind", "cause"),
    [
        ("  x No solution found when resolving dependencies:\n because ...", DataError, "no set of versions fits"),
        ("error: Failed to fetch\n  Caused by: invalid peer certificate: UnknownIssuer", SourceError, "certificate"),
        ("error: Failed to fetch\n  Caused by: dns error", SourceError, "cannot be reached"),
        ("error: Failed to fetch: 403 Forbidden", SourceError, "refuses this machine"),
        ("error: Couldn't parse requirement in `requirements.in`", DataError, "Couldn't parse"),
        ("", DataError, "wrote nothing"),
    ],
)
def test_a_failure_of_uv_has_its_cause_and_its_text(stderr: str, kind: type[GpuenvError], cause: str) -> None:
    error = uv.explain_failure(stderr, "for a test")
    assert type(error) is kind
    assert cause in error.why
    assert stderr.strip() in error.why


def test_the_resolver_trusts_what_the_host_trusts(tmp_path: Path) -> None:
    bundle = tmp_path / "campus.pem"
    bundle.touch()
    settings = PipSettings(index_url="https://i.invalid")
    assert uv.uv_variables(settings, {"CURL_CA_BUNDLE": str(bundle)}, Path("/c"))["SSL_CERT_FILE"] == str(bundle)

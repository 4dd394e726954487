"""The installers of `.venv` trust what the host trusts."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from gpuenv.core import paths


@pytest.fixture
def bootstrap(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", paths.project_root() / "src" / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in (*module.CA_VARIABLES, "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
    return module


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_bundle_that_the_user_named(bootstrap: ModuleType, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "/campus.pem")
    found = bootstrap.network_environment()
    assert (found["REQUESTS_CA_BUNDLE"], found["SSL_CERT_FILE"]) == ("/campus.pem", "/campus.pem")
    # It would win over `cert` in the user's own pip configuration.
    assert "PIP_CERT" not in found


def test_else_the_systems(bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "SYSTEM_BUNDLES", (str(tmp_path / "none"), str(tmp_path)))
    assert bootstrap.network_environment()["REQUESTS_CA_BUNDLE"] == str(tmp_path)

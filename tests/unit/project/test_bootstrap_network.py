"""The installers of `.venv` trust what the host trusts."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from gpuenv.core import paths
from gpuenv.core.errors import HostError
from gpuenv.net import certificates


@pytest.fixture
def bootstrap(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", paths.project_root() / "src" / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in (*certificates.VARIABLES, "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
    return module


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_bundle_that_the_user_named(
    bootstrap: ModuleType, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "campus.pem"
    monkeypatch.setenv(variable, str(bundle))
    with pytest.raises(HostError, match="is missing"):
        bootstrap.network_environment()
    bundle.touch()
    found = bootstrap.network_environment()
    assert (found["REQUESTS_CA_BUNDLE"], found["SSL_CERT_FILE"]) == (str(bundle), str(bundle))
    # It would win over `cert` in the user's own pip configuration.
    assert "PIP_CERT" not in found


def test_else_the_systems(bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "all.pem").touch()
    monkeypatch.setattr(certificates, "SYSTEM_BUNDLES", (tmp_path / "none", tmp_path / "all.pem"))
    assert bootstrap.network_environment()["REQUESTS_CA_BUNDLE"] == str(tmp_path / "all.pem")

"""What of the host's network settings reaches a build."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gpuenv.core.errors import HostError
from gpuenv.net import build_settings as network
from gpuenv.net import certificates
from gpuenv.net.build_settings import BuildNetwork
from gpuenv.net.pip_settings import PipSettings

FIRST = "-----BEGIN CERTIFICATE-----\nMIIBfirst\n-----END CERTIFICATE-----\n"
SECOND = "-----BEGIN CERTIFICATE-----\nMIIBsecond\n-----END CERTIFICATE-----\n"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "bundle.pem"
    path.write_text(f"# a comment\n{FIRST}# another\n{SECOND}{FIRST}")
    return path


@pytest.mark.parametrize("name", certificates.VARIABLES)
def test_a_bundle_that_a_variable_names(name: str, bundle: Path) -> None:
    assert certificates.find_named({name: str(bundle)}) == (bundle, name)


def test_pips_own_bundle_wins(bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_text(FIRST)
    assert certificates.find_named({"SSL_CERT_FILE": str(bundle)}, other) == (other, "PIP_CERT")


def test_a_bundle_of_pips_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="is missing"):
        certificates.find_named({}, tmp_path / "none.pem")


def test_only_certificates_each_once(bundle: Path) -> None:
    assert network.read_certificates(bundle) == FIRST + SECOND


@pytest.mark.parametrize(
    ("text", "why"),
    [("no certificate", "no certificate"), (FIRST.replace("MIIB", "M" * 600_000), "KB of certificates")],
)
def test_a_bundle_that_a_build_cannot_use(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "bundle.pem"
    path.write_text(text)
    with pytest.raises(HostError, match=why):
        network.read_certificates(path)


def test_proxies_in_the_spelling_in_which_they_are_set() -> None:
    environ = {"http_proxy": "http://a", "HTTPS_PROXY": "http://b", "NO_PROXY": "", "ftp_proxy": "", "all_proxy": "x"}
    assert network.proxy_names(environ) == ("http_proxy", "HTTPS_PROXY")


def test_pips_settings() -> None:
    settings = PipSettings(
        index_url="https://u:p@index.example/simple",
        extra_index_urls=("https://one.example", "https://two.example"),
        trusted_hosts=("a.example", "b.example:8081"),
        proxy="http://proxy.example:3128",
        timeout_s=60.0,
    )
    assert network.render_pip_conf(settings, has_ca=True) == (
        "[global]\n"
        "no-input = true\n"
        "disable-pip-version-check = true\n"
        "cert = /run/secrets/ca\n"
        "index-url = https://u:p@index.example/simple\n"
        "extra-index-url =\n    https://one.example\n    https://two.example\n"
        "trusted-host =\n    a.example\n    b.example:8081\n"
        "proxy = http://proxy.example:3128\n"
        "timeout = 60\n"
    )


def test_a_folder_of_this_machine_is_no_index_of_a_build() -> None:
    conf = network.render_pip_conf(PipSettings(index_url="file:///srv/index"), has_ca=False)
    assert "cert" not in conf
    assert "index-url" not in conf


def test_a_folder_as_index_is_announced(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "file:///srv/index")
    assert "file:" not in network.load_network().pip_conf
    assert "a build cannot see" in capsys.readouterr().err


def test_secrets_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    files = network.write_secrets(BuildNetwork("[global]\n", FIRST, None, "", ()), tmp_path / "secrets", {"more": "x"})
    assert {name: path.read_text() for name, path in files.items()} == {"pip": "[global]\n", "ca": FIRST, "more": "x"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


def test_without_a_bundle_there_is_no_such_secret(tmp_path: Path) -> None:
    assert list(network.write_secrets(BuildNetwork("", None, None, "", ()), tmp_path / "secrets")) == ["pip"]

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.core.errors import HostError, UsageError
from gpuenv.net import certificates
from gpuenv.net import pip_settings as pipconfig
from gpuenv.net.pip_settings import PipSettings

HOME, PREFIX = Path("/home/u"), Path("/venv")


def test_files_are_those_of_pip_in_its_order() -> None:
    assert pipconfig.config_files({}, HOME, PREFIX) == [
        Path("/etc/xdg/pip/pip.conf"),
        Path("/etc/pip.conf"),
        HOME / ".pip/pip.conf",
        HOME / ".config/pip/pip.conf",
        PREFIX / "pip.conf",
    ]


def test_a_named_file_takes_the_place_of_the_users(tmp_path: Path) -> None:
    named = tmp_path / "pip.conf"
    named.touch()
    files = pipconfig.config_files({"PIP_CONFIG_FILE": str(named)}, HOME, PREFIX)
    assert files[-1] == named
    assert not any(HOME in file.parents for file in files)


def test_dev_null_means_no_file_at_all() -> None:
    assert pipconfig.config_files({"PIP_CONFIG_FILE": "/dev/null"}, HOME, PREFIX) == []


def test_install_wins_over_global_and_keys_are_normalized() -> None:
    shared = "[global]\nindex_url = http://a.invalid\nCert = /a.crt\n"
    text = f"{shared}[install]\nindex-url = http://b.invalid\n[list]\ncert = no\n"
    assert pipconfig.parse_config(text, "pip.conf") == {"index-url": "http://b.invalid", "cert": "/a.crt"}


def test_a_file_that_is_no_ini_file_is_named() -> None:
    with pytest.raises(UsageError, match=r"/etc/pip\.conf"):
        pipconfig.parse_config("index-url = x\n", "/etc/pip.conf")


def test_a_file_that_this_user_may_not_read_is_left_out_and_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As root's own /etc/pip.conf, which pip passes over."""
    closed, mine = tmp_path / "closed", tmp_path / "pip.conf"
    for path in (closed, mine):
        path.write_text(f"[global]\nindex-url = http://{path.name}.invalid\n")
    monkeypatch.setattr(pipconfig, "config_files", lambda *_: [mine, closed])
    read = Path.read_text

    def read_text(path: Path, encoding: str) -> str:
        # Not by its mode, which means nothing to root.
        if path == closed:
            raise PermissionError
        return read(path, encoding)

    monkeypatch.setattr(Path, "read_text", read_text)
    for _ in range(2):
        assert pipconfig.pip_environment({})["PIP_INDEX_URL"] == "http://pip.conf.invalid"
    assert capsys.readouterr().err.count(str(closed)) == 1


def test_variables_win_over_files(monkeypatch: pytest.MonkeyPatch, isolated: Path) -> None:
    config = isolated / ".config/pip/pip.conf"
    config.parent.mkdir(parents=True)
    config.write_text("[global]\nindex-url = http://file.invalid\nproxy = http://proxy.invalid:3128\n")
    monkeypatch.setenv("PIP_INDEX_URL", "http://variable.invalid")
    monkeypatch.setenv("PIP_PROXY", "")
    settings = pipconfig.load_pip_settings()
    assert settings.index_url == "http://variable.invalid"
    assert settings.proxy == "http://proxy.invalid:3128"


def test_every_setting_is_read() -> None:
    values = {
        "index-url": "http://index.invalid/simple",
        "extra-index-url": "http://one.invalid\n  file:///opt/mirror https://two.invalid",
        "find-links": "/opt/wheels",
        "cert": "/ca.crt",
        "default-timeout": "180",
    }
    assert pipconfig.parse_settings(values) == PipSettings(
        index_url="http://index.invalid/simple",
        extra_index_urls=("http://one.invalid", "https://two.invalid"),
        cert=Path("/ca.crt"),
        timeout_s=180.0,
    )


def test_no_host_is_trusted_without_a_certificate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_TRUSTED_HOST", "a.invalid b.invalid:8080")
    assert pipconfig.load_pip_settings() == pipconfig.load_pip_settings()
    assert "PIP_TRUSTED_HOST" not in pipconfig.pip_environment({"PIP_TRUSTED_HOST": "a.invalid b.invalid:8080"})
    (told,) = capsys.readouterr().err.splitlines()
    assert "pip's trusted-host (a.invalid, b.invalid:8080) is not used" in told
    assert "SSL_CERT_FILE" in told


@pytest.mark.parametrize(
    ("index", "extra", "hosts", "kept"),
    [
        ("http://devpi.invalid/simple", "", "devpi.invalid", "devpi.invalid"),
        ("http://devpi.invalid:3141/simple", "", "devpi.invalid", "devpi.invalid"),
        ("http://u:p@Devpi.invalid:3141/", "", "devpi.invalid:3141 other.invalid", "devpi.invalid:3141"),
        ("http://devpi.invalid:3141/", "", "devpi.invalid:80", None),
        ("https://tls.invalid/", "http://plain.invalid/a http://[bad", "plain.invalid tls.invalid", "plain.invalid"),
        # It would do for both.
        ("http://devpi.invalid:3141/", "https://devpi.invalid/", "devpi.invalid", None),
        ("http://devpi.invalid:3141/", "https://devpi.invalid/", "devpi.invalid:3141", "devpi.invalid:3141"),
    ],
)
def test_an_index_without_a_certificate_is_used_where_pip_was_told_so(
    index: str, extra: str, hosts: str, kept: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """pip ignores an index by http whose host is not trusted."""
    environ = {"PIP_INDEX_URL": index, "PIP_EXTRA_INDEX_URL": extra, "PIP_TRUSTED_HOST": hosts}
    found = pipconfig.pip_environment(environ)
    assert found.get("PIP_TRUSTED_HOST") == kept
    assert found["PIP_INDEX_URL"] == index
    settings = pipconfig.parse_settings({"trusted-host": kept or ""})
    assert settings.trusted_hosts == tuple((kept or "").split())
    assert ("is not used" in capsys.readouterr().err) == (kept != hosts)


def test_a_timeout_that_is_no_number_is_named() -> None:
    with pytest.raises(UsageError, match="timeout"):
        pipconfig.parse_settings({"timeout": "soon"})


def test_no_setting_at_all_is_fine() -> None:
    assert pipconfig.parse_settings({}) == PipSettings()


@pytest.mark.parametrize(
    ("proxy", "read"),
    [("p.invalid:3128", "http://p.invalid:3128"), ("https://p.invalid", "https://p.invalid"), ("", None)],
)
def test_a_proxy_without_a_scheme_is_one_of_http(proxy: str, read: str | None) -> None:
    assert pipconfig.parse_settings({"proxy": proxy}).proxy == read


def test_a_pip_that_installs_is_told_of_the_network_and_of_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "pip.conf"
    monkeypatch.setattr(pipconfig, "config_files", lambda *_: [config])
    config.write_text(
        "[global]\nindex-url = http://file.invalid\ntimeout = 7\nuser = true\ntarget = /t\n"
        "[install]\nno-index = true\nfind-links =\n    /wheels\n    /more\ndry-run = true\n"
    )
    elsewhere = (
        "TARGET",
        "PREFIX",
        "ROOT",
        "PYTHON",
        "DRY_RUN",
        "USER",
        "NO_BINARY",
        "CONSTRAINT",
        "REQUIRE_VIRTUALENV",
    )
    environ = {
        **{f"PIP_{name}": "1" for name in elsewhere},
        **{f"PYTHON{name}": "/x" for name in ("HOME", "PATH", "STARTUP", "USERBASE")},
        "PIP_INDEX_URL": "https://index.invalid",
        "VIRTUAL_ENV": "/x",
        "https_proxy": "http://proxy.invalid:3128",
    }
    found = pipconfig.pip_environment(environ)
    assert {name: value for name, value in found.items() if name != "REQUESTS_CA_BUNDLE"} == {
        "PIP_INDEX_URL": "https://index.invalid",
        "PIP_TIMEOUT": "7",
        "PIP_NO_INDEX": "true",
        "PIP_FIND_LINKS": "\n/wheels\n/more",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PYTHONNOUSERSITE": "1",
        "https_proxy": "http://proxy.invalid:3128",
    }


def test_a_pip_that_installs_trusts_what_the_host_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipconfig, "config_files", lambda *_: [])
    bundle = tmp_path / "campus.pem"
    with pytest.raises(HostError, match="is missing"):
        pipconfig.pip_environment({"SSL_CERT_FILE": str(bundle)})
    bundle.touch()
    for variable in certificates.VARIABLES:
        assert pipconfig.pip_environment({variable: str(bundle)})["REQUESTS_CA_BUNDLE"] == str(bundle)
    monkeypatch.setattr(certificates, "SYSTEM_BUNDLES", (tmp_path / "none", bundle))
    found = pipconfig.pip_environment({})
    assert found["REQUESTS_CA_BUNDLE"] == str(bundle)
    # It would win over `cert` in the user's own pip configuration.
    assert "PIP_CERT" not in found

"""Which program makes a conda environment, with what settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gpuenv.conda import channels as conda_channels
from gpuenv.conda import failures as conda_failures
from gpuenv.conda import programs as conda_programs
from gpuenv.conda.channels import CondaRequest
from gpuenv.core.errors import HostError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.host import gpu
from gpuenv.host.gpu import HostGpus
from gpuenv.net import redact
from gpuenv.prefix import conda_env
from gpuenv.variants import model as variants
from gpuenv.variants.environment import Environment

REQUEST = CondaRequest(("conda-forge", "defaults"), ("python=3.6.15", "defaults::cudatoolkit=9.0"))


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def add(folder: Path, name: str, version: str) -> dict[str, str]:
    (folder / name).write_text(f"#!/bin/sh\necho {version}\n")
    (folder / name).chmod(0o755)
    return {"PATH": str(folder)}


def test_micromamba_comes_first(programs: Path) -> None:
    add(programs, "conda", "conda 23.1.0")
    add(programs, "mamba", "mamba 1.5.8")
    environ = add(programs, "micromamba", "2.0.5")
    assert conda_programs.find(None, environ).name == "micromamba"
    assert conda_programs.find("conda", environ).path == str(programs / "conda")


def test_without_any_of_them_the_library_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    assert conda_programs.find(None, {"PATH": str(tmp_path)}) == conda_programs.Program("rattler")


def test_conda_that_is_only_a_shell_function_is_found_by_its_variable(programs: Path) -> None:
    add(programs, "conda", "conda 24.1.2")
    assert conda_programs.find("conda", {"PATH": "/nowhere", "CONDA_EXE": str(programs / "conda")}).name == "conda"


def test_one_that_is_too_old_is_passed_over_and_told(
    programs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = add(programs, "conda", "conda 4.5.11")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    assert conda_programs.find(None, environ).name == "rattler"
    assert "conda 4.5, which is too old" in capsys.readouterr().err
    with pytest.raises(HostError, match="no conda to make") as caught:
        conda_programs.find("conda", environ)
    assert "4.5 is too old, 4.8 or newer is needed" in caught.value.why
    assert "conda update" in caught.value.why


def test_where_there_is_none_at_all_the_reasons_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(HostError) as caught:
        conda_programs.find(None, {"PATH": str(tmp_path)})
    for name in conda_programs.NAMES:
        assert f"{name}: " in caught.value.why


def test_only_the_stated_channels_are_asked() -> None:
    argv = conda_programs.Program("conda", "/opt/conda").argv(Path("/a b/환경"), REQUEST)
    assert argv[:2] == ["/opt/conda", "create"]
    assert "--override-channels" in argv
    assert argv[argv.index("--prefix") + 1] == "/a b/환경"
    assert argv[-2:] == ["python=3.6.15", "cudatoolkit=9.0"]


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [("conda", (24, 1), True), ("mamba", (1, 5), True), ("mamba", (2, 0), False), ("micromamba", (2, 0), False)],
)
def test_what_a_condarc_adds_to_every_environment_is_kept_out(
    name: str, version: tuple[int, int], expected: bool
) -> None:
    argv = conda_programs.Program(name, "/opt/it", version).argv(Path("/e"), REQUEST)
    assert ("--no-default-packages" in argv) is expected


@pytest.mark.parametrize(
    "place", ["home/.condarc", "root/.condarc", "root/condarc.d/campus.yml", "home/.conda/condarc"]
)
def test_what_no_variable_overrides_is_not_used(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "root" / "bin"
    programs.mkdir(parents=True)
    environ = add(programs, "conda", "conda 24.1.2")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert conda_programs.find("conda", environ).version == (24, 1)
    condarc = tmp_path / place
    condarc.parent.mkdir(parents=True, exist_ok=True)
    condarc.write_text("channels: [defaults]\nssl_verify: false  #!final\n")
    with pytest.raises(HostError, match="no conda to make") as caught:
        conda_programs.find("conda", environ)
    assert f"{condarc} switches verification off with `#!final`" in caught.value.why
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    assert conda_programs.find(None, environ).name == "rattler"


@pytest.mark.parametrize(
    "line",
    [
        "ssl_verify: false",
        "ssl_verify: False",
        "ssl_verify: 'no'",
        "ssl_verify: <false>",
        "'ssl_verify': off",
        "ssl_verify: 0 # so",
        "default: &off false\nssl_verify: *off",
    ],
)
def test_a_condarc_that_switches_verification_off_is_told_and_not_used(
    tmp_path: Path, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".condarc").write_text(f"channels:\n  - conda-forge\n{line}\n")
    conda_programs.warn_unverified({}, tmp_path)
    said = capsys.readouterr().err
    assert f"{tmp_path / '.condarc'} is not used" in said
    bundle = tmp_path / "bundle.pem"
    bundle.touch()
    monkeypatch.setenv("PIP_CERT", str(bundle))
    found = conda_channels.network_variables({})
    assert found["CONDA_SSL_VERIFY"] == found["MAMBA_SSL_VERIFY"] == found["SSL_CERT_FILE"] == str(bundle)


def test_a_variable_that_switches_verification_off_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conda_programs.warn_unverified({"CONDA_SSL_VERIFY": "false"}, tmp_path)
    assert "CONDA_SSL_VERIFY=false is not used" in capsys.readouterr().err


def test_a_condarc_that_verifies_is_no_matter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".condarc").write_text("ssl_verify: /etc/ssl/my.pem\n# ssl_verify: false\n")
    conda_programs.warn_unverified({}, tmp_path)
    assert capsys.readouterr().err == ""


def test_without_a_bundle_certificates_are_verified_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpuenv.net.certificates.SYSTEM_BUNDLES", ())
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    found = conda_channels.network_variables({})
    assert (found["CONDA_SSL_VERIFY"], found["MAMBA_SSL_VERIFY"]) == ("true", "<system>")


def test_the_proxy_of_pip_is_used_unless_another_one_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_PROXY", "proxy.campus:3128")
    assert conda_channels.network_variables({})["https_proxy"] == "http://proxy.campus:3128"
    assert "https_proxy" not in conda_channels.network_variables({"HTTPS_PROXY": "http://other"})


@pytest.mark.parametrize(
    ("flavor", "driver", "own", "expected"),
    [
        ("gpu", None, None, "9.0"),
        ("gpu", None, "11.2", "11.2"),
        ("gpu", "450.80", None, None),
        ("cpu", None, None, None),
    ],
)
def test_it_solves_on_a_machine_without_a_gpu(
    flavor: str, driver: str | None, own: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "host_gpus", lambda: HostGpus(driver))
    monkeypatch.delenv("CONDA_OVERRIDE_CUDA", raising=False)
    if own:
        monkeypatch.setenv("CONDA_OVERRIDE_CUDA", own)
    values = conda_env.variables(Environment(variants.find_variant("cuda9.0"), flavor))
    assert values.get("CONDA_OVERRIDE_CUDA") == expected
    assert values["CONDA_CHANNEL_PRIORITY"] == "flexible"


# --- channels ------------------------------------------------------------------------------------


def request(tmp_path: Path, **values: Any) -> CondaRequest:
    return conda_channels.request(
        Environment(variants.find_variant("cuda9.0"), "gpu"), Settings(**values), tmp_path / "scratch"
    )


def test_the_channels_of_the_variant(tmp_path: Path) -> None:
    found = request(tmp_path)
    assert found.channels == ("conda-forge", "defaults")
    assert "defaults::cudatoolkit=9.0" in found.specifications


def test_a_mirror_has_everything(tmp_path: Path) -> None:
    found = request(tmp_path, channels="https://mirror.example/forge, https://mirror.example/main")
    assert found.channels == ("https://mirror.example/forge", "https://mirror.example/main")
    assert "cudatoolkit=9.0" in found.specifications


def test_a_folder_may_be_a_channel(tmp_path: Path) -> None:
    assert conda_channels.parse_channels(str(tmp_path)) == (tmp_path.as_uri(),)
    with pytest.raises(UsageError, match="is not a folder"):
        conda_channels.parse_channels(f"{tmp_path}/none")
    with pytest.raises(UsageError, match="is no channel"):
        conda_channels.parse_channels("conda-forge,--override-frozen")


def test_an_offline_folder_takes_the_place_of_every_channel(tmp_path: Path) -> None:
    folder = tmp_path / "offline"
    (folder / "linux-64").mkdir(parents=True)
    (folder / "linux-64/repodata.json").write_text("{}")
    found = request(tmp_path, sources_dir=folder, channels="https://mirror.example/forge")
    assert found.channels == (folder.as_uri(),)


def test_a_folder_of_archives_of_cuda_is_no_channel(tmp_path: Path) -> None:
    (tmp_path / "cudnn.tgz").touch()
    assert request(tmp_path, sources_dir=tmp_path).channels == ("conda-forge", "defaults")


def test_a_channel_in_a_folder_with_a_blank(tmp_path: Path) -> None:
    folder = tmp_path / "내 채널, local"
    folder.mkdir()
    assert conda_channels.parse_channels(str(folder)) == (folder.as_uri(),)
    assert conda_channels.parse_channels("a, b  c") == ("a", "b", "c")


@pytest.mark.parametrize(
    ("channel", "shown"),
    [
        ("https://me:s3cret@mirror.campus/conda", "https://mirror.campus/conda"),
        ("https://mirror.campus/t/tk-1234/conda", "https://mirror.campus/t/<token>/conda"),
        ("conda-forge", "conda-forge"),
    ],
)
def test_the_login_of_a_mirror_is_shown_to_nobody(channel: str, shown: str) -> None:
    assert redact.text(channel) == shown
    request = CondaRequest((channel,), ("python=3.6.15",))
    text = f"error sending request for {channel}/linux-64/repodata.json"
    error = conda_failures.explain(text, program="conda", request=request, log=Path("/log"))
    assert "s3cret" not in f"{error}"
    assert "tk-1234" not in f"{error}"

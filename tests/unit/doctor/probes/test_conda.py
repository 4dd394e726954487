"""The probe of conda: its settings, and the TensorFlows of the active environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.doctor import write_script
from gpuenv.conda.condarc import Condarc, parse_condarc
from gpuenv.doctor.probes import conda as doctor_probe_conda

CONDARC = """\
# a comment
channels:
  - menpo        # the one for cv
  - "conda-forge"
ssl_verify: no
proxy_servers:
  - not-a-channel
"""


def test_conda_settings_are_read(tmp_path: Path) -> None:
    found = parse_condarc(CONDARC, "x")
    assert (found.ssl_verify, found.channels) == ("no", ("menpo", "conda-forge"))
    assert parse_condarc("channels: [a, 'b']\n", "x").channels == ("a", "b")
    assert parse_condarc("ssl_verify:\nchannels:\n", "x") == Condarc("x")
    (tmp_path / ".condarc").write_text(CONDARC)
    exe = write_script(tmp_path / "bin/conda", "")
    environ = {"PATH": str(exe.parent), "CONDA_SSL_VERIFY": "false"}
    conda = doctor_probe_conda.conda(environ, tmp_path)
    assert conda.program == str(exe)
    assert [config.ssl_verify for config in conda.configs] == ["no", "false"]


@pytest.mark.parametrize(
    ("files", "packages"),
    [
        (
            ["tensorflow-1.15.5.dist-info", "tensorflow_gpu-1.15.5.dist-info"],
            {"tensorflow": "1.15.5", "tensorflow-gpu": "1.15.5"},
        ),
        (["tensorflow_estimator-1.15.1.dist-info", "tensorflow-1.12.0-py3.6.egg-info"], {}),
    ],
)
def test_tensorflows_of_the_active_environment(tmp_path: Path, files: list[str], packages: dict[str, str]) -> None:
    for name in files:
        (tmp_path / "lib/python3.6/site-packages" / name).mkdir(parents=True)
    assert doctor_probe_conda.conda({"VIRTUAL_ENV": str(tmp_path)}, tmp_path).packages == packages


def test_the_meta_package_of_conda_is_no_second_tensorflow(tmp_path: Path) -> None:
    (tmp_path / "conda-meta").mkdir()
    for name in (
        "tensorflow-1.13.1-gpu_py36h1.json",
        "tensorflow-gpu-1.13.1-h0d30ee6_0.json",
        "tensorflow-base-1.13.1-x.json",
    ):
        (tmp_path / "conda-meta" / name).touch()
    assert dict(doctor_probe_conda.find_tensorflow(tmp_path)) == {"tensorflow": "1.13.1"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"ssl_verify: false\n", None),
        (b"# all\n---\nchannels: [\n  a,\n]\n", None),
        (b"channels: [\n  a,\n]\n\n- x\n", "its line 5 is not YAML"),
        (b"\xef\xbb\xbfssl_verify: false\n", None),
        (b"channels:\n\t- a\n", "its line 2 is not YAML"),
        (b"ssl_verify false\n", "it holds no settings (expected lines such as `channels: [conda-forge]`)"),
        (b"\xff\xfe\n", "it is not UTF-8 text"),
    ],
)
def test_a_condarc_that_conda_stops_at(tmp_path: Path, content: bytes, problem: str | None) -> None:
    (tmp_path / ".condarc").write_bytes(content)
    configs = doctor_probe_conda.conda({"PATH": ""}, tmp_path).configs
    own = [one for one in configs if one.path.startswith(str(tmp_path))]
    assert [one.problem for one in own] == [problem]
    assert own[0].ssl_verify == ("false" if b"ssl_verify:" in content else None)


def test_conda_and_its_kin_have_more_settings_than_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"PATH": "", "CONDA_EXE": "conda", "MAMBA_SSL_VERIFY": "<false>", "CONDARC": str(tmp_path)}
    (tmp_path / ".mambarc").write_text('"ssl_verify": no\n')
    # A program that is named without its folder says nothing about this one.
    (tmp_path / "here").mkdir()
    (tmp_path / "here/.condarc").write_text("ssl_verify: false\n")
    monkeypatch.chdir(tmp_path / "here")
    configs = doctor_probe_conda.conda(environ, tmp_path).configs
    own = [(one.path, one.ssl_verify) for one in configs if one.ssl_verify]
    assert own == [(str(tmp_path / ".mambarc"), "no"), ("MAMBA_SSL_VERIFY", "<false>")]
    # A folder is named as the file: it is there, and nobody can read it.
    assert [one.problem for one in configs if one.path == str(tmp_path)] == ["it cannot be read (Is a directory)"]

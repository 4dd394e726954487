"""Which program makes a conda environment, with what settings."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from gpuenv.conda import channels as conda_channels
from gpuenv.conda import failures as conda_failures
from gpuenv.conda import programs as conda_programs
from gpuenv.conda.channels import CondaRequest
from gpuenv.conda.condarc import Mirrors, read_mirrors
from gpuenv.conda.lock import Package
from gpuenv.core.errors import HostError, SourceError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.net import redact
from gpuenv.variants import model as variants
from gpuenv.variants.environment import Environment


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


def test_only_what_the_list_names_is_installed() -> None:
    argv = conda_programs.Program("conda", "/opt/conda").argv(Path("/a b/환경"), Path("/s/explicit.txt"))
    assert argv[:2] == ["/opt/conda", "create"]
    assert argv[argv.index("--prefix") + 1] == "/a b/환경"
    assert argv[argv.index("--file") + 1] == "/s/explicit.txt"
    assert not [word for word in argv if "channel" in word]


def test_the_list_has_the_sum_that_every_program_knows() -> None:
    some = package()
    urls = [(each, "https://m/x") for each in (some, structs.replace(some, md5=None), bare(some))]
    assert conda_programs.explicit_list(urls).splitlines() == [
        "@EXPLICIT", f"https://m/x#{some.md5}", f"https://m/x#sha256:{some.sha256}", "https://m/x",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [("conda", (24, 1), True), ("mamba", (1, 5), True), ("mamba", (2, 0), False), ("micromamba", (2, 0), False)],
)
def test_what_a_condarc_adds_to_every_environment_is_kept_out(
    name: str, version: tuple[int, int], expected: bool
) -> None:
    argv = conda_programs.Program(name, "/opt/it", version).argv(Path("/e"), Path("/x"))
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


@pytest.mark.parametrize("name", ["micromamba", "mamba", "conda"])
def test_a_cache_that_others_can_change_is_not_used(
    programs: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = add(programs, name, "24.1.2")
    home, cache = tmp_path / "home", tmp_path / "pkgs"
    home.mkdir()
    monkeypatch.setattr(Path, "home", lambda: home)
    (home / ".condarc").write_text(f"pkgs_dirs: [{cache}, {tmp_path}/none]\n")
    assert conda_programs.find(name, environ).name == name
    cache.mkdir()
    cache.chmod(0o755)
    assert conda_programs.find(name, environ).name == name
    cache.chmod(0o777)
    with pytest.raises(HostError) as caught:
        conda_programs.find(name, environ)
    assert f"unpacked in {cache} (pkgs_dirs of {home / '.condarc'}), and others may write" in caught.value.why


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


# --- channels ------------------------------------------------------------------------------------


def request(**values: Any) -> CondaRequest:
    return conda_channels.request(Environment(variants.find_variant("cuda9.0"), "gpu"), Settings(**values))


def test_the_channels_of_the_variant() -> None:
    found = request()
    assert found.channels == ("conda-forge", "defaults")
    assert "defaults::cudatoolkit=9.0" in found.specifications


def test_a_mirror_has_everything() -> None:
    found = request(channels="https://mirror.example/forge, https://mirror.example/main")
    assert found.channels == ("https://mirror.example/forge", "https://mirror.example/main")
    assert "cudatoolkit=9.0" in found.specifications


def test_a_folder_may_be_a_channel(tmp_path: Path) -> None:
    assert conda_channels.parse_channels(str(tmp_path)) == (tmp_path.as_uri(),)
    with pytest.raises(UsageError, match="is not a folder"):
        conda_channels.parse_channels(f"{tmp_path}/none")
    with pytest.raises(UsageError, match="is no channel"):
        conda_channels.parse_channels("conda-forge,--override-frozen")


@pytest.mark.parametrize("place", ["linux-64/x-1-0.conda", "noarch/x-1-0.tar.bz2", "x-1-0.conda"])
def test_an_offline_folder_takes_the_place_of_every_channel(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).touch()
    assert request(sources_dir=tmp_path, channels="https://mirror.example/forge").channels == (tmp_path.as_uri(),)


def test_a_folder_of_archives_of_cuda_is_no_channel(tmp_path: Path) -> None:
    (tmp_path / "cudnn.tgz").touch()
    assert request(sources_dir=tmp_path).channels == ("conda-forge", "defaults")


def test_a_channel_in_a_folder_with_a_blank(tmp_path: Path) -> None:
    folder = tmp_path / "내 채널, local"
    folder.mkdir()
    assert conda_channels.parse_channels(str(folder)) == (folder.as_uri(),)
    assert conda_channels.parse_channels("a, b  c") == ("a", "b", "c")


@pytest.mark.parametrize("channel", ["http://mirror.campus/conda", "HTTP://10.0.0.1/c", "http://127.0.0.1.evil/c"])
def test_a_channel_that_anybody_on_the_way_can_change_is_refused(channel: str) -> None:
    with pytest.raises(UsageError, match="is refused") as caught:
        request(channels=f"https://mirror.example/forge {channel}")
    assert "neither encrypted nor signed" in caught.value.why


@pytest.mark.parametrize(
    "channel", ["https://[bad", "https://m.invalid:port/c", "ftp://m.invalid/c", "HTTP://m.invalid"]
)
def test_what_is_no_address_of_packages_is_told(channel: str) -> None:
    with pytest.raises(UsageError, match="the channel"):
        request(channels=channel)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "127.9.9.9", "[::1]:80", "localhost"])
def test_between_this_machine_and_itself_there_is_nobody(host: str) -> None:
    assert request(channels=f"http://{host}/c").channels == (f"http://{host}/c",)


# --- where each package comes from ---------------------------------------------------------------


def package(**values: Any) -> Package:
    sums: dict[str, Any] = {
        "sha256": hashlib.sha256(b"genuine").hexdigest(),
        "md5": hashlib.md5(b"genuine").hexdigest(),
    }
    given = {"channel": "conda-forge", "file": "linux-64/x-1-0.conda", "flavors": ("cpu",), "size": 7, **sums, **values}
    return Package(name="x", version="1", build="0", **given)


def bare(one: Package) -> Package:
    return structs.replace(one, sha256=None, md5=None, size=None)


def test_a_package_comes_from_the_channel_of_its_name_else_from_the_first(tmp_path: Path) -> None:
    cuda = package(channel="defaults")
    for channels, urls in (
        (("conda-forge", "defaults"), ("conda-forge/", "main/")),
        (("https://m/t/tok/main", "https://m/t/tok/conda-forge/"), ("https://m/t/tok/conda-forge/", "https://m/t/tok/main/")),
        (("https://m/all",), ("https://m/all/", "https://m/all/")),
    ):  # fmt: skip
        found = [url for _, url in conda_channels.locate(channels, [package(), cuda], tmp_path)]
        assert all(url.endswith(f"{end}linux-64/x-1-0.conda") for url, end in zip(found, urls)), found


def test_of_several_addresses_none_of_which_is_called_as_its_channel_none_is_guessed(tmp_path: Path) -> None:
    channels = ("https://m/forge", "https://m/main")
    with pytest.raises(UsageError, match=r"m/main is called conda-forge\n"):
        conda_channels.locate(channels, [package(), package(channel="defaults")], tmp_path)
    (tmp_path / "x-1-0.conda").write_bytes(b"genuine")
    found = conda_channels.locate(("https://m/main", tmp_path.as_uri()), [package()], tmp_path / "private")
    assert found[0][1].startswith("file://")


CONDARC = """
channel_alias: https://mirror.campus/conda/
custom_channels:
  conda-forge: https://me:${SECRET}@mirror.campus/cloud
default_channels:
  - https://mirror.campus/pkgs/r
  - https://mirror.campus/pkgs/main
"""


@pytest.mark.parametrize(
    ("text", "channel", "expected"),
    [
        (CONDARC, "conda-forge", "https://me:s3cret@mirror.campus/cloud/conda-forge"),
        (CONDARC, "defaults", "https://mirror.campus/pkgs/main"),
        (CONDARC, "bioconda", "https://mirror.campus/conda/bioconda"),
        (CONDARC, "https://elsewhere.invalid/conda-forge", "https://elsewhere.invalid/conda-forge"),
        ("default_channels: [https://m/all]", "defaults", "https://m/all"),
        ("channel_alias: https://m", "defaults", "https://m/main"),
        ("custom_channels: nothing", "conda-forge", "https://conda.anaconda.org/conda-forge"),
    ],
)
def test_channels_are_where_a_condarc_says(
    tmp_path: Path, text: str, channel: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "s3cret")
    (tmp_path / ".condarc").write_text(text)
    mirrors = read_mirrors({}, tmp_path, "")
    assert conda_channels.address(channel, mirrors) == expected


def test_a_mirror_of_a_condarc_may_be_a_folder_and_not_be_by_http(tmp_path: Path) -> None:
    (tmp_path / "x-1-0.conda").write_bytes(b"genuine")
    mirrors = Mirrors(defaults=(tmp_path.as_uri(),))
    both = ("conda-forge", "defaults")
    found = conda_channels.locate(both, [package(channel="defaults")], tmp_path / "private", mirrors)
    assert found[0][1].startswith("file://")
    with pytest.raises(UsageError, match=r"http://m\.invalid/conda-forge is refused"):
        conda_channels.locate(both, [package()], tmp_path, Mirrors("http://m.invalid"))


@pytest.mark.parametrize("place", ["x-1-0.conda", "linux-64/x-1-0.conda"])
def test_what_lies_in_a_folder_is_copied_and_the_copy_is_used(tmp_path: Path, place: str) -> None:
    path = tmp_path / "폴더" / place
    path.parent.mkdir(parents=True)
    path.write_bytes(b"genuine")
    ((_, url),) = conda_channels.locate(((tmp_path / "폴더").as_uri(),), [package()], tmp_path / "private")
    copy = tmp_path / "private/channel/linux-64/x-1-0.conda"
    assert url == copy.as_uri()
    path.write_bytes(b"another")
    assert copy.read_bytes() == b"genuine"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"another", "its sha256 is"), (b"genuine and more", "larger than the 7 bytes"), (b"", "sha256")],
)
def test_another_file_under_its_name_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x-1-0.conda").write_bytes(content)
    with pytest.raises(SourceError, match="is refused") as caught:
        conda_channels.locate((tmp_path.as_uri(),), [package()], tmp_path / "private")
    assert said in caught.value.why
    assert not (tmp_path / "private/channel/linux-64/x-1-0.conda").exists()


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, "the disk is full"), (errno.EIO, r"x-1-0\.conda is refused")]
)
def test_a_copy_that_is_not_whole_does_not_stay(
    tmp_path: Path, number: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bool:
        raise OSError(number, os.strerror(number))

    (tmp_path / "x-1-0.conda").write_bytes(b"genuine")
    # As a write, or a read, in the midst of the copy.
    monkeypatch.setattr("gpuenv.conda.verified.stat.S_ISREG", fail)
    monkeypatch.setattr("gpuenv.core.errors.full_output", lambda: None)
    with pytest.raises((SourceError, HostError), match=expected):
        conda_channels.locate((tmp_path.as_uri(),), [package()], tmp_path / "private")
    monkeypatch.undo()
    assert not [path for path in (tmp_path / "private").rglob("*") if path.is_file()]


def test_md5_counts_where_only_that_is_known(tmp_path: Path) -> None:
    (tmp_path / "x-1-0.conda").write_bytes(b"another")
    with pytest.raises(SourceError) as caught:
        conda_channels.locate((tmp_path.as_uri(),), [structs.replace(package(), sha256=None)], tmp_path / "private")
    assert "its md5 is" in caught.value.why


def test_a_pipe_makes_nobody_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x-1-0.conda")
    with pytest.raises(SourceError) as caught:
        conda_channels.locate((tmp_path.as_uri(),), [package()], tmp_path / "private")
    assert "not a file" in caught.value.why


def test_without_a_sum_a_file_that_others_can_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x-1-0.conda"
    path.write_bytes(b"whatever")
    path.chmod(0o644)
    assert len(conda_channels.locate((tmp_path.as_uri(),), [bare(package())], tmp_path / "one")) == 1
    path.chmod(0o666)
    with pytest.raises(SourceError) as caught:
        conda_channels.locate((tmp_path.as_uri(),), [bare(package())], tmp_path / "two")
    assert "no sum of it is known" in caught.value.why


def test_what_a_folder_lacks_is_named_and_what_is_there_instead(tmp_path: Path) -> None:
    (tmp_path / "x-1-1.conda").touch()
    with pytest.raises(SourceError, match=r"lacks x-1-0\.conda") as caught:
        conda_channels.locate((tmp_path.as_uri(),), [package()], tmp_path / "private")
    assert "x-1-1.conda is not of the lock" in caught.value.why


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

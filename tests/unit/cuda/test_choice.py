from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.core import paths
from gpuenv.core.errors import UsageError
from gpuenv.core.settings import Settings
from gpuenv.cuda import choice as cuda_choice
from gpuenv.cuda import simulated
from gpuenv.variants import model as variants

LOCK = """\
simulated = true
[[component]]
name = "toolkit"
version = "9.0"
sonames = ["libx.so.1"]
[[component.source]]
url = "file:///nowhere/x.tar"
sha256 = "{}"
origin = "test"
unpack = "tar"
""".format("0" * 64)


@pytest.mark.parametrize("cuda", [None, "genuine"])
def test_the_variants_own_lock_is_the_default(cuda: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    variant = variants.find_variant(None)
    lock = cuda_choice.load(Settings(cuda=cuda), variant)
    assert lock.path == variant.cuda_lock_path
    assert capsys.readouterr().err == ""


def test_simulated_one_is_made_and_announced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(variant: variants.Variant, folder: Path) -> Path:
        folder.mkdir(parents=True)
        (folder / "made.toml").write_text(LOCK)
        return folder / "made.toml"

    monkeypatch.setattr(simulated, "make_simulated_lock", make)
    variant = variants.find_variant(None)
    lock = cuda_choice.load(Settings(cuda="simulated"), variant)
    assert lock.label == "simulated"
    assert lock.path == paths.cache_dir() / "simulated" / variant.name / "made.toml"
    told = capsys.readouterr().err
    assert variant.name in told
    assert "SIMULATED" in told


def test_named_lock_wins_and_a_simulated_one_is_announced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.toml"
    path.write_text(LOCK)
    lock = cuda_choice.load(Settings(cuda_lock=path, cuda="simulated"), variants.find_variant(None))
    assert lock.path == path
    assert "SIMULATED" in capsys.readouterr().err


def test_named_lock_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a file"):
        cuda_choice.load(Settings(cuda_lock=tmp_path / "no.toml"), variants.find_variant(None))

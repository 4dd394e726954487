from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gpuenv.core.errors import UsageError
from gpuenv.core.settings import Settings
from gpuenv.cuda import choice as cuda_choice
from gpuenv.cuda import sources
from gpuenv.variants import model as variants
from gpuenv.variants.cuda_lock import CudaLock
from gpuenv.variants.environment import Environment

LOCK = """\
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
VARIANT = variants.find_variant(None)


@pytest.mark.parametrize(("cuda", "label"), [(None, "complete"), ("archives", "complete"), ("index", "index")])
def test_the_variants_own_lock_is_the_default(cuda: str | None, label: str) -> None:
    lock = cuda_choice.load(Settings(cuda=cuda), VARIANT)
    assert (lock.path, lock.label) == (VARIANT.cuda_lock_path, label)


def test_named_lock_wins(tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text(LOCK)
    assert cuda_choice.load(Settings(cuda_lock=path), VARIANT).path == path
    with pytest.raises(UsageError, match="CUDA=index cannot be had"):
        cuda_choice.load(Settings(cuda_lock=path, cuda="index"), VARIANT)


def test_named_lock_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a file"):
        cuda_choice.load(Settings(cuda_lock=tmp_path / "no.toml"), VARIANT)


@pytest.mark.parametrize(
    "case",
    [  # CUDA=, whose sources answer, what is made, what is chosen, whether anybody is asked
        (None, {"complete", "index"}, "", "complete", True),
        (None, {"index"}, "", "index", True),
        (None, set(), "", "complete", True),
        ("archives", {"index"}, "", "complete", False),
        ("index", {"complete"}, "", "index", False),
        # What is made already asks nobody.
        (None, set(), "index", "index", False),
        (None, {"index"}, "complete", "complete", False),
    ],
)
def test_the_index_serves_where_no_archive_can_be_had(
    case: tuple[str | None, set[str], str, str, bool],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cuda, answering, already, label, asked = case
    questions: list[list[str]] = []

    def unreachable_reasons(locks: Sequence[CudaLock], _: Path | None) -> list[str | None]:
        questions.append([lock.label for lock in locks])
        return [None if lock.label in answering else f"no source of {lock.label} answers" for lock in locks]

    def find(environments: Sequence[Environment]) -> Environment | None:
        return next((one for one in environments if one.cuda_label == already), None)

    monkeypatch.setattr(sources, "unreachable_reasons", unreachable_reasons)
    settings = Settings(cuda=cuda)
    assert cuda_choice.environment(settings, VARIANT, "gpu", find).cuda_label == label
    # Both at once.
    assert questions == ([["complete", "index"]] if asked else [])
    assert ("CUDA=archives insists" in capsys.readouterr().err) == (asked and label == "index")
    chosen, reason = cuda_choice.plan(settings, VARIANT, "gpu", find)
    assert chosen.cuda_label == label
    is_had = label in {*answering, already}
    assert reason == (None if is_had else f"no source of {label} answers")


def test_a_cpu_environment_asks_for_none() -> None:
    assert cuda_choice.environment(Settings(), VARIANT, "cpu", lambda _: pytest.fail("asked")) == Environment(
        VARIANT, "cpu"
    )

"""Which targets a run has on this machine."""

from __future__ import annotations

import types
from pathlib import Path

import pytest

from gpuenv.core.errors import BuildError, HostError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.engine.model import Engine
from gpuenv.harness import command as harness
from gpuenv.harness.targets import listing
from gpuenv.host.gpu import HostGpus
from gpuenv.images.command import Planned
from gpuenv.prefix import choice as prefix_choice
from gpuenv.variants import model as variants
from gpuenv.variants.cuda_lock import CudaLock
from gpuenv.variants.environment import Environment

ENGINE = Engine("docker", "unix:///run/x.sock", "it answers")
NO_DRIVER, DRIVER = HostGpus(None), HostGpus("450.1")


def plan_of(flavor: str, *, from_index: bool = False, reason: str | None = None) -> Planned:
    lock = CudaLock((), Path("cuda.lock.toml"), from_index)
    return Planned(Environment(variants.find_variant("cuda10.0"), flavor, lock if flavor == "gpu" else None), reason)


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[Planned]:
    """What `gpuenv.images.command.plan` answers."""
    answers: list[Planned] = []
    monkeypatch.setattr("gpuenv.images.command.plan", lambda *_: answers)
    return answers


def test_images_that_exist_and_do_not(planned: list[Planned], monkeypatch: pytest.MonkeyPatch) -> None:
    built = types.SimpleNamespace(id="sha256:1")
    monkeypatch.setattr("gpuenv.images.image.ensure_image", lambda *_a, **_k: built)
    planned += [plan_of("cpu"), plan_of("gpu", from_index=True), plan_of("gpu", reason="no source answers")]
    cpu, index, missing = listing.list_images(Settings(flavor="all"), ENGINE, NO_DRIVER)
    assert (cpu.identity, cpu.image, cpu.cuda) == ("cuda10.0-cpu", "sha256:1", "none")
    assert (index.identity, index.cuda) == ("cuda10.0-gpu-index", "index")
    assert (missing.missing, missing.is_required) == ("no source answers", False)


def test_an_image_with_packages_of_the_users_own_is_another_target(
    planned: list[Planned], monkeypatch: pytest.MonkeyPatch
) -> None:
    built = types.SimpleNamespace(id="sha256:1")
    monkeypatch.setattr("gpuenv.images.image.ensure_image", lambda *_a, **_k: built)
    planned.append(plan_of("cpu"))
    (target,) = listing.list_images(Settings(flavor="cpu", add=Path("/w/requirements.txt")), ENGINE, NO_DRIVER)
    assert (target.identity, target.added) == ("cuda10.0-cpu-added", "requirements.txt")
    assert target.title == "cuda10.0-cpu with requirements.txt"


@pytest.mark.parametrize(
    ("flavor", "host", "expected", "left_out"),
    [
        (None, NO_DRIVER, {"cpu"}, "flavor gpu (this machine has no NVIDIA driver; FLAVOR=all tests both)"),
        (None, DRIVER, {"gpu"}, "flavor cpu (FLAVOR=all tests both)"),
        ("gpu", NO_DRIVER, {"gpu"}, "flavor cpu (FLAVOR=all tests both)"),
        ("all", NO_DRIVER, {"gpu", "cpu"}, ""),
    ],
)
def test_the_flavor_that_this_machine_uses_is_tested(
    flavor: str | None, host: HostGpus, expected: set[str], left_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for what was not asked for, and one line says what that is."""
    monkeypatch.setattr("gpuenv.cuda.choice.load", lambda *_: CudaLock(from_index=True, components=(), path=Path("x")))
    monkeypatch.setattr("gpuenv.images.image.find_made", lambda _engine, _settings, environments: environments[0])
    monkeypatch.setattr("gpuenv.images.image.ensure_image", lambda *_: types.SimpleNamespace(id="sha256:1"))
    plan = harness.plan(Settings(flavor=flavor), ENGINE, host)
    assert {target.flavor for target in plan.targets} == expected
    assert {target.variant for target in plan.targets} == set(variants.list_names())
    assert plan.left_out == left_out


def test_both_flavors_without_an_engine(prefixes_made: list[tuple[str, str, str]]) -> None:
    listing.list_prefixes(Settings(target="venv", flavor="all", variant="cuda9.0"))
    assert prefixes_made == [("venv", "cuda9.0", "gpu"), ("venv", "cuda9.0", "cpu")]
    with pytest.raises(UsageError, match="PREFIX="):
        listing.list_prefixes(Settings(target="venv", flavor="all", variant="cuda9.0", prefix=Path("/x")))


def test_an_image_asked_for_by_name_has_to_be_there(planned: list[Planned]) -> None:
    planned += [plan_of("gpu", reason="no source answers")]
    (missing,) = listing.list_images(Settings(flavor="gpu"), ENGINE, NO_DRIVER)
    assert missing.is_required


def test_a_build_that_fails_is_a_failure_of_that_target(
    planned: list[Planned], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_keywords: object) -> None:
        raise BuildError("it broke", "a wheel is corrupt", "try again")

    monkeypatch.setattr("gpuenv.images.image.ensure_image", fail)
    planned += [plan_of("cpu")]
    (target,) = listing.list_images(Settings(flavor="all"), ENGINE, NO_DRIVER)
    assert (target.missing, target.is_required) == ("it broke: a wheel is corrupt", True)


@pytest.fixture
def prefixes_made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Environments that are made at once: what was asked for, as (kind, variant, flavor)."""
    asked: list[tuple[str, str, str]] = []

    def make(kind: str, environment: Environment, _settings: object) -> prefix_choice.Made:
        name, flavor = environment.variant.name, environment.flavor
        asked.append((kind, name, flavor))
        return prefix_choice.Made(kind, flavor, Path("/v") / name, "none" if flavor == "cpu" else "index")

    monkeypatch.setattr(prefix_choice, "make", make)
    monkeypatch.setattr("gpuenv.cuda.sources.unreachable_reasons", lambda locks, _: [None for _ in locks])
    monkeypatch.setattr("gpuenv.host.pythons.find_python", lambda *_: object())
    return asked


def test_virtual_environments(prefixes_made: list[tuple[str, str, str]]) -> None:
    found = listing.list_prefixes(Settings(target="venv"))
    assert sorted((one.identity, one.prefix) for one in found) == [
        ("cuda10.0-venv", "/v/cuda10.0"),
        ("cuda9.0-venv", "/v/cuda9.0"),
    ]
    (gpu,) = listing.list_prefixes(Settings(variant="cuda9.0", flavor="gpu", engine="venv"))
    assert (gpu.identity, gpu.kind, gpu.cuda) == ("cuda9.0-gpu-index-venv", "venv", "index")
    assert gpu.title == "cuda9.0-gpu (virtual environment) (cuFFT, cuSOLVER: stand-ins)"


def test_conda_environments(prefixes_made: list[tuple[str, str, str]]) -> None:
    (found,) = listing.list_prefixes(Settings(variant="cuda9.0", target="conda"))
    assert (found.identity, found.title) == ("cuda9.0-conda", "cuda9.0-cpu (conda environment)")
    assert prefixes_made == [("conda", "cuda9.0", "cpu")]


def test_one_folder_is_for_one_variant(prefixes_made: list[tuple[str, str, str]]) -> None:
    with pytest.raises(UsageError, match="PREFIX="):
        listing.list_prefixes(Settings(target="conda", prefix=Path("/somewhere")))
    assert prefixes_made == []


def test_a_host_without_python_for_a_virtual_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise HostError("no Python 3.6", "none was found", "install one")

    monkeypatch.setattr("gpuenv.prefix.virtual_env.plan", fail)
    (target,) = listing.list_prefixes(Settings(variant="cuda9.0", target="venv"))
    assert target.missing == "no Python 3.6: none was found"

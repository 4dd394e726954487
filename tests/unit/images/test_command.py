"""Which images are planned, and what the verb makes of their fates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gpuenv.core.errors import BuildError, EngineError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.cuda import sources
from gpuenv.engine.model import Engine
from gpuenv.images import command as images
from gpuenv.images import image
from gpuenv.images.context import Built
from gpuenv.variants import model as variants
from gpuenv.variants.cuda_lock import CudaLock
from gpuenv.variants.environment import Environment

ENGINE = Engine("docker", "unix:///nowhere", "a test")
NAMES = variants.list_names()


@pytest.fixture(autouse=True)
def empty_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (image, images):
        monkeypatch.setattr(module, "inspect", lambda *_: None)
    monkeypatch.setattr(images, "find_engine", lambda _: ENGINE)
    monkeypatch.setattr(sources, "unreachable_reasons", lambda locks, _: ["no source answers" for _ in locks])


def test_everything_is_planned_and_gpu_says_why_not() -> None:
    plan = images.plan(Settings(), ENGINE)
    assert [(planned.environment.variant.name, planned.environment.flavor) for planned in plan] == [
        (name, flavor) for name in NAMES for flavor in ("cpu", "gpu")
    ]
    assert {planned.reason_not for planned in plan if planned.environment.flavor == "cpu"} == {None}
    assert {planned.reason_not for planned in plan if planned.environment.flavor == "gpu"} == {"no source answers"}


@pytest.mark.parametrize(
    ("tags", "is_current", "planned"),
    [
        ({"gpuenv:cuda9.0-gpu"}, True, "gpuenv:cuda9.0-gpu"),
        ({"gpuenv:cuda9.0-gpu-index"}, True, "gpuenv:cuda9.0-gpu-index"),
        ({"gpuenv:cuda9.0-gpu", "gpuenv:cuda9.0-gpu-index"}, True, "gpuenv:cuda9.0-gpu"),
        # A complete one that has to be built anew is not replaced by one with stand-ins without a word.
        ({"gpuenv:cuda9.0-gpu", "gpuenv:cuda9.0-gpu-index"}, False, None),
    ],
)
def test_an_image_that_is_there_needs_no_sources(
    monkeypatch: pytest.MonkeyPatch, tags: set[str], is_current: bool, planned: str | None
) -> None:
    monkeypatch.setattr(image, "inspect", lambda _, tag: {} if tag in tags else None)
    monkeypatch.setattr(image, "find_image", lambda *_: True if is_current else None)
    asked = []

    def ask(locks: Sequence[CudaLock], _: Path | None) -> list[str | None]:
        asked.append(len(locks))
        return [None for _ in locks]

    monkeypatch.setattr(sources, "unreachable_reasons", ask)
    (one,) = images.plan(Settings(variant="cuda9.0", flavor="gpu"), ENGINE)
    assert one.reason_not is None
    assert (one.environment.tag, asked) == (planned or "gpuenv:cuda9.0-gpu", [] if planned else [2])


def test_one_of_them() -> None:
    (planned,) = images.plan(Settings(variant=NAMES[0], flavor="cpu"), ENGINE)
    assert planned.environment.tag == f"gpuenv:{NAMES[0]}-cpu"


def test_an_unknown_variant() -> None:
    with pytest.raises(UsageError, match="there is no variant 'cuda99'"):
        images.plan(Settings(variant="cuda99"), ENGINE)


def build(engine: Engine, environment: Environment, settings: Settings) -> Built:
    return Built(environment, "sha256:1", {}, 61.0)


def test_what_cannot_be_built_here_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(image, "ensure_image", build)
    assert images.run(Settings()) == 0
    output = capsys.readouterr()
    assert output.out == ""
    assert "no source answers" in output.err
    assert "61 s" in output.err


def test_unless_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "ensure_image", build)
    assert images.run(Settings(flavor="gpu")) == 1


def test_a_build_that_fails_is_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(engine: Engine, environment: Environment, settings: Settings) -> Built:
        if environment.variant.name == NAMES[0]:
            raise BuildError("it could not be built", "a cause", "a remedy")
        return build(engine, environment, settings)

    monkeypatch.setattr(image, "ensure_image", fail)
    assert images.run(Settings()) == 1
    text = capsys.readouterr().err
    assert "a remedy" in text
    # The others are built all the same.
    assert "built" in text


def test_without_an_engine_none_is_tried_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fail(engine: Engine, environment: Environment, settings: Settings) -> Built:
        tried.append(environment.tag)
        raise EngineError("gone", "it crashed", "start it")

    monkeypatch.setattr(image, "ensure_image", fail)
    with pytest.raises(EngineError, match="gone"):
        images.run(Settings())
    assert len(tried) == 1


def test_a_plain_environment_is_no_place_for_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "find_engine", lambda _: None)
    with pytest.raises(EngineError, match="need a container engine"):
        images.run(Settings())

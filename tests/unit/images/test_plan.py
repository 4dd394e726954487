"""Which images are planned, and what the verb makes of their fates."""

from __future__ import annotations

import argparse

import pytest

from gpuenv.core.errors import BuildError, EngineError, UsageError
from gpuenv.cuda import sources
from gpuenv.engine.model import Engine
from gpuenv.images import image
from gpuenv.images import plan as images
from gpuenv.images.image import Built
from gpuenv.images.plan import Planned
from gpuenv.variants import model as variants

ENGINE = Engine("docker", "unix:///nowhere", "a test")
NAMES = variants.list_names()


def arguments(**given: str) -> argparse.Namespace:
    names = ("variant", "flavor", "engine", "base", "cuda", "cuda_lock", "sources_dir")
    return argparse.Namespace(**{name: given.get(name) for name in names})


@pytest.fixture(autouse=True)
def empty_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (image, images):
        monkeypatch.setattr(module, "inspect", lambda *_: None)
    monkeypatch.setattr(images, "find_engine", lambda _: ENGINE)
    monkeypatch.setattr(sources, "unreachable_reason", lambda *_: "no source answers")


def test_everything_is_planned_and_gpu_says_why_not() -> None:
    plan = images.plan(arguments(), ENGINE)
    assert [(planned.variant.name, planned.flavor) for planned in plan] == [
        (name, flavor) for name in NAMES for flavor in ("cpu", "gpu")
    ]
    assert {planned.reason_not for planned in plan if planned.flavor == "cpu"} == {None}
    assert {planned.reason_not for planned in plan if planned.flavor == "gpu"} == {"no source answers"}


def test_an_image_that_is_there_needs_no_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_is_current", lambda *_: True)
    assert all(planned.reason_not is None for planned in images.plan(arguments(), ENGINE))


def test_one_of_them() -> None:
    (planned,) = images.plan(arguments(variant=NAMES[0], flavor="cpu"), ENGINE)
    assert planned.tag == f"gpuenv:{NAMES[0]}-cpu"


@pytest.mark.parametrize("given", [{"variant": "cuda99"}, {"flavor": "tpu"}])
def test_unknown_names(given: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        images.plan(arguments(**given), ENGINE)


def build(engine: Engine, planned: Planned, args: argparse.Namespace) -> Built:
    return Built(planned.tag, "sha256:1", {}, planned.variant, planned.flavor, 61.0)


def test_what_cannot_be_built_here_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(images, "ensure", build)
    assert images.run(arguments()) == 0
    output = capsys.readouterr()
    assert output.out == ""
    assert "no source answers" in output.err
    assert "61 s" in output.err


def test_unless_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "ensure", build)
    assert images.run(arguments(flavor="gpu")) == 1


def test_a_build_that_fails_is_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(engine: Engine, planned: Planned, args: argparse.Namespace) -> Built:
        if planned.variant.name == NAMES[0]:
            raise BuildError("it could not be built", "a cause", "a remedy")
        return build(engine, planned, args)

    monkeypatch.setattr(images, "ensure", fail)
    assert images.run(arguments()) == 1
    text = capsys.readouterr().err
    assert "a remedy" in text
    # The others are built all the same.
    assert "built" in text


def test_without_an_engine_none_is_tried_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fail(engine: Engine, planned: Planned, args: argparse.Namespace) -> Built:
        tried.append(planned.tag)
        raise EngineError("gone", "it crashed", "start it")

    monkeypatch.setattr(images, "ensure", fail)
    with pytest.raises(EngineError):
        images.run(arguments())
    assert len(tried) == 1


def test_a_plain_environment_is_no_place_for_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "find_engine", lambda _: None)
    with pytest.raises(EngineError, match="need a container engine"):
        images.run(arguments())

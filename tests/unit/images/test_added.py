"""A user's own packages on top of an image: which image that is, and what its build is given."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from gpuenv.core.errors import BuildError
from gpuenv.engine.model import Engine
from gpuenv.images import added, build
from gpuenv.images.context import Built
from gpuenv.net import requirements
from gpuenv.variants import locks
from gpuenv.variants import model as variants
from gpuenv.variants.environment import Environment

ENVIRONMENT = Environment(variants.find_variant("cuda10.0"), "cpu")
LABELS = {"gpuenv.key": "k", "gpuenv.variant": "cuda10.0", "gpuenv.flavor": "cpu", "gpuenv.cuda": "none"}
BASE = Built(ENVIRONMENT, "sha256:base", LABELS)


@dataclasses.dataclass(frozen=True)
class FakeEngine(Engine):
    """Labels and ids of images by tag; what was built, and what was asked to be removed."""

    images: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    contexts: list[tuple[build.Job, dict[str, str]]] = dataclasses.field(default_factory=list)
    removed: list[str] = dataclasses.field(default_factory=list)

    def run(self, job: build.Job, _folder: Path, _failure: str) -> str:
        self.contexts.append((job, {path.name: path.read_text() for path in job.context.iterdir()}))
        return "sha256:made"

    def put(self, tag: str, image_id: str, labels: dict[str, str]) -> None:
        self.images[tag] = {"Id": image_id, "Config": {"Labels": dict(labels)}}

    def listed(self, kind: str, *labels: str) -> list[dict[str, Any]]:
        assert kind == "images"
        pairs = [label.partition("=") for label in labels]
        return [
            {"Labels": own, "RepoTags": [tag]}
            for tag, own in ((tag, one["Config"]["Labels"]) for tag, one in self.images.items())
            if all(name in own and own[name] == (value or own[name]) for name, _, value in pairs)
        ]

    def call(self, method: str, path: str, *_: object, **__: object) -> None:
        assert method == "DELETE"
        self.removed.append(path)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    monkeypatch.setattr(build, "run", FakeEngine.run)
    monkeypatch.setattr(build, "give_name", FakeEngine.put)
    monkeypatch.setattr(added, "inspect", lambda engine, tag: engine.images.get(tag))
    made = FakeEngine("docker", "unix:///nowhere", "a test")
    made.put(BASE.tag, BASE.id, LABELS)
    return made


def wanted(folder: Path, text: str = "six\n") -> requirements.Requirements:
    (folder / "requirements.txt").write_text(text)
    return requirements.load(folder / "requirements.txt")


def test_the_same_content_on_the_same_image_is_built_once(engine: FakeEngine, tmp_path: Path) -> None:
    first = added.ensure_added(engine, BASE, wanted(tmp_path))
    again = added.ensure_added(engine, BASE, wanted(tmp_path))
    assert (first.tag, first.id) == (again.tag, again.id)
    assert first.tag.startswith("gpuenv:cuda10.0-cpu-added-")
    assert first.seconds is not None
    assert again.seconds is None
    assert len(engine.contexts) == 1
    others = [
        added.ensure_added(engine, BASE, wanted(tmp_path, "six==1.16\n")),
        added.ensure_added(engine, remade(engine, "sha256:other"), wanted(tmp_path)),
    ]
    assert len({first.tag, *(one.tag for one in others)}) == 3


def remade(engine: FakeEngine, image_id: str) -> Built:
    engine.images[BASE.tag]["Id"] = image_id
    return dataclasses.replace(BASE, id=image_id)


def test_a_build_is_bound_to_the_lock(engine: FakeEngine, tmp_path: Path) -> None:
    built = added.ensure_added(engine, BASE, wanted(tmp_path))
    job, files = engine.contexts[0]
    assert sorted(files) == ["Dockerfile", "add.py", "constraints.txt", "key", "main.txt"]
    pins = locks.linux_pins(locks.load_lock(ENVIRONMENT.variant.lock_path("cpu")))
    assert files["constraints.txt"].splitlines() == [f"{pin.name}=={pin.version}" for pin in pins]
    assert job.arguments == {"IMAGE": "gpuenv:cuda10.0-cpu"}
    # What the image below says is inherited.
    assert set(job.labels) == {"gpuenv.key", "gpuenv.added", "gpuenv.added_to"}
    assert {**LABELS, **job.labels} == built.labels
    assert job.labels["gpuenv.added"] == "requirements.txt"


def test_what_was_added_to_an_older_image_goes(engine: FakeEngine, tmp_path: Path) -> None:
    former = added.ensure_added(engine, BASE, wanted(tmp_path))
    added.ensure_added(engine, BASE, wanted(tmp_path, "six==1.16\n"))
    assert engine.removed == []
    engine.put("gpuenv:other", "x", {**former.labels, "gpuenv.variant": "cuda9.0"})
    added.ensure_added(engine, remade(engine, "sha256:new"), wanted(tmp_path))
    assert len(engine.removed) == 2
    assert f"/images/{former.tag}" in engine.removed


def test_what_somebody_built_on_it_stays(engine: FakeEngine, tmp_path: Path) -> None:
    former = added.ensure_added(engine, BASE, wanted(tmp_path))
    engine.put("course:2019", "sha256:theirs", former.labels)
    added.ensure_added(engine, remade(engine, "sha256:new"), wanted(tmp_path))
    assert engine.removed == [f"/images/{former.tag}"]


def test_a_value_is_a_secret_of_the_build(engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for value in ("s3cr3t", "0ther"):
        monkeypatch.setenv("TOKEN", value)
        made.append(added.ensure_added(engine, BASE, wanted(tmp_path, "--index-url https://${TOKEN}@host/\n")))
        job, files = engine.contexts[-1]
        assert job.secrets == {"variables": f'{{"TOKEN": "{value}"}}'}
        assert not any(value in text for text in (*files.values(), repr(job)))
    # The files differ, as an engine that kept the first step would take it again.
    assert engine.contexts[0][1]["key"] != engine.contexts[1][1]["key"]
    assert made[0].tag != made[1].tag


def test_an_image_that_was_replaced_meanwhile_is_not_built_on(engine: FakeEngine, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="was not added"):
        added.ensure_added(engine, dataclasses.replace(BASE, id="sha256:gone"), wanted(tmp_path))
    assert engine.contexts == []

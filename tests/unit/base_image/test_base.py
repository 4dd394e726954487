from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.base_image import base, registry
from gpuenv.base_image import local as local_base
from gpuenv.base_image.local import Base, BasePlan
from gpuenv.base_image.registry import RegistryUnreachableError
from gpuenv.core.errors import EngineError, HostError, SourceError
from gpuenv.engine.model import Engine
from gpuenv.host import systems
from gpuenv.host.pythons import LocalPython
from gpuenv.variants import model as variants
from gpuenv.variants.environment import Environment
from gpuenv.variants.model import BaseImage, Variant

ENGINE = Engine("docker", "unix:///x", "a test", "1.41")
PYTHON = LocalPython(Path("/opt/python/bin/python3.6"), "3.6.15", Path("/opt/python"))
PLAN = BasePlan(PYTHON, "3.6", "3.6.15", "Debian GNU/Linux 12 (bookworm)", "bookworm", "k" * 64)
MADE = Base("gpuenv-base:kkk", "gpuenv-builder:kkk", "local", "k" * 64)


class World:
    """What the engine has, whether the registry answers, and what was done."""

    def __init__(self) -> None:
        self.pulled: set[str] = set()
        self.has_local = False
        self.unreachable: str | None = None
        self.has_detour = False
        self.done: list[str] = []

    def pull(self, _: Engine, image: BaseImage) -> None:
        self.done.append(f"pull {image.reference}")
        if self.unreachable:
            raise RegistryUnreachableError(self.unreachable)
        self.pulled.add(image.digest)

    def make(self, _: Engine, __: BasePlan, flavor: str) -> Base:
        self.done.append(f"make {flavor}")
        return MADE

    def probe(self, url: str) -> str | None:
        self.done.append(f"probe {url}")
        return self.unreachable


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(registry, "has_pinned", lambda _, image: image.digest in world.pulled)
    monkeypatch.setattr(registry, "has_detour", lambda *_: world.has_detour)
    monkeypatch.setattr(registry, "probe", world.probe)
    monkeypatch.setattr(registry, "pull", world.pull)
    monkeypatch.setattr(local_base, "find_made", lambda *_: MADE if world.has_local else None)
    monkeypatch.setattr(local_base, "plan", lambda _: PLAN)
    monkeypatch.setattr(local_base, "make", world.make)
    monkeypatch.setattr("gpuenv.engine.model.Engine.call", lambda *_: {})
    return world


@pytest.fixture
def variant() -> Variant:
    return variants.find_variant(None)


def ensure(variant: Variant, choice: str | None = None, *, flavor: str = "cpu") -> Base:
    return base.ensure_base(ENGINE, Environment(variant, flavor), choice)


def test_the_pinned_image_that_is_there_is_used_without_any_network(world: World, variant: Variant) -> None:
    world.pulled.add(variant.base.digest)
    found = ensure(variant)
    assert (found.kind, found.image, found.identity) == ("registry", variant.base.pinned, variant.base.digest)
    assert world.done == []


def test_the_builder_is_fetched_only_when_it_is_needed(world: World, variant: Variant) -> None:
    world.pulled.add(variant.base.digest)
    world.has_detour = True
    found = ensure(variant, flavor="gpu")
    assert world.done == [f"pull {variant.builder.reference}"]
    assert found.builder == variant.builder.pinned
    assert variant.builder.digest in found.identity


def test_a_local_base_that_is_there_is_used_without_any_network(world: World, variant: Variant) -> None:
    world.has_local = True
    found = ensure(variant)
    assert (found.kind, found.image, found.identity) == ("local", MADE.image, MADE.identity)
    assert world.done == []


def test_the_registry_comes_before_a_local_base_that_is_not_made_yet(world: World, variant: Variant) -> None:
    assert ensure(variant).kind == "registry"
    assert world.done == [f"probe {registry.DEFAULT_REGISTRY}", f"pull {variant.base.reference}"]


def test_an_unreachable_registry_leads_to_a_local_base_in_one_line(
    world: World, variant: Variant, capsys: pytest.CaptureFixture[str]
) -> None:
    world.unreachable = "no such host"
    assert ensure(variant).kind == "local"
    assert world.done == [f"probe {registry.DEFAULT_REGISTRY}", "make cpu"]
    (line,) = capsys.readouterr().err.splitlines()
    for part in ("no such host", "bookworm", "3.6.15", "/opt/python", "BASE=registry"):
        assert part in line


def test_an_engine_with_a_mirror_is_asked_itself(world: World, variant: Variant) -> None:
    world.has_detour = True
    world.unreachable = "no such host"
    assert ensure(variant).kind == "local"
    assert world.done == [f"pull {variant.base.reference}", "make cpu"]


def test_a_refusal_of_the_registry_is_no_reason_for_a_local_base(
    world: World, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Engine, image: BaseImage) -> None:
        raise registry.pull_error(image, "manifest unknown")

    monkeypatch.setattr(registry, "pull", refuse)
    with pytest.raises(SourceError, match="manifest unknown"):
        ensure(variant)
    assert not any(step.startswith("make") for step in world.done)


def test_registry_is_forced(world: World, variant: Variant) -> None:
    world.has_local = True
    world.unreachable = "no such host"
    with pytest.raises(SourceError, match="no such host") as caught:
        ensure(variant, "registry")
    assert "BASE=local" in caught.value.next_step


def test_local_is_forced(world: World, variant: Variant) -> None:
    world.pulled.add(variant.base.digest)
    assert ensure(variant, "local", flavor="gpu").kind == "local"
    assert world.done == ["make gpu"]


def test_a_python_that_differs_from_the_pinned_one_is_told() -> None:
    other = BasePlan(LocalPython(PYTHON.executable, "3.6.9", PYTHON.prefix), "3.6", "3.6.15", "Debian", "bookworm", "k")
    assert "3.6.9 (pinned: 3.6.15)" in other.summary
    assert "pinned" not in PLAN.summary


@pytest.mark.parametrize("change", [0, 1, 2, 3])
def test_the_key_depends_on_every_input(change: int) -> None:
    inputs = ["bookworm", "3.6.15", "x86_64", "recipe"]
    changed = [value + "x" if number == change else value for number, value in enumerate(inputs)]
    assert key(inputs) == key(inputs) != key(changed)


def key(inputs: list[str]) -> str:
    codename, python, machine, recipe = inputs
    return local_base.content_key(codename, python, machine, recipe.encode())


def test_the_image_is_labeled_as_local() -> None:
    changes = local_base.image_changes(PLAN)
    assert "LABEL gpuenv.base=local" in changes
    assert "LABEL gpuenv.project=gpuenv" in changes
    assert any(change.startswith("ENV PATH=/usr/local/bin:") for change in changes)


@pytest.mark.parametrize("os_release", ["ID=fedora\nVERSION_CODENAME=x\n", "ID=debian\n", ""])
def test_elsewhere_than_on_debian_no_base_can_be_made(
    variant: Variant, monkeypatch: pytest.MonkeyPatch, os_release: str
) -> None:
    monkeypatch.setattr(systems, "read_os_release", lambda: systems.parse_os_release(os_release))
    with pytest.raises(HostError, match="neither Debian nor Ubuntu"):
        local_base.plan(variant)


def test_without_a_python_that_can_be_moved_the_ways_to_one_are_told(
    variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributions = LocalPython(Path("/usr/bin/python3.6"), "3.6.15", Path("/usr"))
    monkeypatch.setattr(systems, "read_os_release", lambda: {"ID": "debian", "VERSION_CODENAME": "bookworm"})
    monkeypatch.setattr("gpuenv.host.pythons.find_pythons", lambda _: [distributions])
    with pytest.raises(HostError, match=r"pyenv install 3\.6\.15"):
        local_base.plan(variant)


@pytest.mark.parametrize("kind", ["registry", "local"])
def test_the_settings_of_a_base(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment(variants.find_variant(None), "cpu")
    asked: list[str] = []

    def inspect(_: Engine, name: str) -> dict[str, object] | None:
        asked.append(name)
        return {"Config": {"User": "x"}}

    for module in (base, registry):
        monkeypatch.setattr(module, "inspect", inspect)
    made = MADE if kind == "local" else base._registry_base(environment)
    assert base.config_of(ENGINE, environment, made) == {"User": "x"}
    # By its digest alone: not every engine knows a name with a tag and a digest.
    assert asked == [MADE.image if kind == "local" else f"python@{environment.variant.base.digest}"]
    for module in (base, registry):
        monkeypatch.setattr(module, "inspect", lambda *_: None)
    with pytest.raises(EngineError, match="has lost"):
        base.config_of(ENGINE, environment, made)

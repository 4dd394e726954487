"""When an image is current, and how one is built."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from gpuenv.base_image import base
from gpuenv.base_image.local import Base
from gpuenv.core import paths
from gpuenv.core.errors import BuildError
from gpuenv.engine.model import Engine, RefusedError
from gpuenv.images import build as image_build
from gpuenv.images import context as build_context
from gpuenv.images import image, recipe
from gpuenv.images.context import Inputs, content_key
from gpuenv.variants import model as variants
from gpuenv.variants.cuda_lock import CudaLock, load_cuda_lock
from gpuenv.variants.environment import Environment
from gpuenv.variants.kinds import FLAVORS
from gpuenv.variants.model import Variant

ENGINE = Engine("docker", "unix:///nowhere", "a test")
VARIANT = variants.find_variant(None)
LOCK = load_cuda_lock(VARIANT.cuda_lock_path)
INDEX = structs.replace(LOCK, from_index=True)


def inputs_of(flavor: str, lock: CudaLock = LOCK) -> Inputs:
    return build_context.load_inputs(Environment(VARIANT, flavor, lock if flavor == "gpu" else None))


@pytest.mark.parametrize("flavor", FLAVORS)
def test_labels_say_what_it_is(flavor: str) -> None:
    labels = inputs_of(flavor, INDEX).labels
    assert labels["gpuenv.project"] == "gpuenv"
    assert labels["gpuenv.tensorflow"] == VARIANT.tensorflow.version
    assert labels["gpuenv.cuda"] == ("index" if flavor == "gpu" else "none")
    assert ("stand-ins" in labels["org.opencontainers.image.description"]) == (flavor == "gpu")
    assert ("gpuenv.cudnn_version" in labels) == (flavor == "gpu")


def changed(inputs: Inputs, what: str) -> Inputs:
    """The same inputs with one thing changed."""
    if what in inputs.files:
        return dataclasses.replace(inputs, files={**inputs.files, what: inputs.files[what] + b"\n"})
    if what == "label":
        return dataclasses.replace(inputs, labels={**inputs.labels, "gpuenv.python": "3.6.14"})
    if what == "CUDA version":
        cuda = structs.replace(VARIANT.cuda, version="10.9")
        return of_environment(inputs, variant=structs.replace(VARIANT, cuda=cuda))
    component = structs.replace(LOCK.components[0], version="9.9")
    return of_environment(inputs, cuda=structs.replace(LOCK, components=(component, *LOCK.components[1:])))


def of_environment(inputs: Inputs, **changes: Any) -> Inputs:
    return dataclasses.replace(inputs, environment=dataclasses.replace(inputs.environment, **changes))


@pytest.mark.parametrize("what", [*inputs_of("gpu").files, "label", "CUDA version", "CUDA lock"])
def test_every_input_changes_the_key(what: str) -> None:
    inputs = inputs_of("gpu")
    key = content_key(inputs, "local", "x")
    assert content_key(changed(inputs, what), "local", "x") != key
    assert content_key(inputs_of("gpu"), "local", "x") == key


def test_the_base_and_the_index_change_the_key() -> None:
    inputs = inputs_of("gpu")
    keys = {content_key(inputs, *base) for base in (("local", "x"), ("registry", "x"), ("local", "y"))}
    keys.add(content_key(inputs_of("gpu", INDEX), "local", "x"))
    assert len(keys) == 4


def test_where_an_archive_is_does_not_change_the_key() -> None:
    component = LOCK.components[0]
    moved = structs.replace(component.sources[0], url="https://elsewhere.example/a.tgz")
    elsewhere = structs.replace(component, sources=(moved, *component.sources[1:]))
    lock = structs.replace(LOCK, components=(elsewhere, *LOCK.components[1:]))
    assert lock.digest == LOCK.digest


def test_the_cpu_flavor_knows_nothing_of_cuda() -> None:
    inputs = inputs_of("cpu")
    assert not any("libcuda" in name for name in inputs.files)
    assert inputs.environment.bases == (VARIANT.base,)
    assert inputs_of("gpu").files.keys() > inputs.files.keys()


def test_the_context(monkeypatch: pytest.MonkeyPatch, isolated: Path) -> None:
    inputs = inputs_of("cpu")
    context = build_context.assemble(inputs, None)
    assert context.is_relative_to(paths.cache_dir())
    (context / "locks" / "former.txt").write_text("x")
    assert build_context.assemble(inputs, None) == context
    found = {str(path.relative_to(context)): path.read_bytes() for path in context.rglob("*") if path.is_file()}
    assert found == dict(inputs.files)


def answer(monkeypatch: pytest.MonkeyPatch, labels: dict[str, str] | None) -> None:
    details: dict[str, Any] | None = None if labels is None else {"Id": "sha256:1", "Config": {"Labels": labels}}
    for module in (image, image_build):
        monkeypatch.setattr(module, "inspect", lambda *_: details)


def labels_on(inputs: Inputs, kind: str, identity: str) -> dict[str, str]:
    key = content_key(inputs, kind, identity)
    return {"gpuenv.base": kind, "gpuenv.base_identity": identity, "gpuenv.key": key}


@pytest.mark.parametrize(
    ("kind", "choice", "is_current"),
    [
        ("local", None, True),
        ("local", "auto", True),
        ("local", "local", True),
        ("local", "registry", False),
        ("registry", "registry", True),
        ("registry", "local", False),
    ],
)
@pytest.mark.parametrize("flavor", FLAVORS)
def test_an_image_on_the_right_base_is_current(
    monkeypatch: pytest.MonkeyPatch, flavor: str, kind: str, choice: str | None, is_current: bool
) -> None:
    inputs = inputs_of(flavor)
    # As `base.py` says it, so that the two cannot drift apart.
    pinned = base._registry_base(inputs.environment).identity
    answer(monkeypatch, labels_on(inputs, kind, pinned if kind == "registry" else "any"))
    assert (image.find_image(ENGINE, inputs, choice) is not None) == is_current


def test_another_pinned_base_or_key_is_not_current(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = inputs_of("cpu")
    answer(monkeypatch, labels_on(inputs, "registry", "sha256:former"))
    assert image.find_image(ENGINE, inputs, None) is None
    answer(monkeypatch, {**labels_on(inputs, "local", "x"), "gpuenv.key": "0"})
    assert image.find_image(ENGINE, inputs, None) is None
    answer(monkeypatch, {})
    assert image.find_image(ENGINE, inputs, None) is None
    answer(monkeypatch, None)
    assert image.find_image(ENGINE, inputs, None) is None


def test_proxies_of_the_client_count_more_than_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"proxies": {"default": {"httpProxy": "http://for-containers"}}}))
    names = ("http_proxy", "HTTPS_PROXY")
    assert image_build.proxy_arguments(ENGINE, names) == {"HTTPS_PROXY": None}
    podman = dataclasses.replace(ENGINE, kind="podman")
    assert image_build.proxy_arguments(podman, names) == dict.fromkeys(names)


def test_the_command_line(tmp_path: Path) -> None:
    arguments, labels = {"HTTPS_PROXY": None, "FLAVOR": "cpu"}, {"gpuenv.key": "k", "title": "a b"}
    argv = image_build.build_argv(["/usr/bin/docker", "build"], arguments, labels, ["ca", "pip"], tmp_path)
    assert argv[:2] == ["/usr/bin/docker", "build"]
    assert argv[-1] == str(tmp_path)
    text = " ".join(argv)
    assert "--network host" in text
    assert "--secret id=ca,src=secrets/ca --secret id=pip,src=secrets/pip" in text
    assert "--build-arg HTTPS_PROXY --build-arg FLAVOR=cpu" in text
    assert "title=a b" in argv
    assert "--tag" not in argv
    assert "--progress" in argv
    by_podman = image_build.build_argv(["podman", "build"], arguments, labels, [], tmp_path)
    assert "--progress" not in by_podman
    assert "--layers=false" in by_podman


def test_arguments_and_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = inputs_of("gpu")
    local = Base("b:1", "c:1", "local", "x")
    assert image_build.arguments_on(inputs, local) == {
        "BASE_IMAGE": "b:1",
        "BUILDER_IMAGE": "c:1",
        "FLAVOR": "gpu",
        "CUDA_VERSION": VARIANT.cuda.version,
    }
    labels = image_build.labels_on(inputs, local, {"Env": ["PATH=/bin", "X=1"], "Labels": {"a": "b"}})
    settings = json.loads(labels[recipe.LABEL])
    assert settings["Env"]["X"] == "1"
    assert settings["Env"]["CUDA_CACHE_PATH"]
    assert settings["User"] == "1000:1000"
    answer(monkeypatch, labels)
    assert image.find_image(ENGINE, inputs, None) is not None


@pytest.mark.parametrize(
    ("details", "complaint", "removed"),
    [
        ({"Config": {"Labels": {"gpuenv.key": "other"}}}, "not what was asked for", ["DELETE /images/sha256:1"]),
        ({"Config": {"Labels": {"gpuenv.key": "k"}}}, "refuses the name", ["DELETE /images/sha256:1"]),
        # What has another name is somebody's.
        ({"RepoTags": ["mine:1"]}, "not what was asked for", []),
    ],
)
def test_what_was_built_is_read_back_before_it_gets_its_name_or_goes(
    monkeypatch: pytest.MonkeyPatch, details: dict[str, Any], complaint: str, removed: list[str]
) -> None:
    asked: list[str] = []

    def call(_: Engine, method: str, path: str, **__: object) -> None:
        if method == "POST":
            raise RefusedError(409, "no such name")
        asked.append(f"{method} {path}")

    monkeypatch.setattr(Engine, "call", call)
    monkeypatch.setattr(image_build, "inspect", lambda *_: {"Id": "sha256:1", **details})
    with pytest.raises(BuildError, match=complaint):
        image_build.give_name(ENGINE, "gpuenv:v-cpu", "sha256:1", {"gpuenv.key": "k"})
    assert asked == removed


def all_variants() -> list[Variant]:
    return variants.load_all()


@pytest.mark.parametrize("variant", all_variants(), ids=lambda variant: variant.name)
def test_the_dockerfile_names_no_version(variant: Variant) -> None:
    text = (paths.docker_dir() / "Dockerfile").read_text()
    for value in (variant.name, variant.python, variant.tensorflow.version, variant.keras, f"-{variant.cuda.version}"):
        assert value not in text
    arguments = [line for line in text.splitlines() if line.startswith("ARG")]
    assert arguments
    assert not any("=" in line for line in arguments)
    assert not text.startswith("# syntax=")

"""The container around an image."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from pathlib import Path

import pytest
import testinfra

from gpuenv.core.errors import EngineError
from gpuenv.engine import container as containers
from gpuenv.engine.model import Engine
from gpuenv.harness.targets import container as target_container
from gpuenv.harness.targets.model import Plan, Target

IMAGE = Target("cuda10.0-cpu", "image", "cuda10.0", "cpu", image="sha256:1")
INDEX = Target("cuda10.0-gpu-index", "image", "cuda10.0", "gpu", "index", image="sha256:2")
ENGINE = Engine("docker", "unix:///run/x.sock", "it answers", "1.41", Path("/tls"))


def test_container_has_no_network_and_a_read_only_root(tmp_path: Path) -> None:
    options = target_container.container_options(IMAGE, Plan("r1", (IMAGE,)), tmp_path, "1001:100")
    assert options["network"] == "none"
    assert options["read_only"] is True
    assert options["user"] == "1001:100"
    assert options["labels"] == {target_container.RUN_LABEL: "r1"}
    reference, work = options["mounts"]
    assert (reference.target, reference.read_only) == ("/gpuenv-reference", True)
    assert (work.source, work.target, work.read_only) == (str(tmp_path), "/work", False)
    assert "uid=1001,gid=100" in options["tmpfs"]["/home/user"]


def test_gpus_are_asked_for_only_where_there_is_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpuenv.host.gpu.device_requests", lambda *_: [{"Count": -1}])

    def requests(target: Target, driver: str | None) -> object:
        there = dataclasses.replace(target, driver=driver)
        return target_container.container_options(there, Plan("r1", (there,)), tmp_path, "1:1")["device_requests"]

    assert requests(INDEX, "450.1") == [{"Count": -1}]
    assert not requests(INDEX, None)
    assert not requests(IMAGE, "450.1")


def test_root_tests_as_the_images_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 0)
    assert target_container.container_user(ENGINE) == "1000:1000"


def test_a_container_that_sees_another_folder_is_not_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon whose service has a /tmp of its own; here this machine stands in for the container."""
    here = testinfra.get_host("local://")
    monkeypatch.setattr(containers, "running", lambda *_, **__: nullcontext("name"))
    monkeypatch.setattr(testinfra, "get_host", lambda _: here)
    monkeypatch.setattr("os.getuid", lambda: 0)
    given: list[Path] = []
    monkeypatch.setattr("os.chown", lambda path, *_: given.append(path))
    with pytest.raises(EngineError, match="another folder under the name") as caught:
        target_container.connect(IMAGE, Plan("r1", (IMAGE,), engine=ENGINE)).__enter__()
    assert caught.value.next_step.startswith("set TMPDIR to")
    # Not the folder that a later process sweeps up only if it is its own user's.
    (folder,) = given
    assert folder.parent.name.startswith("tmp-gpuenv-")

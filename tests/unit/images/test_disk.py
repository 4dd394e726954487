from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from fakes.engine import serving
from gpuenv.core.errors import HostError
from gpuenv.images.build import check_disk
from gpuenv.variants.environment import Environment
from gpuenv.variants.model import find_variant


def test_a_disk_that_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment(find_variant(None), "cpu")
    needed_gb = environment.variant.disk.needed_gb("cpu")
    disk = SimpleNamespace(free=needed_gb * 10**9)
    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: disk if path == str(tmp_path) else real(path))
    with serving(tmp_path) as fake:
        fake.answers["GET /info"] = lambda *_: (200, {"DockerRootDir": str(tmp_path)})
        check_disk(fake.engine, environment)
        disk.free -= 1
        with pytest.raises(HostError, match=rf"too little disk space to build {environment.name}") as caught:
            check_disk(fake.engine, environment)
        # Inside a virtual machine, or in a folder that is closed to this user, it cannot be seen.
        desktop = {"DockerRootDir": str(tmp_path), "OperatingSystem": "Docker Desktop"}
        for info in ({}, desktop, {"DockerRootDir": "/nowhere"}, {"DockerRootDir": f"{__file__}/data"}):
            fake.answers["GET /info"] = lambda *_, info=info: (200, info)
            check_disk(fake.engine, environment)
    assert f"it takes {needed_gb} GB" in caught.value.why
    assert str(tmp_path) in caught.value.why

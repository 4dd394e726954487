"""Fetching Keras' own tests by the target's pip; a script stands in for its Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.core.errors import SourceError
from gpuenv.harness.targets import upstream
from gpuenv.harness.targets.model import Target
from gpuenv.variants import locks
from gpuenv.variants import model as variants
from gpuenv.variants.model import Variant

PIP = """#!/bin/sh
echo "$@" >> {log}
while [ "$1" != --dest ]; do shift; done
cp "$4" {log}.requirements
echo archive > "$2/Keras.tar.gz"
"""


@pytest.fixture
def variant() -> Variant:
    return variants.find_variant("cuda9.0")


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    monkeypatch.setenv("GPUENV_CACHE_DIR", str(tmp_path / "cache"))
    python = tmp_path / "prefix/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(PIP.format(log=tmp_path / "log"))
    python.chmod(0o755)
    return Target("cuda9.0-venv", "venv", "cuda9.0", "cpu", prefix=str(tmp_path / "prefix"))


def test_they_are_fetched_once_and_against_their_lock(target: Target, variant: Variant, tmp_path: Path) -> None:
    folders = {upstream.fetch(target, variant, None) for _ in range(2)}
    (folder,) = folders
    assert (folder / "Keras.tar.gz").read_text() == "archive\n"
    (asked,) = (tmp_path / "log").read_text().splitlines()
    assert "--require-hashes" in asked
    pins = locks.load_lock(variant.upstream_lock_path).pins
    assert (tmp_path / "log.requirements").read_text() == "".join(map(locks.render_pin, pins))
    # What was changed meanwhile is fetched anew.
    (folder / "Keras.tar.gz").write_text("damaged")
    assert (upstream.fetch(target, variant, None) / "Keras.tar.gz").read_text() == "archive\n"


def test_a_pip_that_cannot_fetch_them_is_quoted(target: Target, variant: Variant) -> None:
    Path(target.python).write_text("#!/bin/sh\necho ERROR: no route to the index\necho more\nexit 1\n")
    with pytest.raises(SourceError, match="could not be fetched") as caught:
        upstream.fetch(target, variant, None)
    assert caught.value.why == "pip says: ERROR: no route to the index"


def test_the_locks_hold_the_source_of_keras_and_nothing_of_the_environment() -> None:
    for variant in variants.load_all():
        pins = {pin.name: pin.linux for pin in locks.load_lock(variant.upstream_lock_path).pins}
        assert pins["keras"] == f"Keras-{variant.keras}.tar.gz"
        here = {pin.name for pin in locks.load_lock(variant.lock_path("cpu")).pins}
        assert pins.keys() & here == {"keras"}

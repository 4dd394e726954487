"""`docker/install.py`, which runs during builds."""

from __future__ import annotations

import hashlib
import runpy
from pathlib import Path
from typing import Any

import pytest

from gpuenv.core import paths
from gpuenv.variants import locks
from gpuenv.variants import model as variants
from gpuenv.variants.kinds import FLAVORS

SCRIPT = runpy.run_path(str(paths.docker_dir() / "install.py"))
A, B = "a" * 64, "b" * 64


def parse(text: str) -> list[Any]:
    pins: list[Any] = SCRIPT["parse_pins"](text)
    return pins


def test_pins_with_hashes_and_markers() -> None:
    text = (
        f"# linux: x\nAlpha_One==1.0 \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}\n"
        f'beta==2 ; python_version < "3.7" \\\n    --hash=sha256:{B}\n'
    )
    alpha, beta = parse(text)
    assert (alpha.prefix, alpha.hashes) == ("alpha-one-1.0", {A, B})
    assert (beta.prefix, beta.hashes) == ("beta-2", {B})
    assert alpha.text + "\n" + beta.text + "\n" == text.split("\n", 1)[1]


@pytest.mark.parametrize("variant", variants.load_all(), ids=lambda variant: variant.name)
@pytest.mark.parametrize("flavor", FLAVORS)
def test_every_file_of_the_locks_is_recognized(variant: variants.Variant, flavor: str) -> None:
    pins = locks.linux_pins(locks.load_lock(variant.lock_path(flavor)))
    for pin in pins:
        (parsed,) = parse(locks.render_pin(pin))
        assert parsed.matches(pin.linux)
        assert [other.linux for other in pins if parsed.matches(other.linux)] == [pin.linux]


def test_a_file_counts_only_with_the_right_sum(tmp_path: Path) -> None:
    good, bad = tmp_path / "six-1.0-py3-none-any.whl", tmp_path / "six-1.0-py2-none-any.whl"
    good.write_bytes(b"good")
    bad.write_bytes(b"bad")
    (pin,) = parse(f"six==1.0 --hash=sha256:{hashlib.sha256(b'good').hexdigest()}\n")
    assert SCRIPT["find_file"](pin, tmp_path) == good
    good.write_bytes(b"damaged")
    assert SCRIPT["find_file"](pin, tmp_path) is None

"""What a machine must have."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.core.errors import HostError
from gpuenv.host import processor as host

CPUINFO = "processor\t: 0\nflags\t\t: fpu sse4_2 {more}\nbugs\t\t:\n\nprocessor\t: 1\nflags\t\t: fpu\n"


def write(tmp_path: Path, more: str) -> Path:
    path = tmp_path / "cpuinfo"
    path.write_text(CPUINFO.format(more=more))
    return path


def test_a_machine_that_will_do(tmp_path: Path) -> None:
    host.check_host("x86_64", write(tmp_path, "avx avx2"))


@pytest.mark.parametrize("machine", ["aarch64", "arm64", "i686", "ppc64le"])
def test_another_processor(tmp_path: Path, machine: str) -> None:
    with pytest.raises(HostError, match=f"this machine is {machine}, not x86-64"):
        host.check_host(machine, write(tmp_path, "avx"))


def test_no_avx(tmp_path: Path) -> None:
    # avx2 is another word, not a longer one.
    with pytest.raises(HostError, match="no AVX") as caught:
        host.check_host("x86_64", write(tmp_path, "avx2"))
    assert "2011" in caught.value.next_step


def test_no_avx_in_a_virtual_machine(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no AVX") as caught:
        host.check_host("x86_64", write(tmp_path, "hypervisor"))
    assert "-cpu host" in caught.value.next_step


@pytest.mark.parametrize("text", [None, "processor : 0\n"])
def test_where_the_system_does_not_tell_nothing_is_claimed(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "cpuinfo"
    if text is not None:
        path.write_text(text)
    host.check_host("x86_64", path)

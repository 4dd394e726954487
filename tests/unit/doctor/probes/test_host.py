"""The probes of the host: what they read, and that they believe nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.doctor import make_wish, write_script
from gpuenv.core.settings import Settings
from gpuenv.doctor import findings
from gpuenv.doctor.probes import host as doctor_probe_host
from gpuenv.host import processor as host
from gpuenv.prefix import folder as prefixes
from gpuenv.prefix import virtual_env as venv_env
from gpuenv.variants.environment import Environment


def test_the_machine_is_read_from_proc(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("flags\t\t: fpu avx\n")
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemAvailable:   2000 kB\n")
    found = doctor_probe_host.machine(tmp_path / "cpuinfo", tmp_path / "meminfo")
    assert found.flags == frozenset({"fpu", "avx"})
    assert found.memory_bytes == 2000 * 1024
    bare = doctor_probe_host.machine(tmp_path / "none", tmp_path / "none")
    assert (bare.flags, bare.memory_bytes) == (None, None)
    (tmp_path / "meminfo").write_text("MemTotal: 1 kB\n")
    assert doctor_probe_host.available_memory(tmp_path / "meminfo", []) is None


def test_variables_and_what_shadows_libraries(tmp_path: Path) -> None:
    (tmp_path / "libcudart.so.9.0").touch()
    (tmp_path / "libfoo.so").touch()
    path = f"/nonexistent:{tmp_path}::{tmp_path}"
    found = doctor_probe_host.variables({"LD_LIBRARY_PATH": path, "CUDA_HOME": "/opt/cuda", "SECRET": "x"})
    assert found.values == {"CUDA_HOME": "/opt/cuda"}
    assert found.shadows == {str(tmp_path): ("libcudart.so.9.0",)}


def test_the_clock_is_not_before_the_newest_file() -> None:
    found = doctor_probe_host.clock()
    assert found.now >= found.newest_file > 0
    assert found.newest_file >= Path(host.__file__).stat().st_mtime


def test_an_environment_that_was_made_is_found_where_gpu_shell_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_probe_host, "base_obstacle", lambda _: None)
    monkeypatch.setattr(doctor_probe_host, "find_python", lambda *_: None)
    wish = make_wish()
    assert doctor_probe_host.pythons(wish).made == frozenset()
    there = venv_env.plan(Environment(wish.default, "cpu"), Settings())[0]
    monkeypatch.setattr(prefixes, "is_complete", lambda prefix: prefix == there)
    assert doctor_probe_host.pythons(wish).made == {(wish.default.name, "cpu", "venv")}


def test_what_starts_services_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "script").touch()
    find = doctor_probe_host.find_init
    assert find(tmp_path, tmp_path / "script") == findings.SYSTEMD
    assert find(tmp_path / "none", tmp_path / "script") == findings.SYSV
    assert find(tmp_path / "none", tmp_path / "none") == ""
    write_script(tmp_path / "rc-service", "")
    assert find(tmp_path / "none", tmp_path / "script") == findings.OPENRC


def test_the_limit_of_a_container_or_a_job_counts_as_memory(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemAvailable:   1000 kB\n")
    (tmp_path / "own").write_text("1:cpu:/other\n0::/job/step\n")
    job = tmp_path / "job"
    (job / "step").mkdir(parents=True)
    for name, text in (("max", "600000\n"), ("current", "500000\n"), ("stat", "anon 1\ninactive_file 50000\n")):
        (job / f"memory.{name}").write_text(text)
    folders = doctor_probe_host.cgroup_folders(tmp_path / "own", tmp_path)
    assert folders == [job / "step", job, tmp_path]
    assert doctor_probe_host.available_memory(tmp_path / "meminfo", folders) == 150_000
    (job / "memory.max").write_text("max\n")
    assert doctor_probe_host.available_memory(tmp_path / "meminfo", folders) == 1_024_000
    assert doctor_probe_host.cgroup_folders(tmp_path / "none", tmp_path) == []
    assert doctor_probe_host.available_memory(tmp_path / "meminfo", []) == 1_024_000
    assert doctor_probe_host.available_memory(tmp_path / "none", folders) is None

"""`docker run --gpus` on simulated hosts: the real client, engine, hook interface and loader, without a GPU."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpuenv.host import gpu
from simulated.host import scenario, tiny
from simulated.host.machine import Machine, SimulatedHost, simulated_machine

NEEDED = ("dockerd", "docker", "gcc", "setpriv", "ldd")
MISSING = [name for name in NEEDED if shutil.which(name) is None]

pytestmark = [
    pytest.mark.skipif(os.getuid() != 0, reason="starting an engine needs root"),
    pytest.mark.skipif(bool(MISSING), reason=f"not on this machine: {', '.join(MISSING)}"),
]


@dataclass
class Lab:
    """A machine whose engines have the probe's image."""

    machine: Machine
    archive: bytes

    def become(self, name: str) -> SimulatedHost:
        host = self.machine.become(name)
        images = ["docker", "image", "ls", "--quiet", tiny.IMAGE]
        if subprocess.run(images, env=host.environment(), capture_output=True, check=True).stdout:
            return host
        if host.scenario.has_hook:
            tiny.import_image(self.archive, host.environment())
        else:
            # As images reach a simulated host that were built elsewhere.
            self.machine.copy_image(self.become("v100").url, tiny.IMAGE, has_hook=False)
            self.machine.become(name)
        return host


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("machine")
    with simulated_machine(folder / "simulated") as machine:
        yield Lab(machine, tiny.make_archive(folder / "tiny"))


def docker_run(host: SimulatedHost, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = ["docker", "run", "--rm", *arguments]
    return subprocess.run(argv, env=host.environment(), capture_output=True, text=True, check=False)


def inside(host: SimulatedHost, *command: str, options: tuple[str, ...] = ("--gpus", "all")) -> str:
    done = docker_run(host, *options, tiny.IMAGE, *command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def probe(host: SimulatedHost, *options: str) -> dict[str, str]:
    return tiny.parse_probe(inside(host, tiny.PROBE, options=options or ("--gpus", "all")))


def outside(host: SimulatedHost, *arguments: str) -> str:
    return subprocess.run([host.nvidia_smi, *arguments], capture_output=True, text=True, check=True).stdout


def test_v100_has_the_same_gpus_inside_and_outside(lab: Lab) -> None:
    host = lab.become("v100")
    assert inside(host, "nvidia-smi", "-L") == outside(host, "-L")
    found = probe(host)
    assert found["path"] == "/usr/lib/x86_64-linux-gnu/libcuda.so.1"
    assert (found["simulated"], found["standin"]) == ("yes", "no")
    assert (found["before_init"], found["init"]) == ("CUDA_ERROR_NOT_INITIALIZED", "CUDA_SUCCESS")
    assert (found["version"], found["count"]) == ("11000", "1")
    assert found["device0.uuid"] == scenario.find_scenario("v100").devices[0].uuid
    assert found["device0.compute_capability"] == "7.0"
    assert found["device0.name"] == "Tesla V100-SXM2-16GB (simulated)"
    # What needs a GPU is refused, so nothing of it can pass.
    assert found["context"] == "CUDA_ERROR_NOT_SUPPORTED"


def test_it_works_read_only_without_network_rights_or_root(lab: Lab) -> None:
    host = lab.become("v100")
    strict = ("--gpus", "all", "--read-only", "--network", "none", "--cap-drop", "ALL", "--user", "1234:1234")
    assert probe(host, *strict, "--security-opt", "no-new-privileges")["count"] == "1"
    assert inside(host, "nvidia-smi", "-L", options=strict) == outside(host, "-L")


def test_the_images_stand_in_is_used_only_without_a_driver(lab: Lab) -> None:
    host = lab.become("v100")
    found = probe(host, "--network", "none")
    assert (found["standin"], found["simulated"], found["init"]) == ("yes", "no", "CUDA_ERROR_NO_DEVICE")
    # The loader's cache does not know the driver here, and it wins all the same.
    uncached = probe(lab.become("no-ldconfig"))
    assert (uncached["standin"], uncached["simulated"], uncached["count"]) == ("no", "yes", "1")


def test_gpuenv_sees_the_simulated_host_as_this_machine(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    host = lab.become("two-t4")
    for name in ("PATH", "GPUENV_NVIDIA_PROC"):
        monkeypatch.setenv(name, host.environment()[name])
    found = gpu.host_gpus()
    assert found.driver == "470.57.02"
    assert len(found.uuids) == 2
    # Also where the kernel does not describe the cards, and nvidia-smi is asked.
    shutil.move(host.proc / "gpus", host.proc / "gone")
    try:
        assert gpu.host_gpus() == found
    finally:
        shutil.move(host.proc / "gone", host.proc / "gpus")


@pytest.mark.parametrize("chosen", ["device=1", "device=GPU-5e1f0002-7500-4000-8000-000000000002"])
def test_one_of_two_t4(lab: Lab, chosen: str) -> None:
    host = lab.become("two-t4")
    second = scenario.find_scenario("two-t4").devices[1].uuid
    assert inside(host, "nvidia-smi", "-L", options=("--gpus", chosen)).count("UUID") == 1
    found = probe(host, "--gpus", chosen)
    assert (found["count"], found["device0.uuid"]) == ("1", second)


def test_two_t4_and_what_hides_one(lab: Lab) -> None:
    host = lab.become("two-t4")
    assert inside(host, "nvidia-smi", "-L") == outside(host, "-L")
    assert probe(host)["count"] == "2"
    assert probe(host, "--gpus", "1")["count"] == "1"
    assert probe(host, "--gpus", "all", "--env", "CUDA_VISIBLE_DEVICES=1")["count"] == "1"
    refused = docker_run(host, "--gpus", "device=2", tiny.IMAGE)
    assert "nvidia-container-cli: device error: 2: unknown device" in refused.stderr


def test_an_old_driver_is_refused_by_the_images_requirement(lab: Lab) -> None:
    host = lab.become("driver-375")
    refused = docker_run(host, "--gpus", "all", "--env", "NVIDIA_REQUIRE_CUDA=cuda>=10.0", tiny.IMAGE)
    assert refused.returncode != 0
    assert "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=10.0, please update" in refused.stderr
    allowed = probe(host, "--gpus", "all", "--env", "NVIDIA_REQUIRE_CUDA=cuda>=8.0")
    assert (allowed["init"], allowed["version"]) == ("CUDA_SUCCESS", "8000")


def test_a_card_that_is_too_new_answers_like_any_other(lab: Lab) -> None:
    found = probe(lab.become("rtx3080"))
    assert (found["init"], found["device0.compute_capability"]) == ("CUDA_SUCCESS", "8.6")


def test_a_hidden_card_is_outside_and_not_inside(lab: Lab) -> None:
    host = lab.become("hidden-gtx1080")
    assert "GTX 1080" in outside(host, "-L")
    listed = docker_run(host, "--gpus", "all", tiny.IMAGE, "nvidia-smi", "-L")
    assert (listed.returncode, listed.stdout) == (6, "No devices found.\n")
    found = probe(host)
    assert (found["simulated"], found["init"], found["count"]) == ("yes", "CUDA_ERROR_NO_DEVICE", "0")


def test_a_mismatch_lets_no_container_start(lab: Lab) -> None:
    host = lab.become("mismatch")
    refused = docker_run(host, "--gpus", "all", tiny.IMAGE)
    assert refused.returncode != 0
    said = "nvidia-container-cli: initialization error: nvml error: driver/library version mismatch"
    assert said in refused.stderr
    assert probe(host, "--network", "none")["standin"] == "yes"


def test_without_uvm_nvidia_smi_works_and_cuda_does_not(lab: Lab) -> None:
    host = lab.become("no-uvm")
    assert inside(host, "nvidia-smi", "-L") == outside(host, "-L")
    found = probe(host)
    assert (found["init"], found["count"]) == ("CUDA_ERROR_UNKNOWN", "0")


def test_without_the_hook_the_engine_knows_no_gpus(lab: Lab) -> None:
    host = lab.become("no-hook")
    assert "V100" in outside(host, "-L")
    refused = docker_run(host, "--gpus", "all", tiny.IMAGE)
    assert refused.returncode != 0
    assert 'could not select device driver "" with capabilities: [[gpu]]' in refused.stderr


def test_only_what_was_asked_for_is_mounted(lab: Lab) -> None:
    host = lab.become("v100")
    only_compute = ("--gpus", '"capabilities=compute"')
    assert probe(host, *only_compute)["count"] == "1"
    assert docker_run(host, *only_compute, tiny.IMAGE, "nvidia-smi").returncode == 127
    only_utility = ("--gpus", '"capabilities=utility"')
    assert "V100" in inside(host, "nvidia-smi", "-L", options=only_utility)
    assert probe(host, *only_utility)["standin"] == "yes"


def test_the_kernels_facts_are_there_for_the_chosen_device_only(lab: Lab) -> None:
    host = lab.become("two-t4")
    container = subprocess.run(
        ["docker", "run", "--detach", "--rm", "--gpus", "device=1", tiny.IMAGE, tiny.PROBE, "wait"],
        env=host.environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    try:
        inspect = ["docker", "inspect", "--format", "{{.State.Pid}}", container]
        found = subprocess.run(inspect, env=host.environment(), capture_output=True, text=True, check=True)
        root = Path(f"/proc/{found.stdout.strip()}/root")
        assert "470.57.02  SIMULATED" in (root / "proc/driver/nvidia/version").read_text()
        assert [path.name for path in (root / "proc/driver/nvidia/gpus").iterdir()] == ["0000:00:05.0"]
        assert sorted(path.name for path in (root / "dev").glob("nvidia*")) == ["nvidia-uvm", "nvidia1", "nvidiactl"]
        # Docker's own rule for devices holds: the nodes are of a kind that every container may use.
        assert (root / "dev/nvidia1").stat().st_rdev == os.makedev(1, 3)
    finally:
        subprocess.run(["docker", "rm", "--force", container], env=host.environment(), capture_output=True, check=True)


def test_a_running_container_keeps_its_scenario(lab: Lab) -> None:
    host = lab.become("v100")
    name = f"keeps-{os.getpid()}"
    options = ("--detach", "--name", name, "--gpus", "all")
    inside(host, tiny.PROBE, "wait", options=options)
    try:
        lab.become("two-t4")
        again = ["docker", "exec", name, "nvidia-smi", "-L"]
        listed = subprocess.run(again, env=host.environment(), capture_output=True, text=True, check=True)
        assert listed.stdout == outside(host, "-L")
    finally:
        subprocess.run(["docker", "rm", "--force", name], env=host.environment(), capture_output=True, check=True)


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    with simulated_machine(tmp_path / "simulated") as machine:
        url = machine.become("v100").url
        socket = Path(url.removeprefix("unix://"))
        assert socket.exists()
    assert not socket.parent.exists()
    assert not (tmp_path / "simulated/engine/data").exists()
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    assert str(tmp_path) not in mounts
    assert str(socket.parent) not in mounts
    commands = (path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline"))
    assert not any(str(socket.parent).encode() in command for command in commands)

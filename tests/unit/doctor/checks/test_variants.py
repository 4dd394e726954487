"""Each check of `gpuenv.doctor.checks.variants` is seen giving every severity that it has."""

from __future__ import annotations

import pytest

from fakes.doctor import (
    CPU_ONLY,
    NO_ENGINE,
    TOOLKIT,
    Case,
    assert_says,
    assert_seen,
    gpus,
    judge,
    machine,
    running,
)
from gpuenv.doctor.checks import variants as checks
from gpuenv.doctor.facts import (
    Toolkit,
    Variables,
)
from gpuenv.engine.model import Engine
from gpuenv.variants.compat import Card


def variables(**values: str) -> Variables:
    return Variables(values)


PODMAN = Engine("podman", "unix:///run/podman/podman.sock", "Podman's socket of the system", "1.41")
T4 = (Card(0, "Tesla T4", "7.5"),)
MIXED_CARDS = (Card(0, "Tesla V100", "7.0"), Card(1, "RTX 3080", "8.6"))
AMPERE = (Card(0, "RTX 3080", "8.6"),)


#: Check, severity, a part of the message, a part of the remedy, and what is changed of the good machine.
CASES: list[Case] = [
    Case("variants", "ok", "cuda9.0 can use the GPU", "", []),
    Case("variants", "ok", "FLAVOR=cpu", "", [CPU_ONLY]),
    Case("variants", "warning", "cuda9.0 cannot use the GPU: Tesla T4", "VARIANT=cuda10.0", [gpus(cards=T4)]),
    Case("variants", "warning", "some of the GPUs only", "GPUS=0", [gpus(cards=MIXED_CARDS)]),
    Case("variants", "error", "cuda9.0 cannot use the GPU: RTX 3080", "FLAVOR=cpu", [gpus(cards=AMPERE)]),
    Case("toolkit", "ok", "/usr/bin/nvidia-container-runtime-hook", "", []),
    Case("toolkit", "ok", "no NVIDIA driver", "", [CPU_ONLY, Toolkit()]),
    Case("toolkit", "ok", "no engine", "", [NO_ENGINE, Toolkit()]),
    Case("toolkit", "ok", "nvidia.yaml", "", [running(engine=PODMAN), Toolkit(cdi=("/etc/cdi/nvidia.yaml",))]),
    Case("toolkit", "unknown", "Docker Desktop", "docker run", [running(system="Docker Desktop"), Toolkit()]),
    Case("toolkit", "warning", "describes the GPUs, but", "nvidia-ctk", [Toolkit(cdi=("/etc/cdi/nvidia.yaml",))]),
    Case("toolkit", "error", "is missing", "apt-get install nvidia-container-toolkit", [Toolkit()]),
    Case("toolkit", "error", "is missing", "pacman -S nvidia-container-toolkit", [Toolkit(), machine(system="arch")]),
    Case("toolkit", "error", "CDI specification, and", "nvidia-ctk cdi generate", [running(engine=PODMAN), TOOLKIT]),
    Case("toolkit", "error", "Podman has no CDI", "nvidia-ctk cdi generate", [running(engine=PODMAN), Toolkit()]),
    Case("runtime", "ok", "--gpus works", "", []),
    Case("runtime", "ok", "has the runtime", "", [running(runtimes=("nvidia", "runc"))]),
    Case("runtime", "ok", "not needed", "", [CPU_ONLY]),
    Case("variables", "ok", "none hides", "", []),
    Case("variables", "ok", "chooses devices", "", [variables(CUDA_VISIBLE_DEVICES="0")]),
    Case("variables", "ok", "there is none", "", [CPU_ONLY, variables(CUDA_VISIBLE_DEVICES="")]),
    Case("variables", "ok", "chooses devices", "", [variables(NVIDIA_VISIBLE_DEVICES="GPU-1")]),
    Case("variables", "ok", "chooses devices", "", [variables(CUDA_VISIBLE_DEVICES="MIG-GPU-1/1/0")]),
    Case("variables", "warning", "=7 hides every GPU (7 is none", "unset CUDA", [variables(CUDA_VISIBLE_DEVICES="7")]),
    Case("variables", "warning", "=-1 hides every GPU (-1", "unset NVIDIA", [variables(NVIDIA_VISIBLE_DEVICES="-1")]),
    Case("variables", "warning", "=-1 hides", "unset CUDA", [variables(CUDA_VISIBLE_DEVICES="-1")]),
    Case(
        "variables",
        "warning",
        "7 is no GPU of this machine",
        "export CUDA_VISIBLE_DEVICES=0",
        [variables(CUDA_VISIBLE_DEVICES="0,7")],
    ),
    Case("variables", "warning", "(empty) hides", "unset CUDA", [variables(CUDA_VISIBLE_DEVICES="")]),
    Case("variables", "warning", "void hides", "unset NVIDIA", [variables(NVIDIA_VISIBLE_DEVICES="void")]),
    Case("variables", "warning", "switches off", "unset", [variables(NVIDIA_DISABLE_REQUIRE="1")]),
    Case("variables", "warning", "leaves CUDA out", "compute", [variables(NVIDIA_DRIVER_CAPABILITIES="utility")]),
    Case("library-path", "ok", "shadows nothing", "", []),
    Case(
        "library-path",
        "warning",
        "libcudart.so.9.0 of /opt/old",
        "unset LD_LIBRARY_PATH",
        [Variables({}, {"/opt/old": ("libcudart.so.9.0",)})],
    ),
]


@pytest.mark.parametrize(Case._fields, CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_check_says_what_it_sees(name: str, severity: str, message: str, remedy: str, changes: list[object]) -> None:
    assert_says(Case(name, severity, message, remedy, changes))


def test_every_check_is_seen_to_pass_and_to_fail() -> None:
    assert_seen(checks, CASES, informing=frozenset({"runtime"}))


def test_a_variant_that_was_asked_for_and_is_not_served_is_an_error() -> None:
    found = judge("variants", gpus(cards=T4), asked="cuda9.0")
    assert [finding.severity for finding in found] == ["error", "ok"]
    assert found[0].remedy == "make gpu-shell VARIANT=cuda10.0"

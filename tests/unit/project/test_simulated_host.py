"""The pure parts of the simulated NVIDIA host: scenario files, what the hook decides, what the kernel would say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpuenv.core.errors import DataError, UsageError
from gpuenv.host import gpu
from simulated.host import daemon, scenario, selection, tiny
from simulated.host.hook import inside
from simulated.host.requirements import InvalidExpressionError, find_problem
from simulated.host.selection import HookError

NAMES = scenario.list_names()
V100 = (scenario.FOLDER / "v100.toml").read_text(encoding="utf-8")
#: From the images that NVIDIA published for CUDA 10.0.
CUDA_10_0 = "cuda>=10.0 brand=tesla,driver>=384,driver<385 brand=tesla,driver>=410,driver<411"
ADVICE = ", please update your driver to a newer version, or use an earlier cuda container"


def facts_of(name: str) -> selection.Facts:
    return selection.parse_facts(scenario.render_text(scenario.find_scenario(name)))


def decide(name: str, **environment: str) -> selection.Request | None:
    return selection.decide(facts_of(name), environment)


def test_every_situation_that_is_promised_is_there() -> None:
    promised = {"v100", "two-t4", "driver-375", "rtx3080", "hidden-gtx1080", "mismatch", "no-uvm", "no-hook"}
    assert promised <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_scenario_is_valid_and_says_what_it_is(name: str) -> None:
    found = scenario.find_scenario(name)
    assert found.devices
    assert "simulated" in scenario.render_proc(found)["version"].lower()
    assert all("simulated" in device.shown_name for device in found.devices)


def test_uuids_tell_scenarios_apart() -> None:
    uuids = [device.uuid for name in NAMES for device in scenario.find_scenario(name).devices]
    assert len(set(uuids)) == len(uuids)


def test_an_unknown_scenario_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UsageError, match="two-t4"):
        scenario.find_scenario("p100")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('fault = "none"', 'fault = "no-fan"', "fault: expected one of no-hook, no-ldconfig, no-uvm, none"),
        ('brand = "tesla"', 'brand = "matrox"', "brand: expected one of geforce"),
        ('visible_devices = "all"', 'visible_devices = "0"', "visible_devices: expected one of all, none"),
        ('cuda = "11.0"', 'cuda = "11"', "cuda: expected a CUDA version"),
        ('compute_capability = "7.0"', 'compute_capability = "70"', "compute_capability: expected a capability"),
        ("GPU-5e1f0001", "GPU-5E1F0001", "uuid: expected GPU- and a UUID in lower case"),
        ("memory_mib = 16160", "memory_mib = 0", "memory_mib: expected a positive whole number"),
        ("multiprocessors = 80", "", "multiprocessors: this key is missing"),
        ("[[device]]", "surprise = 1\n[[device]]", "surprise: this key is not known"),
        ('name = "Tesla', 'name = "Tesla,', "name: expected a product's name"),
    ],
)
def test_a_bad_scenario_is_refused_by_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(V100.replace(old, new), encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(said)):
        scenario.load_scenario(path)


def test_two_devices_with_one_uuid_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "twins.toml"
    path.write_text(V100 + V100[V100.index("[[device]]") :], encoding="utf-8")
    with pytest.raises(DataError, match="a uuid of its own"):
        scenario.load_scenario(path)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_kernel_would_say_is_read_as_that_of_a_real_driver(name: str, tmp_path: Path) -> None:
    known = scenario.find_scenario(name)
    for path, text in scenario.render_proc(known).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    found = gpu.host_gpus(tmp_path, smi="/nonexistent")
    assert found.driver == known.driver
    assert found.uuids == tuple(device.uuid for device in known.devices)
    assert found.names == tuple(device.shown_name for device in known.devices)


def test_the_place_of_proc_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "version").write_text(scenario.render_proc(scenario.find_scenario("v100"))["version"])
    monkeypatch.setenv("GPUENV_NVIDIA_PROC", str(tmp_path))
    assert gpu.host_gpus(smi="/nonexistent").driver == "450.51.06"


@pytest.mark.parametrize("name", NAMES)
def test_the_hook_reads_what_the_scenario_says(name: str) -> None:
    known, facts = scenario.find_scenario(name), facts_of(name)
    assert (facts.driver, facts.library, facts.cuda) == (known.driver, known.library, known.cuda)
    assert [device.uuid for device in facts.devices] == [device.uuid for device in known.devices]
    assert [device.arch for device in facts.devices] == [device.compute_capability for device in known.devices]
    folders = {Path(path).parts[1] for path in scenario.render_proc(known) if path.startswith("gpus/")}
    assert {device.address for device in facts.devices} == folders


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ("all", [0, 1]),
        ("0", [0]),
        ("1", [1]),
        ("1,0", [1, 0]),
        ("1,1", [1]),
        ("0,all", [0, 1]),
        ("GPU-5e1f0002-7500-4000-8000-000000000002", [1]),
        ("gpu-5E1F0002-7500-4000-8000-000000000002", [1]),
        ("none", []),
    ],
)
def test_devices_are_chosen_as_asked(wanted: str, numbers: list[int]) -> None:
    request = decide("two-t4", NVIDIA_VISIBLE_DEVICES=wanted)
    assert request is not None
    assert [device.number for device in request.devices] == numbers


@pytest.mark.parametrize("environment", [{}, {"NVIDIA_VISIBLE_DEVICES": ""}, {"NVIDIA_VISIBLE_DEVICES": "void"}])
def test_a_container_that_asks_for_no_gpu_is_left_alone(environment: dict[str, str]) -> None:
    assert decide("mismatch", **environment) is None


@pytest.mark.parametrize("wanted", ["2", "0,7", "GPU-5e1f0002", "-1"])
def test_an_unknown_device_is_refused(wanted: str) -> None:
    with pytest.raises(HookError, match=r"device error: .*: unknown device"):
        decide("two-t4", NVIDIA_VISIBLE_DEVICES=wanted)


def test_a_site_hides_devices_from_who_asks_for_all() -> None:
    request = decide("hidden-gtx1080", NVIDIA_VISIBLE_DEVICES="all")
    assert request is not None
    assert request.devices == ()


def test_a_mismatch_comes_before_everything_else() -> None:
    with pytest.raises(HookError, match="nvml error: driver/library version mismatch"):
        decide("mismatch", NVIDIA_VISIBLE_DEVICES="9", NVIDIA_REQUIRE_CUDA="cuda>=99.0")


@pytest.mark.parametrize(
    ("value", "capabilities"),
    [
        (None, ("compute", "utility")),
        ("", ("compute", "utility")),
        ("utility", ("utility",)),
        ("utility,compute", ("compute", "utility")),
        ("all", selection.SUPPORTED),
    ],
)
def test_capabilities_are_those_asked_for(value: str | None, capabilities: tuple[str, ...]) -> None:
    environment = {} if value is None else {"NVIDIA_DRIVER_CAPABILITIES": value}
    assert selection.select_capabilities(environment) == capabilities


def test_an_unknown_capability_is_refused() -> None:
    with pytest.raises(HookError, match=r"unsupported capabilities found in 'compute,cook' \(allowed 'compute'\)"):
        selection.select_capabilities({"NVIDIA_DRIVER_CAPABILITIES": "cook,compute"})


def test_the_last_value_of_a_variable_counts() -> None:
    entries = ["NVIDIA_VISIBLE_DEVICES=none", "X=a=b", "odd", "NVIDIA_VISIBLE_DEVICES=all"]
    assert selection.parse_environment(entries) == {"NVIDIA_VISIBLE_DEVICES": "all", "X": "a=b"}


@pytest.mark.parametrize(
    ("expression", "cuda", "driver", "brand", "problem"),
    [
        ("cuda>=9.0", "9.0", "384.81", "tesla", None),
        ("cuda>=9.0", "8.0", "375.66", "tesla", "unsatisfied condition: cuda>=9.0" + ADVICE),
        # A space is "or": an old driver of the right branch on a Tesla will do, on a GeForce it will not.
        (CUDA_10_0, "9.0", "384.111", "tesla", None),
        (CUDA_10_0, "9.0", "384.111", "geforce", "unsatisfied condition: cuda>=10.0" + ADVICE),
        (CUDA_10_0, "9.1", "387.26", "tesla", "unsatisfied condition: cuda>=10.0" + ADVICE),
        (CUDA_10_0, "10.0", "410.48", "geforce", None),
        # A comma is "and".
        ("cuda>=9.0,brand=tesla", "11.0", "450.51.06", "tesla", None),
        ("brand=tesla,cuda>=9.0", "11.0", "450.51.06", "geforce", "unsatisfied condition: brand=tesla,cuda>=9.0"),
        # Versions are compared by number, and missing parts are zeros.
        ("cuda<10.0", "9.2", "396.26", "tesla", None),
        ("driver=384", "9.0", "384.0", "tesla", None),
        ("driver>384", "9.0", "384.81", "tesla", None),
        ("driver!=384.81", "9.0", "384.81", "tesla", "unsatisfied condition: driver!=384.81"),
        ("driver<=384.81,driver<384.82", "9.0", "384.81", "tesla", None),
        ("brand!=GeForce", "9.0", "384.81", "geforce", "unsatisfied condition: brand!=GeForce"),
        ("", "9.0", "384.81", "tesla", None),
    ],
)
def test_requirements_are_judged_as_nvidias_tool_does(
    expression: str, cuda: str, driver: str, brand: str, problem: str | None
) -> None:
    assert find_problem(expression, {"cuda": cuda, "driver": driver, "arch": "7.0", "brand": brand}) == problem


def test_without_a_device_what_is_asked_of_devices_holds() -> None:
    assert find_problem("brand=tesla,arch>=9.0", {"cuda": "9.0", "driver": "384.81"}) is None


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("cuda", "cuda"),
        ("cuda>=", "="),
        (">=9.0", ">=9.0"),
        ("fan>3", "fan>3"),
        ("cuda>=new", "new"),
        ("brand>tesla", ">tesla"),
        ("cuda=>9", ">9"),
    ],
)
def test_a_requirement_that_cannot_be_read_is_refused(expression: str, said: str) -> None:
    facts = {"cuda": "9.0", "driver": "384.81", "brand": "tesla"}
    with pytest.raises(InvalidExpressionError, match=f"^{re.escape(said)}$"):
        find_problem(expression, facts)


def test_requirements_count_for_every_visible_device_unless_disabled() -> None:
    asked = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_REQUIRE_ARCH": "arch>=8.0"}
    with pytest.raises(HookError, match=r"requirement error: unsatisfied condition: arch>=8\.0"):
        decide("two-t4", **asked)
    assert decide("two-t4", **asked, NVIDIA_DISABLE_REQUIRE="1") is not None
    assert decide("two-t4", **{**asked, "NVIDIA_VISIBLE_DEVICES": "none"}) is not None
    with pytest.raises(HookError, match="requirement error: invalid expression"):
        decide("two-t4", NVIDIA_VISIBLE_DEVICES="all", NVIDIA_REQUIRE_X="nonsense")


def test_the_hook_never_follows_a_link_out_of_the_container(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr/lib").mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    (root / "bad").symlink_to("/etc")
    assert inside(root, "lib/x.so") == root / "usr/lib/x.so"
    with pytest.raises(HookError, match="outside of the container"):
        inside(root, "bad/x.so")


def test_mounts_are_undone_from_the_deepest_on() -> None:
    table = "overlay /run/a/b overlay rw 0 0\nproc /run/a/b/proc proc rw 0 0\ntmpfs /run/ab tmpfs rw 0 0\n"
    assert daemon.mounts_below(table, Path("/run/a")) == ["/run/a/b/proc", "/run/a/b"]


def test_the_probe_is_read_line_by_line() -> None:
    assert tiny.parse_probe("count 1\ndevice0.name Tesla T4\n") == {"count": "1", "device0.name": "Tesla T4"}

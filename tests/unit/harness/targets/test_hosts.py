from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpuenv.core.errors import CheckError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.cuda.stand_ins import MARKER
from gpuenv.harness.report import files
from gpuenv.harness.report.model import Report
from gpuenv.harness.targets import hosts
from gpuenv.harness.targets.hosts import Address
from gpuenv.harness.targets.model import Plan, Target
from gpuenv.variants import model as variants

VARIANT = variants.find_variant("cuda10.0")
LAB = Address("ssh://lab1?timeout=5", "/opt/x")
REACHED = b"welcome to lab1\ngpuenv-reached\n"
DRIVER = b"NVRM version: NVIDIA UNIX x86_64 Kernel Module  450.80.02  Wed Sep 23 01:13:39 UTC 2020\n"


class Answering:
    """What testinfra's host would be."""

    def __init__(self, stdout: bytes = REACHED, stderr: bytes = b"", code: int = 0) -> None:
        self.answer = SimpleNamespace(rc=code, stdout_bytes=stdout, stderr_bytes=stderr)
        self.commands: list[str] = []

    def run(self, command: str) -> Any:
        self.commands.append(command)
        return self.answer


class Raising:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def run(self, command: str) -> Any:
        raise self.error


def probe(monkeypatch: pytest.MonkeyPatch, host: object, flavor: str | None = None) -> Target:
    monkeypatch.setattr(hosts, "open_host", lambda uri, limit_s: host)
    return hosts.probe(LAB, VARIANT, flavor)


# --- one host ------------------------------------------------------------------------------------------


def test_an_environment_of_this_machine_that_others_may_write_to_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Answering()
    monkeypatch.setattr(hosts, "open_host", lambda uri, limit_s: host)
    (tmp_path / "bin").mkdir(mode=0o700)
    (tmp_path / "bin").chmod(0o777)
    target = hosts.probe(Address("local://", str(tmp_path)), VARIANT, None)
    assert str(target.missing).startswith(f"its Python is not started: others may write to {tmp_path}/bin ")
    assert host.commands == []
    (tmp_path / "bin").chmod(0o755)
    assert hosts.probe(Address("local://", str(tmp_path)), VARIANT, None).missing is None


def test_a_host_without_driver_is_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Answering()
    target = probe(monkeypatch, host)
    assert target == Target(
        "cuda10.0-cpu-on-ssh://lab1", "host", "cuda10.0", "cpu", prefix="/opt/x", host="ssh://lab1?timeout=5"
    )
    assert target.title == "cuda10.0-cpu on ssh://lab1 in /opt/x"
    assert "/opt/x/bin/python -I -c pass" in host.commands[0]


def test_a_host_with_a_driver_is_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    target = probe(monkeypatch, Answering(REACHED + DRIVER))
    assert (target.flavor, target.cuda, target.driver, target.has_simulated_driver) == (
        "gpu", "complete", "450.80.02", False,
    )  # fmt: skip


def test_the_wanted_flavor_wins_and_the_driver_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert probe(monkeypatch, Answering(), "gpu").driver is None
    target = probe(monkeypatch, Answering(REACHED + DRIVER), "cpu")
    assert (target.flavor, target.driver) == ("cpu", "450.80.02")


def test_a_simulated_driver_is_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    target = probe(monkeypatch, Answering(REACHED + DRIVER.replace(b"Kernel", b"SIMULATED Kernel")))
    assert target.has_simulated_driver
    assert target.title.endswith("(simulated driver)")


def test_stand_ins_are_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Answering(REACHED + b"gpuenv-cuda-stand-ins\n")
    assert probe(monkeypatch, host, "gpu").title.endswith("(cuFFT, cuSOLVER: stand-ins)")
    assert probe(monkeypatch, host).cuda == "none"
    assert MARKER in host.commands[0]


def test_stand_ins_are_found_in_a_folder_too(tmp_path: Path) -> None:
    folder = tmp_path / "an environment"
    (folder / "lib/cuda-10.0").mkdir(parents=True)
    library = folder / "lib/cuda-10.0/libcufft.so.10.0"
    for content, found in (("genuine", ""), (f"x{MARKER}x", "gpuenv-cuda-stand-ins\n")):
        library.write_text(content)
        command = hosts._look_for_stand_ins(str(folder))
        assert subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False).stdout == found


@pytest.mark.parametrize(
    ("host", "why"),
    [
        (Answering(b"", b"x\nsh: kubectl: not found\n", 127), "it cannot be reached: sh: kubectl: not found"),
        (Answering(b"", b"", 1), "it cannot be reached: exit code 1"),
        (Answering(REACHED, b"sh: /opt/x/bin/python: not found\n", 127), "its Python does not start: sh: /opt/x"),
        (Raising(TimeoutError("no answer within 60 s")), "it cannot be reached: no answer within 60 s"),
        (Raising(RuntimeError(SimpleNamespace(stderr="a\nConnection refused\n"))), "reached: Connection refused"),
        (Raising(ConnectionRefusedError(111, "Connection refused")), "Connection refused"),
        (Raising(EOFError()), "it cannot be reached: EOFError"),
    ],
)
def test_a_lost_host_says_why_in_one_line(monkeypatch: pytest.MonkeyPatch, host: object, why: str) -> None:
    target = probe(monkeypatch, host)
    assert target.missing is not None
    assert why in target.missing
    assert "\n" not in target.missing
    assert target.is_required


@pytest.mark.parametrize(
    ("error", "why"), [(RuntimeError("You must install\nparamiko"), "paramiko"), (CheckError("a", "b", "c"), "b")]
)
def test_a_connection_that_cannot_be_opened_is_a_lost_host(
    monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(hosts, "open_host", fail)
    assert hosts.probe(LAB, VARIANT, None).missing == f"it cannot be reached: {why}"


# --- all of them -----------------------------------------------------------------------------------------


def asked(monkeypatch: pytest.MonkeyPatch, text: str, **settings: Any) -> tuple[Target, ...]:
    def find(uri: str, limit_s: float) -> object:
        return Raising(OSError("no route")) if "lost" in uri else Answering()

    monkeypatch.setattr(hosts, "open_host", find)
    return hosts.list_targets(Settings(variant="cuda10.0", hosts=text, **settings))


def test_a_lost_host_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(monkeypatch, "ssh://a ssh://lost ssh://b")
    assert [target.missing for target in found] == [None, "it cannot be reached: no route", None]


def test_a_promised_gpu_makes_no_cpu_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one.flavor for one in asked(monkeypatch, "ssh://a ssh://lost", require_gpu=True)] == ["gpu", "gpu"]
    assert [one.flavor for one in asked(monkeypatch, "ssh://a", require_gpu=True, flavor="cpu")] == ["cpu"]
    assert [one.flavor for one in asked(monkeypatch, "ssh://a", require_gpu=False)] == ["cpu"]


def test_no_password_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    (target,) = asked(monkeypatch, "ssh://me:secret@lab1:22?ssh_config=/c")
    assert target.host == "ssh://me:secret@lab1:22?ssh_config=/c"
    assert target.address == "ssh://me@lab1:22"
    assert "secret" not in target.identity + target.title
    saved = json.loads(files.render_data(Report(Plan("r", (target,)), [], {}, 0.0, 1.0, 0)))
    assert saved["targets"][0]["host"] == target.address
    assert "secret" not in json.dumps(saved)


def test_environments_of_one_host_have_names_of_their_own() -> None:
    def named(*names: str) -> list[str]:
        blank = Target("", "host", "cuda10.0", "cpu")
        found = hosts.with_own_identities([dataclasses.replace(blank, identity=name) for name in names])
        return [target.identity for target in found]

    assert named("a", "b", "a", "a") == ["a", "b", "a-2", "a-3"]
    # A number that is another one's own name is not given.
    assert named("a", "a", "a-2") == ["a", "a-3", "a-2"]


# --- inventories -----------------------------------------------------------------------------------------


def with_inventory(monkeypatch: pytest.MonkeyPatch, names: list[str] | Exception) -> None:
    def get_hosts(name: str, **_: object) -> list[str]:
        if isinstance(names, Exception):
            raise names
        return names

    monkeypatch.setattr("testinfra.backend.get_backend_class", lambda _: SimpleNamespace(get_hosts=get_hosts))


def test_an_inventory_stands_for_its_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    with_inventory(monkeypatch, ["one", "two"])
    address = Address("ansible://labs?ansible_inventory=/inv", "/opt/x")
    assert hosts.expand(address) == [
        Address("ansible://one?ansible_inventory=/inv", "/opt/x"),
        Address("ansible://two?ansible_inventory=/inv", "/opt/x"),
    ]
    # A host in two groups is asked once.
    assert len(asked(monkeypatch, "ansible://labs ansible://others")) == 2


def test_other_entries_stand_for_themselves() -> None:
    assert hosts.expand(LAB) == [LAB]


@pytest.mark.parametrize("names", [[], RuntimeError("first\nNo inventory was parsed"), RuntimeError()])
def test_an_inventory_without_hosts_stops_the_run(
    monkeypatch: pytest.MonkeyPatch, names: list[str] | Exception
) -> None:
    with_inventory(monkeypatch, names)
    with pytest.raises(UsageError, match="ansible://labs names no hosts") as caught:
        hosts.expand(Address("ansible://labs?ansible_inventory=/inv", ""))
    assert len(str(caught.value).splitlines()) == 3

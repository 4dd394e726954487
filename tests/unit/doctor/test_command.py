"""`make doctor` as a whole: what cannot be found out, how long it takes, what it recommends, and what it prints."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fakes.doctor import (
    CPU_ONLY,
    GB,
    GPUS,
    MACHINE,
    NETWORK,
    NO_ENGINE,
    OFFLINE,
    RUNNING,
    all_images,
    make_facts,
    make_pythons,
    make_wish,
)
from fakes.engine import serving
from gpuenv import cli
from gpuenv.core import ui
from gpuenv.core.errors import HostError
from gpuenv.doctor import command as doctor
from gpuenv.doctor import gather as doctor_probes
from gpuenv.doctor import routes as doctor_routes
from gpuenv.doctor import text as doctor_text
from gpuenv.doctor.checks import variants as doctor_checks_variants
from gpuenv.doctor.facts import Clients, Conda, Engines, Network, Place, Storage, Toolkit, Variables
from gpuenv.doctor.findings import Finding
from gpuenv.doctor.gather import Facts, Probe, Unanswered, gather
from gpuenv.doctor.probes import engine as doctor_probe_engine
from gpuenv.engine import find, private
from gpuenv.engine.endpoints import Endpoint
from gpuenv.engine.private_daemon import Daemon
from gpuenv.net import questions as doctor_ask
from gpuenv.net.questions import Answer
from gpuenv.variants.compat import Card

V100_AND_RTX = (Card(0, "RTX 3080", "8.6"), Card(1, "Tesla V100", "7.0"))


def fail() -> object:
    raise RuntimeError("broken")


def refuse() -> object:
    raise HostError("the folder cannot be made", "it is read-only", "another one")


#: Far longer than any deadline in these tests, so that a loaded machine decides nothing.
HANG_S = 30


def hang() -> object:
    time.sleep(HANG_S)
    return MACHINE


def list_routes(facts: Facts) -> list[doctor_routes.Route]:
    return doctor_routes.list_routes(facts, doctor.examine(facts))


def best_command(facts: Facts, asked: str | None = None) -> str | None:
    best = doctor_routes.find_best(list_routes(facts), make_wish(asked))
    return doctor_routes.render_command(best, facts) if best else None


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (fail, "RuntimeError: broken"),
        (refuse, "the folder cannot be made: it is read-only"),
        (hang, "no answer within 0.2 s"),
    ],
)
def test_a_probe_without_an_answer_is_a_finding_and_not_a_pass(ask: Any, reason: str) -> None:
    began = time.monotonic()
    probes = [Probe("machine", "the processor", ask, "uname -a", 0.2), Probe("gpus", "GPUs", lambda: GPUS, "x")]
    found = gather(probes, make_wish())
    assert time.monotonic() - began < HANG_S / 2
    assert found.gpus == GPUS
    assert found.unanswered == {"machine": Unanswered("the processor", reason, "uname -a")}
    findings = doctor.examine(replace(make_facts(), machine=None, unanswered=found.unanswered))
    touched = {doctor.name_of(one) for one in doctor.CHECKS if "machine" in inspect.signature(one).parameters}
    said = {finding.check: finding for finding in findings if finding.severity == "unknown"}
    assert set(said) == touched
    assert said["avx"].message == f"the processor could not be found out: {reason}"
    assert said["avx"].remedy == "uname -a"


def without_fact(name: str, about: str) -> Facts:
    changes: dict[str, Any] = {name: None}
    return replace(make_facts(), unanswered={name: Unanswered(about, "no answer within 5 s")}, **changes)


@pytest.mark.parametrize("name", [probe.field for probe in doctor.make_probes(make_wish())])
def test_whatever_could_not_be_found_out_the_report_is_made(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.report(without_fact(name, "something"), is_json=False) in (0, 2)
    assert "recommendation:" in capsys.readouterr().out


def test_probes_run_at_the_same_time() -> None:
    names = [probe.field for probe in doctor.make_probes(make_wish())]
    # Each waits for all the others: one after the other they would never answer.
    together = threading.Barrier(len(names))
    found = gather([Probe(name, "a barrier", together.wait, "x", HANG_S) for name in names], make_wish())
    assert not found.unanswered


def test_a_machine_that_says_what_nobody_foresaw_does_not_cost_the_report() -> None:
    odd = replace(GPUS, host=replace(GPUS.host, driver="[N/A]"))
    found = doctor.apply(doctor_checks_variants.variants, make_facts(odd))
    assert [finding.severity for finding in found] == ["unknown"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ([], 0),
        ([CPU_ONLY], 0),
        ([CPU_ONLY, NO_ENGINE], 0),
        ([replace(MACHINE, flags=None)], 0),
        ([replace(MACHINE, architecture="aarch64")], 2),
        ([Toolkit()], 2),
        ([CPU_ONLY, NO_ENGINE, OFFLINE], 2),
    ],
)
def test_the_exit_code(changes: list[object], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.report(make_facts(*changes), is_json=False) == code
    assert capsys.readouterr().out


def without(kind: str) -> Network:
    """The network, but for one kind of address."""
    answers = (replace(one, problem="no connection") if one.kind == kind else one for one in NETWORK.answers)
    return replace(NETWORK, answers=tuple(answers))


NO_ARCHIVES = replace(NETWORK, archive_obstacles=OFFLINE.archive_obstacles)
OLD_DRIVER = replace(GPUS, host=replace(GPUS.host, driver="390.87"), libraries=("390.87",))
TIGHT = Place("/cache", GB)


@pytest.mark.parametrize(
    ("changes", "asked", "command"),
    [
        ([], None, "make gpu-shell"),
        ([], "cuda9.0", "make gpu-shell VARIANT=cuda9.0"),
        ([CPU_ONLY], None, "make gpu-shell"),
        # The default variant needs a newer driver, the older one does not.
        ([OLD_DRIVER], None, "make gpu-shell VARIANT=cuda9.0"),
        ([OLD_DRIVER], "cuda10.0", "make gpu-shell FLAVOR=cpu"),
        ([replace(GPUS, cards=V100_AND_RTX)], None, "make gpu-shell GPUS=1"),
        ([Toolkit()], None, "make gpu-shell FLAVOR=cpu"),
        # What is built already needs no network; what is not cannot be built without.
        ([Engines(replace(RUNNING, images=all_images())), OFFLINE], None, "make gpu-shell"),
        (
            [Engines(replace(RUNNING, images=frozenset({("cuda10.0", "cpu")}))), OFFLINE],
            None,
            "make gpu-shell FLAVOR=cpu",
        ),
        ([OFFLINE], None, None),
        # No archives of CUDA: the CPU, not an image that cannot be built.
        ([NO_ARCHIVES], None, "make gpu-shell FLAVOR=cpu"),
        # No registry, but a base can be made; or not.
        ([without("registry")], None, "make gpu-shell"),
        ([without("registry"), make_pythons(is_found=False)], None, None),
        (
            [without("registry"), make_pythons(is_found=False), Engines(replace(RUNNING, has_detour=True))],
            None,
            "make gpu-shell",
        ),
        # No engine: a private one, else a virtual environment.
        ([CPU_ONLY, Engines(None)], None, "make gpu-shell"),
        ([CPU_ONLY, NO_ENGINE], None, "make gpu-shell ENGINE=venv"),
        ([NO_ENGINE], "cuda9.0", "make gpu-shell VARIANT=cuda9.0 ENGINE=venv"),
        ([CPU_ONLY, NO_ENGINE, make_pythons(is_found=False)], None, None),
        (
            [CPU_ONLY, NO_ENGINE, OFFLINE, replace(make_pythons(), made=frozenset({("cuda10.0", "cpu", "venv")}))],
            None,
            "make gpu-shell ENGINE=venv",
        ),
        ([CPU_ONLY, NO_ENGINE, Storage(TIGHT, TIGHT)], None, None),
        ([CPU_ONLY, NO_ENGINE, replace(MACHINE, libc="")], None, None),
        # To be installed from a mirror that does not answer: the environment without an engine.
        ([CPU_ONLY, Engines(None, missing=("docker.io",)), without("apt")], None, "make gpu-shell ENGINE=venv"),
        ([CPU_ONLY, Engines(None), Clients()], None, "make gpu-shell ENGINE=venv"),
        (
            [Engines(replace(RUNNING, builder=None, builder_problem="no buildx"))],
            None,
            "make gpu-shell ENGINE=venv",
        ),
        ([replace(MACHINE, flags=frozenset())], None, None),
    ],
)
def test_what_is_recommended_works(changes: list[object], asked: str | None, command: str | None) -> None:
    assert best_command(make_facts(*changes, asked=asked), asked) == command


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        # No toolkit for containers, and no engine that could build: the driver serves programs of this machine.
        (
            [Toolkit(), Engines(replace(RUNNING, builder=None, builder_problem="no buildx"))],
            "make gpu-shell ENGINE=venv",
        ),
        ([CPU_ONLY, NO_ENGINE, make_pythons(is_found=False), Conda()], "make gpu-shell ENGINE=conda"),
        ([NO_ENGINE, replace(make_pythons(), cuda=frozenset({"cuda10.0"})), NO_ARCHIVES], "make gpu-shell ENGINE=venv"),
        ([NO_ENGINE, NO_ARCHIVES], "make gpu-shell ENGINE=venv FLAVOR=cpu"),
    ],
)
def test_without_a_usable_engine_an_environment_of_this_machine_is_recommended(
    changes: list[object], command: str
) -> None:
    assert best_command(make_facts(*changes)) == command


def test_where_the_driver_could_not_be_asked_the_flavor_is_said() -> None:
    assert best_command(without_fact("gpus", "the NVIDIA driver")) == "make gpu-shell FLAVOR=cpu"


def test_what_was_not_found_out_is_a_doubt_that_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.report(without_fact("toolkit", "NVIDIA's container toolkit"), is_json=False)
    said = capsys.readouterr().out
    assert "in doubt, because NVIDIA's container toolkit could not be found out" in said


def test_the_list_is_plain_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.report(make_facts(Toolkit()), is_json=False, is_verbose=True)
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert captured.err == ""
    assert lines[0] == "ok       architecture    x86_64"
    place = next(number for number, line in enumerate(lines) if line.startswith("ERROR    toolkit"))
    assert lines[place + 1].strip().startswith("do: sudo apt-get install nvidia-container-toolkit")
    assert lines[-2] == "recommendation: make gpu-shell FLAVOR=cpu"
    assert "better would be cuda10.0-gpu" in lines[-1]
    assert "\x1b" not in captured.out
    assert re.search(r"^\d+ ok, 1 error$", captured.out, re.MULTILINE)


def test_what_is_fine_is_only_counted(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.report(make_facts(), is_json=False)
    assert re.match(r"\d+ ok \(VERBOSE=1 shows all\)\nrecommendation: make gpu-shell\n", capsys.readouterr().out)
    no_room = make_facts(CPU_ONLY, Engines(replace(RUNNING, free_bytes=5 * GB)))
    doctor.report(no_room, is_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("WARNING  disk ")
    assert lines[1].strip().startswith("do: docker system df")
    assert re.fullmatch(r"\d+ ok, 1 warning \(VERBOSE=1 shows all\)", lines[3])


def test_on_a_terminal_it_is_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    doctor.report(make_facts(Toolkit()), is_json=False)
    out = capsys.readouterr().out
    assert "toolkit" in out
    assert "do: sudo apt-get" in out


def test_json_has_findings_variants_and_the_recommendation(capsys: pytest.CaptureFixture[str]) -> None:
    t4 = replace(GPUS, cards=(Card(0, "Tesla T4", "7.5"),))
    assert doctor.report(make_facts(t4), is_json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {"findings", "variants", "recommendation"}
    assert all(set(one) == {"check", "severity", "message", "remedy"} for one in said["findings"])
    assert [(one["name"], one["served"]) for one in said["variants"]] == [("cuda9.0", False), ("cuda10.0", True)]
    assert "7.5 (Turing)" in said["variants"][0]["reasons"][0]
    assert said["recommendation"]["command"] == "make gpu-shell"
    assert said["recommendation"]["flavor"] == "gpu"


def test_json_of_a_machine_on_which_nothing_works(capsys: pytest.CaptureFixture[str]) -> None:
    facts = make_facts(CPU_ONLY, replace(MACHINE, architecture="aarch64"))
    assert doctor.report(facts, is_json=True) == 2
    said = json.loads(capsys.readouterr().out)
    assert said["recommendation"]["possible"] is False
    assert [one["served"] for one in said["variants"]] == [False, False]
    assert said["findings"][-1]["check"] == "recommendation"


def test_the_recommendation_has_the_same_keys_whether_there_is_one_or_not() -> None:
    said = [
        doctor_text.render_json([], facts, list_routes(facts))
        for facts in (make_facts(), make_facts(replace(MACHINE, architecture="aarch64")))
    ]
    assert [one["recommendation"]["possible"] for one in said] == [True, False]
    assert set(said[0]["recommendation"]) == set(said[1]["recommendation"])
    ways = [way for one in said for variant in one["variants"] for way in variant["ways"]]
    assert {tuple(way) for way in ways} == {("flavor", "engine", "possible", "obstacles", "doubts")}


def test_standard_output_is_json_whatever_is_said_beside_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gather_and_warn(*_: object) -> Facts:
        ui.warn("take care")
        return make_facts()

    monkeypatch.setattr(doctor, "gather", gather_and_warn)
    assert cli.main(["doctor", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["recommendation"]
    assert captured.err == "gpuenv: warning: take care\n"


def test_what_a_machine_says_does_not_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    odd = replace(GPUS, problem="\x1b]0;title\x07\x1b[2Jcaf\xe9\x00")
    doctor.report(make_facts(odd), is_json=False)
    out = capsys.readouterr().out
    assert " caf\xe9\n" in out
    assert "title" not in out
    assert not {"\x1b", "\x07", "\x00"} & set(out)


@pytest.mark.parametrize("columns", ["40", "100"])
def test_on_a_terminal_a_command_stays_one_line(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", columns)
    doctor.report(make_facts(Toolkit()), is_json=False)
    lines = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()
    remedy = next(line.strip() for line in lines if "do: sudo apt-get install nvidia" in line)
    assert remedy.endswith("container-toolkit/)")
    messages = lines[: lines.index("")]
    assert max(len(line) for line in messages if "do:" not in line) <= int(columns)


def test_a_standard_output_that_was_closed_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert doctor.report(make_facts(), is_json=False) == 0


def test_what_takes_long_is_told_and_is_no_reason_to_wait_longer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor_probes, "PATIENCE_S", 0.1)
    began = time.monotonic()
    slow = Probe("gpus", "the NVIDIA driver", hang, "nvidia-smi", 0.3)
    gather([slow, Probe("machine", "the processor", hang, "x", 0.05)], make_wish())
    assert time.monotonic() - began < HANG_S / 2
    assert capsys.readouterr().err == "gpuenv: still waiting for the NVIDIA driver (0.3 s at most)\n"


def test_on_windows_it_says_what_to_do_there() -> None:
    code = """
import sys
for name in ("fcntl", "grp", "pwd", "resource", "termios", "tty"):
    sys.modules[name] = None
import os
del os.getuid
from gpuenv import cli
from gpuenv.net import questions as doctor_ask
from gpuenv.host import systems
systems.detect = lambda: "windows"
doctor_ask.ask_all = lambda asked: {}
sys.exit(cli.main(["doctor", "--json"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    said = {one["check"]: one for one in json.loads(done.stdout)["findings"]}
    assert "this is Windows itself" in said["kernel"]["message"]
    assert said["kernel"]["remedy"].startswith("wsl --install")
    assert said["engine"]["severity"] == "unknown"


@pytest.mark.parametrize("engines", [Engines(RUNNING), NO_ENGINE])
def test_a_folder_of_packages_serves_programs_of_this_machine_only(engines: Engines) -> None:
    def command(index: str | None, folder: str | None) -> str | None:
        others = tuple(one for one in NETWORK.answers if one.kind != "index")
        own = (Answer("index", "index.example", index), Answer("index-folder", "/folder", folder))
        return best_command(make_facts(CPU_ONLY, engines, replace(NETWORK, answers=(*others, *own))))

    is_container = engines.running is not None
    assert command("no connection", None) == "make gpu-shell ENGINE=venv"
    assert command(None, "no such folder") == ("make gpu-shell" if is_container else None)


@pytest.mark.parametrize(
    ("block", "closed"),
    [
        ("machine", {"docker-gpu", "docker-cpu", "venv-gpu", "venv-cpu"}),
        ("gpu", {"docker-gpu", "venv-gpu"}),
        ("container-gpu", {"docker-gpu"}),
        ("prefix-gpu", {"venv-gpu"}),
        ("container", {"docker-gpu", "docker-cpu"}),
        ("prefix", {"venv-gpu", "venv-cpu"}),
        ("install", {"docker-gpu", "docker-cpu", "venv-gpu", "venv-cpu"}),
        ("build", {"docker-gpu", "docker-cpu"}),
    ],
)
def test_a_finding_closes_the_ways_that_use_what_it_blocks(block: str, closed: set[str]) -> None:
    finding = Finding("any", "warning", "the reason", None, frozenset({block}))
    routes = [one for one in doctor_routes.list_routes(make_facts(), [finding]) if one.engine != "conda"]
    assert {f"{one.engine}-{one.environment.flavor}" for one in routes if not one.is_open} == closed
    assert {one.obstacles for one in routes if not one.is_open} == {("the reason",)}


def test_a_folder_of_archives_that_was_asked_for_is_recommended_too() -> None:
    wish = replace(make_wish(), sources_dir=Path("/my folder"))
    assert best_command(replace(make_facts(), wish=wish)) == "make gpu-shell SOURCES_DIR='/my folder'"


def test_an_engine_in_trouble_is_not_recommended() -> None:
    facts = make_facts(Engines(replace(RUNNING, problem="it crashed", images=all_images())))
    assert best_command(facts) == "make gpu-shell ENGINE=venv"


@pytest.mark.parametrize("name", ["conda-forge", "another"])
def test_a_conda_environment_is_recommended_only_where_its_channels_answer(name: str) -> None:
    lost = replace(NETWORK, answers=(*NETWORK.answers, Answer("channel", name, "no connection")))
    facts = make_facts(CPU_ONLY, NO_ENGINE, make_pythons(is_found=False), Conda(), lost)
    assert best_command(facts) == (None if name == "conda-forge" else "make gpu-shell ENGINE=conda")


@pytest.mark.parametrize(
    ("variable", "changes", "command"),
    [
        # What a site tells containers is nothing to programs of this machine, and the other way round.
        ("NVIDIA_VISIBLE_DEVICES", [], "make gpu-shell FLAVOR=cpu"),
        ("NVIDIA_VISIBLE_DEVICES", [NO_ENGINE], "make gpu-shell ENGINE=venv"),
        ("CUDA_VISIBLE_DEVICES", [], "make gpu-shell"),
        ("CUDA_VISIBLE_DEVICES", [NO_ENGINE], "make gpu-shell ENGINE=venv FLAVOR=cpu"),
    ],
)
def test_a_variable_that_hides_devices_hides_them_where_it_is_read(
    variable: str, changes: list[object], command: str
) -> None:
    assert best_command(make_facts(Variables({variable: "7"}), *changes)) == command


@pytest.mark.parametrize(
    "changed", [replace(NETWORK, bundle_problem="no bundle"), replace(NETWORK, pip_problem="no ini file")]
)
def test_settings_at_which_gpu_shell_stops_stand_in_the_way(changed: Network) -> None:
    assert best_command(make_facts(changed)) is None


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with neither engine nor network: name servers hang, nothing may be installed."""
    monkeypatch.setenv("GPUENV_INSTALL_ENGINE", "0")
    monkeypatch.setattr(find, "current_docker_endpoints", lambda: iter(()))
    monkeypatch.setattr(find, "current_podman_endpoints", lambda: iter(()))
    monkeypatch.setattr(doctor_ask, "ask", lambda *_: time.sleep(HANG_S))


@pytest.mark.usefixtures("bare")
def test_without_engine_and_network_nothing_is_waited_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What waits for more than a first sign waits for this; how long it takes in all is measured in tests/e2e.
    monkeypatch.setattr(doctor_ask, "ANSWERS_S", HANG_S)
    monkeypatch.setattr(doctor, "NETWORK_DEADLINE_S", HANG_S)
    began = time.monotonic()
    code = cli.main(["doctor", "--json"])
    assert time.monotonic() - began < HANG_S / 2
    said = json.loads(capsys.readouterr().out)
    assert code in (0, 2)
    assert {one["check"] for one in said["findings"] if one["severity"] == "unknown"} >= {
        "index",
        "registry",
        "archives",
    }


def test_an_unknown_variant_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--variant", "cuda10"]) == 2
    assert "VARIANT=cuda10.0" in capsys.readouterr().err


PRIVATE = Daemon(1, 2, "unix:///run/private.sock", "bridge", "172.18.0.0/16", "1.41")


@pytest.mark.parametrize("has_docker", [True, False])
@pytest.mark.parametrize("runs_private", [True, False])
@pytest.mark.parametrize("has_podman", [True, False])
@pytest.mark.parametrize("obstacle", [None, "a private engine needs root"])
def test_the_engine_is_the_one_that_gpu_shell_takes(  # noqa: PLR0917
    has_docker: bool,
    runs_private: bool,
    has_podman: bool,
    obstacle: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(tmp_path) as fake:
        there = Endpoint(fake.url, "a socket")
        monkeypatch.setattr(find, "current_docker_endpoints", lambda: iter([there] if has_docker else []))
        monkeypatch.setattr(find, "current_podman_endpoints", lambda: iter([there] if has_podman else []))
        monkeypatch.setattr(private, "running", lambda: PRIVATE if runs_private else None)
        monkeypatch.setattr(private, "obstacle", lambda: obstacle)
        monkeypatch.setattr(private, "install", lambda: False)
        monkeypatch.setattr(private, "start", lambda: PRIVATE)
        monkeypatch.setattr(ui, "say", lambda _: None)
        taken = find.find_engine(None)
        monkeypatch.setattr(
            doctor_probe_engine, "describe", lambda found, _: SimpleNamespace(kind=found.kind, url=found.url)
        )
        found = doctor_probe_engine.engines(make_wish())
    facts = make_facts(found)
    assert doctor_routes.engine_of(facts) == (taken.kind if taken else None)
    if found.running is not None:
        assert taken is not None
        assert found.running.url == taken.url

"""What `make doctor` recommends, and what stands in the way of each kind of environment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

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
    best_command,
    make_facts,
    make_pythons,
    make_wish,
    without_fact,
)
from fakes.engine import serving
from gpuenv.core import ui
from gpuenv.core.errors import HostError
from gpuenv.doctor import routes as doctor_routes
from gpuenv.doctor.facts import Clients, Conda, Engines, Network, Place, Storage, Toolkit, Variables
from gpuenv.doctor.findings import Finding
from gpuenv.doctor.probes import engine as doctor_probe_engine
from gpuenv.engine import find, private
from gpuenv.engine.endpoints import Endpoint
from gpuenv.engine.private_daemon import Daemon
from gpuenv.net.questions import Answer
from gpuenv.variants.compat import Card

UNUSABLE = HostError("a setting is not usable", "it is no file", "correct it")
V100_AND_RTX = (Card(0, "RTX 3080", "8.6"), Card(1, "Tesla V100", "7.0"))


def without(kind: str) -> Network:
    """The network, but for one kind of address."""
    answers = (replace(one, problem="no connection") if one.kind == kind else one for one in NETWORK.answers)
    return replace(NETWORK, answers=tuple(answers))


NO_CUDA = replace(NETWORK, archive_obstacles=OFFLINE.archive_obstacles)
NO_ARCHIVES = replace(NO_CUDA, index_obstacles=dict.fromkeys(OFFLINE.archive_obstacles))


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
        # No archives of CUDA: it comes from the package index.
        ([NO_ARCHIVES], None, "make gpu-shell"),
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
        ([NO_ENGINE, NO_ARCHIVES], "make gpu-shell ENGINE=venv"),
    ],
)
def test_without_a_usable_engine_an_environment_of_this_machine_is_recommended(
    changes: list[object], command: str
) -> None:
    assert best_command(make_facts(*changes)) == command


@pytest.mark.parametrize(
    ("changes", "command"),
    [([], "make gpu-shell FLAVOR=cpu"), ([NO_ENGINE], "make gpu-shell ENGINE=venv FLAVOR=cpu")],
)
def test_without_cuda_from_anywhere_the_cpu_is_recommended(changes: list[object], command: str) -> None:
    assert best_command(make_facts(NO_CUDA, *changes)) == command


def test_where_the_driver_could_not_be_asked_the_flavor_is_said() -> None:
    assert best_command(without_fact("gpus", "the NVIDIA driver")) == "make gpu-shell FLAVOR=cpu"


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
    finding = Finding("warning", "the reason", None, frozenset({block}))
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
    "changed",
    [replace(NETWORK, bundle_problem=UNUSABLE), replace(NETWORK, pip_problem=UNUSABLE)],
)
def test_settings_at_which_gpu_shell_stops_stand_in_the_way(changed: Network) -> None:
    assert best_command(make_facts(changed)) is None


PRIVATE = Daemon(1, 2, "unix:///run/private.sock", "bridge", "1.41")


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
        monkeypatch.setattr(find, "docker_endpoints", lambda: iter([there] if has_docker else []))
        monkeypatch.setattr(find, "podman_endpoints", lambda: iter([there] if has_podman else []))
        monkeypatch.setattr(private, "running", lambda: PRIVATE if runs_private else None)
        monkeypatch.setattr(private, "obstacle", lambda: obstacle)
        monkeypatch.setattr(private, "install", lambda: False)
        monkeypatch.setattr(private, "start", lambda: PRIVATE)
        monkeypatch.setattr(ui, "say", lambda _: None)
        taken = find.find_engine(None)
        monkeypatch.setattr(doctor_probe_engine, "describe", lambda found, _: SimpleNamespace(engine=found))
        found = doctor_probe_engine.engines(make_wish())
    facts = make_facts(found)
    assert doctor_routes.engine_of(facts) == (taken.kind if taken else None)
    if found.running is not None:
        assert taken is not None
        assert found.running.engine.url == taken.url

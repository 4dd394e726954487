"""`make test-env HOSTS=...` on real ssh servers: containers on loopback, with a tiny environment in each."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fakes.engine import sdk
from gpuenv.engine.model import Engine
from gpuenv.variants.locks import Pin
from simulated.ssh_hosts import PREFIX, SshHost, SshHosts, running_ssh_hosts
from tiny import some_checks
from tiny.command import Gpuenv, plain_environment
from tiny.index import served
from tiny.variant import Tiny, make_tiny

TIMEOUT_S = 300
#: The command, without its own unit tests, and with the reports in another folder than this project's.
_COMMAND = """
import pathlib, sys
from gpuenv import cli
from gpuenv.harness import command as harness
from gpuenv.harness.report import files as report_files
reports, claimed, argv = pathlib.Path(sys.argv[1]), report_files.claimed, harness.pytest_argv
report_files.claimed = lambda _: claimed(reports)
harness.pytest_argv = lambda *args: [*argv(*args), "-p", "tiny.some_checks"]
harness.run_unit_tests = lambda *_: None
sys.exit(cli.main(sys.argv[2:]))
"""
#: A Python whose host is gone as soon as pip is started: `kill -9 -1` is the whole machine of this user.
_DYING = f"""#!/bin/sh
case "$*" in *pip*check*) kill -9 -1;; esac
exec {PREFIX}/bin/python "$@"
"""


@pytest.fixture(scope="module")
def lab(
    engine: Engine,
    tools: tuple[Path, tuple[Pin, ...]],
    folders: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Tiny]:
    """A tiny variant and its image, for all tests of this file."""
    made = make_tiny(tmp_path_factory.mktemp("lab"), f"tiny-{secrets.token_hex(4)}", *tools)
    with served(made.packages) as index:
        own = {"DOCKER_HOST": engine.url, "GPUENV_ENVS_DIR": str(made.envs), "PIP_CONFIG_FILE": os.devnull}
        built = Gpuenv({**plain_environment(), **folders, **own, "PIP_INDEX_URL": index.url}, made).images()
        assert built.returncode == 0, built.stderr
    yield made
    sdk(engine).images.remove(made.tag)


@pytest.fixture(scope="module")
def two(engine: Engine, lab: Tiny) -> Iterator[SshHosts]:
    """Two hosts with the tiny environment."""
    with running_ssh_hosts(engine, lab.tag, 2) as running:
        yield running


@dataclass(frozen=True)
class Run:
    """One run of `test-env`: the exit code, both streams, the checks of report.json, and the report's own text."""

    code: int
    text: str
    checks: list[dict[str, Any]]
    report: str

    def of(self, name: str) -> dict[str, str]:
        """The outcome of each check of the host called ``name``."""
        return {one["check"]: one["outcome"] for one in self.checks if one["target"].endswith(f"ssh://{name}")}

    def span(self, name: str) -> tuple[float, float]:
        """When the first check of a host began, and when the last one ended."""
        found = [one for one in self.checks if one["target"].endswith(f"ssh://{name}")]
        return min(one["finished"] - one["seconds"] for one in found), max(one["finished"] for one in found)


@pytest.fixture
def own_tmp() -> Iterator[Path]:
    """Where the command keeps temporary files; a short name, so that ssh's sockets are there too."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def run(lab: Tiny, hosts: list[str], tmp_path: Path, own_tmp: Path) -> Run:
    """Test ``hosts`` as `make test-env HOSTS=...` does, by the checks that a tiny environment can pass."""
    reports = tmp_path / "reports"
    environment = {
        **plain_environment(),
        "GPUENV_ENVS_DIR": str(lab.envs),
        "TMPDIR": str(own_tmp),
    }
    argv = [sys.executable, "-c", _COMMAND, str(reports), "test-env", "--hosts", " ".join(hosts), "--variant", lab.name]
    done = subprocess.run(
        argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    text = (reports / "report.json").read_text()
    return Run(done.returncode, done.stdout + done.stderr, json.loads(text)["checks"], text)


def closed_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def left_behind(hosts: Sequence[SshHost]) -> list[object]:
    """What is still in the temporary folders of the hosts, if there is anything."""
    found = (host.container.exec_run("ls -A /tmp").output for host in hosts)
    return [listing for listing in found if listing != b""]


def test_hosts_are_tested_at_the_same_time_and_nothing_is_left(
    lab: Tiny, two: SshHosts, tmp_path: Path, own_tmp: Path
) -> None:
    done = run(lab, two.uris, tmp_path, own_tmp)
    assert done.code == 0, done.text
    for name in ("lab1", "lab2"):
        assert done.of(name) == dict.fromkeys(some_checks.CHECKS.values(), "passed")
    (began, ended), (other_began, other_ended) = done.span("lab1"), done.span("lab2")
    assert began < other_ended
    assert other_began < ended
    assert left_behind(two.hosts) == []
    assert list(own_tmp.iterdir()) == []
    # The settings of an address are the caller's own business.
    assert str(two.config) not in done.text + done.report


def test_a_host_that_cannot_be_reached_fails_alone(lab: Tiny, two: SshHosts, tmp_path: Path, own_tmp: Path) -> None:
    address = f"127.0.0.1:{closed_port()}"
    done = run(lab, [f"ssh://{address}?ssh_config={two.config}", two.uris[0]], tmp_path, own_tmp)
    assert done.code != 0
    assert done.of(address) == {"target/starts": "failed"}
    assert done.of("lab1") == dict.fromkeys(some_checks.CHECKS.values(), "passed")
    (failure,) = (one for one in done.checks if one["outcome"] == "failed")
    assert failure["what"] == f"{lab.name}-cpu on ssh://{address} was asked for and is not there"
    assert failure["why"].startswith("it cannot be reached: ssh: connect to host 127.0.0.1")
    assert failure["next_step"].startswith(f"try ssh://{address} by hand")


def test_a_host_whose_key_is_not_known_is_not_trusted(lab: Tiny, two: SshHosts, tmp_path: Path, own_tmp: Path) -> None:
    (two.config.parent / "other_hosts").touch()
    config = tmp_path / "ssh_config"
    config.write_text(two.config.read_text().replace("known_hosts", "other_hosts"))
    done = run(lab, [two.uris[0].replace(str(two.config), str(config))], tmp_path, own_tmp)
    assert done.code != 0
    assert done.of("lab1") == {"target/starts": "failed"}
    assert "it cannot be reached: Host key verification failed." in done.text


def test_an_environment_that_is_not_there_fails_once(lab: Tiny, two: SshHosts, tmp_path: Path, own_tmp: Path) -> None:
    done = run(lab, [two.uris[0].replace(PREFIX, "/opt/nothing")], tmp_path, own_tmp)
    assert done.code != 0
    assert done.of("lab1") == {"target/starts": "failed"}
    assert "its Python does not start: /bin/sh: 1: /opt/nothing/bin/python: not found" in done.text


def test_a_host_that_dies_takes_no_other_with_it(engine: Engine, lab: Tiny, tmp_path: Path, own_tmp: Path) -> None:
    with running_ssh_hosts(engine, lab.tag, 2) as running:
        dying = running.hosts[0].container
        write = f"mkdir -p ~/dying/bin && cd ~/dying/bin && cat > python <<'E' && chmod +x python\n{_DYING}E\n"
        assert dying.exec_run(["sh", "-c", write]).exit_code == 0
        uris = [running.uris[0].replace(PREFIX, "/home/user/dying"), running.uris[1]]
        done = run(lab, uris, tmp_path, own_tmp)
        assert done.code != 0
        assert done.of("lab2") == dict.fromkeys(some_checks.CHECKS.values(), "passed")
        assert done.of("lab1") == {
            "target/starts": "passed", "identity/python": "passed", "identity/installed-set": "passed",
            "identity/pip-check": "failed", "identity/records": "failed", "identity/stray-files": "failed",
            "isolation/rights": "failed",
        }  # fmt: skip
        for failure in (one for one in done.checks if one["outcome"] == "failed"):
            assert failure["what"] == f"{lab.name}-cpu on ssh://lab1 in /home/user/dying cannot be reached"
            assert failure["why"]
            assert failure["next_step"] == "try ssh://lab1 by hand"
            assert "Traceback" not in failure["output"]
        dying.reload()
        assert dying.status == "exited"
        assert left_behind(running.hosts[1:]) == []
    assert list(own_tmp.iterdir()) == []

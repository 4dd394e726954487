"""Addresses of other machines: a client that connects is given names, never options, and its shell nothing to run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from gpuenv.core.errors import UsageError
from gpuenv.core.settings import Settings
from gpuenv.harness.targets import hosts
from gpuenv.harness.targets.hosts import parse_hosts
from gpuenv.harness.targets.remote import open_host

CLIENTS = ("ssh", "sshpass", "kubectl", "docker", "podman", "oc", "lxc", "ansible")
RUN = "$(>pwned)"


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that gets a line for each start of a client: the words that it was given."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "here").mkdir()
    for name in CLIENTS:
        client = tmp_path / "bin" / name
        client.write_text(
            f"#!{sys.executable}\nimport json, sys\n"
            f"open({str(tmp_path / 'given')!r}, 'a').write(json.dumps([{name!r}, *sys.argv[1:]]) + '\\n')\n"
        )
        client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "given"


@pytest.mark.parametrize(
    "address",
    [
        f"ssh://-oProxyCommand={RUN}",
        "ssh://-oProxyCommand=x",
        "ssh://%2DoProxyCommand=x",
        "ssh://me:secret@-oProxyCommand=x",
        "ssh://-lroot@lab1",
        "ssh://%2Dlroot@lab1",
        f"ssh://{RUN}",
        "ssh://lab1`id`",
        "ssh://a@b@-x",
        "ssh://lab1:22x",
        "ssh://lab1:-1",
        "ssh://lab1%0AProxyCommand=x",
        "ssh://[-x]:22",
        "ssh://[::1%25-x]",
        "ssh://lab\u202e1",
        "ssh://lab1?sudo=true&sudo_user=-x",
        "safe-ssh://-x",
        "paramiko://-x",
        "winrm://-x",
        "kubectl://-x",
        "kubectl://--kubeconfig=x",
        f"kubectl://pod?context={RUN}",
        "kubectl://pod?context=`>pwned`",
        'kubectl://pod?context=";>pwned;"',
        f"kubectl://pod?kubeconfig=/a/{RUN}",
        "kubectl://pod?namespace=-x",
        "kubectl://pod?container=-x",
        "openshift://-x",
        f"openshift://pod?kubeconfig=/{RUN}",
        "docker://-x",
        "docker://--help",
        "docker://-u@name",
        "podman://-x",
        "lxc://-x",
        "ansible://-x",
        "salt://-x",
    ],
)
def test_what_is_no_name_reaches_no_client(address: str, given: Path) -> None:
    with pytest.raises(UsageError) as caught:
        hosts.list_targets(Settings(hosts=f"local:// {address}", variant="cuda10.0"))
    assert "cannot be used" in caught.value.what
    assert "secret" not in str(caught.value)
    assert not given.exists()
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize("name", ["-oProxyCommand=x", "--private-key=x", "x?ssh_config=evil", "x/y", "x y", "x#y"])
def test_an_inventory_gives_names_as_well(name: str, given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("testinfra.backend.ansible.AnsibleBackend.get_hosts", lambda *_, **__: ["lab1", name])
    with pytest.raises(UsageError, match="names no hosts that can be used"):
        hosts.list_targets(Settings(hosts="ansible://all", variant="cuda10.0"))
    assert not given.exists()


@pytest.mark.parametrize(
    "variables",
    [
        {"ansible_host": "-oProxyCommand=x"},
        {"ansible_host": f"x;{RUN}"},
        {"ansible_host": "lab1", "ansible_user": "-lroot"},
        {"ansible_host": "lab1", "ansible_port": "22 -oProxyCommand=x"},
        {"ansible_host": "-x", "ansible_connection": "docker"},
    ],
)
def test_so_does_what_an_inventory_says_of_a_host(
    variables: dict[str, str], given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory = {"_meta": {"hostvars": {"lab1": variables}}, "all": {"hosts": ["lab1"]}}
    monkeypatch.setattr("testinfra.utils.ansible_runner.get_ansible_inventory", lambda *_: inventory)
    monkeypatch.setattr("testinfra.utils.ansible_runner.get_ansible_config", configparser)
    (found,) = hosts.list_targets(Settings(hosts="ansible://lab1", variant="cuda10.0"))
    assert "no such name" in str(found.missing) or "begins with a dash" in str(found.missing)
    assert not given.exists()
    assert not list(Path.cwd().iterdir())


def configparser() -> object:
    from configparser import ConfigParser

    return ConfigParser()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ssh://me@lab-1.example_x.org:2222", ["-o", "User=me", "Port=2222", "lab-1.example_x.org"]),
        ("ssh://DOMAIN%5Cme@lab1", ["User=DOMAIN\\me", "lab1"]),
        ("ssh://[fe80::1%25eth0]:22", ["Port=22", "fe80::1%eth0"]),
        ("ssh://10.0.0.1?ssh_config=/a%20b/c", ["-F", "/a b/c", "10.0.0.1"]),
        ("ssh://\uc11c\ubc84", ["\uc11c\ubc84"]),
        ("kubectl://pod-0?context=arn:aws:eks:us-east-1:1:cluster/x&namespace=lab", ["pod-0", "-n", "lab"]),
        (
            "kubectl://pod-0?context=admin@lab&kubeconfig=/etc/k.conf",
            ["--context=admin@lab", "--kubeconfig=/etc/k.conf"],
        ),
        ("docker://1000:1000@my_name.1", ["-u", "1000:1000", "my_name.1"]),
    ],
)
def test_names_reach_it_as_before(address: str, words: list[str], given: Path) -> None:
    (one,) = parse_hosts(address)
    open_host(one.uri, 20).run("true")
    started = json.loads(given.read_text().splitlines()[0])
    assert set(words) <= {*started}, started

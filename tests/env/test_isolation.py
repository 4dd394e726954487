"""Group isolation: what runs inside can do no more than it must, and the image carries nothing of its builder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpuenv.core import paths
from gpuenv.core.errors import CheckError
from gpuenv.engine.model import Engine
from gpuenv.harness.judges import isolation as judge
from gpuenv.harness.judges import layers
from gpuenv.harness.report.model import not_tested
from gpuenv.harness.targets.connection import Connection, ProgramResult
from gpuenv.harness.targets.model import Target
from gpuenv.net.pip_settings import load_pip_settings

image_only = pytest.mark.kinds("image")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
INDEXES = ("UV_INDEX_URL", "UV_DEFAULT_INDEX")


def texts_of_this_host() -> list[str]:
    """What only the build's host knows: proxies and indexes (with credentials), this checkout, its own folders."""
    pip = load_pip_settings()
    settings = [os.environ.get(name, "") for name in (*PROXIES, *map(str.upper, PROXIES), *INDEXES)]
    settings += [pip.index_url or "", *pip.extra_index_urls, pip.proxy or ""]
    # The home folder of root is the same in every image; what gpuenv keeps there is not.
    home = str(Path.home()) if os.getuid() else ""
    folders = [str(path) for path in (paths.project_root(), paths.state_dir(), paths.cache_dir())]
    return [text for text in (*settings, *folders, home) if len(text) > 5]


def ids_of(connection: Connection) -> tuple[int, int]:
    uid, gid = connection.user.split(":")
    return int(uid), int(gid)


@pytest.fixture(scope="session")
def status(connection: Connection) -> dict[str, str]:
    return judge.parse_status(connection.run("cat /proc/self/status").stdout)


@image_only
@pytest.mark.check("isolation/not-root")
def test_not_root(status: dict[str, str], connection: Connection) -> None:
    """Fails: root user."""
    uid, _ = ids_of(connection)
    if uid == 0:
        pytest.skip(not_tested("a rootless engine: root inside is the caller outside"))
    judge.judge_user(status, uid)


@image_only
@pytest.mark.check("isolation/image-user")
def test_image_is_not_root_by_default(target: Target, engine: Engine) -> None:
    """Fails: root user (an image without USER)."""
    config = engine.call("GET", f"/images/{target.image}/json")["Config"]
    judge.judge_image_user(config.get("User") or "")


@image_only
@pytest.mark.check("isolation/no-capabilities")
def test_no_capabilities(status: dict[str, str], connection: Connection) -> None:
    """Fails: a container started with privileges."""
    if ids_of(connection)[0] == 0:
        pytest.skip(not_tested("a rootless engine: root inside is the caller outside"))
    judge.judge_capabilities(status)


@image_only
@pytest.mark.check("isolation/read-only")
@pytest.mark.parametrize("folder", ["/", "/opt/gpuenv", "/usr/local", "/etc"])
def test_root_is_read_only(connection: Connection, folder: str) -> None:
    """Fails: a writable root, although its permissions would keep this user from writing."""
    output = connection.run(f"touch {folder.rstrip('/')}/gpuenv-probe")
    if "Read-only file system" not in output.stderr:
        raise CheckError(
            f"{folder} is not read-only",
            output.stderr.strip() or "it can be written",
            judge.HARNESS_BROKEN,
        )


@pytest.mark.check("isolation/rights")
def test_no_program_gives_rights(bare: Connection, target: Target) -> None:
    """Fails: a setuid program, a file capability; a home folder that the caller cannot write."""
    found = bare.program("rights", *(["/"] if target.kind == "image" else []))
    judge.judge_rights(found["searched"], found["special"], found["closed"])


@image_only
@pytest.mark.check("isolation/no-network")
def test_no_network_is_needed(connection: Connection) -> None:
    """Every other check of this target ran in this container, so what passed needs no network."""
    judge.judge_network(connection.run("ls /sys/class/net").stdout.split())


@image_only
@pytest.mark.check("isolation/work-folder")
def test_work_belongs_to_the_caller(connection: Connection) -> None:
    """Fails: root user (files in /work that the caller cannot remove)."""
    output = connection.run("echo hello > /work/probe && cat /work/probe")
    if output.stdout != "hello\n":
        raise CheckError("/work cannot be written", output.stderr.strip() or "no message", judge.HARNESS_BROKEN)
    assert connection.work_dir is not None
    info = (connection.work_dir / "probe").stat()
    uid, gid = ids_of(connection)
    judge.judge_owner((info.st_uid, info.st_gid), (uid, gid) if uid else (os.getuid(), os.getgid()))


@pytest.mark.check("isolation/world-writable")
def test_nobody_else_can_change_the_packages(facts: ProgramResult) -> None:
    """Fails: world-writable site-packages."""
    judge.judge_world_writable(facts["world_writable"])


@image_only
@pytest.mark.check("isolation/history")
def test_history_names_nothing_of_the_host(target: Target, engine: Engine) -> None:
    """Fails: a proxy or an index with its password in an ARG."""
    steps = [str(step.get("CreatedBy", "")) for step in engine.call("GET", f"/images/{target.image}/history")]
    config = engine.call("GET", f"/images/{target.image}/json")["Config"]
    judge.judge_history(steps, config.get("Env") or [], texts_of_this_host())


@image_only
@pytest.mark.check("isolation/layers")
def test_no_layer_holds_anything_of_the_host(target: Target, engine: Engine) -> None:
    """Fails: CA bundle left in a layer; a pip configuration, a credential, a path of the build."""
    folders = layers.layer_folders(engine.call("GET", f"/images/{target.image}/json"))
    if folders:
        found = layers.search(layers.files_in_folders(folders), texts_of_this_host())
    else:
        with engine.sdk() as client:
            saved = client.images.get(target.image).save(chunk_size=1 << 20)
            found = layers.search(layers.files_in_saved(saved), texts_of_this_host())
    judge.judge_layers(*found)

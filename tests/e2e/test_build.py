"""Building through a real engine: nothing to do, bad days, interruptions. All that is fetched comes from loopback."""

from __future__ import annotations

import os
import signal
import socket
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from docker.errors import ImageNotFound

from fakes.engine import sdk
from gpuenv import clean
from gpuenv.core.errors import BuildError, EngineError
from gpuenv.engine.model import Engine
from tiny.command import TIMEOUT_S, Gpuenv, OwnEngine
from tiny.index import Index, served
from tiny.variant import make_wheel


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {TIMEOUT_S} s"
        time.sleep(0.05)


def image_id(engine: Engine, tag: str) -> str | None:
    try:
        return str(sdk(engine).images.get(tag).id)
    except ImageNotFound:
        return None


def run_in(engine: Engine, tag: str, code: str) -> str:
    output: bytes = sdk(engine).containers.run(
        tag, ["python", "-c", code], remove=True, network_mode="none", user="4321:4321"
    )
    return output.decode().strip()


def test_a_second_run_does_nothing(gpuenv: Gpuenv, index: Index, engine: Engine) -> None:
    first = gpuenv.images()
    assert first.returncode == 0, first.stderr
    built = image_id(engine, gpuenv.tiny.tag)
    downloads = len(index.downloads)
    second = gpuenv.images()
    assert second.returncode == 0, second.stderr
    assert "present" in second.stderr
    assert "building" not in second.stderr
    assert image_id(engine, gpuenv.tiny.tag) == built
    assert len(index.downloads) == downloads


def test_what_is_in_the_image(gpuenv: Gpuenv, engine: Engine) -> None:
    done = gpuenv.images()
    assert done.returncode == 0, done.stderr
    tag = gpuenv.tiny.tag
    # The wheel that no other variant has: not what an earlier build made with a step of the same text.
    probe = gpuenv.tiny.probe.partition("-")[0]
    code = f"import tensorflow, keras, tinysource, {probe}; print(tensorflow.__cached__, tinysource.__version__)"
    cached, version = run_in(engine, tag, code).split()
    assert cached.startswith("/opt/gpuenv/lib/python3.6/site-packages/tensorflow/__pycache__/")
    assert run_in(engine, tag, f"import os; print(os.path.exists({cached!r}))") == "True"
    assert version == "0.0.1"
    places = "['/opt/gpuenv', '/work', '/etc/passwd', '/etc/group', '/etc/shadow', os.environ['HOME'] + '/.keras']"
    writable = run_in(engine, tag, f"import os; print(*[place for place in {places} if os.access(place, os.W_OK)])")
    assert writable == "/work /etc/passwd /etc/group /home/user/.keras"
    image = sdk(engine).images.get(tag)
    assert image.attrs["Config"]["User"] == "1000:1000"
    assert image.labels["gpuenv.variant"] == gpuenv.tiny.name
    assert image.labels["gpuenv.cuda"] == "none"


def test_a_changed_pin_replaces_the_image(gpuenv: Gpuenv, engine: Engine) -> None:
    assert gpuenv.images().returncode == 0
    before = image_id(engine, gpuenv.tiny.tag)
    text = gpuenv.tiny.envs.joinpath(gpuenv.tiny.name, "variant.toml").read_text()
    gpuenv.tiny.envs.joinpath(gpuenv.tiny.name, "variant.toml").write_text(text.replace("3.6.15", "3.6.14"))
    done = gpuenv.images()
    assert done.returncode == 0, done.stderr
    assert image_id(engine, gpuenv.tiny.tag) not in (None, before)
    assert before is not None
    assert image_id(engine, before) is None


def test_a_damaged_wheel_is_refused_by_name(gpuenv: Gpuenv, index: Index, engine: Engine) -> None:
    index.damaged = gpuenv.tiny.probe
    done = gpuenv.images()
    assert done.returncode != 0
    assert f"{gpuenv.tiny.probe} has sha256" in done.stderr
    assert "the lock names" in done.stderr
    assert image_id(engine, gpuenv.tiny.tag) is None
    index.damaged = ""
    again = gpuenv.images()
    assert again.returncode == 0, again.stderr


def test_an_index_that_does_not_answer(gpuenv: Gpuenv, engine: Engine) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    done = gpuenv.images(PIP_INDEX_URL=f"http://127.0.0.1:{port}/simple/")
    assert done.returncode != 0
    assert "the package index cannot be reached" in done.stderr
    assert f"127.0.0.1:{port}" in done.stderr
    assert image_id(engine, gpuenv.tiny.tag) is None


def test_an_unknown_authority_and_its_remedy(
    gpuenv: Gpuenv, authority: tuple[Path, tuple[Path, Path]], engine: Engine, tmp_path: Path
) -> None:
    bundle, certificate = authority
    with served(gpuenv.tiny.packages, certificate) as index:
        url = index.url.replace("https://", "https://somebody:s3cretpassw0rd@")
        refused = gpuenv.images(PIP_INDEX_URL=url)
        assert refused.returncode != 0
        assert "is signed by nobody that the CA bundle knows" in refused.stderr
        assert "SSL_CERT_FILE=<file>" in refused.stderr
        assert image_id(engine, gpuenv.tiny.tag) is None
        proxy = {"http_proxy": "http://somebody:s3cretpassw0rd@127.0.0.1:9", "no_proxy": "127.0.0.1"}
        done = gpuenv.images(PIP_INDEX_URL=url, SSL_CERT_FILE=str(bundle), **proxy)
        assert done.returncode == 0, done.stderr
    certificate_line = bundle.read_bytes().splitlines()[1]
    found = find_in_image(engine, gpuenv.tiny.tag, tmp_path, [b"s3cretpassw0rd", certificate_line, b"tensorflow"])
    assert found == {b"tensorflow"}


def find_in_image(engine: Engine, tag: str, folder: Path, needles: list[bytes]) -> set[bytes]:
    """Which of ``needles`` stand in the layers, the configuration or the history of an image."""
    archive = folder / "image.tar"
    with archive.open("wb") as file:
        for chunk in sdk(engine).images.get(tag).save():
            file.write(chunk)
    found = {needle for needle in needles if needle in archive.read_bytes()}
    with tarfile.open(archive) as tar:
        assert "manifest.json" in tar.getnames()
    archive.unlink()
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_build_leaves_nothing(
    gpuenv: Gpuenv, index: Index, engine: Engine, number: signal.Signals
) -> None:
    index.withheld = gpuenv.tiny.probe
    process = gpuenv.start_images()
    index.wait_until_asked()
    clients = children(process.pid)
    assert clients
    # A terminal sends Ctrl-C to the foreground group; the client is in another.
    os.killpg(process.pid, number)
    errors = process.communicate(timeout=TIMEOUT_S)[1]
    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL), errors
    wait_until(lambda: not any(is_alive(pid) for pid in clients), "the client ends with us")
    assert image_id(engine, gpuenv.tiny.tag) is None
    index.release()
    again = gpuenv.images()
    assert again.returncode == 0, again.stderr
    assert run_in(engine, gpuenv.tiny.tag, "import tensorflow; print('whole')") == "whole"


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def test_of_two_at_once_one_builds(gpuenv: Gpuenv, index: Index, engine: Engine) -> None:
    index.withheld = gpuenv.tiny.probe
    first = gpuenv.start_images()
    index.wait_until_asked()
    second = gpuenv.start_images()
    assert second.stderr is not None
    said = ""
    while "waiting for it" not in said:
        line = second.stderr.readline()
        assert line, said
        said += line
    assert f"another gpuenv builds {gpuenv.tiny.tag}" in said
    index.release()
    errors = first.communicate(timeout=TIMEOUT_S)[1]
    assert first.returncode == 0, errors
    assert "built" in errors
    said += second.communicate(timeout=TIMEOUT_S)[1]
    assert second.returncode == 0, said
    assert "present" in said
    assert index.downloads.count(gpuenv.tiny.probe) == 1
    assert image_id(engine, gpuenv.tiny.tag) is not None


@pytest.mark.skipif(os.getuid() != 0, reason="a private engine needs root")
def test_an_engine_that_dies_during_a_build(gpuenv: Gpuenv, index: Index, own_engine: OwnEngine) -> None:
    index.withheld = gpuenv.tiny.probe
    process = gpuenv.start_images(DOCKER_HOST=own_engine.url)
    index.wait_until_asked()
    os.kill(own_engine.pid, signal.SIGKILL)
    errors = process.communicate(timeout=TIMEOUT_S)[1]
    assert process.returncode == EngineError.exit_code, errors
    assert f"the container engine at {own_engine.url} stopped answering" in errors
    assert "next:" in errors
    assert "Traceback" not in errors


def test_a_disk_that_is_too_small(gpuenv: Gpuenv, index: Index) -> None:
    path = gpuenv.tiny.envs / gpuenv.tiny.name / "variant.toml"
    path.write_text(path.read_text().replace("cpu_gb = 1\n", "cpu_gb = 1000000\n"))
    done = gpuenv.images()
    assert done.returncode != 0
    assert "it takes 1000000 GB" in done.stderr
    assert "building" not in done.stderr
    assert index.downloads == []


def test_packages_of_the_users_own_last(gpuenv: Gpuenv, index: Index, engine: Engine, tmp_path: Path) -> None:
    """`ADD=`: built once for the same content, never in the way of the lock, and gone with `make clean`."""
    work = tmp_path / "work"
    (work / "more").mkdir(parents=True)
    make_wheel(gpuenv.tiny.packages, "extra", content="from the index")
    make_wheel(work / "more", "local", content="from the folder")
    (work / "requirements.txt").write_text("-r more/other.txt\nkeras\n")
    (work / "more" / "other.txt").write_text(
        'extra==${EXTRA}  # of the index\nlocal @ file:local-0.0.1-py3-none-any.whl;python_version>"3"\n'
    )
    code = "import extra, local; print(extra.CONTENT, local.CONTENT)"
    ask = ("gpu-shell", "--variant", gpuenv.tiny.name, "--flavor", "cpu", "--work", str(work), "--add")
    shell = (*ask, "requirements.txt", "--cmd", f"python -c '{code}'")

    index.withheld = "extra-0.0.1-py3-none-any.whl"
    killed = gpuenv.start(*shell, EXTRA="0.0.1")
    index.wait_until_asked()
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=TIMEOUT_S)
    index.release()

    first = gpuenv.run(*shell, EXTRA="0.0.1")
    assert first.stdout == "from the index from the folder\n", first.stderr
    assert "Python 3.6.15, and your requirements.txt; device:" in first.stderr
    (tag,) = added_tags(engine, gpuenv)
    labels = sdk(engine).images.get(tag).labels
    assert (labels["gpuenv.added"], labels["gpuenv.lock"]) == (
        "requirements.txt", sdk(engine).images.get(gpuenv.tiny.tag).labels["gpuenv.lock"],
    )  # fmt: skip
    assert sdk(engine).images.get(tag).attrs["Config"]["User"] == "1000:1000"
    assert run_in(engine, tag, "print(open('/opt/gpuenv/gpuenv-added.json').read())") == (
        '{"extra": "0.0.1", "local": "0.0.1"}'
    )
    # `make clean` goes by label and name.
    assert labels["gpuenv.project"] == "gpuenv"
    assert clean.own_names([tag], "sha256:1") == [tag]

    # The same content elsewhere, without a network.
    (work / "requirements.txt").rename(work / "environment.txt")
    elsewhere = {"EXTRA": "0.0.1", "PIP_INDEX_URL": "http://127.0.0.1:9/simple/"}
    again = gpuenv.run(*ask, "environment.txt", *shell[-2:], **elsewhere)
    assert again.stdout == first.stdout, again.stderr
    assert "adding" not in again.stderr
    assert index.downloads.count("extra-0.0.1-py3-none-any.whl") == 2

    (work / "requirements.txt").write_text("keras==2\n")
    refused = gpuenv.run(*shell)
    assert refused.returncode == BuildError.exit_code
    assert "requirements.txt could not be added to" in refused.stderr
    assert "it asks for keras==2, and the lock holds keras==0.0.1" in refused.stderr
    assert added_tags(engine, gpuenv) == [tag]
    # The watchers remove what the shells ran in.
    wait_until(lambda: not engine.listed("containers", f"gpuenv.variant={gpuenv.tiny.name}"), "no container is left")


def added_tags(engine: Engine, gpuenv: Gpuenv) -> list[str]:
    found = engine.listed("images", "gpuenv.added", f"gpuenv.variant={gpuenv.tiny.name}")
    return [tag for image in found for tag in image["RepoTags"] or ()]

from __future__ import annotations

import http.server
import importlib.util
import json
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuenv.core import paths
from gpuenv.core.errors import DataError, GpuenvError, SourceError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.lock import command as lock
from gpuenv.lock import exclusions, resolve, tool, uv
from gpuenv.lock.wheels import LINUX, WINDOWS, Choice, Platform, parse_pylock
from gpuenv.net.pip_settings import PipSettings
from gpuenv.variants import locks
from gpuenv.variants import model as variants
from gpuenv.variants.locks import Pin

PYTHON = "3.6.15"
A, B, C, D = (letter * 64 for letter in "abcd")


def package(name: str, wheels: dict[str, str], sdist: tuple[str, str] | None = None) -> str:
    """One package of a pylock, as the resolver writes it."""
    entry = '{{ url = "http://index.invalid/{}", size = 5, hashes = {{ sha256 = "{}" }} }}'
    text = f'[[packages]]\nname = "{name}"\nversion = "1.0"\n'
    if sdist:
        text += f"sdist = {entry.format(*sdist)}\n"
    return text + f"wheels = [{', '.join(entry.format(*item) for item in wheels.items())}]\n"


def choose(text: str, platform: Platform) -> Choice:
    header = 'lock-version = "1.0"\ncreated-by = "uv"\n'
    (choice,) = parse_pylock(header + text, PYTHON, platform).values()
    return choice


WHEELS = {
    "x-1.0-cp36-cp36m-manylinux1_x86_64.whl": A,
    "x-1.0-cp36-cp36m-manylinux_2_17_x86_64.manylinux2014_x86_64.whl": B,
    "x-1.0-cp36-cp36m-win_amd64.whl": C,
    "x-1.0-cp37-cp37m-manylinux1_x86_64.whl": D,
    "x-1.0-cp36-cp36m-manylinux1_i686.whl": D,
    "x-1.0-cp36-cp36m-manylinux_2_28_x86_64.whl": D,
    "x-1.0-cp36-cp36m-win32.whl": D,
}


def test_linux_takes_every_wheel_that_fits_and_names_the_best() -> None:
    choice = choose(package("x", WHEELS, ("x-1.0.tar.gz", D)), LINUX)
    assert choice == Choice(
        "1.0", "x-1.0-cp36-cp36m-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", 5, frozenset({A, B})
    )


def test_windows_takes_its_own_wheel() -> None:
    assert choose(package("x", WHEELS), WINDOWS) == Choice("1.0", "x-1.0-cp36-cp36m-win_amd64.whl", 5, frozenset({C}))


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("x-1.0-cp36-abi3-win_amd64.whl", True),
        ("x-1.0-cp34-abi3-win_amd64.whl", True),
        ("x-1.0-py2.py3-none-any.whl", True),
        ("x-1.0-py3-none-win_amd64.whl", True),
        ("x-1.0-cp37-abi3-win_amd64.whl", False),
        ("x-1.0-py37-none-any.whl", False),
        ("x-1.0-py2-none-any.whl", False),
    ],
)
def test_abi3_and_pure_wheels(name: str, fits: bool) -> None:
    choice = choose(package("x", {name: A}, ("x-1.0.tar.gz", D)), WINDOWS)
    assert (choice.file == name) is fits


def test_a_source_is_taken_only_without_a_wheel() -> None:
    choice = choose(package("x", {"x-1.0-cp37-cp37m-win_amd64.whl": A}, ("x-1.0.tar.gz", B)), WINDOWS)
    assert choice == Choice("1.0", "x-1.0.tar.gz", 5, frozenset({B}))


def test_no_file_at_all_names_the_package_and_the_platform() -> None:
    with pytest.raises(DataError, match=r"x 1.0 has no file for Python 3.6.15 on win32"):
        choose(package("x", {"x-1.0-cp37-cp37m-win_amd64.whl": A}), WINDOWS)


def test_a_file_without_a_digest_is_refused() -> None:
    text = package("x", {"x-1.0-py3-none-any.whl": A}).replace("sha256", "md5")
    with pytest.raises(DataError, match="without a sha256"):
        choose(text, LINUX)


def test_merge_joins_hashes_and_marks_what_one_platform_needs() -> None:
    linux = {"both": Choice("1", "b.tar.gz", 1, frozenset({B})), "lin": Choice("2", "l.whl", 2, frozenset({A}))}
    windows = {"both": Choice("1", "b.whl", 3, frozenset({A})), "win": Choice("3", "w.whl", 4, frozenset({C}))}
    assert resolve.merge(linux, windows) == (
        Pin("both", "1", None, (A, B), "b.tar.gz", "b.whl", 1, 3),
        Pin("lin", "2", 'sys_platform == "linux"', (A,), "l.whl", "", 2, 0),
        Pin("win", "3", 'sys_platform == "win32"', (C,), "", "w.whl", 0, 4),
    )


def test_merge_refuses_two_versions() -> None:
    with pytest.raises(DataError, match="x resolves to 1 and 2"):
        resolve.merge({"x": Choice("1", "x", 1, frozenset())}, {"x": Choice("2", "x", 1, frozenset())})


@pytest.mark.parametrize(
    ("requirement", "is_met"),
    [
        ("Gamma_Ray>=2", True),
        ("gamma-ray<2", False),
        ("absent", False),
        ('only-win ; sys_platform == "win32"', True),
        ("only-win", False),
    ],
)
def test_unsatisfied_finds_pins_that_do_not_fulfill(requirement: str, is_met: bool) -> None:
    pins = (Pin("gamma-ray", "2.0", None, (A,), "g.whl", "g.whl"), Pin("only-win", "1", "x", (A,), "", "w.whl"))
    assert resolve.unsatisfied([requirement], pins) == ([] if is_met else [requirement])


# What uv is told, and what it tells.


def test_settings_of_pip_reach_uv() -> None:
    settings = PipSettings(
        "http://i.invalid", ("http://e.invalid",), Path("/ca.crt"), "http://p.invalid:3128", ("i.invalid",), 180.0
    )
    assert uv.uv_variables(settings, {}, Path("/c")) == {
        "UV_CACHE_DIR": "/c/uv",
        "UV_DEFAULT_INDEX": "http://i.invalid",
        "UV_INDEX": "http://e.invalid",
        "UV_INSECURE_HOST": "i.invalid",
        "UV_HTTP_TIMEOUT": "180",
        "SSL_CERT_FILE": "/ca.crt",
        "HTTP_PROXY": "http://p.invalid:3128",
        "HTTPS_PROXY": "http://p.invalid:3128",
        "ALL_PROXY": "http://p.invalid:3128",
    }


def test_verification_stays_on_unless_pip_was_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpuenv.net.certificates.SYSTEM_BUNDLES", ())
    assert uv.uv_variables(PipSettings(index_url="http://i.invalid"), {}, Path("/c")).keys() == {
        "UV_CACHE_DIR",
        "UV_DEFAULT_INDEX",
    }


def test_what_the_user_told_uv_stays() -> None:
    told = {"UV_DEFAULT_INDEX": "http://mine.invalid"}
    assert "UV_DEFAULT_INDEX" not in uv.uv_variables(PipSettings(index_url="http://i.invalid"), told, Path("/c"))


@pytest.mark.parametrize(
    ("stderr", "kind", "cause"),
    [
        ("  x No solution found when resolving dependencies:\n because ...", DataError, "no set of versions fits"),
        ("error: Failed to fetch\n  Caused by: invalid peer certificate: UnknownIssuer", SourceError, "certificate"),
        ("error: Failed to fetch\n  Caused by: dns error", SourceError, "cannot be reached"),
        ("error: Failed to fetch: 403 Forbidden", SourceError, "refuses this machine"),
        ("error: Couldn't parse requirement in `requirements.in`", DataError, "Couldn't parse"),
        ("", DataError, "wrote nothing"),
    ],
)
def test_a_failure_of_uv_has_its_cause_and_its_text(stderr: str, kind: type[GpuenvError], cause: str) -> None:
    error = uv.explain_failure(stderr, "for a test")
    assert type(error) is kind
    assert cause in error.why
    assert stderr.strip() in error.why


# What pip refuses and uv does not see.


@pytest.mark.parametrize(
    ("requires_python", "is_accepted"),
    [("", True), (">=3.6", True), ("!=3.6.*,>=2.7", False), ("<3.6", False), (">=3.6.*", True), (">=3.7", False)],
)
def test_accepts_as_pip_does(requires_python: str, is_accepted: bool) -> None:
    assert exclusions.accepts(requires_python, PYTHON) is is_accepted


def test_the_html_form_of_an_index_is_read() -> None:
    page = """<!DOCTYPE html>
        <a href="../f/x-1.0.tar.gz#sha256=aa" data-requires-python="&gt;=2.7,!=3.6.*">x-1.0.tar.gz</a>
        <a href="http://index.invalid/x-0.9-py3-none-any.whl">x-0.9-py3-none-any.whl</a><br>"""
    assert exclusions.parse_page(page) == {"x-1.0.tar.gz": ">=2.7,!=3.6.*", "x-0.9-py3-none-any.whl": ""}


def test_the_index_of_each_package_is_read() -> None:
    text = "a-b==1.0\n    # from http://one.invalid/simple\nc==2.0 ; sys_platform == 'win32'\n    # from http://two.invalid\n"
    assert exclusions.parse_annotations(text) == {"a-b": "http://one.invalid/simple", "c": "http://two.invalid"}


# `make lock`, with the real variants in a copy that a test may spoil.


@pytest.fixture
def envs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "envs"
    shutil.copytree(paths.project_root() / "envs", copy)
    monkeypatch.setenv("GPUENV_ENVS_DIR", str(copy))
    return copy


def options(name: str | None, *, check: bool) -> Settings:
    return Settings(variant=name, check=check)


def no_resolver(*_: object) -> None:
    raise AssertionError("nothing may be resolved here")


@pytest.mark.parametrize(("name", "count"), [(None, 4), ("tool", 3), ("cuda9.0", 4)])
def test_the_locks_in_the_repository_are_current(
    name: str | None, count: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(uv, "run_uv", no_resolver)
    assert lock.run(options(name, check=True)) == 0
    assert f"{count} locks are current" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("requirements.in", "pandas==1.1.5", "pandas==1.1.4"),
        ("requirements.in", "tqdm\n", "tqdm\nlightgbm\n"),
        ("variant.toml", 'keras = "2.2.5"', 'keras = "2.2.4"'),
        ("variant.toml", 'python = "3.6.15"', 'python = "3.6.14"'),
    ],
)
def test_check_finds_drift_of_the_inputs(envs: Path, file: str, old: str, new: str) -> None:
    path = envs / "cuda10.0" / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match="is not current") as caught:
        lock.run(options("cuda10.0", check=True))
    assert "make lock VARIANT=cuda10.0" in caught.value.next_step


def test_a_comment_is_no_drift(envs: Path) -> None:
    path = envs / "cuda10.0/requirements.in"
    path.write_text(path.read_text().replace("tqdm\n", "# Bars.\ntqdm  # everywhere\n"))
    assert lock.run(options("cuda10.0", check=True)) == 0


def test_check_finds_pins_that_do_not_fulfill_the_inputs(envs: Path) -> None:
    variant = variants.find_variant("cuda10.0")
    path = envs / "cuda10.0/requirements-cpu.txt"
    present = locks.load_lock(path)
    pins = [pin for pin in present.pins if pin.name != "tqdm"]
    path.write_text(locks.render_lock(variant.name, pins, present.inputs_digest))
    with pytest.raises(DataError, match="does not fulfill tqdm"):
        lock.run(options("cuda10.0", check=True))


def test_check_finds_a_missing_lock(envs: Path) -> None:
    (envs / "cuda10.0/requirements-cpu.txt").unlink()
    with pytest.raises(DataError, match="is missing"):
        lock.run(options(None, check=True))


@pytest.mark.parametrize("check", [True, False])
def test_an_edited_lock_is_refused_and_stays(envs: Path, check: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "run_uv", no_resolver)
    path = envs / "cuda10.0/requirements-cpu.txt"
    edited = path.read_text().replace("tqdm==", "tqdm==9.")
    path.write_text(edited)
    with pytest.raises(DataError, match="edited by hand") as caught:
        lock.run(options("cuda10.0", check=check))
    assert "git checkout" in caught.value.next_step
    assert path.read_text() == edited


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"cuda9\.0, cuda10\.0, tool") as caught:
        lock.run(options("cuda10", check=True))
    assert "VARIANT=cuda10.0" in caught.value.next_step


def test_nothing_is_written_when_one_flavor_fails(envs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(requirements: tuple[str, ...], *_: object) -> tuple[Pin, ...]:
        if requirements[0].startswith("tensorflow=="):
            raise SourceError("the second flavor", "fails", "here")
        return (Pin("tensorflow-gpu", "1.15.5", None, (A,), "t.whl", "t.whl"),)

    monkeypatch.setattr(lock, "resolve", failing)
    before = {path: path.read_bytes() for path in envs.rglob("*") if path.is_file()}
    with pytest.raises(SourceError):
        lock.run(options("cuda10.0", check=False))
    assert {path: path.read_bytes() for path in envs.rglob("*") if path.is_file()} == before


def test_a_requirement_that_pulls_in_the_other_distribution_is_refused(
    envs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = tuple(Pin(name, "1.15.5", None, (A,), "t.whl", "t.whl") for name in ("tensorflow", "tensorflow-gpu"))
    monkeypatch.setattr(lock, "resolve", lambda *_: both)
    with pytest.raises(DataError, match="would hold tensorflow too"):
        lock.run(options("cuda10.0", check=False))


def test_each_lock_of_the_command_holds_all_of_the_smaller_one() -> None:
    # Then what is larger can be added to an environment in place.
    pins = [set(re.findall(r"^[a-z0-9-]+==[^ ]+", path.read_text(), re.MULTILINE)) for path in tool.lock_paths()]
    assert pins[0] < pins[1] < pins[2]
    assert not any(pin.startswith("matplotlib==") for pin in pins[0])


def test_lowest_python() -> None:
    assert tool.lowest_python(">=3.9,<4") == "3.9"
    with pytest.raises(ValueError, match="no >="):
        tool.lowest_python("<4")


# The real resolver against an index on this machine.

needs_uv = pytest.mark.skipif(
    importlib.util.find_spec("uv") is None and shutil.which("uv") is None,
    reason="uv, the resolver, is among the dev requirements (src/requirements-dev.txt)",
)
#: File name -> what it requires.
SERVED = {
    "app-1.0-py3-none-any.whl": ["lib", 'winonly ; sys_platform == "win32"'],
    "lib-1.0-cp36-cp36m-manylinux1_x86_64.whl": [],
    "lib-1.0-cp36-cp36m-win_amd64.whl": [],
    "lib-2.0-cp36-cp36m-manylinux1_x86_64.whl": [],
    "lib-2.0-cp36-cp36m-win_amd64.whl": [],
    "lib-3.0-py3-none-any.whl": [],
    "winonly-1.0-cp36-cp36m-win_amd64.whl": [],
}
#: As colorama and send2trash say it: uv reads a lower bound of 2.7 in this.
EXCLUDES = "!=3.0.*,!=3.1.*,!=3.2.*,!=3.3.*,!=3.4.*,!=3.5.*,!=3.6.*,>=2.7"


class Index(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.strip("/").rpartition("/")[2]
        if name.endswith(".metadata"):
            file = name[: -len(".metadata")]
            project, version = file.split("-")[:2]
            requires = "".join(f"Requires-Dist: {each}\n" for each in SERVED[file])
            self.answer(f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n{requires}", "text/plain")
            return
        files = [
            {
                "filename": file,
                "url": f"/files/{file}",
                "hashes": {"sha256": A},
                "size": 9,
                "core-metadata": True,
                "requires-python": EXCLUDES if file.startswith("lib-3") else ">=3.5",
            }
            for file in SERVED
            if file.startswith(f"{name}-")
        ]
        if files:
            text = json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": files})
            self.answer(text, "application/vnd.pypi.simple.v1+json")
        else:
            self.send_error(404)

    def answer(self, text: str, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Keep the output of the tests clean."""


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/simple"
        monkeypatch.setenv("PIP_INDEX_URL", url)
        yield url
        server.shutdown()
        thread.join()


@needs_uv
@pytest.mark.usefixtures("index")
def test_resolve_finds_the_newest_that_pip_accepts_for_both_platforms(capsys: pytest.CaptureFixture[str]) -> None:
    app = "app-1.0-py3-none-any.whl"
    lib = ("lib-2.0-cp36-cp36m-manylinux1_x86_64.whl", "lib-2.0-cp36-cp36m-win_amd64.whl")
    assert resolve.resolve(["app"], PYTHON, {}) == (
        Pin("app", "1.0", None, (A,), app, app, 9, 9),
        Pin("lib", "2.0", None, (A,), *lib, 9, 9),
        Pin("winonly", "1.0", 'sys_platform == "win32"', (A,), "", "winonly-1.0-cp36-cp36m-win_amd64.whl", 0, 9),
    )
    assert "lib 3.0 excludes Python 3.6.15" in capsys.readouterr().err


@needs_uv
@pytest.mark.usefixtures("index")
def test_resolve_keeps_the_version_that_is_locked() -> None:
    versions = {pin.name: pin.version for pin in resolve.resolve(["app"], PYTHON, {"lib": "1.0"})}
    assert versions == {"app": "1.0", "lib": "1.0", "winonly": "1.0"}


@needs_uv
@pytest.mark.usefixtures("index")
def test_resolve_says_why_nothing_fits() -> None:
    with pytest.raises(DataError, match="no set of versions fits") as caught:
        resolve.resolve(["app", "lib<1"], PYTHON, {})
    assert "lib<1" in caught.value.why


@needs_uv
def test_an_index_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        # Bound but not listening: every connection is refused, and nobody else can take the port.
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{taken.getsockname()[1]}/simple")
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        with pytest.raises(SourceError, match="cannot be reached"):
            resolve.resolve(["app"], PYTHON, {})


def test_the_resolver_trusts_what_the_host_trusts(tmp_path: Path) -> None:
    bundle = tmp_path / "campus.pem"
    bundle.touch()
    settings = PipSettings(index_url="https://i.invalid")
    assert uv.uv_variables(settings, {"CURL_CA_BUNDLE": str(bundle)}, Path("/c"))["SSL_CERT_FILE"] == str(bundle)

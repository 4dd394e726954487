"""The reference programs' pure parts under this Python, and what judges them."""

from __future__ import annotations

import ast
import importlib
import tarfile
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gpuenv.core import paths
from gpuenv.core.errors import CheckError
from gpuenv.harness.judges import training as judges
from gpuenv.prefix import activate

PROGRAMS = sorted(paths.reference_dir().glob("*.py"))


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Programs are scripts that import each other by bare names; none of them stays in ``sys.modules``."""
    monkeypatch.syspath_prepend(str(paths.reference_dir()))

    def load_program(name: str) -> ModuleType:
        for program in PROGRAMS:
            monkeypatch.delitem(__import__("sys").modules, program.stem, raising=False)
        return importlib.import_module(name)

    return load_program


@pytest.mark.parametrize("gate", ["AND", "OR", "NAND"])
def test_perceptron_learns_what_a_line_separates(load: Callable[[str], Any], gate: str) -> None:
    result = load("perceptron").run()[gate]
    judges.judge_perceptron(result, gate)
    assert result["epochs"] <= 10
    assert len(result["weights"]) == 2


def test_perceptron_never_gets_xor_right(load: Callable[[str], Any]) -> None:
    result = load("perceptron").run()["XOR"]
    judges.judge_perceptron_xor(result)
    assert result["best"] in {2, 3}
    assert result["epochs"] == 50
    assert "not linearly separable" in result["why"]


def test_no_line_gets_xor_right_at_all(load: Callable[[str], Any]) -> None:
    """The claim behind the limit of 3, tried on a grid of lines and not only on trained ones."""
    perceptron = load("perceptron")
    grid = [value / 2 for value in range(-6, 7)]
    best = max(
        perceptron.count_correct((one, other), bias, (0, 1, 1, 0)) for one in grid for other in grid for bias in grid
    )
    assert best == judges.PERCEPTRON_XOR_MAX


@pytest.mark.parametrize("gate", ["AND", "NAND"])
def test_learning_rate_zero_is_caught(load: Callable[[str], Any], gate: str) -> None:
    with pytest.raises(CheckError, match="did not learn"):
        judges.judge_perceptron(load("perceptron").run(rate=0.0)[gate], gate)


def test_an_impossible_xor_is_caught() -> None:
    with pytest.raises(CheckError, match="impossible"):
        judges.judge_perceptron_xor({"best": 4, "why": "not linearly separable"})
    with pytest.raises(CheckError, match="not trained"):
        judges.judge_perceptron_xor({"best": 1, "why": ""})


def test_random_source_is_the_same_everywhere(load: Callable[[str], Any]) -> None:
    """Curves of several variants are compared, so these numbers may never change."""
    source = load("common").Lcg(1)
    assert [round(source.uniform(), 6) for _ in range(3)] == [-0.967014, 0.278492, -0.499098]
    assert all(0 <= source.below(5) < 5 for _ in range(100))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_programs_are_python_3_6(program: Path) -> None:
    ast.parse(program.read_text("utf-8"), feature_version=(3, 6))


def test_installed_distributions_are_read_from_disk(load: Callable[[str], Any], tmp_path: Path) -> None:
    info = tmp_path / "Some_Thing-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Some_Thing\nVersion: 1.2\n\nName: body\n")
    (info / "RECORD").write_text('some/__init__.py,sha256=x,1\n"tests/__init__.py",,\nsingle.py,,\n')
    for name in ("some", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "single.py").touch()
    found = load("distributions").Distribution(str(tmp_path), info.name)
    assert (found.name, found.version) == ("some-thing", "1.2")
    assert found.record()[0] == ("some/__init__.py", "sha256=x", "1")
    assert found.modules() == ["single", "some"]
    # What was removed by hand is asked for nevertheless: its import has to fail.
    (tmp_path / "some/__init__.py").unlink()
    (tmp_path / "some").rmdir()
    (tmp_path / "single.py").unlink()
    assert found.modules() == ["single", "some"]


def test_a_namespace_is_imported_by_its_packages(load: Callable[[str], Any], tmp_path: Path) -> None:
    info = tmp_path / "protobuf-3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: protobuf\nVersion: 3\n\n")
    (info / "RECORD").write_text("google/protobuf/__init__.py,,\n")
    (info / "top_level.txt").write_text("google\n")
    for name in ("protobuf", "other"):
        (tmp_path / "google" / name).mkdir(parents=True)
        (tmp_path / "google" / name / "__init__.py").touch()
    assert load("distributions").Distribution(str(tmp_path), info.name).modules() == ["google.protobuf"]


@pytest.mark.parametrize(("content", "found"), [("ok", None), ("changed", "altered: file"), (None, "missing: file")])
def test_an_altered_file_is_found(
    load: Callable[[str], Any], tmp_path: Path, content: str | None, found: str | None
) -> None:
    # The sha256 of "ok", as RECORD writes it.
    row = ("file", "sha256=JoloR5KSOExzLsu1Ll8roo9-PBj6WjGUOdxwf3xCaXU", "2")
    records = load("records")
    if content is not None:
        (tmp_path / "file").write_text(content)
    if content == "ok":
        row = ("file", "sha256=" + records.digest(str(tmp_path / "file")), "2")
    assert records.problem(str(tmp_path), row) == found
    # Bytecode that a wheel brought is made anew where it is installed.
    assert records.problem(str(tmp_path), ("file.pyc", *row[1:])) is None


def test_one_failing_program_does_not_hide_the_others(load: Callable[[str], Any]) -> None:
    training = load("training")

    def fail() -> None:
        raise RuntimeError("no weights today")

    training.PARTS = (("bad", fail), ("good", lambda: 7))
    results = training.run([])
    assert results["good"]["result"] == 7
    with pytest.raises(CheckError, match="bad failed") as caught:
        judges.require_part(results, "bad")
    assert caught.value.why == "RuntimeError: no weights today"
    assert set(training.run(["good"])) == {"good"}


@pytest.mark.parametrize(
    ("exported", "version"),
    [
        ({("cudaRuntimeGetVersion", "libcudart.so.9.0"), ("cudaMalloc", "libcudart.so.10.0")}, 9000),
        ({("cudaRuntimeGetVersion", "libcudart.so.10.0")}, 10000),
        ({("cudaRuntimeGetVersion", "libcudart.so.10.2")}, 10020),
        ({("cudaRuntimeGetVersion", "")}, None),
        (set(), None),
    ],
)
def test_a_cuda_runtime_without_a_device_has_its_version_in_its_symbols(
    load: Callable[[str], Any], exported: set[tuple[str, str]], version: int | None
) -> None:
    assert load("cuda_libraries").cudart_version(types.SimpleNamespace(exported=lambda: exported)) == version


@pytest.fixture
def environment(tmp_path: Path, load: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment of one package, as this Python's own; programs that look for theirs find it."""
    site = tmp_path / "lib/python3.6/site-packages"
    for name in ("lib/python3.6/site-packages/some/__pycache__", "some-1.dist-info", "bin", "etc/conda/activate.d"):
        (tmp_path / name if "/" in name or name == "bin" else site / name).mkdir(parents=True)
    (site / "some-1.dist-info/METADATA").write_text("Name: some\nVersion: 1\n\n")
    rows = ("some/__init__.py", "some-1.dist-info/RECORD", "some-1.dist-info/METADATA", "../../../bin/some")
    (site / "some-1.dist-info/RECORD").write_text("".join(f"{row},,\n" for row in rows))
    for name in ("some/__init__.py", "some/__pycache__/__init__.cpython-36.pyc", "README.txt"):
        (site / name).write_text("x")
    for name in ("bin/some", "bin/activate", "bin/python3.6", "pyvenv.cfg"):
        (tmp_path / name).write_text("x")
    monkeypatch.setattr(__import__("sys"), "prefix", str(tmp_path))
    monkeypatch.setattr(load("distributions"), "site_folders", lambda: [str(site)])
    return tmp_path


def test_files_of_nobody_are_strays(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stray = importlib.import_module("stray")
    monkeypatch.setattr(stray, "at_every_start", lambda _: [])
    assert stray.run({}, []) == {"strays": [], "files": 8}
    site = environment / "lib/python3.6/site-packages"
    for name in ("some/__pycache__/other.cpython-36.pyc", "some/more.py", "../../../bin/tool", "../../../etc/x"):
        (site / name).write_text("x")
    (site / "zz.pth").write_text("import evil\n")
    (site / "elsewhere").symlink_to(environment / "bin")
    more = environment / "more"
    (more / "below").mkdir(parents=True)
    (more / "below/keras.json").write_text("{}")
    (more / "there").write_text("x")
    found = stray.run({}, [str(more / "below"), str(more / "there"), str(more / "none")])["strays"]
    inside = [one.replace(f"{environment}/", "").replace("lib/python3.6/site-packages/", "") for one in found]
    assert inside == [
        "bin/tool", "etc/x", "elsewhere", "some/__pycache__/other.cpython-36.pyc", "some/more.py",
        "zz.pth (read at every start of Python: import evil)", "more/below/keras.json", "more/there",
    ]  # fmt: skip


def test_what_we_put_into_environments_is_known_by_its_content(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stray = importlib.import_module("stray")
    monkeypatch.setattr(stray, "at_every_start", lambda _: [])
    activate.write_hooks(environment)
    site = environment / "lib/python3.6/site-packages"
    (site / "gpuenv_driver.py").write_bytes((activate.FOLDER / "gpuenv_driver.py").read_bytes())
    (site / "gpuenv_driver.pth").write_text("import gpuenv_driver\n")
    (site / "tensorflow").mkdir()
    (site / "tensorflow/libcudart.so.9.0").symlink_to("../../../cuda-9.0/libcudart.so.9.0")
    assert stray.run(activate.own_files(), [])["strays"] == []
    assert len(stray.run({}, [])["strays"]) == 8
    (site / "gpuenv_driver.pth").write_text("import gpuenv_driver, evil\n")
    (site / "tensorflow/libcudart.so.9.0").unlink()
    (site / "tensorflow/libcudart.so.9.0").symlink_to("/tmp/libcudart.so.9.0")
    assert [one.rpartition("/")[2] for one in stray.run(activate.own_files(), [])["strays"]] == [
        "gpuenv_driver.pth (read at every start of Python: import gpuenv_driver, evil)", "libcudart.so.9.0",
    ]  # fmt: skip


def test_what_conda_installed_is_known(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stray = importlib.import_module("stray")
    monkeypatch.setattr(stray, "at_every_start", lambda _: [])
    (environment / "pyvenv.cfg").unlink()
    (environment / "conda-meta").mkdir()
    (environment / "conda-meta/x-1.json").write_text(
        '{"files": ["etc/conda/activate.d/x.sh", "lib/python3.6/site-packages/x.py"]}'
    )
    for name in ("etc/conda/activate.d/x.sh", "lib/python3.6/site-packages/x.py", "etc/conda/activate.d/y.sh"):
        (environment / name).write_text("x")
    assert stray.run({}, [])["strays"] == [str(environment / "etc/conda/activate.d/y.sh")]


def test_modules_that_python_imports_by_itself(
    load: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stray = load("stray")
    for name in ("sitecustomize", "usercustomize"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "usercustomize.py").touch()
    path = str(tmp_path / "usercustomize.py")
    assert f"{path} (imported at every start of Python)" in stray.at_every_start(set())
    assert not any("usercustomize" in one for one in stray.at_every_start({path}))


def test_programs_that_give_rights(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rights = importlib.import_module("rights")
    assert rights.run() == {"searched": 9, "special": [], "closed": {}}
    for name, mode in (("bin/some", 0o4755), ("bin/activate", 0o2755)):
        (environment / name).chmod(mode)
    monkeypatch.setattr(rights, "has_capability", lambda path: path.endswith("python3.6"))
    (environment / "bin/python3.6").chmod(0o755)
    found = rights.run()["special"]
    assert sorted(one.replace(f"{environment}/", "").partition(",")[0] for one in found) == [
        "bin/activate (setgid", "bin/python3.6 (file capability)", "bin/some (setuid",
    ]  # fmt: skip


def test_a_home_that_is_closed(load: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rights = load("rights")
    keras = tmp_path / ".keras"
    keras.mkdir()
    (tmp_path / "file").touch()
    for folder in (tmp_path, keras):
        folder.chmod(0o1777)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert rights.run(str(tmp_path))["closed"] == {}
    keras.chmod(0o1775)
    assert rights.run(str(tmp_path))["closed"] == {str(keras): "its mode is 1775"}

    def refuse(**_: object) -> None:
        raise OSError(30, "no")

    # As on a file system that cannot be written, whatever the modes are.
    monkeypatch.setattr(rights.tempfile, "TemporaryFile", refuse)
    assert rights.run(str(tmp_path))["closed"] == {
        str(tmp_path): "Read-only file system",
        str(keras): "its mode is 1775",
    }


def test_text_of_many_languages_comes_out_as_it_went_in(load: Callable[[str], Any], tmp_path: Path) -> None:
    text = load("text")
    texts = list(text.TEXTS.values())
    for way in ("print", "standard input", "arguments", "files", "JSON"):
        assert text.WAYS[way](texts, str(tmp_path)) == texts, way


SUITE = """
import needed, pytest
def test_good(): assert needed.VALUE == 1
def test_left_out(): pytest.skip("no CNTK")
def test_bad(): raise ValueError("boom")
def test_other(): raise ValueError("it cannot pass here")
"""


def test_what_was_run_twice_counts_once(load: Callable[[str], Any], tmp_path: Path) -> None:
    report = tmp_path / "x.xml"
    bad, left_out = '<failure message="assert 1 == 2"/>', "<skipped/>"
    cases = [("good", ""), ("races", ""), ("races", ""), ("bad", ""), ("bad", bad), ("left", left_out)]
    lines = [f'<testcase classname="t" name="{name}">{inner}</testcase>' for name, inner in cases]
    report.write_text(f"<testsuites><testsuite>{''.join(lines)}</testsuite></testsuites>")
    assert load("upstream").count(str(report)) == {"passed": 2, "skipped": 1, "failed": ["bad: assert 1 == 2"]}


def test_the_tests_of_a_source_distribution_are_counted(
    load: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its package is not what is tested: only its tests are unpacked."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    source = tmp_path / "Keras-0"
    (source / "tests").mkdir(parents=True)
    (source / "tests/one_test.py").write_text(SUITE)
    (source / "needed.py").write_text("raise SystemExit")
    with tarfile.open(tmp_path / "Keras-0.tar.gz", "w:gz") as archive:
        archive.add(source, "Keras-0")
    with zipfile.ZipFile(tmp_path / "needed-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("needed.py", "VALUE = 1")
    found = load("upstream").run(
        str(tmp_path), ["one_test.py", "no_such_test.py", "--deselect=one_test.py::test_other"]
    )
    one = found["one_test.py"]
    assert (one["passed"], one["skipped"], one["failed"], one["exit_code"]) == (1, 1, ["test_bad: ValueError: boom"], 1)
    missing = found["no_such_test.py"]
    assert (missing["passed"], missing["exit_code"]) == (0, 4)
    assert "no_such_test.py" in missing["last"][-1]

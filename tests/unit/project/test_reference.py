"""The reference programs' pure parts under this Python, and what judges them."""

from __future__ import annotations

import ast
import importlib
import types
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gpuenv.core import paths
from gpuenv.core.errors import CheckError
from gpuenv.harness.judges import training as judges

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
    assert load("linkage").cudart_version(types.SimpleNamespace(exported=lambda: exported)) == version

from __future__ import annotations

import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gpuenv.core.errors import DataError
from gpuenv.variants import locks
from gpuenv.variants import model as variants
from gpuenv.variants.environment import Environment
from gpuenv.variants.kinds import FLAVORS
from gpuenv.variants.locks import Pin
from gpuenv.variants.model import Variant

A, B = "a" * 64, "b" * 64
WIN, LIN = 'sys_platform == "win32"', 'sys_platform == "linux"'
LINUX_WHEEL, WINDOWS_WHEEL = "a-1.0-cp36-cp36m-manylinux1_x86_64.whl", "a-1.0-cp36-cp36m-win_amd64.whl"
PURE_WHEEL, SOURCE = "b-1.0-py3-none-any.whl", "c-0.1.tar.gz"
PINS = (
    Pin("alpha", "1.0", None, (A, B), LINUX_WHEEL, WINDOWS_WHEEL, 31_000_000, 7),
    Pin("beta", "2.0", WIN, (B,), "", SOURCE, 0, 9),
    Pin("gamma-ray", "3.0.post1", LIN, (A,), PURE_WHEEL, "", 5_000_001, 0),
    Pin("delta", "0.1", None, (A,), SOURCE, SOURCE, 40_000_000, 40_000_000),
    Pin("pip", "21.3.1", None, (A,), PURE_WHEEL, PURE_WHEEL, 1, 1),
    Pin("tensorflow", "1.15.5", None, (A,), LINUX_WHEEL, WINDOWS_WHEEL, 1, 1),
)


@pytest.fixture
def lock_path(tmp_path: Path) -> Path:
    path = tmp_path / "requirements-cpu.txt"
    path.write_text(locks.render_lock("v", PINS, A))
    return path


def load_all_locks() -> list[tuple[Variant, str, locks.Lock]]:
    return [(v, flavor, locks.load_lock(v.lock_path(flavor))) for v in variants.load_all() for flavor in FLAVORS]


def test_what_is_rendered_reads_back_the_same(lock_path: Path) -> None:
    lock = locks.load_lock(lock_path)
    assert lock.pins == PINS
    assert lock.inputs_digest == A
    assert locks.render_lock("v", lock.pins, lock.inputs_digest) == lock_path.read_text()


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [("==2.0", "==2.1"), (B, A), ("# linux: a-", "# linux: o-"), (r"\Z", "extra==1.0\n"), ("gamma-ray.*", "")],
)
def test_an_edit_by_hand_is_refused(lock_path: Path, pattern: str, replacement: str) -> None:
    lock_path.write_text(re.sub(pattern, replacement, lock_path.read_text(), count=1))
    with pytest.raises(DataError, match="edited by hand") as caught:
        locks.load_lock(lock_path)
    assert "git checkout" in caught.value.next_step


def test_a_lost_header_is_refused(lock_path: Path) -> None:
    lock_path.write_text(lock_path.read_text().partition("\n")[2])
    with pytest.raises(DataError, match="header"):
        locks.load_lock(lock_path)


def test_a_missing_lock_names_the_command_that_makes_it(tmp_path: Path) -> None:
    folder = tmp_path / "cuda99"
    folder.mkdir()
    (folder / "variant.toml").touch()
    with pytest.raises(DataError, match="missing") as caught:
        locks.load_lock(folder / "requirements-gpu.txt")
    assert "make lock VARIANT=cuda99" in caught.value.next_step


@pytest.mark.parametrize(
    "body",
    [
        "alpha==1.0\n",  # no hash
        f"# linux: a.whl 1\nalpha>=1.0 \\\n    --hash=sha256:{A}\n",
        f"alpha==1.0 \\\n    --hash=sha256:{A}\n",  # no file of any platform
        "--index-url x\n",
    ],
)
def test_what_is_no_pin_is_refused_even_with_a_valid_digest(tmp_path: Path, body: str) -> None:
    path = tmp_path / "requirements-cpu.txt"
    path.write_text(locks.with_header("v", body, A))
    with pytest.raises(DataError, match="not a pin"):
        locks.load_lock(path)


def test_linux_pins_leave_out_what_only_windows_needs(lock_path: Path) -> None:
    names = [pin.name for pin in locks.linux_pins(locks.load_lock(lock_path))]
    assert names == ["alpha", "gamma-ray", "delta", "pip", "tensorflow"]


def test_split_for_build_sorts_by_kind_and_size(lock_path: Path) -> None:
    variant = variants.find_variant("cuda10.0")
    parts = locks.split_for_build(locks.load_lock(lock_path), Environment(variant, "cpu"))
    names = {part: re.findall(r"^([\w-]+)==", text, re.MULTILINE) for part, text in parts.items()}
    assert names == {
        "tools.txt": ["pip"],
        "sources.txt": ["delta"],
        "fonts.txt": [],
        "packages-1.txt": ["alpha"],
        "packages-2.txt": ["gamma-ray"],
        "packages-3.txt": ["tensorflow"],
    }
    assert parts["packages-1.txt"] == f"alpha==1.0 \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}\n"


@pytest.mark.parametrize(
    ("size", "part"),
    [
        (0, "packages-3.txt"),
        (5_000_000, "packages-3.txt"),
        (5_000_001, "packages-2.txt"),
        (30_000_000, "packages-2.txt"),
        (30_000_001, "packages-1.txt"),
    ],
)
def test_the_size_of_a_wheel_decides_its_layer(size: int, part: str) -> None:
    environment = Environment(variants.find_variant("cuda9.0"), "cpu")
    framework, version = environment.framework.split("==")
    pins = (
        Pin(framework, version, None, (A,), "", WINDOWS_WHEEL),
        Pin("alpha", "1.0", None, (A,), LINUX_WHEEL, "", size),
    )
    parts = locks.split_for_build(locks.Lock(Path("x"), pins, "i", "d"), environment)
    assert [name for name, text in parts.items() if text] == [part]


def test_split_for_build_refuses_the_lock_of_another_flavor(lock_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not pin tensorflow-gpu==1\.15\.5"):
        locks.split_for_build(locks.load_lock(lock_path), Environment(variants.find_variant("cuda10.0"), "gpu"))


def test_changing_a_small_pin_changes_only_the_last_part() -> None:
    variant = variants.find_variant("cuda10.0")
    lock = locks.load_lock(variant.lock_path("cpu"))
    pins = tuple(replace(pin, version="0") if pin.name == "tqdm" else pin for pin in lock.pins)
    before, after = (
        locks.split_for_build(each, Environment(variant, "cpu")) for each in (lock, replace(lock, pins=pins))
    )
    assert [name for name in before if before[name] != after[name]] == ["packages-3.txt"]


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_kill_while_writing_leaves_the_old_lock(lock_path: Path, moment: str) -> None:
    old = lock_path.read_text()
    program = f"""
import os, pathlib, signal, sys
from gpuenv.core import atomic
def stop(*args): os.kill(os.getpid(), signal.SIGKILL)
if {moment!r} == "fsync": os.fsync = stop
else: pathlib.Path.replace = stop
atomic.write_text(pathlib.Path(sys.argv[1]), "half" * 100_000)
"""
    killed = subprocess.run([sys.executable, "-c", program, str(lock_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert lock_path.read_text() == old
    # What it left behind disturbs nobody: the next write goes through and takes it away.
    program = "import sys, pathlib; from gpuenv.core import atomic; atomic.write_text(pathlib.Path(sys.argv[1]), 'new')"
    subprocess.run([sys.executable, "-c", program, str(lock_path)], check=True)
    assert lock_path.read_text() == "new"
    assert [path.name for path in lock_path.parent.iterdir()] == [lock_path.name]


# The real locks.


def test_real_locks_pin_the_framework_of_their_variant() -> None:
    for variant, flavor, lock in load_all_locks():
        versions = {pin.name: pin.version for pin in lock.pins}
        assert versions[variant.tensorflow.distribution(flavor)] == variant.tensorflow.version, lock.path
        assert versions["keras"] == variant.keras, lock.path


def test_real_locks_of_one_variant_differ_only_in_the_framework() -> None:
    for variant in variants.load_all():
        gpu, cpu = (
            {pin for pin in locks.load_lock(variant.lock_path(flavor)).pins if pin.name != framework}
            for flavor, framework in (("gpu", variant.tensorflow.gpu), ("cpu", variant.tensorflow.cpu))
        )
        assert gpu == cpu, variant.name


def test_real_locks_name_a_file_for_each_platform_or_carry_a_marker() -> None:
    expected = {None: (True, True), LIN: (True, False), WIN: (False, True)}
    for _, _, lock in load_all_locks():
        for pin in lock.pins:
            assert (bool(pin.linux), bool(pin.windows)) == expected[pin.marker], (lock.path, pin)


def test_real_locks_keep_protobuf_below_what_generated_code_accepts() -> None:
    for _, _, lock in load_all_locks():
        (protobuf,) = (pin for pin in lock.pins if pin.name == "protobuf")
        assert tuple(map(int, protobuf.version.split("."))) < (3, 21), lock.path


def test_real_locks_know_every_size_and_fill_the_parts() -> None:
    for variant, flavor, lock in load_all_locks():
        assert all(pin.linux_bytes for pin in locks.linux_pins(lock)), lock.path
        parts = locks.split_for_build(lock, Environment(variant, flavor))
        assert all(parts.values()), lock.path
        assert tuple(re.findall(r"^([\w-]+)==", parts.pop("fonts.txt"), re.MULTILINE)) == locks.FONTS, lock.path
        assert sum(len(re.findall(r"^[a-z]", text, re.MULTILINE)) for text in parts.values()) == len(
            locks.linux_pins(lock)
        )
        assert f"{variant.tensorflow.distribution(flavor)}==" in parts["packages-1.txt"], lock.path


def test_no_lock_holds_an_address() -> None:
    root = Path(locks.__file__).parents[3]
    found = [*root.glob("envs/*/requirements*"), *root.glob("src/requirements*.txt")]
    assert len(found) >= 8
    for path in found:
        assert not re.search(r"://|index-url|find-links|file:", path.read_text()), path

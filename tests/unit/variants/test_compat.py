"""Which hosts serve which variants."""

from __future__ import annotations

import pytest

from gpuenv.host import card_names
from gpuenv.variants import compat
from gpuenv.variants import model as variants
from gpuenv.variants.compat import Card
from gpuenv.variants.model import numbers

NEW = variants.find_variant("cuda10.0")
OLD = variants.find_variant("cuda9.0")
V100, T4, RTX = Card(0, "V100", "7.0"), Card(1, "T4", "7.5"), Card(2, "RTX 3080", "8.6")


def test_versions_compare_as_numbers() -> None:
    assert numbers("10.0") > numbers("9.2")
    assert compat.is_driver_enough("410.48", "410.48")
    assert compat.is_driver_enough("1000.1", "410.48")
    assert not compat.is_driver_enough("384.111", "410.48")


def test_the_driver_of_windows_has_a_floor_of_its_own() -> None:
    assert compat.driver_floor(NEW, "debian") == "410.48"
    assert compat.driver_floor(NEW, "wsl2") == compat.driver_floor(NEW, "windows") == "411.31"


@pytest.mark.parametrize(
    ("capability", "serving"), [("3.0", []), ("3.5", ["cuda9.0", "cuda10.0"]), ("7.5", ["cuda10.0"]), ("10.0", [])]
)
def test_the_variants_that_serve_a_card(capability: str, serving: list[str]) -> None:
    assert compat.serving_variants(capability, [OLD, NEW]) == serving


def test_generations_have_names() -> None:
    assert compat.generation("7.0") == " (Volta)"
    assert compat.generation("7.5") == " (Turing)"
    assert compat.generation("12.0") == " (Blackwell)"
    assert compat.generation("99.0") == ""


def test_an_old_driver_serves_no_card() -> None:
    found = compat.judge(NEW, "384.111", [V100], "debian")
    assert not found.is_served
    assert found.reasons == ("driver 384.111 is older than 410.48, the lowest for CUDA 10.0",)
    assert compat.judge(OLD, "384.111", [V100], "debian").is_served


def test_of_several_cards_those_that_fit_serve() -> None:
    found = compat.judge(NEW, "470.57.02", [V100, RTX, T4], "debian")
    assert found.cards == (0, 1)
    assert found.reasons == ("RTX 3080 has compute capability 8.6 (Ampere), cuda10.0 serves 3.5 to 7.5",)


def test_two_cards_of_one_kind_are_one_reason() -> None:
    twins = [Card(0, "T4", "7.5"), Card(1, "T4", "7.5")]
    assert len(compat.judge(OLD, "470.57.02", twins, "debian").reasons) == 1


def test_a_card_of_unknown_capability_is_neither_served_for_sure_nor_refused() -> None:
    found = compat.judge(NEW, "470.57.02", [Card(0, "Odd card", None)], "debian")
    assert found.is_served
    assert found.reasons == ()


def test_a_driver_without_a_card_serves_nothing() -> None:
    assert compat.judge(NEW, "470.57.02", [], "debian").reasons == ("the driver names no card",)


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("Tesla V100-SXM2-16GB", "7.0"),
        ("Tesla T4", "7.5"),
        ("Tesla P100-PCIE-16GB", "6.0"),
        ("Tesla P40", "6.1"),
        ("Tesla K80", "3.7"),
        ("Tesla K40m", "3.5"),
        ("Tesla M60", "5.2"),
        ("GRID K1", "3.0"),
        ("Quadro P620", "6.1"),
        ("Quadro P1000", "6.1"),
        ("Quadro RTX 6000", "7.5"),
        ("Quadro GV100", "7.0"),
        ("GeForce GTX 750 Ti", "5.0"),
        ("GeForce GTX 780", "3.5"),
        ("GeForce GTX 770", "3.0"),
        ("GeForce GTX 960M", "5.0"),
        ("GeForce GTX 980", "5.2"),
        ("GeForce GTX 1080 Ti", "6.1"),
        ("GeForce GTX 1650", "7.5"),
        ("GeForce GTX TITAN X", "5.2"),
        ("NVIDIA TITAN X (Pascal)", "6.1"),
        ("TITAN V", "7.0"),
        ("TITAN RTX", "7.5"),
        ("GeForce MX150", "6.1"),
        ("GeForce MX450", "7.5"),
        ("NVIDIA GeForce RTX 2050", "8.6"),
        ("NVIDIA GeForce RTX 2080 Ti", "7.5"),
        ("NVIDIA GeForce RTX 3060 Laptop GPU", "8.6"),
        ("NVIDIA RTX A6000", "8.6"),
        ("NVIDIA A10G", "8.6"),
        ("NVIDIA A100-SXM4-40GB", "8.0"),
        ("NVIDIA GeForce RTX 4090", "8.9"),
        ("NVIDIA L4", "8.9"),
        ("NVIDIA RTX 6000 Ada Generation", "8.9"),
        ("NVIDIA H100 80GB HBM3", "9.0"),
        ("NVIDIA GH200 480GB", "9.0"),
        ("NVIDIA B200", "10.0"),
        ("NVIDIA GeForce RTX 5090", "12.0"),
        ("NVIDIA RTX PRO 6000 Blackwell", "12.0"),
        ("Matrox G200", None),
    ],
)
def test_the_capability_of_a_card_by_its_name(name: str, capability: str | None) -> None:
    assert card_names.find_capability(name) == capability


@pytest.mark.parametrize(
    ("driver", "cards", "expected"),
    [
        ("300.1", [Card(0, "Tesla T4", "7.5")], ()),
        ("470.57.02", [], ()),
        ("470.57.02", [Card(0, "RTX 3080", "8.6"), Card(1, "Tesla T4", "7.5"), Card(2, "odd", None)], (1, 2)),
    ],
)
def test_what_is_judged_and_by_which_cards(driver: str, cards: list[Card], expected: tuple[int, ...]) -> None:
    found = compat.judge(NEW, driver, cards, "debian")
    assert (found.variant, found.cards, found.is_served) == (NEW, expected, bool(expected))


def test_on_windows_another_driver_is_enough() -> None:
    (reason,) = compat.judge(NEW, "100.1", [Card(0, "Tesla T4", "7.5")], "wsl2").reasons
    assert f"older than {NEW.cuda.driver_windows}," in reason
    (reason,) = compat.judge(NEW, "100.1", [Card(0, "Tesla T4", "7.5")], "debian").reasons
    assert f"older than {NEW.cuda.driver_linux}," in reason

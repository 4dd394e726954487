"""Every judge passes the good result and refuses each bad one, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gpuenv.core.errors import CheckError
from gpuenv.harness.judges import identity as judge_identity
from gpuenv.harness.judges import training as judges
from gpuenv.variants.model import find_variant

GOOD_XOR = {"table": [0, 1, 1, 0], "output": [0.02, 0.98, 0.98, 0.02], "losses": [0.7, 0.3, 0.0135]}


def test_a_learned_xor_passes() -> None:
    judges.judge_xor(GOOD_XOR)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        # Two hidden units: stuck where many such nets stay.
        ({"table": [0, 1, 1, 1], "output": [0.02, 0.98, 0.5, 0.52], "losses": [0.7, 0.5, 0.36]}, "too few hidden"),
        ({"output": [0.5, 0.5, 0.5, 0.5], "table": [0, 0, 0, 0], "losses": [0.7, 0.7, 0.7]}, "learning rate 0"),
        ({"output": [0.4, 0.6, 0.6, 0.4]}, "too few"),
        ({"losses": [0.7, 0.3, 0.06]}, "too few"),
        ({"losses": [0.7, 0.3, float("nan")]}, "too few"),
        ({"output": [0.02, 0.98, 0.98, float("nan")]}, "too few"),
    ],
)
def test_an_unlearned_xor_is_caught(change: dict[str, Any], cause: str) -> None:
    with pytest.raises(CheckError) as caught:
        judges.judge_xor({**GOOD_XOR, **change})
    assert cause in caught.value.why


@pytest.mark.parametrize("difference", [0.0, 9e-5])
def test_a_curve_within_tolerance_passes(difference: float) -> None:
    judges.judge_curve({"losses": [0.7 + difference, 0.5]}, {"losses": [0.7, 0.5]})


@pytest.mark.parametrize("losses", [[0.7, 0.5002], [0.7, float("nan")], [0.7], [0.7, 0.7]])
def test_another_curve_is_caught(losses: list[float]) -> None:
    with pytest.raises(CheckError):
        judges.judge_curve({"losses": losses}, {"losses": [0.7, 0.5]})


@pytest.mark.parametrize(
    ("judge", "good", "bad"),
    [
        (judges.judge_losses_fall, [0.7, 0.3], [0.7, 0.4]),
        (judges.judge_losses_fall, [0.7, 0.3], [0.7, float("nan")]),
        (judges.judge_convnet, {"accuracy": 0.95}, {"accuracy": 0.5}),
        (judges.judge_convnet, {"accuracy": 0.95}, {"accuracy": float("nan")}),
        (judges.judge_repeated, {"first": [0.5], "second": [0.5]}, {"first": [0.5], "second": [0.5000001]}),
        (judges.judge_round_trip, {"difference": 0.0, "bytes": 9}, {"difference": 1e-9, "bytes": 9}),
        (judges.judge_round_trip, {"difference": 0.0, "bytes": 9}, {"difference": 0.0, "bytes": 0}),
        (judges.judge_seeds, {str(n): 0.02 for n in range(20)}, {**{str(n): 0.02 for n in range(19)}, "19": 0.5}),
        (judges.judge_seeds, {str(n): 0.02 for n in range(20)}, {}),
    ],
)
def test_each_training_judge_can_fail(judge: Callable[[Any], None], good: object, bad: object) -> None:
    judge(good)
    with pytest.raises(CheckError):
        judge(bad)


def course(**change: Any) -> dict[str, Any]:
    package = {"history": ["acc", "loss"], "classes_shape": [4, 1], **change}
    return {"mixed": {"keras": package}, "imdb": {"keras": [6, 4, 3, 20]}}


def test_course_code() -> None:
    judges.judge_course(course())
    with pytest.raises(CheckError, match="no 'acc'"):
        judges.judge_course(course(history=["accuracy", "loss"]))
    with pytest.raises(CheckError, match="predict_classes"):
        judges.judge_course(course(classes_shape=[4]))
    with pytest.raises(CheckError, match="load_data"):
        judges.judge_course({**course(), "imdb": {"keras": [0, 0, 0, 0]}})


def text(**change: Any) -> dict[str, Any]:
    came = {way: {"texts": ["가", "é"], "error": None} for way in ("print", "plots")}
    sent = {"languages": ["Korean", "French"], "sent": ["가", "é"], "language": "C.UTF-8", "encoding": "UTF-8"}
    return {**sent, "came": {**came, **change}}


def test_text() -> None:
    judges.judge_text(text())
    with pytest.raises(
        CheckError, match=r"text is lost: Korean by print; Korean, French by files \(ValueError: x\)\n"
    ) as caught:
        judges.judge_text(
            text(print={"texts": ["?", "é"], "error": None}, files={"texts": [], "error": "ValueError: x"})
        )
    assert caught.value.why == "the language is C.UTF-8, its encoding UTF-8"
    with pytest.raises(CheckError, match="by plots"):
        judges.judge_text(text(plots={"texts": ["가", "é"], "error": "no backend"}))
    with pytest.raises(CheckError, match="no text was sent"):
        judges.judge_text({**text(), "came": {}})
    with pytest.raises(CheckError, match="no text was sent"):
        judges.judge_text({**text(), "languages": [], "sent": []})


LOCKED = {"numpy": "1.16.2", "Scikit_Learn": "0.24.2"}


def test_the_same_set_passes_whatever_its_spelling() -> None:
    judge_identity.judge_installed([("scikit-learn", "0.24.2"), ("Numpy", "1.16.2")], LOCKED)


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        ([("numpy", "1.16.4"), ("scikit-learn", "0.24.2")], "numpy is 1.16.4, locked 1.16.2"),
        ([("numpy", "1.16.2")], "scikit-learn is missing"),
        ([("numpy", "1.16.2"), ("scikit-learn", "0.24.2"), ("six", "1.0")], "six 1.0 is not in the lock"),
        ([("numpy", "1.16.2"), ("numpy", "1.16.2"), ("scikit-learn", "0.24.2")], "numpy is there more than once"),
    ],
)
def test_another_set_is_caught(found: list[tuple[str, str]], complaint: str) -> None:
    with pytest.raises(CheckError) as caught:
        judge_identity.judge_installed(found, LOCKED)
    assert complaint in caught.value.what


def test_records() -> None:
    judge_identity.judge_records({}, files=3)
    with pytest.raises(CheckError, match=r"altered: a\.py"):
        judge_identity.judge_records({"numpy": ["altered: a.py"]}, files=3)
    with pytest.raises(CheckError, match="no installed file"):
        judge_identity.judge_records({}, files=0)


def test_labels_that_lie() -> None:
    variant = find_variant("cuda9.0")
    labels = {
        "gpuenv.project": "gpuenv",
        "gpuenv.variant": "cuda9.0",
        "gpuenv.flavor": "cpu",
        "gpuenv.lock": "abc",
        "gpuenv.python": "3.6.15",
        "gpuenv.tensorflow": "1.12.0",
        "gpuenv.keras": "2.2.4",
        "gpuenv.cuda": "none",
    }
    judge_identity.judge_labels(labels, variant, "cpu", "abc", "none")
    for name in labels:
        with pytest.raises(CheckError, match=name):
            judge_identity.judge_labels({**labels, name: "9.9.9"}, variant, "cpu", "abc", "none")
        with pytest.raises(CheckError, match=name):
            judge_identity.judge_labels({k: v for k, v in labels.items() if k != name}, variant, "cpu", "abc", "none")


def test_imports() -> None:
    judge_identity.judge_import("numpy", {"modules": ["numpy"], "error": None})
    with pytest.raises(CheckError, match="not installed"):
        judge_identity.judge_import("numpy", None)
    with pytest.raises(CheckError) as caught:
        judge_identity.judge_import("x", {"modules": ["x"], "error": "exit code 1\nTraceback\nTypeError: Descriptors"})
    assert caught.value.why == "TypeError: Descriptors"


def test_only_the_allowed_lines_may_be_printed_on_import() -> None:
    judge_identity.judge_quiet("Using TensorFlow backend.\n", [])
    with pytest.raises(CheckError, match="FutureWarning"):
        judge_identity.judge_quiet("x.py:1: FutureWarning: Passing (type, 1)\n", [])
    with pytest.raises(CheckError, match="1 lines"):
        judge_identity.judge_quiet("", ["hello"])


def test_versions() -> None:
    judge_identity.judge_version("Python", "3.6.15", "3.6.15")
    for found in ("3.7.1", "3.6.1", None):
        with pytest.raises(CheckError, match=r"the variant says 3\.6\.15"):
            judge_identity.judge_version("Python", found, "3.6.15")

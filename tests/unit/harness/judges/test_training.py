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


def saved(**change: float) -> dict[str, Any]:
    return {"differences": {"h5": 0.0, "json": 0.0, "yaml": 0.0, **change}, "bytes": 9}


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
    with pytest.raises(CheckError, match="the two-layer net did not learn XOR") as caught:
        judges.judge_xor({**GOOD_XOR, **change})
    assert cause in caught.value.why


@pytest.mark.parametrize("difference", [0.0, 9e-5])
def test_a_curve_within_tolerance_passes(difference: float) -> None:
    judges.judge_curve({"losses": [0.7 + difference, 0.5]}, {"losses": [0.7, 0.5]})


@pytest.mark.parametrize(
    ("losses", "says"),
    [
        ([0.7, 0.5002], "leaves the numpy reference by 0.0002 at step 1"),
        ([0.7, float("nan")], "leaves the numpy reference by nan at step 1"),
        ([0.7], "1 losses against 2"),
        ([0.71, 0.7], "leaves the numpy reference by 0.01 at step 0"),
    ],
)
def test_another_curve_is_caught(losses: list[float], says: str) -> None:
    with pytest.raises(CheckError, match=says):
        judges.judge_curve({"losses": losses}, {"losses": [0.7, 0.5]})


def test_where_two_curves_part() -> None:
    assert judges.leaves_at([1.0, 1e-4], [1.0, 0.0]) is None
    assert judges.leaves_at([1.0, 1.0], [1.0, 1.00011]) == 1
    assert judges.leaves_at([1.0], [1.0, 0.5]) == judges.leaves_at([1.0, 0.5], [1.0]) == 1


@pytest.mark.parametrize("losses", [[0.7, 0.3, 0.5], [0.7, 0.8, 0.5], [0.7, 0.4, 0.5, 0.6]])
def test_only_a_loss_that_never_fell_hints_at_the_learning_rate(losses: list[float]) -> None:
    with pytest.raises(CheckError, match="did not learn XOR") as caught:
        judges.judge_xor({**GOOD_XOR, "losses": losses})
    assert caught.value.why.startswith("too few hidden units or steps;")


def test_a_loss_that_ends_where_it_began_hints_at_the_learning_rate() -> None:
    with pytest.raises(CheckError, match="did not learn XOR") as caught:
        judges.judge_xor({**GOOD_XOR, "losses": [0.7, 0.3, 0.7]})
    assert caught.value.why.startswith("weights are not updated (learning rate 0?);")


def test_a_perceptron() -> None:
    judges.judge_perceptron({"correct": 4}, "AND")
    with pytest.raises(CheckError, match="did not learn AND: 3 of 4 rows are right"):
        judges.judge_perceptron({"correct": 3}, "AND")


def test_a_perceptron_and_xor() -> None:
    for best in (2, 3):
        judges.judge_perceptron_xor({"best": best, "why": "it cannot be"})
    with pytest.raises(CheckError, match="got 4 of 4 rows of XOR right, which is impossible") as caught:
        judges.judge_perceptron_xor({"best": 4, "why": "no line separates them"})
    assert caught.value.why == "no line separates them"
    with pytest.raises(CheckError, match="only 1 of 4 rows"):
        judges.judge_perceptron_xor({"best": 1, "why": "it cannot be"})


def test_a_part_of_the_training_run() -> None:
    parts = {"good": {"error": None, "result": 7}, "bad": {"error": "Traceback\n  line\nValueError: no\n"}}
    assert judges.require_part(parts, "good") == 7
    with pytest.raises(CheckError, match="the program bad failed") as caught:
        judges.require_part(parts, "bad")
    assert caught.value.why == "ValueError: no"


def test_each_bound_itself_is_good() -> None:
    judges.judge_xor({"table": [0, 1, 1, 0], "output": [0.25, 0.75, 0.75, 0.25], "losses": [0.7, 0.05]})
    judges.judge_convnet({"accuracy": 0.9})
    judges.judge_round_trip({**saved(), "bytes": 1})
    judges.judge_seeds({str(seed): 0.25 for seed in range(20)})


def test_seeds_that_missed_are_in_the_order_of_numbers() -> None:
    worst = {str(seed): 0.5 if seed in (2, 10) else 0.02 for seed in range(20)}
    with pytest.raises(CheckError, match="18 of 20 starts; not from seeds 2, 10"):
        judges.judge_seeds(worst)


@pytest.mark.parametrize(
    ("judge", "good", "bad", "says"),
    [
        (judges.judge_losses_fall, [0.8, 0.6, 0.3], [0.8, 0.2, 0.4], "from 0.8000 to 0.4000"),
        (judges.judge_losses_fall, [0.7, 0.3], [0.7, float("nan")], "from 0.7000 to nan"),
        (judges.judge_convnet, {"accuracy": 0.95}, {"accuracy": 0.5}, "right on 50% of the test images"),
        (judges.judge_convnet, {"accuracy": 0.95}, {"accuracy": float("nan")}, "right on nan% of the test images"),
        (
            judges.judge_repeated,
            {"first": [0.5], "second": [0.5]},
            {"first": [0.5], "second": [0.5000001]},
            "differ: 0.5 and 0.5000001",
        ),
        (judges.judge_round_trip, saved(), saved(h5=1e-9), r"by h5: 1e-09 \("),
        (judges.judge_round_trip, saved(), saved(yaml=float("nan")), "by yaml: nan"),
        (judges.judge_round_trip, saved(), {"differences": {"h5": 0.0, "yaml": 0.0}, "bytes": 9}, "by json: None"),
        (judges.judge_round_trip, saved(), {**saved(), "bytes": 0}, "0 bytes of h5"),
        (
            judges.judge_seeds,
            {str(n): 0.02 for n in range(20)},
            {**{str(n): 0.02 for n in range(19)}, "19": 0.5},
            "19 of 20 starts; not from seeds 19",
        ),
    ],
)
def test_each_training_judge_can_fail(judge: Callable[[Any], None], good: object, bad: object, says: str) -> None:
    judge(good)
    with pytest.raises(CheckError, match=says):
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
    boxes = {"texts": ["□", "□"], "error": None}
    judges.judge_text(text(plots=boxes), ())
    with pytest.raises(CheckError, match="lost: Korean by plots\n") as caught:
        judges.judge_text(text(plots=boxes))
    assert caught.value.why == "the font that matplotlib takes lacks these letters"
    with pytest.raises(CheckError, match="by plots"):
        judges.judge_text(text(plots={"texts": ["가", "é"], "error": "no backend"}))


def test_in_plots_only_what_there_is_a_font_for_has_to_come_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "DRAWN", ("Korean",))
    judges.judge_text(text(plots={"texts": ["가", "?"], "error": None}))
    with pytest.raises(CheckError, match="text is lost: Korean by plots\n"):
        judges.judge_text(text(plots={"texts": ["?", "?"], "error": None}))


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
    with pytest.raises(CheckError, match=f"^the installed set is not the lock's: {complaint}\n"):
        judge_identity.judge_installed(found, LOCKED)


def test_of_many_differences_ten_are_named() -> None:
    def differing(number: int) -> list[tuple[str, str]]:
        return [("numpy", "1.16.2"), ("scikit-learn", "0.24.2"), *((f"p{n:02}", "1") for n in range(number))]

    with pytest.raises(CheckError, match=r"p09 1 is not in the lock\n"):
        judge_identity.judge_installed(differing(10), LOCKED)
    with pytest.raises(CheckError, match=r"p09 1 is not in the lock \.\.\.\n"):
        judge_identity.judge_installed(differing(11), LOCKED)


def test_what_was_added_is_named() -> None:
    assert judge_identity.judge_added("x", {"b_c": "2", "a": "1"}) == "a 1, b-c 2"
    assert judge_identity.judge_added("x", {}) == ""
    with pytest.raises(CheckError, match="x has no list of what was added"):
        judge_identity.judge_added("x", None)


def test_records() -> None:
    judge_identity.judge_records({}, files=1)
    problems = {f"p{n}": ["altered: a.py", "lost: b.py"] for n in range(6)}
    with pytest.raises(CheckError, match=r"^12 installed files .*\(p0: altered: a\.py; .*; p4: altered: a\.py\)"):
        judge_identity.judge_records(problems, files=30)
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
    with pytest.raises(CheckError, match=r"`import x` \(x\) fails") as caught:
        judge_identity.judge_import("x", {"modules": ["x"], "error": "exit code 1\nTraceback\nTypeError: Descriptors"})
    assert caught.value.why == "TypeError: Descriptors"
    assert caught.value.next_step == "try it: make gpu-shell CMD='python -c \"import x\"'"
    # What it is called says the target, which may be anybody's.
    with pytest.raises(CheckError) as caught:
        judge_identity.judge_import("x", {"modules": ["x'; touch y"], "error": "TypeError"})
    assert caught.value.next_step == "try it: make gpu-shell, then import it"


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

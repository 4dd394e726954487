"""What a result has to be, as pure functions: each raises CheckError with what, likely cause, next command.

The figures: 20 seeds of the given initial weights, hidden sizes 2 to 8 (in numpy, and again in
TensorFlow 1.12 and 1.15): with 8 units all 20 learn XOR, the worst loss after 400 steps is 0.0135 and the worst
output is 0.021 from its target; with 3 units 19 of 20 learn it, with 2 units 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpuenv.core.errors import CheckError
from gpuenv.harness.judges.grounds import require

XOR_TABLE = [0, 1, 1, 0]
#: A perceptron gets at most this many of XOR's four rows right: no line separates them.
PERCEPTRON_XOR_MAX = 3
#: Nearly four times the worst of 20 seeds (0.0135).
XOR_LOSS_MAX = 0.05
#: Ten times the worst of 20 seeds (0.021), and half of what would still round to the right answer.
XOR_ERROR_MAX = 0.25
#: Single against double precision differs by 1.2e-7 at most in both variants; another order of operations
#: (Keras 2.2.5 with reference variables) by 4e-3.
CURVE_TOLERANCE = 1e-4
#: All of 20 seeds reach 1.0 in both variants within 8 epochs; guessing gives 0.5.
CONVNET_ACCURACY_MIN = 0.9
SEEDS_LEARNED_MIN = 20
#: The languages whose letters the font of an image's plots has; matplotlib's own lacks Hangul.
DRAWN = ("Arabic", "Korean")


def run_again(what: str, why: str) -> CheckError:
    """The error for a result that is best looked at by hand."""
    return CheckError(what, why, "run it by hand: make gpu-shell VARIANT=... CMD='python ...' with the command below")


def require_part(parts: Mapping[str, Any], name: str) -> Any:
    """The result of one part of the training run; an error in it is a failure with its last line."""
    part = parts[name]
    if part["error"]:
        raise run_again(f"the program {name} failed", part["error"].strip().splitlines()[-1])
    return part["result"]


def judge_perceptron(result: Mapping[str, Any], gate: str) -> None:
    """AND, OR and NAND are learned exactly."""
    if result["correct"] != 4:
        raise run_again(
            f"the perceptron did not learn {gate}: {result['correct']} of 4 rows are right",
            "the learning rule converges for every linearly separable gate, so weights are not updated as they should",
        )


def judge_perceptron_xor(result: Mapping[str, Any]) -> None:
    """XOR is not learned: never more than three rows, at no time."""
    if result["best"] > PERCEPTRON_XOR_MAX:
        raise CheckError(
            f"a perceptron got {result['best']} of 4 rows of XOR right, which is impossible",
            result["why"],
            "the program is not the one that was reviewed: compare src/gpuenv/harness/reference/perceptron.py",
        )
    if result["best"] < 2:
        raise run_again(
            f"a perceptron got only {result['best']} of 4 rows of XOR right",
            "guessing gets two: the net is not trained at all",
        )


def judge_xor(result: Mapping[str, Any]) -> None:
    """The truth table is right, with a margin, and the loss fell."""
    losses = result["losses"]
    require(losses, "loss")
    errors = [abs(value - target) for value, target in zip(result["output"], XOR_TABLE)]
    is_right = result["table"] == XOR_TABLE and all(error <= XOR_ERROR_MAX for error in errors)
    if is_right and losses[-1] <= XOR_LOSS_MAX:
        return
    cause = "weights are not updated (learning rate 0?)" if losses[-1] >= losses[0] else "too few hidden units or steps"
    raise run_again(
        f"the two-layer net did not learn XOR: table {result['table']}, worst output {max(errors):.3f} off, "
        f"loss {losses[0]:.3f} -> {losses[-1]:.4f}",
        f"{cause}; 20 of 20 seeds reach a loss below {XOR_LOSS_MAX} with 8 units",
    )


def leaves_at(ours: Sequence[float], theirs: Sequence[float]) -> int | None:
    """The first step at which two loss curves are further apart than the check allows; None if they never are."""
    # Not `distance > ...`: a loss that is no number leaves too.
    far = (step for step, (one, other) in enumerate(zip(ours, theirs)) if not abs(one - other) <= CURVE_TOLERANCE)
    return next(far, None if len(ours) == len(theirs) else min(len(ours), len(theirs)))


def judge_curve(result: Mapping[str, Any], reference: Mapping[str, Any]) -> None:
    """From the same weights, the loss curve is that of plain numpy."""
    ours, theirs = result["losses"], reference["losses"]
    require(theirs, "loss of the numpy reference")
    if len(ours) != len(theirs):
        raise run_again(f"{len(ours)} losses against {len(theirs)}", "another number of steps was trained")
    step = leaves_at(ours, theirs)
    if step is not None:
        raise run_again(
            f"the loss leaves the numpy reference by {abs(ours[step] - theirs[step]):.2g} at step {step} "
            f"(at most {CURVE_TOLERANCE:g})",
            "another optimizer, loss or initial weight than the reference's; or an update out of order",
        )


def judge_losses_fall(losses: Sequence[float]) -> None:
    """Training makes the loss smaller: the last is below half of the first."""
    require(losses, "loss")
    if not losses[-1] < losses[0] / 2:
        raise run_again(
            f"the loss went from {losses[0]:.4f} to {losses[-1]:.4f}",
            "the model does not train (learning rate 0, or gradients that do not arrive)",
        )


def judge_convnet(result: Mapping[str, Any]) -> None:
    """Images that were not trained on are told apart."""
    if not result["accuracy"] >= CONVNET_ACCURACY_MIN:
        raise run_again(
            f"the convolutional net is right on {result['accuracy']:.0%} of the test images "
            f"(at least {CONVNET_ACCURACY_MIN:.0%})",
            "convolution, pooling or their gradients are wrong, or nothing was trained",
        )


def judge_repeated(result: Mapping[str, Any]) -> None:
    """Two runs with one seed agree bit for bit on the CPU."""
    require(result["first"], "loss of the first run")
    require(result["second"], "loss of the second run")
    if result["first"] != result["second"]:
        raise run_again(
            f"two runs with one seed differ: {result['first'][-1]!r} and {result['second'][-1]!r}",
            "a random source that is not seeded, or sums in varying order (several threads)",
        )


def judge_round_trip(result: Mapping[str, Any]) -> None:
    """A saved and loaded model predicts the same to the last bit, whichever way it was saved."""
    differences = result["differences"]
    wrong = [f"{way}: {differences.get(way)}" for way in ("h5", "json", "yaml") if differences.get(way) != 0.0]
    if wrong or result["bytes"] <= 0:
        raise CheckError(
            f"predictions differ after save and load by {', '.join(wrong) or 0} ({result['bytes']} bytes of h5)",
            "weights were not saved or not loaded: an h5py or a PyYAML that does not fit (h5py 3, PyYAML 6)",
            "compare them with the lock: make gpu-shell CMD='pip show h5py pyyaml'",
        )


def judge_seeds(worst_by_seed: Mapping[str, float]) -> None:
    """XOR is learned from each of the 20 given starts."""
    learned = [seed for seed, worst in worst_by_seed.items() if worst <= XOR_ERROR_MAX]
    if len(learned) < SEEDS_LEARNED_MIN:
        missed = sorted(set(worst_by_seed) - set(learned), key=int)
        raise run_again(
            f"XOR was learned from {len(learned)} of {len(worst_by_seed)} starts; not from seeds {', '.join(missed)}",
            "too few hidden units, another learning rate, or an optimizer that is not plain gradient descent",
        )


def judge_text(found: Mapping[str, Any], drawn: Sequence[str] = DRAWN) -> None:
    """Text of every language comes out as it went in, by every way; in plots those that are ``drawn``."""
    sent = dict(zip(found["languages"], found["sent"]))
    require(sent, "text that was sent")
    require(found["came"], "way for a text")
    lost = {}
    for way, came in found["came"].items():
        back = dict(zip(sent, came["texts"]))
        names = [name for name in sent if back.get(name) != sent[name] and (way != "plots" or name in drawn)]
        if names or came["error"]:
            lost[way] = f"{', '.join(names)} by {way}" + (f" ({came['error']})" if came["error"] else "")
    what = f"text is lost: {'; '.join(lost.values())}"
    if set(lost) == {"plots"}:
        raise CheckError(what, "the font that matplotlib takes lacks these letters", "leave MATPLOTLIBRC as it is set")
    if lost:
        raise CheckError(
            what,
            f"the language is {found['language']}, its encoding {found['encoding']}",
            "leave LANG, LC_ALL and PYTHONIOENCODING as the image sets them (C.UTF-8)",
        )


def judge_course(result: Mapping[str, Any]) -> None:
    """Code of 2018-2019 finds `history['acc']`, `predict_classes` and `imdb.load_data()` as it knew them."""
    require(result["mixed"], "package that was trained with the course's code")
    require(result["imdb"], "package that loads the reviews")
    for package, found in result["mixed"].items():
        if "acc" not in found["history"]:
            raise CheckError(
                f"{package}: history has {found['history']} and no 'acc'",
                "Keras 2.3 and later call it 'accuracy', which breaks plotting cells of that time",
                "check Keras: make gpu-shell CMD='pip show keras'",
            )
        if found["classes_shape"] != [4, 1]:
            raise run_again(f"{package}: predict_classes gave shape {found['classes_shape']}", "not (4, 1)")
    for package, found in result["imdb"].items():
        if found[:2] != [6, 4]:
            raise run_again(f"{package}: imdb.load_data() gave {found}", "expected 6 and 4 reviews")

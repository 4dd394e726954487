"""Group training: the environment learns what it should, and what it cannot learn it does not."""

from __future__ import annotations

import codecs

import pytest

from gpuenv.harness.judges import training as judges
from gpuenv.harness.report.model import not_tested
from gpuenv.harness.targets.connection import Connection, ProgramResult
from gpuenv.harness.targets.model import Target


@pytest.mark.check("training/perceptron")
@pytest.mark.parametrize("gate", ["AND", "OR", "NAND"])
def test_perceptron_learns(training: ProgramResult, gate: str) -> None:
    """Fails: a model that does not train (learning rate 0)."""
    judges.judge_perceptron(judges.require_part(training.data, "perceptron")[gate], gate)


@pytest.mark.check("training/perceptron/XOR-not")
def test_perceptron_cannot_learn_xor(training: ProgramResult) -> None:
    """At most 3 of 4 rows: XOR is not linearly separable. Fails: a program that is not a perceptron."""
    judges.judge_perceptron_xor(judges.require_part(training.data, "perceptron")["XOR"])


@pytest.mark.check("training/xor")
@pytest.mark.parametrize("package", ["xor_keras", "xor_tfkeras", "xor_graph"])
def test_two_layer_net_learns_xor(training: ProgramResult, package: str) -> None:
    """Fails: XOR net with too few units; learning rate 0."""
    judges.judge_xor(judges.require_part(training.data, package))


@pytest.mark.check("training/curve")
@pytest.mark.parametrize("package", ["xor_keras", "xor_tfkeras", "xor_graph"])
def test_loss_curve_is_that_of_numpy(training: ProgramResult, package: str) -> None:
    """Fails: another optimizer or loss; learning rate 0."""
    reference = judges.require_part(training.data, "xor_numpy")
    judges.judge_xor(reference)
    judges.judge_curve(judges.require_part(training.data, package), reference)


@pytest.mark.check("training/seeds")
def test_xor_is_learned_from_twenty_starts(training: ProgramResult) -> None:
    """Fails: XOR net with too few units (2 units: 10 of 20 starts)."""
    judges.judge_seeds(judges.require_part(training.data, "seeds"))


@pytest.mark.check("training/convnet")
def test_convolutional_net_learns(training: ProgramResult) -> None:
    """Fails: a model that does not train (learning rate 0)."""
    result = judges.require_part(training.data, "convnet")
    judges.judge_losses_fall(result["losses"])
    judges.judge_convnet(result)


@pytest.mark.check("training/repeatable")
def test_one_seed_gives_one_result(training: ProgramResult) -> None:
    """Fails: non-deterministic seed."""
    judges.judge_repeated(judges.require_part(training.data, "repeated"))


@pytest.mark.check("training/save-load")
@pytest.mark.parametrize("package", ["keras", "tf.keras"])
def test_saved_model_predicts_the_same(training: ProgramResult, package: str) -> None:
    """Fails: h5py 3."""
    judges.judge_round_trip(judges.require_part(training.data, "save_load")[package])


@pytest.mark.check("training/text")
def test_text_of_many_languages_goes_in_and_out(connection: Connection, target: Target) -> None:
    """Fails: a language that cannot print Hangul (LANG=POSIX)."""
    found = connection.program("text")
    # In an image the language is the recipe's; elsewhere it is the user's own.
    is_image = target.kind == "image"
    if not is_image and codecs.lookup(found["encoding"]).name != "utf-8":
        pytest.skip(not_tested(f"the language of that session is {found['language']}: {found['encoding']}, not UTF-8"))
    judges.judge_text(found.data, judges.DRAWN if is_image else ())


@pytest.mark.check("training/course-code")
def test_course_code_runs_unmodified(connection: Connection) -> None:
    """Fails: Keras 2.3.1 (history['accuracy']), numpy 1.16.4 under TensorFlow 1.12 (imdb.load_data)."""
    judges.judge_course(connection.program("course").data)

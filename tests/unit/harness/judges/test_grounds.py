"""Nothing passes on no evidence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gpuenv.core.errors import CheckError
from gpuenv.harness.judges import cuda, gpu, identity, isolation, linkage, training
from gpuenv.harness.judges.grounds import require
from gpuenv.variants import model as variants

NOTHING: dict[str, Callable[[], None]] = {
    "device of the host": lambda: gpu.judge_devices([], []),
    "device of the driver": lambda: gpu.judge_listed([], []),
    "device": lambda: gpu.judge_capability([], variants.find_variant("cuda9.0"), ()),
    "installed package": lambda: identity.judge_installed([], {}),
    "loopback interface": lambda: isolation.judge_network([]),
    "step of the image's history": lambda: isolation.judge_history([], ["PATH=/bin"], ["secret"]),
    "text of the build's host to look for": lambda: isolation.judge_history(["RUN x"], [], [""]),
    "library of TensorFlow": lambda: linkage.judge_symbols([]),
    "library to load": lambda: linkage.judge_loaded({}, []),
    "library of CUDA that tells its version": lambda: cuda.judge_cuda_versions({}, [], "9.0"),
    "library of CUDA that loads": lambda: cuda.judge_stand_ins({}, [], {}, "9.0"),
    "library with code for GPUs": lambda: cuda.judge_library_code({}, [], ("3.5", "7.0")),
    "library that gives handles": lambda: cuda.judge_handles({}),
    "loss": lambda: training.judge_losses_fall([]),
    "loss of the numpy reference": lambda: training.judge_curve({"losses": []}, {"losses": []}),
    "loss of the first run": lambda: training.judge_repeated({"first": [], "second": []}),
    "loss of the second run": lambda: training.judge_repeated({"first": [0.5], "second": []}),
    "text that was sent": lambda: training.judge_text({"languages": [], "sent": [], "came": {"print": {}}}),
    "way for a text": lambda: training.judge_text({"languages": ["ko"], "sent": ["가"], "came": {}}),
    "package that was trained": lambda: training.judge_course({"mixed": {}, "imdb": {"keras": [6, 4]}}),
    "package that loads the reviews": lambda: training.judge_course(
        {"mixed": {"keras": {"history": ["acc"], "classes_shape": [4, 1]}}, "imdb": {}}
    ),
}


@pytest.mark.parametrize("what", NOTHING)
def test_a_judge_that_is_shown_nothing_raises(what: str) -> None:
    with pytest.raises(CheckError, match=f"the check was shown no {what}") as caught:
        NOTHING[what]()
    assert "failed without a word" in caught.value.why
    assert "run it by hand" in caught.value.next_step


def test_a_net_without_losses_has_not_learned() -> None:
    with pytest.raises(CheckError, match="shown no loss"):
        training.judge_xor({"table": [0, 1, 1, 0], "output": [0, 1, 1, 0], "losses": []})


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        (lambda: linkage.judge_resolved([]), "no library of TensorFlow"),
        (lambda: cuda.judge_gpu_code({"sass": [], "ptx": []}, ("3.5", "7.5")), "code for no GPU"),
        (lambda: identity.judge_records({}, files=0), "no installed file"),
        (lambda: identity.judge_strays([], 0), "only 0 installed files"),
        (lambda: identity.judge_settings({}, {}), "no label says"),
        (lambda: isolation.judge_rights(0, [], {}), "only 0 files"),
        (lambda: isolation.judge_layers(0, []), "only 0 files"),
        (lambda: isolation.judge_user({}, 1000), "as user unknown"),
        (lambda: isolation.judge_capabilities({}), "NoNewPrivs None"),
        (lambda: gpu.judge_ran("product", []), "what did: nothing"),
        (lambda: training.judge_seeds({}), "0 of 0 starts"),
    ],
)
def test_others_say_it_in_words_of_their_own(judge: Callable[[], None], message: str) -> None:
    with pytest.raises(CheckError, match=message):
        judge()


def test_what_is_there_is_enough() -> None:
    require(["lo"], "loopback interface")

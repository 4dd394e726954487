"""Whatever a log, a host or a program prints costs bounded time and memory, and only the one that it came from."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gpuenv.explain import command as explain
from gpuenv.explain.catalog import load_catalog
from tiny.pumped import Expression, of_code

#: Processor time for 100 kB, of which the slowest takes half; one that is quadratic takes 5 s and more.
EXPRESSION_S = 1.0
#: The same for a log of 500 kB, of which the slowest takes a fifth; it was a minute and more.
LOG_S = 8

_SOURCE = Path(explain.__file__).parents[1]
CATALOG = [
    Expression(f"{entry.id}[{number}]", one.pattern, one.flags & ~32)
    for entry in load_catalog()
    for number, rule in enumerate(entry.rules)
    for one in rule.expressions
]
#: Those that do not see foreign text at any length: a file of the project itself, one address of the user's settings,
#: the name of one file.
OWN = ("images/recipe.py:", "harness/judges/layers.py:")
CODE = [one for one in of_code(_SOURCE) if not one.place.startswith(OWN) and one.pattern != r":(?!//)\S*@"]


@pytest.mark.parametrize("expression", [*CATALOG, *CODE], ids=lambda one: one.place)
def test_no_expression_takes_long_on_a_text_that_is_made_for_it(expression: Expression) -> None:
    took, text = expression.slowest(EXPRESSION_S)
    assert took < EXPRESSION_S, f"{expression.pattern!r} takes {took:.1f} s for {text}"


LOGS: dict[str, Callable[[], str]] = {
    "passed": lambda: "PASSED test_two_layer_net_learns_xor[-gpu] " * 90 + "\n",
    "132": lambda: "keras 132 " * 50_000 + "\n",
    "deprecated": lambda: "a" * 8000 + "  is deprecated in the new Keras optimizer\n",
    "names": lambda: "memoryClockRate libcudart.so.10.0 " + "name: " * 1300 + "\n",
    "errors": lambda: (
        " ".join(f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676)}rror" for n in range(1000)) + "\n"
    ),
}


@pytest.mark.parametrize("kind", LOGS)
def test_a_log_that_was_made_to_be_slow_is_explained_all_the_same(kind: str, tmp_path: Path) -> None:
    line = LOGS[kind]()
    log = tmp_path / "log"
    log.write_text(line * max(1, 500_000 // len(line)) + " test_convolutional_net_learns[ FAILED\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", "-m", "gpuenv", "explain", "--json", str(log)],
        capture_output=True, text=True, timeout=100, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (LOG_S, LOG_S)),
    )  # fmt: skip
    assert done.returncode in (explain.KNOWN, explain.UNKNOWN), done.stderr
    assert json.loads(done.stdout)["unread_from"] is None


_FAILED = """
from gpuenv.explain import command
command.diagnose("PASSED test_two_layer_net_learns_xor[-gpu] " * 6000 + " test_convolutional_net_learns[ FAILED")
"""


def test_a_failed_command_is_not_kept_by_what_it_printed() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", _FAILED], capture_output=True, text=True, timeout=100, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (LOG_S, LOG_S)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


_HOSTS = """
from pathlib import Path
from gpuenv.core.errors import CheckError
from gpuenv.harness.targets import remote
from gpuenv.harness.targets.model import Target
import sys
for prefix in sys.argv[1:]:
    target = Target("one", "host", "cuda10.0", "cpu", prefix=prefix, host="local://")
    try:
        with remote.connect(target) as connection:
            print("kept", connection.program("facts")["python"])
    except CheckError as error:
        print(error.what, "|", error.why)
"""


def test_a_host_that_never_stops_printing_fails_alone(tmp_path: Path) -> None:
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\nexec yes 0123456789abcdef0123456789abcdef\n", encoding="utf-8")
    python.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-I", "-c", _HOSTS, str(tmp_path), sys.prefix],
        capture_output=True, text=True, timeout=100, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.endswith(
        "does not take the reference programs (exit code 137) | it printed more than 64 MB, and was ended"
    )
    assert second.startswith("kept 3.")

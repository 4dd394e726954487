"""``make mutation``: changes what decides things, one place at a time, and names the changes that no test notices.

mutmut makes the changes and runs, for each, the tests that came through the changed function. Which modules and which
tests stands in pyproject.toml (``[tool.mutmut]``). What nobody can see is not counted: wording (a text with a blank in
it is for people), and what ``mutants.toml`` beside this file gives a reason for.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import takewhile
from pathlib import Path

from gpuenv.core import paths, scratch, signals, ui
from gpuenv.core.errors import CheckError, HostError
from gpuenv.core.schema import read_toml
from gpuenv.core.settings import Settings
from gpuenv.core.ui import end_of_output

#: The share of the changes that can be seen which tests have to notice.
LIMIT = 0.95
#: pytest's exit codes for a test that failed, and mutmut's for one that went on for ever: the change was noticed.
NOTICED = (1, 3, 24, -24, 36, 152, 255)
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"|' + r"'(?:[^'\\]|\\.)*'")


@dataclass(frozen=True)
class Mutant:
    """One change: the lines that it replaces, and by what. ``is_noticed`` is None if it was not tried."""

    name: str
    was: str
    becomes: str
    is_noticed: bool | None

    @property
    def function(self) -> str:
        """``gpuenv.clean.run``; of a method ``gpuenv.prefix.making.Making.make``."""
        module, _, name = self.name.rpartition("__mutmut_")[0].rpartition(".")
        return f"{module}.{name.removeprefix('x_').removeprefix('xǁ').replace('ǁ', '.')}"

    @property
    def is_wording(self) -> bool:
        """Whether a single text is changed, and it is for people."""
        pairs = list(zip(_TEXT.findall(self.was), _TEXT.findall(self.becomes)))
        changed = [(old, new) for old, new in pairs if old != new]
        if len(changed) != 1 or " " not in changed[0][0].strip("\"'").strip():
            return False
        old, new = changed[0]
        return self.was.replace(old, new, 1) == self.becomes


@dataclass(frozen=True)
class Same:
    """Changes that nobody can see: in functions (a pattern) ``was`` becomes ``becomes``, and why it is the same."""

    within: str
    was: str
    becomes: str
    why: str

    def holds(self, mutant: Mutant) -> bool:
        """Whether it is about ``mutant``."""
        return fnmatch(mutant.function, self.within) and self.was in mutant.was and self.becomes in mutant.becomes


def run(settings: Settings) -> int:
    """Try every change on JOBS cores (all if not given); not 0 below the limit, or if a reason is about nothing."""
    program = Path(sys.executable).with_name("mutmut")
    if not program.exists():
        raise HostError("there is no mutmut", "it needs Python 3.10 or newer", "make mutation PYTHON=python3.12")
    # Tests that fail leave their folders, in a short place of their own: the path of a socket may have 107 bytes.
    with scratch.folder("mutation") as folder, tempfile.TemporaryDirectory(prefix="m-") as left:
        copy_checkout(folder)
        ui.say("changing one place after the other (about 10 minutes on two cores)")
        jobs = settings.jobs or os.cpu_count() or 1
        argv = [str(program), "run", "--max-children", str(jobs)]
        environment = {**os.environ, "TMPDIR": left}
        done = signals.run(
            argv, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        mutants = list(read_mutants(folder / "mutants"))
        if done.returncode != 0 or not mutants or any(one.is_noticed is None for one in mutants):
            raise CheckError("mutmut did not come to its end", end_of_output(done.stdout), "look at its output")
    return report(mutants, load_same())


def copy_checkout(folder: Path) -> None:
    """Copy what git would commit: mutmut writes beside what it changes."""
    root = paths.project_root()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, folder / name)


def read_mutants(folder: Path) -> Iterator[Mutant]:
    """Every change that mutmut made below ``folder``, and what became of it."""
    for meta in sorted(folder.glob("src/**/*.meta")):
        functions = read_functions(meta.with_suffix("").read_text(encoding="utf-8"))
        for key, code in json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"].items():
            name = key.rpartition(".")[2]
            plain = functions[f"{name.rpartition('__mutmut_')[0]}__mutmut_orig"]
            was, becomes = find_change(plain, functions[name])
            yield Mutant(key, was, becomes, None if code is None else code in NOTICED)


def read_functions(text: str) -> dict[str, list[str]]:
    """The lines of each function by its name, which stands in them as an underscore."""
    lines = text.splitlines()
    return {
        node.name: [line.replace(f"def {node.name}(", "def _(") for line in lines[node.lineno - 1 : node.end_lineno]]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    }


def find_change(plain: Sequence[str], changed: Sequence[str]) -> tuple[str, str]:
    """The lines in which two functions differ, each as one."""
    begin = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(plain, changed))))
    rests = plain[begin:], changed[begin:]
    end = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(*(reversed(rest) for rest in rests)))))
    was, becomes = (" ".join(line.strip() for line in rest[: len(rest) - end]) for rest in rests)
    return was, becomes


def load_same() -> list[Same]:
    """The changes that nobody can see, with the reasons."""
    rows = read_toml(Path(__file__).with_name("mutants.toml"))["same"]
    return [Same(row["in"], row["was"], row["becomes"], row["why"]) for row in rows]


def report(mutants: Sequence[Mutant], same: Sequence[Same]) -> int:
    """Print what nobody noticed, and the figure; 0 if that is enough, and every reason is about something."""
    hidden = [one for one in mutants if not one.is_noticed and any(each.holds(one) for each in same)]
    seen = [one for one in mutants if not one.is_wording and one not in hidden]
    missed = [one for one in seen if not one.is_noticed]
    for one in missed:
        print(f"{one.function}\n  - {one.was}\n  + {one.becomes}")
    needless = [each for each in same if not any(each.holds(one) and not one.is_noticed for one in mutants)]
    for each in needless:
        ui.warn(f"mutants.toml: nothing is left of {each.was!r} -> {each.becomes!r} in {each.within}")
    share = (len(seen) - len(missed)) / max(1, len(seen))
    wording = sum(one.is_wording for one in mutants)
    ui.say(
        f"{len(seen) - len(missed)} of {len(seen)} changes are noticed ({share:.1%}, at least {LIMIT:.0%}); "
        f"not counted: {wording} of wording, {len(mutants) - len(seen) - wording} that nobody can see (mutants.toml)"
    )
    return 0 if share >= LIMIT and not needless else CheckError.exit_code

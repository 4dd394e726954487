"""Which changes count, and what is said of those that nobody noticed."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuenv.core import paths
from gpuenv.core.errors import CheckError
from gpuenv.core.schema import read_toml
from gpuenv_dev import mutation
from gpuenv_dev.mutation import Mutant, Same

CHANGED = """
def x_pick__mutmut_orig(a):
    \"\"\"Pick.\"\"\"
    if a > 1:
        return say(
            "too many",
        )
    return 1


def x_pick__mutmut_1(a):
    \"\"\"Pick.\"\"\"
    if a >= 1:
        return say(
            "too many",
        )
    return 1


def x_pick__mutmut_2(a):
    \"\"\"Pick.\"\"\"
    if a > 1:
        return say(
            )
    return 1


class Box:
    def xǁBoxǁopen__mutmut_orig(self):
        return "a lid"

    def xǁBoxǁopen__mutmut_1(self):
        return "XXa lidXX"
"""
CODES = {"x_pick__mutmut_1": 1, "x_pick__mutmut_2": 0, "xǁBoxǁopen__mutmut_1": None}


def test_changes_are_read_with_the_lines_that_they_change(tmp_path: Path) -> None:
    folder = tmp_path / "src" / "gpuenv"
    folder.mkdir(parents=True)
    (folder / "a.py").write_text(CHANGED)
    (folder / "a.py.meta").write_text(json.dumps({"exit_code_by_key": {f"gpuenv.a.{k}": v for k, v in CODES.items()}}))
    one, two, three = mutation.read_mutants(tmp_path)
    assert (one.function, one.was, one.becomes, one.is_noticed) == ("gpuenv.a.pick", "if a > 1:", "if a >= 1:", True)
    assert (two.was, two.becomes, two.is_noticed) == ('"too many", )', ")", False)
    assert (three.function, three.is_noticed) == ("gpuenv.a.Box.open", None)
    assert [each.is_wording for each in (one, two, three)] == [False, False, True]


@pytest.mark.parametrize(
    ("was", "becomes", "is_wording"),
    [
        ('say("a b")', 'say("XXa bXX")', True),
        ("say('a b')", "say('A B')", True),
        # One word is a name, and what joins words is no text of its own.
        ('get("name")', 'get("XXnameXX")', False),
        ('", ".join(a)', '"XX, XX".join(a)', False),
        ('" ".join(a)', '"XX XX".join(a)', False),
        ('say("a b", 1)', 'say("a b", 2)', False),
        ('say("a b", 1)', 'say("XXa bXX", 2)', False),
        ('say("a b")', "say(None)", False),
    ],
)
def test_only_what_changes_a_text_for_people_is_wording(was: str, becomes: str, *, is_wording: bool) -> None:
    assert Mutant("gpuenv.a.x_f__mutmut_1", was, becomes, is_noticed=False).is_wording is is_wording


def mutants(*noticed: bool) -> list[Mutant]:
    return [Mutant(f"gpuenv.a.x_f__mutmut_{n}", f"a > {n}", f"a >= {n}", one) for n, one in enumerate(noticed)]


def test_a_share_below_the_limit_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert mutation.report(mutants(*[True] * 19, False), []) == 0
    said = capsys.readouterr()
    assert said.out == "gpuenv.a.f\n  - a > 19\n  + a >= 19\n"
    assert "19 of 20 changes are noticed (95.0%, at least 95%); not counted: 0 of wording, 0 that" in said.err
    assert mutation.report(mutants(*[True] * 18, False), []) == CheckError.exit_code


def test_what_is_the_same_is_not_counted_as_long_as_there_is_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    reason = Same("gpuenv.a.*", "a > 1", "a >= 1", "a is even")
    assert mutation.report(mutants(True, False), [reason]) == 0
    assert "1 of 1 changes are noticed" in capsys.readouterr().err
    # One about nothing, and one about what is noticed.
    for other in (Same("gpuenv.b.*", "a > 1", "a >= 1", "why"), Same("gpuenv.a.*", "a > 0", "a >= 0", "why")):
        assert mutation.report(mutants(True, False), [reason, other]) == CheckError.exit_code
        assert f"nothing is left of '{other.was}'" in capsys.readouterr().err


def test_every_reason_is_complete() -> None:
    for each in mutation.load_same():
        assert each.within.startswith("gpuenv.")
        assert each.why


def functions_that_are_changed() -> Iterator[tuple[str, str]]:
    """The names that mutmut gives the functions of the modules that it changes, and their lines as one."""
    root = paths.project_root()
    for pattern in read_toml(root / "pyproject.toml")["tool"]["mutmut"]["only_mutate"]:
        for path in root.glob(pattern):
            text = path.read_text(encoding="utf-8")
            module = ".".join(path.relative_to(root / "src").with_suffix("").parts)
            body = ast.parse(text).body
            named = [("x_", node) for node in body]
            named += [(f"xǁ{node.name}ǁ", one) for node in body if isinstance(node, ast.ClassDef) for one in node.body]
            for begin, node in named:
                if isinstance(node, ast.FunctionDef):
                    lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
                    yield f"{module}.{begin}{node.name}__mutmut_1", " ".join(line.strip() for line in lines)


def test_every_reason_is_about_lines_that_are_there() -> None:
    # What mutmut itself makes of them, `make mutation` alone can tell.
    functions = list(functions_that_are_changed())
    for each in mutation.load_same():
        changes = (Mutant(name, lines, each.becomes, is_noticed=False) for name, lines in functions)
        assert any(map(each.holds, changes)), f"nothing is left of {each.was!r} in {each.within}"

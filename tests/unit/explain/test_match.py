"""Which entries match, where they show, and which of them is the root cause."""

from __future__ import annotations

import re
import time

import pytest

from gpuenv.explain.catalog import MOST_LINES, Derived, Entry, Rule, Words
from gpuenv.explain.lines import MOST_SUSPECTS, SHOWN_CHARACTERS, Line, Suspects
from gpuenv.explain.match import Match, Matcher, Ordered, order


def rule(*fragments: str, regex: str | None = None, without: tuple[str, ...] = (), within: int = 1) -> Rule:
    return Rule(fragments, re.compile(regex) if regex else None, without, within)


def entry(
    name: str, *rules: Rule, stage: str = "libraries", after: tuple[str, ...] = (), notice: bool = False
) -> Entry:
    has_digits = any("digits" in one.groups for one in rules)
    return Entry(
        id=name,
        stage=stage,
        consequence_of=after,
        is_notice=notice,
        rules=rules,
        derive={"cuda": Derived(of="digits", map={"100": "10.0"}, default="another")} if has_digits else {},
        cause=Words("cause", "원인"),
        remedies=(),
        references=(),
        samples=(),
        near_misses=(),
    )


def match(entries: list[Entry], *pieces: str) -> list[Match]:
    matcher = Matcher(entries)
    for piece in pieces:
        matcher.feed(piece.encode())
    return matcher.matches


def ordered(entries: list[Entry], text: str) -> Ordered:
    found = order(match(entries, text))
    assert found
    return found


def test_captured_and_derived_values_and_the_line_that_shows_it() -> None:
    one = entry("a", rule("find 'cudart64_", regex=r"64_(?P<digits>\d+)"))
    (found,) = match([one], "noise\n", "more\nCould not find 'cudart64_100.dll'  \nCould not find 'cudart64_90.dll'\n")
    assert found.values == {"digits": "100", "cuda": "10.0"}
    assert found.evidence == (Line(3, "Could not find 'cudart64_100.dll'", 10),)


def test_a_value_that_is_not_in_the_map_gets_the_default() -> None:
    (found,) = match([entry("a", rule("dll", regex=r"_(?P<digits>\d+)"))], "cudart64_70.dll\n")
    assert found.values["cuda"] == "another"


@pytest.mark.parametrize(
    ("one", "text", "matches"),
    [
        (rule("alpha", "beta"), "alpha\nbeta\n", False),
        (rule("alpha", "beta"), "beta alpha\n", True),
        (rule("alpha", "beta", within=2), "alpha\nbeta\n", True),
        (rule("alpha", "beta", within=2), "alpha\n-\nbeta\n", False),
        (rule("alpha", "beta", within=9), "beta\n-\nalpha\n", True),
        (rule("alpha", without=("warning",)), "warning: alpha\n", False),
        (rule("alpha", without=("warning",)), "warning: alpha\nalpha\n", True),
        (rule("alpha", without=("warning",), within=2), "alpha\nwarning\n", False),
        (rule("alpha", without=("warning",), within=2), "warning\nalpha\n", False),
        (rule("alpha", without=("warning",), within=9), "warning\nalpha\n", False),
        (rule("1 alpha 2"), "1 alpha 2\n", True),
        (rule("e alpha: b"), "the alpha: beta\n", True),
        (rule("alpha", regex=r"alpha \d"), "alpha x\nalpha 1\n", True),
        (rule("alpha", regex=r"alpha\nbeta", within=2), "x\nalpha\nbeta\n", True),
        (rule("Alpha"), "alpha\n", False),
        (rule("e alpha b"), "the alpha beta\n", True),
        (rule("모듈"), "지정된 모듈을\n", True),
    ],
)
def test_rules(one: Rule, text: str, matches: bool) -> None:
    assert bool(match([entry("a", one)], text)) is matches
    # The same, line by line: windows reach over the borders of pieces.
    if not one.without:
        assert bool(match([entry("a", one)], *text.splitlines(keepends=True))) is matches


def test_a_window_over_two_pieces_has_the_right_line_numbers() -> None:
    one = entry("a", rule("alpha", "beta", within=3))
    (found,) = match([one], "-\n" * 99 + "alpha\n", "-\nbeta\n")
    assert [line.number for line in found.evidence] == [100, 102]


def test_the_earliest_stage_is_the_root_and_the_later_one_follows_from_it() -> None:
    use, driver = entry("u", rule("use"), stage="use"), entry("d", rule("driver"), stage="driver")
    found = ordered([use, driver], "use\ndriver\n")
    assert (found.root.entry.id, found.others) == ("d", ())
    assert ([one.entry.id for one in found.later], found.consequences) == (["u"], ())


def test_what_certainly_follows_is_kept_apart_from_what_only_came_later() -> None:
    entries = [entry("d", rule("driver"), stage="driver"), entry("a", rule("alpha"), stage="training", after=("d",))]
    found = ordered([*entries, entry("u", rule("use"), stage="use")], "alpha\nuse\ndriver\n")
    assert [one.entry.id for one in found.all] == ["d", "u", "a"]
    assert ([one.entry.id for one in found.later], [one.entry.id for one in found.consequences]) == (["u"], ["a"])


def test_a_notice_stands_back_behind_what_ended_the_program_without_it() -> None:
    notice = entry("n", rule("notice"), stage="driver", notice=True)
    training, library = entry("t", rule("ended"), stage="training"), entry("l", rule("library"))
    found = ordered([notice, training], "notice\nended\n")
    assert (found.root.entry.id, [one.entry.id for one in found.others], found.later) == ("t", ["n"], ())
    # What needs the GPU may well have ended for want of it.
    assert [one.entry.id for one in ordered([notice, library], "library\nnotice\n").all] == ["n", "l"]
    assert ordered([notice], "notice\n").root.entry.id == "n"


def test_what_follows_from_another_that_matches_is_no_root_even_if_its_stage_is_earlier() -> None:
    entries = [entry("a", rule("alpha"), stage="host", after=("b",)), entry("b", rule("beta"))]
    assert ordered(entries, "alpha\nbeta\n").root.entry.id == "b"
    assert ordered(entries, "alpha\n").root.entry.id == "a"


def test_in_one_stage_the_first_line_counts_and_the_other_is_independent() -> None:
    found = ordered([entry("a", rule("alpha")), entry("b", rule("beta"))], "beta\nalpha\n")
    assert (found.root.entry.id, [one.entry.id for one in found.others], found.consequences) == ("b", ["a"], ())


def test_nothing_is_no_cause() -> None:
    assert order(match([entry("a", rule("alpha"))], "beta\n")) is None


def test_of_a_long_line_the_part_that_matters_is_shown() -> None:
    (found,) = match([entry("a", rule("alpha"))], "x" * 3000 + " alpha " + "y" * 3000 + "\n")
    shown = found.evidence[0].shown
    assert "alpha" in shown
    assert len(shown) <= SHOWN_CHARACTERS
    assert Line(1, "a\x1b[2J\tb\x00").shown == "a  b"


def suspects(text: str) -> list[str]:
    found = Suspects()
    matcher = Matcher([])
    for line in text.splitlines(keepends=True):
        found.feed(matcher.feed(line.encode()))
    return [f"{line.number} {line.text}" for line in found.lines]


def test_the_lines_that_look_most_like_an_error() -> None:
    text = (
        "Traceback (most recent call last):\n"
        "DeprecationWarning: an error in future\n"
        "2019-10-15 00:01:37.822980: W tensorflow/x.cc:55] could not, error\n"
        "epoch 1 error: 0.25\n"
        "KeyError: 'a'\n"
        "it cannot be\n"
        "all is well\n"
        "ERROR: no\n"
    )
    assert suspects(text) == ["5 KeyError: 'a'", "6 it cannot be", "8 ERROR: no"]


def test_of_many_the_best_and_last_are_kept_each_once() -> None:
    found = suspects("ValueError: first\n" + "".join(f"it cannot be {n % 7}\n" for n in range(99)))
    assert len(found) == MOST_SUSPECTS
    assert found[0] == "1 ValueError: first"
    assert found[-1].startswith("100 ")


def test_words_on_every_line_do_not_make_a_wide_rule_slow() -> None:
    wide = rule("alpha", "beta", regex=r"alpha=(\d+)[^\n]*\n(?:[^\n]*\n){0,70}?[^\n]*beta=\d", within=73)
    text = "".join(f"alpha {number} beta\n" for number in range(20_000))
    begin = time.process_time()
    assert match([entry("a", wide)], text) == []
    assert time.process_time() - begin < 1
    (found,) = match([entry("a", wide)], text, "alpha=1\n-\nbeta=2\n")
    assert [line.number for line in found.evidence] == [20_001, 20_003]


def evidence(one: Rule, *pieces: str) -> list[tuple[int, str, int]]:
    """Number, text and place of each line that shows it."""
    (found,) = match([entry("a", one)], *pieces)
    return [(line.number, line.text, line.at) for line in found.evidence]


@pytest.mark.parametrize(
    ("one", "text", "shown"),
    [
        # The places are those in the lines themselves, whichever line of the window it is.
        (rule("alpha", "beta", within=2), "x alpha\nyy beta\n", [(1, "x alpha", 2), (2, "yy beta", 3)]),
        (rule("alpha", "beta", within=3), "x alpha\n-\nyy beta\n", [(1, "x alpha", 2), (3, "yy beta", 3)]),
        # Of several in a line the first counts.
        (rule("beta"), "yy beta beta\n", [(1, "yy beta beta", 3)]),
        # An expression that ends with the end of a line points at that line, not at the next one.
        (rule("alpha", regex=r"alpha\n", within=2), "x alpha\nbeta\n", [(1, "x alpha", 2)]),
        # An empty line before it is a line.
        (rule("alpha", within=2), "\nx alpha\n", [(2, "x alpha", 2)]),
        # Of several in what the expression found the first counts.
        (
            rule("beta", regex=r"(?s)a1.*beta.*beta", within=3),
            "a1\nx beta\ny beta\n",
            [(1, "a1", 0), (2, "x beta", 2), (3, "y beta", 5)],
        ),
        # What it spans: its begin and its end.
        (rule("alpha", regex=r"(?s)a1.*b1", within=3), "a1 alpha\n-\n- b1\n", [(1, "a1 alpha", 0), (3, "- b1", 3)]),
        # A fragment inside of what the expression found counts, not one before it.
        (rule("alpha", regex=r"alpha 1", within=2), "alpha 0\nx alpha 1\n", [(2, "x alpha 1", 2)]),
        # One that is outside counts where it stands.
        (rule("alpha", "beta", regex=r"alpha 1", within=2), "x beta\nalpha 1\n", [(1, "x beta", 2), (2, "alpha 1", 0)]),
        # And not one that stands behind it.
        (rule("beta", regex=r"alpha", within=2), "beta alpha\n- beta\n", [(1, "beta alpha", 0)]),
        (rule("alpha", regex=r"alpha 1"), "alpha 1\n", [(1, "alpha 1", 0)]),
        (rule("alpha", regex=r"^"), "x alpha\n", [(1, "x alpha", 0)]),
    ],
)
def test_where_it_shows(one: Rule, text: str, shown: list[tuple[int, str, int]]) -> None:
    assert evidence(one, text) == shown
    # In the same place of a longer log, at once and piece by piece.
    later = [(number + 3, line, at) for number, line, at in shown]
    assert evidence(one, "-\n\n-\n" + text) == later
    if not one.without:
        assert evidence(one, "-\n\n-\n", *text.splitlines(keepends=True))[: len(later)] == later[: len(shown)]


def test_of_rules_that_match_the_one_that_shows_first_counts() -> None:
    one = entry("a", rule("beta", regex=r"(?P<digits>\d+)"), rule("alpha", regex=r"(?P<digits>\d+)"))
    (found,) = match([one], "alpha 100\nbeta 7\n")
    assert (found.line, found.values["digits"]) == (1, "100")


def test_a_rule_without_its_own_groups_says_that_it_does_not_know_them() -> None:
    one = entry("a", rule("beta", regex=r"(?P<digits>\d+)"), rule("alpha"))
    (found,) = match([one], "alpha\n")
    assert found.values == {"digits": "?", "cuda": "another"}


def test_a_group_that_took_no_part_is_not_known() -> None:
    (found,) = match([entry("a", rule("alpha", regex=r"alpha(?P<digits>\d+)?"))], "alpha\n")
    assert found.values == {"digits": "?", "cuda": "another"}


def test_every_window_of_a_run_is_looked_at() -> None:
    """Windows that reach into one another are tried as one text first; those that do not, one after the other."""
    wide = rule("alpha", regex=r"alpha\n-\nbeta", within=3)
    for before in ("", "alpha\nbeta\n-\nalpha\n", "alpha\n-\n-\n-\n", "alpha\n-\n-\n-\nalpha\n-\nx\nx\nx\nx\n"):
        lines = before.count("\n")
        assert [line[0] for line in evidence(wide, f"{before}alpha\n-\nbeta\n-\n")] == [lines + 1, lines + 3]


def test_a_window_that_is_larger_than_the_log_is_the_log() -> None:
    assert [line[0] for line in evidence(rule("alpha", "beta", within=9), "beta\nalpha\n")] == [1, 2]
    # What must not stand in the window may stand before it.
    assert match([entry("a", rule("alpha", without=("beta",), within=2))], "beta\n-\n-\nalpha\n")


def test_a_line_that_was_cut_counts_once() -> None:
    pieces = ["a" * 5 + "\r\n", "b\n", *("-\n" for _ in range(MOST_LINES + 2)), "alpha\n"]
    assert [line[0] for line in evidence(rule("alpha"), *pieces)] == [MOST_LINES + 4]
    assert [line[0] for line in evidence(rule("alpha"), "".join(pieces))] == [MOST_LINES + 4]
    assert [line[0] for line in evidence(rule("alpha"), "".join(pieces[:-1]), pieces[-1])] == [MOST_LINES + 4]


def test_so_much_is_kept_of_what_came_before_as_a_rule_may_need() -> None:
    matcher = Matcher([])
    matcher.feed(b"-\n" * 3 * MOST_LINES)
    assert matcher.feed(b"-\n").data == b"-\n" * MOST_LINES
    # Empty lines are lines.
    pieces = ["\n" * 2 * MOST_LINES, "\n" * 2 * MOST_LINES, "alpha\n"]
    assert [line[0] for line in evidence(rule("alpha"), *pieces)] == [4 * MOST_LINES + 1]


def test_a_window_reaches_back_as_far_as_a_rule_may() -> None:
    one = rule("alpha", "beta", within=MOST_LINES)
    pieces = ["-\n", "alpha\n", *("-\n" for _ in range(MOST_LINES - 2)), "beta\n"]
    assert [line[0] for line in evidence(one, *pieces)] == [2, MOST_LINES + 1]


def test_a_notice_stands_back_behind_what_needs_no_gpu_from_the_stage_of_packages_on() -> None:
    notice = entry("n", rule("notice"), stage="driver", notice=True)
    packages, before = entry("p", rule("ended"), stage="packages"), entry("b", rule("ended"), stage="libraries")
    assert ordered([notice, packages], "notice\nended\n").root.entry.id == "p"
    assert ordered([notice, before], "notice\nended\n").root.entry.id == "n"


def test_what_comes_then_is_looked_for_behind_the_first() -> None:
    one = Rule(("alpha",), re.compile(r"alpha (?P<digits>\d+)"), (), 3, re.compile(r"beta (?P<more>\d+)"))
    assert match([entry("a", one)], "beta 1\nalpha 2\n-\n") == []
    (found,) = match([entry("a", one)], "beta 1\nalpha 2\n-\nbeta 3\n")
    assert (found.values["digits"], found.values["more"]) == ("2", "3")
    assert [line.number for line in found.evidence] == [2, 4]
    # Too far away.
    assert match([entry("a", one)], "alpha 2\n-\n-\nbeta 3\nalpha 4\n") == []
    with pytest.raises(ValueError, match="then: "):
        Rule(("alpha",), then=re.compile("beta"))


def test_once_the_time_is_over_no_entry_is_tried() -> None:
    matcher = Matcher([entry("a", rule("alpha")), entry("b", rule("beta"))], iter([False, True, True]).__next__)
    matcher.feed(b"alpha\nbeta\n")
    assert [one.entry.id for one in matcher.matches] == ["a"]
    assert matcher.next_line == 3


def test_lines_of_many_words_of_alarm_are_looked_at_once() -> None:
    words = [f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676)}rror" for n in range(10_000)]
    begin = time.process_time()
    assert len(suspects(" ".join(words) + "\nmirrored\n")) == 1
    assert time.process_time() - begin < 1

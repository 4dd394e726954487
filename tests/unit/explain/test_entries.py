"""The catalog itself: every entry against its own samples, and every sample against all entries.

One test for each entry: as thousands of small tests they took more time to be counted than to be run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from gpuenv import verbs
from gpuenv.core.settings import OPTIONS
from gpuenv.explain import answer
from gpuenv.explain import command as explain
from gpuenv.explain.answer import Context, Step
from gpuenv.explain.catalog import FOLDER, LANGUAGES, STAGES, SYSTEMS, Entry, Rule, load_catalog
from gpuenv.explain.lines import Line
from gpuenv.explain.match import Match, Ordered, match_rule
from gpuenv.explain.text import clean

ENTRIES = load_catalog()
VERBS = {verb.name for verb in verbs.VERBS}
SETTINGS = {option.make_name for option in OPTIONS.values()}

#: Rows of the pain list that no log can be explained by, with the reason. None is left out.
ROWS_LEFT_OUT: dict[str, str] = {}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_entry(entry: Entry) -> None:
    checks = (
        lacks_what_an_entry_needs,
        texts_read_badly,
        samples_are_answered_otherwise,
        near_misses_match,
        rules_without_a_sample,
        systems_left_alone,
        make_commands_that_do_not_exist,
        posix_commands_for_windows,
        environments_that_a_mac_cannot_have,
    )
    problems = [f"{check.__name__}: {problem}" for check in checks for problem in check(entry)]
    assert not problems, "\n".join(problems)


def lacks_what_an_entry_needs(entry: Entry) -> Iterator[str]:
    if len(entry.samples) < 2 or not entry.near_misses or not entry.references:
        yield "expected two samples, a near miss and a reference at least"
    for words in (entry.cause, *entry.remedies):
        yield from (f"no text in {language}" for language in LANGUAGES if not words.text(language))


def texts_read_badly(entry: Entry) -> Iterator[str]:
    for text in (words.ko for words in (entry.cause, *entry.remedies)):
        if not any("가" <= letter <= "힣" for letter in text):
            yield f"not Korean: {text}"
    for text in map(entry.cause.text, LANGUAGES):
        if "\n" in text or not text.endswith((".", ".)")):
            yield f"not one sentence: {text}"


def samples_are_answered_otherwise(entry: Entry) -> Iterator[str]:
    texts = [words.text(language) for words in (entry.cause, *entry.remedies) for language in LANGUAGES]
    texts += [remedy.command or "" for remedy in entry.remedies]
    for number, sample in enumerate(entry.samples, 1):
        found = read(sample, ENTRIES)
        if found is None or found.root.entry.id != entry.id:
            yield f"sample {number} is explained by {found.root.entry.id if found else 'no entry'}"
            continue
        if found.others:
            yield f"sample {number} is claimed at the same stage by {[other.entry.id for other in found.others]}"
        for language in LANGUAGES:
            for system in SYSTEMS:
                if not answer.render_known(found, Context(language, system, None)):
                    yield f"sample {number}: no answer in {language} on {system}"
        for name in (name for name, value in found.root.values.items() if value == "?"):
            yield from (
                f"sample {number} gives no {{{name}}}: {text}" for text in texts if f"{{{name}}}" in (text or "")
            )


def near_misses_match(entry: Entry) -> Iterator[str]:
    yield from (text for text in entry.near_misses if read(text, (entry,)))


def rules_without_a_sample(entry: Entry) -> Iterator[str]:
    yield from (
        str(rule.fragments) for rule in entry.rules if not any(_matches(rule, sample) for sample in entry.samples)
    )


def _matches(rule: Rule, sample: str) -> bool:
    lines = [line.rstrip() for line in sample.splitlines()]
    starts = range(max(1, len(lines) - rule.within + 1))
    return any(match_rule(rule, lines[start : start + rule.within]) for start in starts)


def systems_left_alone(entry: Entry) -> Iterator[str]:
    yield from (system for system in SYSTEMS if not steps_on(system, entry))


def make_commands_that_do_not_exist(entry: Entry) -> Iterator[str]:
    for remedy in entry.remedies:
        for text in (remedy.command or "", *(re.findall(r"`(make [^`]*)`", remedy.en))):
            for verb, rest in re.findall(r"(?:^|; |&& )make ([a-z0-9-]+)((?: [A-Z_]+=\S+)*)", text):
                if verb not in VERBS or {*re.findall(r" ([A-Z_]+)=", rest)} - SETTINGS - {""}:
                    yield text


def posix_commands_for_windows(entry: Entry) -> Iterator[str]:
    for step in steps_on("windows", entry):
        is_elsewhere = "WSL2" in step.text or step.text.startswith(("(debian", "(fedora"))
        is_posix = re.search(r"(?:^|; |&& )(?:make|export|unset|env|date)\b|^[A-Z_]+=", step.command or "")
        if is_posix and not is_elsewhere:
            yield step.command or ""


def environments_that_a_mac_cannot_have(entry: Entry) -> Iterator[str]:
    for step in steps_on("macos", entry):
        if re.match(r"make (?:conda|venv)-env", step.command or "") and not step.text.startswith("("):
            yield step.command or ""


def read(text: str, entries: tuple[Entry, ...]) -> Ordered | None:
    return explain.read([clean(text.encode() + b"\n")], entries).found


def steps_on(system: str, entry: Entry) -> list[Step]:
    values = dict.fromkeys({*entry.derive, *(name for rule in entry.rules for name in rule.groups)}, "x")
    return answer.steps(Match(entry, values, (Line(1, ""),)), Context("en", system, None))


def test_every_stage_has_a_file() -> None:
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(STAGES)


def test_every_row_of_the_pain_list_is_covered_or_left_out_for_a_reason() -> None:
    wanted = {f"P{number:02}" for number in range(1, 57)}
    covered = {entry.row for entry in ENTRIES if entry.row}
    assert wanted - covered - ROWS_LEFT_OUT.keys() == set()
    assert covered <= wanted
    assert covered & ROWS_LEFT_OUT.keys() == set(), "no longer left out: take it off the list"


def test_no_entry_is_lost() -> None:
    """An entry that is removed takes its own test with it; a new one raises the number."""
    assert len(ENTRIES) == 168

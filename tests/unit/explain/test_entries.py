"""The catalog itself: every entry against its own samples, and every sample against all entries."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from gpuenv.explain import answer as explain_text
from gpuenv.explain import command as explain
from gpuenv.explain.answer import Context
from gpuenv.explain.catalog import default_folder, load_catalog
from gpuenv.explain.entry import LANGUAGES, STAGES, SYSTEMS, Entry, Rule
from gpuenv.explain.excerpt import Line
from gpuenv.explain.match import Match, Ordered, match_rule
from gpuenv.explain.text import clean

ENTRIES = load_catalog()
SAMPLES = [(entry, number) for entry in ENTRIES for number in range(len(entry.samples))]
MAKEFILE = (Path(__file__).parents[3] / "Makefile").read_text(encoding="utf-8")
NAMES = [f"{entry.id}-{number + 1}" for entry, number in SAMPLES]

#: Rows of the pain list that no log can be explained by, with the reason. None is left out.
ROWS_LEFT_OUT: dict[str, str] = {}


@cache
def answer(text: str) -> Ordered | None:
    return explain.read([clean(text.encode() + b"\n")], ENTRIES).found


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_an_entry_has_samples_a_near_miss_and_references(entry: Entry) -> None:
    assert len(entry.samples) >= 2
    assert len(entry.near_misses) >= 1
    assert entry.references
    assert set(entry.cause) == set(LANGUAGES)
    assert all(set(remedy.texts) == set(LANGUAGES) for remedy in entry.remedies)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_a_korean_text_is_korean_and_a_cause_is_one_sentence(entry: Entry) -> None:
    for text in (entry.cause["ko"], *(remedy.texts["ko"] for remedy in entry.remedies)):
        assert any("가" <= letter <= "힣" for letter in text), text
    for text in entry.cause.values():
        assert "\n" not in text
        assert text.endswith((".", ".)"))


@pytest.mark.parametrize(("entry", "number"), SAMPLES, ids=NAMES)
def test_the_first_answer_to_a_sample_is_its_own_entry(entry: Entry, number: int) -> None:
    found = answer(entry.samples[number])
    assert found, "no entry matches"
    assert found.root.entry.id == entry.id


@pytest.mark.parametrize(("entry", "number"), SAMPLES, ids=NAMES)
def test_no_other_entry_claims_a_sample_at_the_same_stage(entry: Entry, number: int) -> None:
    found = answer(entry.samples[number])
    assert found
    assert [other.entry.id for other in found.others] == []


@pytest.mark.parametrize(("entry", "number"), SAMPLES, ids=NAMES)
def test_texts_are_whole_on_every_system(entry: Entry, number: int) -> None:
    found = answer(entry.samples[number])
    assert found
    unknown = {name for name, value in found.root.values.items() if value == "?"}
    for language in LANGUAGES:
        for system in SYSTEMS:
            assert explain_text.render_known(found, Context(language, system, None))
    texts = [*entry.cause.values(), *(text for one in entry.remedies for text in (*one.texts.values(), one.command))]
    assert not [text for text in texts for name in unknown if f"{{{name}}}" in (text or "")], "a value is missing"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_somebody_on_any_system_is_told_what_to_do(entry: Entry) -> None:
    for system in SYSTEMS:
        assert explain_text.steps(match_of(entry), Context("en", system, None))


def match_of(entry: Entry) -> Match:
    values = dict.fromkeys({*entry.derive, *(name for rule in entry.rules for name in rule.groups)}, "x")
    return Match(entry, values, (Line(1, ""),))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_every_make_command_exists(entry: Entry) -> None:
    verbs = set(re.findall(r"^([a-z0-9-]+):.*## ", MAKEFILE, re.MULTILINE))
    settings = {*re.findall(r"^SETTINGS := (.*)$", MAKEFILE, re.MULTILINE)[0].split()}
    for remedy in entry.remedies:
        for text in (remedy.command or "", *(re.findall(r"`(make [^`]*)`", remedy.texts["en"]))):
            for verb, rest in re.findall(r"(?:^|; |&& )make ([a-z0-9-]+)((?: [A-Z_]+=\S+)*)", text):
                assert verb in verbs, text
                assert {*re.findall(r" ([A-Z_]+)=", rest)} - settings - {""} == set(), text


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_windows_has_no_make_and_no_posix_shell(entry: Entry) -> None:
    for step in explain_text.steps(match_of(entry), Context("en", "windows", None)):
        is_elsewhere = "WSL2" in step.text or step.text.startswith("(debian") or step.text.startswith("(fedora")
        if step.command and not is_elsewhere:
            assert not re.search(r"(?:^|; |&& )(?:make|export|unset|env|date)\b|^[A-Z_]+=", step.command), step


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_a_mac_is_not_sent_to_environments_that_it_cannot_have(entry: Entry) -> None:
    for step in explain_text.steps(match_of(entry), Context("en", "macos", None)):
        assert not re.match(r"make (?:conda|venv)-env", step.command or "") or step.text.startswith("(")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_a_near_miss_does_not_match_its_own_entry(entry: Entry) -> None:
    for text in entry.near_misses:
        assert explain.read([clean(text.encode() + b"\n")], [entry]).found is None, text


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_every_rule_is_needed_by_a_sample(entry: Entry) -> None:
    for rule in entry.rules:
        assert any(_matches(rule, sample) for sample in entry.samples), rule.fragments


def _matches(rule: Rule, sample: str) -> bool:
    lines = [line.rstrip() for line in sample.splitlines()]
    starts = range(max(1, len(lines) - rule.within + 1))
    return any(match_rule(rule, lines[start : start + rule.within]) for start in starts)


def test_every_stage_has_a_file() -> None:
    assert {path.stem for path in default_folder().glob("*.toml")} == set(STAGES)


def test_every_row_of_the_pain_list_is_covered_or_left_out_for_a_reason() -> None:
    wanted = {f"P{number:02}" for number in range(1, 57)}
    covered = {entry.row for entry in ENTRIES if entry.row}
    assert wanted - covered - ROWS_LEFT_OUT.keys() == set()
    assert covered <= wanted
    assert covered & ROWS_LEFT_OUT.keys() == set(), "no longer left out: take it off the list"


def test_there_are_enough_entries() -> None:
    assert len(ENTRIES) >= 70

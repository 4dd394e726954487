"""Loading a catalog: what is as described, and what is refused, by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.core.errors import DataError
from gpuenv.explain.catalog import load_catalog

ENTRY = """
[[entry]]
id = "a-cause"
row = "P23"
references = ["owner/repo#1"]
samples = ["needs 10.0, has nothing", "needs 9.0, has nothing"]
near_misses = ["needs nothing"]
[[entry.rule]]
fragments = ["needs "]
regex = "needs (?P<version>[0-9.]+)"
[entry.derive.variant]
of = "version"
map = { "10.0" = "new" }
default = "old"
[entry.cause]
en = "It needs {version}."
ko = "{version} 필요."
[[entry.remedy]]
systems = ["debian"]
command = "use {variant}"
en = "Use {variant}."
ko = "{variant} 사용."
"""


def load(folder: Path, text: str, name: str = "libraries.toml") -> None:
    (folder / name).write_text(text, encoding="utf-8")
    load_catalog(folder)


def test_an_entry_as_described(tmp_path: Path) -> None:
    (tmp_path / "libraries.toml").write_text(ENTRY, encoding="utf-8")
    (entry,) = load_catalog(tmp_path)
    assert (entry.id, entry.row, entry.stage) == ("a-cause", "P23", "libraries")
    assert entry.rules[0].groups == {"version"}
    assert entry.derive["variant"].default == "old"
    assert entry.remedies[0].systems == ("debian",)
    assert load_catalog(tmp_path) is load_catalog(tmp_path)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('id = "a-cause"\n', "", "entry[0].id: this key is missing"),
        ('id = "a-cause"', 'id = "A Cause"', "kebab-case"),
        ('row = "P23"', 'row = "23"', 'entry["a-cause"].row: expected a number of the pain list'),
        ('row = "P23"', 'rwo = "P23"', "rwo: this key is not known"),
        ('fragments = ["needs "]', "", 'entry["a-cause"].rule[0].fragments: this key is missing'),
        ('fragments = ["needs "]', 'fragments = ["a\\nb"]', "plain text within one line"),
        ('"needs (?P<version>[0-9.]+)"', '"needs (?P<version>[0-9.]+"', "regex: expected a regular expression"),
        ('fragments = ["needs "]', 'fragments = ["needs "]\nwithin = 0', "within: expected a positive whole number"),
        ('fragments = ["needs "]', 'fragments = ["needs "]\nwithin = 4000', "lines at most"),
        ('ko = "{version} 필요."', "", "cause.ko: this key is missing"),
        ('en = "It needs {version}."', 'en = "It needs {verison}."', "cause: {verison} is neither captured"),
        ('command = "use {variant}"', 'command = "use {0}"', "remedy[0]: {0} is neither captured"),
        ('command = "use {variant}"', 'command = "use {"', "a brace itself is written twice"),
        ('of = "version"', 'of = "vresion"', "derive.variant.of: no rule captures 'vresion'"),
        ('default = "old"', "", "derive.variant.default: this key is missing"),
        ('systems = ["debian"]', 'systems = ["ubuntu"]', "remedy[0].systems: expected one of arch, debian"),
        ('systems = ["debian"]', 'targets = ["container"]', "remedy[0].targets: expected one of conda, host, image"),
        ('row = "P23"', 'notice = "yes"', "notice: expected true or false"),
        ('row = "P23"', 'consequence_of = ["no-such"]', "no other entry is called no-such"),
        ('row = "P23"', 'consequence_of = ["a-cause"]', "no other entry is called a-cause"),
        ('near_misses = ["needs nothing"]', "", "near_misses: this key is missing"),
        ("[[entry]]", "[[entry", "cannot be read as TOML"),
    ],
)
def test_a_malformed_entry_is_refused_with_its_name_and_key(tmp_path: Path, before: str, after: str, told: str) -> None:
    assert before in ENTRY
    with pytest.raises(DataError) as caught:
        load(tmp_path, ENTRY.replace(before, after, 1))
    assert told in caught.value.why
    assert "docs/catalogue.md" in caught.value.next_step


def test_a_name_that_only_one_of_two_rules_captures_is_refused(tmp_path: Path) -> None:
    text = ENTRY.replace("[entry.derive.variant]", '[[entry.rule]]\nfragments = ["x"]\n[entry.derive.variant]')
    with pytest.raises(DataError, match="neither captured by every rule"):
        load(tmp_path, text)


def test_two_entries_of_one_name_are_refused_even_in_two_files(tmp_path: Path) -> None:
    load(tmp_path, ENTRY)
    (tmp_path / "host.toml").write_text(ENTRY, encoding="utf-8")
    with pytest.raises(DataError, match="more than one entry is called a-cause"):
        load_catalog.__wrapped__(tmp_path)


def test_a_file_of_no_stage_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file of a stage"):
        load_catalog(tmp_path)
    with pytest.raises(DataError, match="no stage is called librares"):
        load(tmp_path, ENTRY, "librares.toml")

"""Commands that people are told to run hold nothing that somebody else wrote, or hold it as one word."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from gpuenv import cli
from gpuenv.conda.condarc import Condarc
from gpuenv.doctor import findings
from gpuenv.doctor.checks import python as python_checks
from gpuenv.doctor.facts import Conda
from gpuenv.doctor.findings import Finding
from gpuenv.explain import answer
from gpuenv.explain import command as explain
from gpuenv.explain.answer import Context
from gpuenv.explain.catalog import LANGUAGES, SYSTEMS, Entry, load_catalog
from gpuenv.explain.lines import Line
from gpuenv.explain.match import Match
from gpuenv.explain.text import clean

#: What a shell itself does to make a file: the commands are tried where there are no programs.
MAKE = ">pwned"
HOSTILE = (
    f";{MAKE}", f"$({MAKE})", f"`{MAKE}`", f"'{MAKE};'", f"';{MAKE};'", f'";{MAKE};"', f"\n{MAKE}\n", f"|{MAKE}",
    f"&{MAKE}", f"x;{MAKE}", f"/a/b$({MAKE})", f"https://e/$({MAKE})", f"https://e/;{MAKE}", f"\\;{MAKE}", f"({MAKE})",
    MAKE, f"x{MAKE}", f"a {MAKE} b", f"# {MAKE}", "%PATH%", "a&b", "a^b", "https://e/a%20b", "https://e/?a=b&c=d",
    "-o", "--eval=x", "-oProxyCommand=x", "\x1b[31mx", "x\x1b\x1b[0m]0;y\x07", "/a/\x9b2J", "/a/\u202ex", "~x", "$HOME",
)  # fmt: skip
ENTRIES = [
    entry
    for entry in load_catalog()
    if any(name for remedy in entry.remedies for _, name, _, _ in Formatter().parse(remedy.command or "") if name)
]


def spans(entry: Entry) -> set[str]:
    """Commands in sentences, with a value in them."""
    texts = [text.text(language) for text in (entry.cause, *entry.remedies) for language in LANGUAGES]
    return {span for text in texts for span in re.findall(r"`([a-z][\w.-]* [^`]*\{[^`]*)`", text)}


def commands(match: Match) -> Iterator[tuple[str, str]]:
    """Each system, and each command for it."""
    for system in SYSTEMS:
        for language in LANGUAGES:
            for step in answer.steps(match, Context(language, system, None)):
                if step.command:
                    yield system, step.command


def check(system: str, command: str, value: str) -> str:
    """The command, in which a value is no part or one word; '' where the shell of that system is not here."""
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", command), repr(command)
    if system == "windows":
        # Its shells disagree on how anything is quoted: there such a value is left out.
        assert value not in command, command
        return ""
    if shlex.quote(value) in command:
        assert any(value in word and not word.startswith("-") for word in shlex.split(command)), command
    return f"( {command}\n)\n"


def run(script: str, folder: Path) -> str:
    """What a shell says that finds no program at all; nothing may have run in it."""
    done = subprocess.run(
        ["/bin/sh", "-c", script], cwd=folder, env={"PATH": "", "HOME": str(folder)}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, errors="replace", timeout=20, check=False,
    )  # fmt: skip
    assert not list(folder.iterdir()), script
    return done.stderr


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_a_hostile_value_of_any_group_is_one_word_or_absent(entry: Entry, tmp_path: Path) -> None:
    script = ""
    for value in HOSTILE:
        values = dict.fromkeys(set[str]().union(*(rule.groups for rule in entry.rules)), value)
        values.update({name: one.default for name, one in entry.derive.items()})
        found = {*commands(Match(entry, values, (Line(1, ""),)))}
        script += "".join(check(*one, value) for one in found)
    assert "yntax error" not in run(script, tmp_path), script


@pytest.mark.parametrize("entry", [entry for entry in load_catalog() if spans(entry)], ids=lambda entry: entry.id)
def test_a_command_within_a_sentence_takes_plain_names_alone(entry: Entry, tmp_path: Path) -> None:
    """As its group's expression says."""
    named = {name for span in spans(entry) for _, name, _, _ in Formatter().parse(span) if name}
    script = ""
    for sample in entry.samples:
        for old in {value for found in explain_all(sample, entry) for name, value in found.items() if name in named}:
            for value in HOSTILE:
                for found in explain_all(sample.replace(old, old + value), entry):
                    script += "".join(check("debian", span.format_map(found), value) for span in spans(entry))
    assert "yntax error" not in run(script, tmp_path), script


def explain_all(text: str, entry: Entry) -> list[dict[str, str]]:
    found = explain.read([clean(text.encode() + b"\n")], (entry,)).found
    return [dict(match.values) for match in found.all] if found else []


@pytest.mark.parametrize(
    "line",
    [
        "manifest for nvidia/cuda:10.0;>pwned not found",
        "PermissionError: [Errno 13] Permission denied: '/work/$(>pwned)'",
        "PermissionError: [Errno 13] Permission denied: '-e$(>pwned)'",
        "Exception: URL fetch failure on https://e/;>pwned: None -- [Errno -3] x",
        "tensorflow==1.15.0\ntensorflow-gpu==1.15.0;>pwned",
    ],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_log_of_a_stranger(
    line: str, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUENV_LANG", "en")
    log = tmp_path / "log"
    log.write_text(line + "\n")
    assert cli.main(["explain", str(log), *(["--json"] if form == "json" else [])]) == 0
    said = capsys.readouterr().out
    log.unlink()
    if form == "json":
        remedies = [one for cause in json.loads(said)["causes"] for one in cause["remedy"]]
        told = [one.partition(" Run: ")[2] for one in remedies]
    else:
        told = [one[7:] for one in said.splitlines() if one.startswith("       ")]
    assert any(told)
    run("\n".join(told), tmp_path)


def test_remedies_of_the_doctor_quote_what_the_machine_calls_its_files(tmp_path: Path) -> None:
    path = f"/a b/$({MAKE});{MAKE}"
    conda = Conda(None, (Condarc(path, None, (f"x;{MAKE}",), "it is no YAML"),))
    settings = python_checks.conda_settings(conda)
    assert not isinstance(settings, Finding)
    said = [*settings, python_checks.conda_channels(conda)]
    remedies = [findings.render(one.remedy, ["debian", "*"]) or "" for one in said]
    for remedy in remedies:
        command = remedy.partition("  (")[0]
        assert any(word in (path, f"x;{MAKE}") for word in shlex.split(command))
        run(command, tmp_path)

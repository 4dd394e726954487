"""The report of `make doctor`: for people, for terminals, for programs."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace

import pytest

from fakes.doctor import (
    CPU_ONLY,
    GB,
    GPUS,
    MACHINE,
    RUNNING,
    list_routes,
    make_facts,
    without_fact,
)
from gpuenv.doctor import command as doctor
from gpuenv.doctor import text as doctor_text
from gpuenv.doctor.facts import Engines, Place, Toolkit
from gpuenv.variants.compat import Card


def test_what_was_not_found_out_is_a_doubt_that_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.report(without_fact("toolkit", "NVIDIA's container toolkit"), is_json=False)
    said = capsys.readouterr().out
    assert "in doubt, because NVIDIA's container toolkit could not be found out" in said


def test_the_list_is_plain_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.report(make_facts(Toolkit()), is_json=False, is_verbose=True)
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert captured.err == ""
    assert lines[0] == "ok       architecture    x86_64"
    place = next(number for number, line in enumerate(lines) if line.startswith("ERROR    toolkit"))
    assert lines[place + 1].strip().startswith("do: sudo apt-get install nvidia-container-toolkit")
    assert lines[-2] == "recommendation: make gpu-shell FLAVOR=cpu"
    assert "better would be cuda10.0-gpu" in lines[-1]
    assert "\x1b" not in captured.out
    assert re.search(r"^\d+ ok, 1 error$", captured.out, re.MULTILINE)


def test_what_is_fine_is_only_counted(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.report(make_facts(), is_json=False)
    assert re.match(r"\d+ ok \(VERBOSE=1 shows all\)\nrecommendation: make gpu-shell\n", capsys.readouterr().out)
    no_room = make_facts(CPU_ONLY, Engines(replace(RUNNING, data=Place("/data", 5 * GB))))
    doctor.report(no_room, is_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("WARNING  disk ")
    assert lines[1].strip().startswith("do: docker system df")
    assert re.fullmatch(r"\d+ ok, 1 warning \(VERBOSE=1 shows all\)", lines[3])


def test_on_a_terminal_it_is_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    doctor.report(make_facts(Toolkit()), is_json=False)
    out = capsys.readouterr().out
    assert "toolkit" in out
    assert "do: sudo apt-get" in out


def test_json_has_findings_variants_and_the_recommendation(capsys: pytest.CaptureFixture[str]) -> None:
    t4 = replace(GPUS, cards=(Card(0, "Tesla T4", "7.5"),))
    assert doctor.report(make_facts(t4), is_json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {"findings", "variants", "recommendation"}
    assert all(set(one) == {"check", "severity", "message", "remedy"} for one in said["findings"])
    assert [(one["name"], one["served"]) for one in said["variants"]] == [("cuda9.0", False), ("cuda10.0", True)]
    assert "7.5 (Turing)" in said["variants"][0]["reasons"][0]
    assert said["recommendation"]["command"] == "make gpu-shell"
    assert said["recommendation"]["flavor"] == "gpu"


def test_json_of_a_machine_on_which_nothing_works(capsys: pytest.CaptureFixture[str]) -> None:
    facts = make_facts(CPU_ONLY, replace(MACHINE, architecture="aarch64"))
    assert doctor.report(facts, is_json=True) == 2
    said = json.loads(capsys.readouterr().out)
    assert said["recommendation"]["possible"] is False
    assert [one["served"] for one in said["variants"]] == [False, False]
    assert said["findings"][-1]["check"] == "recommendation"


def test_the_recommendation_has_the_same_keys_whether_there_is_one_or_not() -> None:
    said = [
        doctor_text.render_json([], facts, list_routes(facts))
        for facts in (make_facts(), make_facts(replace(MACHINE, architecture="aarch64")))
    ]
    assert [one["recommendation"]["possible"] for one in said] == [True, False]
    assert set(said[0]["recommendation"]) == set(said[1]["recommendation"])
    ways = [way for one in said for variant in one["variants"] for way in variant["ways"]]
    assert {tuple(way) for way in ways} == {("flavor", "engine", "possible", "obstacles", "doubts")}


def test_what_a_machine_says_does_not_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    odd = replace(GPUS, problem="\x1b]0;title\x07\x1b[2Jcaf\xe9\x00")
    doctor.report(make_facts(odd), is_json=False)
    out = capsys.readouterr().out
    assert " caf\xe9\n" in out
    assert "title" not in out
    assert not {"\x1b", "\x07", "\x00"} & set(out)


@pytest.mark.parametrize("columns", ["40", "100"])
def test_on_a_terminal_a_command_stays_one_line(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", columns)
    doctor.report(make_facts(Toolkit()), is_json=False)
    lines = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()
    remedy = next(line.strip() for line in lines if "do: sudo apt-get install nvidia" in line)
    assert remedy.endswith("container-toolkit/)")
    messages = lines[: lines.index("")]
    assert max(len(line) for line in messages if "do:" not in line) <= int(columns)


def test_a_standard_output_that_was_closed_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert doctor.report(make_facts(), is_json=False) == 0

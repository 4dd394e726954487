"""report.html: whole, self-contained, honest, and safe against what programs print."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import pytest
from markupsafe import escape

from fakes import report as fake
from gpuenv.harness.report import files, table
from gpuenv.harness.report.model import GROUPS, Report

#: Elements that have no end tag.
VOID = frozenset({"br", "col", "hr", "meta"})


class Page(HTMLParser):
    """Checks nesting, and keeps elements, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice in {tag}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((tuple(self.open), data))

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]

    def text_in(self, name: str) -> str:
        return "".join(data for path, data in self.texts if name in path)


@pytest.fixture(scope="module")
def html() -> str:
    return files.render_page(fake.make_report())


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_headline_is_the_last_line_of_the_terminal(page: Page) -> None:
    line = str(fake.make_report().counts)
    assert page.text_in("h1") == line
    assert line.startswith("76 passed, 2 failed, 3 not tested (no NVIDIA driver on this host: 2; ")
    assert page.text_in("title").startswith(f"gpuenv: failed: {line}")
    assert "did not run to its end" not in page.text_in("header")


def test_nothing_comes_from_outside(html: str, page: Page) -> None:
    assert not re.search(r"https?://|src=|@import|url\(|<script|<link|<iframe|<object|javascript:", html)
    assert {name for name, _ in page.elements}.isdisjoint(
        {"script", "link", "img", "iframe", "object", "embed", "form"}
    )
    policy = next(one for one in page.named("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_what_programs_print_is_text(html: str, page: Page) -> None:
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; red \\udc80" in html
    assert "<script>alert('x')</script> & red \\udc80" in page.text_in("pre")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", html)
    html.encode("utf-8")


@pytest.mark.parametrize(
    "place", ["check", "what", "why", "next_step", "output", "reason", "missing", "title", "version"]
)
def test_hostile_text_is_text_everywhere(place: str) -> None:
    hostile = '"><script>alert(1)</script>'
    found = fake.make_report()
    first, *others = found.outcomes
    target = dataclasses.replace(fake.GOOD, variant=hostile if place == "title" else "v", missing=None)
    changed = {
        "check": dataclasses.replace(first, check=hostile),
        "what": dataclasses.replace(first, outcome="failed", what=hostile),
        "why": dataclasses.replace(first, outcome="failed", why=hostile),
        "next_step": dataclasses.replace(first, outcome="failed", next_step=hostile),
        "output": dataclasses.replace(first, outcome="failed", output=hostile),
        "reason": dataclasses.replace(first, outcome="skipped", why=hostile),
    }.get(place, first)
    if place == "missing":
        target = dataclasses.replace(target, missing=hostile)
    # A title stands in a picture, too: beside a loss curve that leaves the reference.
    known = {"version": {"facts": {"python": hostile}}, "title": found.findings[fake.FAILING.identity]}
    findings = {target.identity: known[place]} if place in known else {}
    plan = dataclasses.replace(found.plan, targets=(target,))
    html = files.render_page(dataclasses.replace(found, plan=plan, outcomes=[changed, *others], findings=findings))
    assert hostile not in html
    assert str(escape(hostile)) in html
    assert Page(html).named("script") == []


def test_page_is_accessible(page: Page) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra `report`, which make test-env adds to .venv")
    assert page.named("html") == [{"lang": "en"}]
    assert all(one.get("scope") in ("col", "row") for one in page.named("th"))
    ids = [one["id"] for _, one in page.elements if "id" in one]
    assert len(ids) == len(set(ids))
    pictures = page.named("svg")
    assert len(pictures) >= 6
    for picture in pictures:
        assert picture["role"] == "img"
        assert set(str(picture["aria-labelledby"]).split()) <= set(ids)
    assert [path[-1:] for path, _ in page.texts].count(("desc",)) == len(pictures)


def test_matrix_has_every_target_and_group_in_words(page: Page) -> None:
    heads = [data for path, data in page.texts if path[-2:] == ("tr", "th") and "thead" in path]
    # Keras' own tests are a group where they were asked for.
    *groups, upstream = GROUPS
    assert upstream == "upstream"
    assert heads[: len(GROUPS) + 2] == ["target", "trained on", *groups, "time"]
    text = page.text_in("table")
    for words in ("cuda10.0-cpu", "Python 3.6.15, TensorFlow 1.15.5, Keras 2.2.5", "1 failed", "2 not tested", "26 s"):
        assert words in text
    assert "there is no such environment: no source answers for CUDA 9.0" in text
    assert [data for path, data in page.texts if path[-1:] == ("dt",) and "details" in path] == groups


@pytest.mark.usefixtures("words_only")
def test_keras_own_tests_are_counted_where_they_were_asked_for() -> None:
    found = fake.make_report(0)
    plan = dataclasses.replace(found.plan, upstream=True)
    suite = {"keras/layers": {"passed": 410, "skipped": 82, "failed": []}}
    findings = {**found.findings, fake.GOOD.identity: {**found.findings[fake.GOOD.identity], "keras_tests": suite}}
    found = dataclasses.replace(found, plan=plan, findings=findings)
    html = files.render_page(found)
    assert '<th scope="col">upstream</th>' in html
    assert html.count("own tests: 410 passed, 0 failed, 82 skipped") == 1
    assert [str(row) for row in table.render_table(found).columns[0].cells][-1] == "Keras' own tests"
    assert "410 passed, 0 failed, 82 skipped" in list(table.render_table(found).columns[1].cells)
    assert "Keras' own tests" not in list(table.render_table(fake.make_report(0)).columns[0].cells)


def test_what_is_not_tested_never_looks_passed(html: str) -> None:
    cells = re.findall(r'<td class="cell ([a-z-]+)">(.*?)</td>', html)
    assert {kind for kind, _ in cells} == {"passed", "failed", "not-tested"}
    assert all("not tested" not in text and "failed" not in text for kind, text in cells if kind == "passed")
    assert all("not tested" in text for kind, text in cells if kind == "not-tested")


@pytest.mark.usefixtures("words_only")
def test_what_is_not_genuine_is_called_so(page: Page) -> None:
    assert "cuFFT, cuSOLVER: stand-ins" in page.text_in("tbody")
    assert "Stand-ins." in page.text_in("header")
    only_real = dataclasses.replace(fake.make_report().plan, targets=(fake.GOOD,))
    html = files.render_page(dataclasses.replace(fake.make_report(), plan=only_real))
    assert not re.search("imulated|tand-in", Page(html).text_in("body"))
    driver = dataclasses.replace(fake.INDEX, has_simulated_driver=True)
    assert (driver.name, driver.notes) == ("cuda10.0-gpu", ("cuFFT, cuSOLVER: stand-ins", "simulated driver"))


def test_a_simulated_driver_of_this_machine_is_called_simulated() -> None:
    target = dataclasses.replace(fake.INDEX, has_simulated_driver=True)
    devices = [{"name": "Tesla V100 (simulated)", "capability": "7.0"}]
    findings = {target.identity: {"driver_inside": {"devices": devices}}}
    plan = dataclasses.replace(fake.make_report().plan, targets=(target,), host_driver="450.1")
    text = Page(files.render_page(Report(plan, [], findings, 0.0, 1.0, 0))).text_in("body")
    assert "NVIDIA driver 450.1 (simulated)" in text
    assert "Tesla V100 (simulated) (7.0)" in text


def test_failures_show_three_lines_and_the_output(page: Page) -> None:
    text = page.text_in("article")
    assert "identity/installed on cuda9.0-cpu" in text
    assert "numpy is 1.16.4, the lock says 1.16.6" in text
    assert "causethe image was built from another lock" in text
    assert "nextmake clean" in text
    assert "standard output" in page.text_in("pre")


def test_a_target_without_training_says_so_and_shows_no_picture() -> None:
    plan = dataclasses.replace(fake.make_report().plan, targets=(fake.GOOD,))
    page = Page(files.render_page(Report(plan, [], {}, 0.0, 1.0, 0)))
    assert page.named("svg") == []
    text = page.text_in("body")
    assert "No picture: training was not run on this target." in text
    assert "No curves: no target gave a training result" in text
    assert "no result: training was not run on this target" in text


def test_why_a_picture_is_missing(page: Page) -> None:
    text = page.text_in("figure")
    assert "No picture: the program xor_graph failed: ImportError: libfoo.so.1: no such file." in text
    assert "No picture: no source answers for CUDA 9.0." in text
    assert "cuda9.0-cpu: net in TensorFlow graph" in text


def test_figures_of_training_are_reported(page: Page) -> None:
    text = page.text_in("main")
    assert "20 of 20 starts learn XOR; worst output 0.021 off its target" in text
    assert "19 of 20 starts learn XOR; worst output 0.430 off its target" in text
    assert "Learned: 4 of 4 rows right after 6 epochs." in text
    assert "Not learned, as it must be: 2 of 4 rows right" in text
    assert "Not learned: worst output 0.734 off its target after 400 steps." in text
    assert "0.7752, leaves numpy at step 1" in text


def test_every_check_is_on_the_page(page: Page) -> None:
    text = page.text_in("details")
    assert all(outcome.check in text for outcome in fake.make_report().outcomes)


@pytest.mark.usefixtures("words_only")
def test_a_green_run_is_green_and_has_no_failures() -> None:
    html = files.render_page(fake.make_report(0))
    assert 'class="verdict is-good"' in html
    assert "did not run to its end" not in html
    assert "<h2>Failures</h2>" not in html
    assert 'class="bad"' not in html


@pytest.mark.usefixtures("words_only")
@pytest.mark.parametrize(("code", "text"), [(None, "interrupted"), (3, "pytest did not run to its end (exit code 3)")])
def test_a_run_that_did_not_end_says_so(code: int | None, text: str) -> None:
    found = dataclasses.replace(fake.make_report(0), exit_code=code, findings={})
    html = files.render_page(found)
    assert "is-good" not in html.partition("</style>")[2]
    assert text in Page(html).text_in("header")


@pytest.mark.usefixtures("words_only")
def test_checks_that_never_ran_are_in_the_matrix() -> None:
    found = dataclasses.replace(fake.make_report(0), exit_code=None, expected={"cuda10.0-cpu": {"notebook": 4}})
    found = dataclasses.replace(found, outcomes=found.outcomes[:3], findings={})
    text = Page(files.render_page(found)).text_in("main")
    assert "4 never ran" in text
    assert "1 checks never ran: the run stopped before its end." in text


def test_what_the_run_left_out_is_one_line() -> None:
    plan = dataclasses.replace(fake.make_report().plan, targets=(fake.GOOD,), left_out="flavor gpu (none here)")
    html = files.render_page(Report(plan, [], {}, 0.0, 1.0, 0))
    assert html.count("Left out of this run: flavor gpu (none here).") == 1
    assert "<h2>Not tested</h2>" in html
    assert "These checks did not run." not in html

"""Prints the report of `make doctor`: a list for people, JSON for programs."""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from gpuenv.core import ui
from gpuenv.doctor.findings import OK, Finding
from gpuenv.doctor.gather import Facts
from gpuenv.doctor.routes import PRIVATE, Route, find_best, render_command
from gpuenv.variants.kinds import TITLES
from gpuenv.variants.model import Variant

#: Each severity: what it is called in the list, and its style on a terminal.
WORDS = {
    "ok": ("ok", "green"),
    "unknown": ("unknown", "magenta"),
    "warning": ("WARNING", "bold yellow"),
    "error": ("ERROR", "bold red"),
}
INDENT = 25
#: On a terminal of fewer columns the message stands below what it is about.
NARROW = 60


def show(findings: Sequence[Finding], facts: Facts, routes: Sequence[Route], *, is_verbose: bool) -> None:
    """Print the list and the recommendation on standard output; what is fine is only counted, unless ``is_verbose``."""
    listed = [finding for finding in findings if is_verbose or finding.severity != OK]
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A host's messages hold characters that not every terminal has.
        sys.stdout.reconfigure(errors="replace")
    # None where it was closed before this process began.
    if sys.stdout is not None and sys.stdout.isatty():
        _show_on_terminal(listed)
    else:
        for finding in listed:
            ui.show(f"{WORDS[finding.severity][0]:<8} {finding.check:<15} {finding.message}")
            if finding.remedy is not None:
                ui.show(f"{'':<{INDENT}}do: {finding.remedy}")
    counts = Counter(finding.severity for finding in findings)
    summary = ", ".join(f"{counts[one]} {one}" for one in WORDS if counts[one] or one == OK)
    if counts[OK] and not is_verbose:
        summary += " (VERBOSE=1 shows all)"
    lines = [*([""] if listed else []), summary]
    said = recommend(facts, routes)
    if said["possible"]:
        lines += [f"recommendation: {said['command']}", f"  {said['why']}"]
    else:
        lines.append("recommendation: none, see what is wrong above")
    if said["doubts"]:
        lines.append(f"  in doubt, because {'; '.join(said['doubts'])}")
    ui.show("\n".join(lines))


def _show_on_terminal(findings: Iterable[Finding]) -> None:
    """The same in color, with messages wrapped. A remedy stays one line, however long: it is there to be copied."""
    from rich.text import Text

    console = ui.console(stderr=False)
    is_narrow = console.width < NARROW
    indent = 4 if is_narrow else INDENT
    for finding in findings:
        word, style = WORDS[finding.severity]
        head = Text.assemble((f"{word:<8}", style), f" {finding.check:<15} ")
        lines = Text(finding.message).wrap(console, console.width - indent, overflow="fold")
        console.print(head if is_narrow else head + lines.pop(0), soft_wrap=True)
        for line in lines:
            console.print(Text(" " * indent) + line, soft_wrap=True)
        if finding.remedy is not None:
            console.print(Text(f"{'':<{indent}}do: {finding.remedy}", style="bold"), soft_wrap=True)


def recommend(facts: Facts, routes: Sequence[Route]) -> dict[str, Any]:
    """The best way; the same keys whether there is one or not."""
    best = find_best(routes, facts.wish)
    return {
        "possible": best is not None,
        "variant": best and best.environment.variant.name,
        "flavor": best and best.environment.flavor,
        "engine": best and best.engine,
        "command": best and render_command(best, facts),
        "why": best and _describe(best, facts, routes),
        "doubts": best.doubts if best else (),
    }


def _describe(best: Route, facts: Facts, routes: Sequence[Route]) -> str:
    """What the recommended way is, and why none of the better ones."""
    how = "through a private engine" if best.engine == PRIVATE else f"through {best.engine.capitalize()}"
    if best.engine in TITLES:
        how = f"in a {TITLES[best.engine]}, without a container"
    text = f"{best.environment.name} {how}"
    for route in routes[: routes.index(best)]:
        # Nobody without a GPU wants to hear that one would be better.
        is_wanted = facts.gpus.host.driver is not None or route.environment.flavor == best.environment.flavor
        if is_wanted and route.environment.variant == best.environment.variant:
            return f"{text}; better would be {name(route)}, but {route.obstacles[0]}"
    return text


def name(route: Route) -> str:
    """A way in a few words."""
    return f"{route.environment.name} ({route.engine})"


def render_json(findings: Iterable[Finding], facts: Facts, routes: Sequence[Route]) -> dict[str, Any]:
    """Everything for programs."""
    keys = ("check", "severity", "message", "remedy")
    return {
        "findings": [{key: getattr(finding, key) for key in keys} for finding in findings],
        "variants": [_render_variant(variant, facts, routes) for variant in facts.wish.variants],
        "recommendation": recommend(facts, routes),
    }


def _render_variant(variant: Variant, facts: Facts, routes: Sequence[Route]) -> dict[str, Any]:
    """``served``: by the GPUs where there is a driver, else on the CPU."""
    ways = [route for route in routes if route.environment.variant == variant]
    serving = next(iter(facts.gpus.judge([variant])), None)
    return {
        "name": variant.name,
        "served": serving.is_served if serving else any(way.is_open for way in ways),
        "reasons": serving.reasons if serving else (),
        "gpus": serving.cards if serving else (),
        "ways": [
            {
                "flavor": way.environment.flavor,
                "engine": way.engine,
                "possible": way.is_open,
                "obstacles": way.obstacles,
                "doubts": way.doubts,
            }
            for way in ways
        ],
    }

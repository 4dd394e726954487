"""Prints the report of `make doctor`: a list for people, JSON for programs."""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from gpuenv.core.ui import printable
from gpuenv.doctor.facts import Facts
from gpuenv.doctor.findings import OK, Finding
from gpuenv.doctor.routes import PRIVATE, Route, find_best, render_command
from gpuenv.variants.compat import Serving
from gpuenv.variants.kinds import TITLES

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
        print(*render_findings(listed), sep="\n", end="\n" if listed else "")
    counts = Counter(finding.severity for finding in findings)
    summary = ", ".join(f"{counts[one]} {one}" for one in WORDS if counts[one] or one == OK)
    if counts[OK] and not is_verbose:
        summary += " (VERBOSE=1 shows all)"
    lines = [*([""] if listed else []), summary, *render_end(facts, routes)]
    print(*map(printable, lines), sep="\n", flush=True)


def render_findings(findings: Iterable[Finding]) -> Iterator[str]:
    """One line each, and one more for what to do."""
    for finding in findings:
        yield f"{WORDS[finding.severity][0]:<8} {finding.check:<15} {printable(finding.message)}"
        if finding.remedy is not None:
            yield f"{'':<{INDENT}}do: {printable(finding.remedy)}"


def _show_on_terminal(findings: Iterable[Finding]) -> None:
    """The same in color, with messages wrapped. A remedy stays one line, however long: it is there to be copied."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    is_narrow = console.width < NARROW
    indent = 4 if is_narrow else INDENT
    for finding in findings:
        word, style = WORDS[finding.severity]
        head = Text.assemble((f"{word:<8}", style), f" {finding.check:<15} ")
        lines = Text(printable(finding.message)).wrap(console, console.width - indent, overflow="fold")
        console.print(head if is_narrow else head + lines.pop(0), soft_wrap=True)
        for line in lines:
            console.print(Text(" " * indent) + line, soft_wrap=True)
        if finding.remedy is not None:
            console.print(Text(f"{'':<{indent}}do: {printable(finding.remedy)}", style="bold"), soft_wrap=True)


def render_end(facts: Facts, routes: Sequence[Route]) -> Iterator[str]:
    """The one recommendation."""
    best = find_best(routes, facts.wish)
    if best is None:
        yield "recommendation: none, see what is wrong above"
        return
    yield f"recommendation: {render_command(best, facts)}"
    yield f"  {describe(best, facts, routes)}"
    if best.doubts:
        yield f"  in doubt, because {'; '.join(best.doubts)}"


def describe(best: Route, facts: Facts, routes: Sequence[Route]) -> str:
    """What the recommended way is, and why none of the better ones."""
    text = f"{best.environment.name} {how(best)}"
    has_driver = facts.gpus is not None and facts.gpus.host.driver is not None
    same = [route for route in routes[: routes.index(best)] if route.environment.variant == best.environment.variant]
    # Nobody without a GPU wants to hear that one would be better.
    better = [route for route in same if has_driver or route.environment.flavor == best.environment.flavor]
    return f"{text}; better would be {name(better[0])}, but {better[0].obstacles[0]}" if better else text


def how(route: Route) -> str:
    """Where the environment lives, for people."""
    if route.engine in TITLES:
        return f"in a {TITLES[route.engine]}, without a container"
    return "through a private engine" if route.engine == PRIVATE else f"through {route.engine.capitalize()}"


def name(route: Route) -> str:
    """A way in a few words."""
    return f"{route.environment.name} ({route.engine})"


def render_json(findings: Iterable[Finding], facts: Facts, routes: Sequence[Route]) -> dict[str, Any]:
    """Everything for programs."""
    servings = {one.variant.name: one for one in facts.gpus.judge(facts.wish.variants)} if facts.gpus else {}
    return {
        "findings": [
            {key: getattr(one, key) for key in ("check", "severity", "message", "remedy")} for one in findings
        ],
        "variants": [
            _variant_json(one.name, servings.get(one.name), [way for way in routes if way.environment.variant == one])
            for one in facts.wish.variants
        ],
        "recommendation": _recommendation_json(facts, routes),
    }


def _variant_json(name: str, serving: Serving | None, routes: Sequence[Route]) -> dict[str, Any]:
    """``served``: by the GPUs where there is a driver, else on the CPU."""
    return {
        "name": name,
        "served": serving.is_served if serving is not None else any(route.is_open for route in routes),
        "reasons": serving.reasons if serving is not None else (),
        "gpus": serving.cards if serving is not None else (),
        "ways": [
            {
                "flavor": way.environment.flavor,
                "engine": way.engine,
                "possible": way.is_open,
                "obstacles": way.obstacles,
                "doubts": way.doubts,
            }
            for way in routes
        ],
    }


def _recommendation_json(facts: Facts, routes: Sequence[Route]) -> dict[str, Any]:
    best = find_best(routes, facts.wish)
    if best is None:
        # The same keys as below.
        return {"possible": False, **dict.fromkeys(("variant", "flavor", "engine", "command", "why")), "doubts": []}
    return {
        "possible": True,
        "variant": best.environment.variant.name,
        "flavor": best.environment.flavor,
        "engine": best.engine,
        "command": render_command(best, facts),
        "why": describe(best, facts, routes),
        "doubts": best.doubts,
    }

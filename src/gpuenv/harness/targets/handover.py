"""The files through which pytest's processes tell the command what they do, beside the file of results.

How many checks there are to do, and what the programs found inside each target. Everything lies in the folder of one
run and goes with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from gpuenv.core import atomic

#: The fixtures of tests/env whose finding the reports show, by their names.
KEPT = ("facts", "frameworks", "driver_inside", "training")
EXPECTED = "expected.json"
#: How many checks each group of each target has: ``{identity: {group: number}}``.
Expected = Mapping[str, Mapping[str, int]]


def save_finding(results: Path, identity: str, name: str, data: Any) -> None:
    """Keep what the program ``name`` found in one target; ``results`` is the file of results."""
    folder = results.with_name("findings")
    folder.mkdir(exist_ok=True)
    # An identity may hold an address (ssh://...), which is no name for a file.
    digest = hashlib.sha256(f"{identity}\n{name}".encode()).hexdigest()
    content = {"target": identity, "name": name, "data": data}
    atomic.write_text(folder / f"{digest[:32]}.json", json.dumps(content))


def load_findings(results: Path) -> dict[str, dict[str, Any]]:
    """``{identity: {name: data}}`` for all that :func:`save_finding` kept; empty if nothing was."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((results.with_name("findings")).glob("[0-9a-f]*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        found.setdefault(content["target"], {})[content["name"]] = content["data"]
    return found


def save_expected(results: Path, expected: Expected) -> None:
    """Keep how many checks there are. Each of several processes says the same."""
    atomic.write_text(results.with_name(EXPECTED), json.dumps(expected))


def load_expected(results: Path) -> Expected | None:
    """How many checks there are; None as long as pytest has not counted them."""
    try:
        return cast("Expected", json.loads(results.with_name(EXPECTED).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None

"""The table of faults (faults.toml): read, checked against the checks of tests/env, rendered for people.

``PYTHONPATH=tests .venv/bin/python -m broken.table`` writes README.md anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from gpuenv.core import paths
from gpuenv.core.schema import read_toml

from . import host_table

HERE = Path(__file__).resolve().parent
README = HERE / "README.md"
_MARK = re.compile(r'mark\.check\("([^"]+)"\)')


@dataclass(frozen=True)
class Fault:
    """One row; what its fields mean stands at the top of faults.toml."""

    name: str
    what: str
    source: str
    fails: tuple[str, ...]
    says: str
    green: tuple[str, ...]
    dockerfile: str = ""
    shell: str = ""
    wheel: str = ""
    edits: tuple[tuple[str, str, str], ...] = ()
    cudnn: bool = False
    cuda: str = ""
    user: str = "1000:1000"
    container: Mapping[str, Any] = field(default_factory=dict)
    stand_in: str = ""
    added: str = ""

    @property
    def kind(self) -> str:
        """What it is: an image, or an environment without a container (venv)."""
        return "venv" if self.source.endswith("-venv") else "image"

    @property
    def variant(self) -> str:
        """The variant of the good image."""
        return self.source.split("-")[0]

    @property
    def flavor(self) -> str:
        """The flavor of the good image."""
        return self.source.split("-")[1]

    @property
    def cuda_label(self) -> str:
        """What the target's CUDA is called: complete, index or none."""
        if self.cuda:
            return self.cuda
        return "index" if "-index" in self.source else "none"

    @property
    def identity(self) -> str:
        """The target's part of a check's id; the prefix keeps it from being part of a check's own name."""
        return f"broken-{self.name}"

    @property
    def sources(self) -> tuple[str, ...]:
        """The good images that have to be there: the one it is made from, and those that it copies from."""
        return (self.source, *re.findall(r"--from=gpuenv:(\S+)", self.dockerfile))

    def is_selected(self, check: str) -> bool:
        """Whether ``check`` runs on this target."""
        return check in self.fails or any(is_part(check, one) for one in self.green)


def is_part(check: str, whole: str) -> bool:
    """``"linkage/resolved"`` is part of ``"linkage"``, ``"training/xor/xor_keras"`` of ``"training/xor"``."""
    return check == whole or check.startswith(f"{whole}/")


@cache
def load_faults() -> dict[str, Fault]:
    """Every fault by its name. A field that is not known is a TypeError."""
    return {name: _parse(name, dict(values)) for name, values in read_toml(HERE / "faults.toml")["fault"].items()}


def load_elsewhere() -> dict[str, str]:
    """Checks that no fault is about, and where they are seen failing."""
    return dict(read_toml(HERE / "faults.toml")["elsewhere"])


def _parse(name: str, values: dict[str, Any]) -> Fault:
    values["source"] = values.pop("from")
    for key in ("fails", "green"):
        values[key] = tuple(values[key])
    values["edits"] = tuple((file, old, new) for file, old, new in values.get("edits", ()))
    return Fault(name, **values)


def known_checks() -> frozenset[str]:
    """The ids of all checks of tests/env, without parameters."""
    texts = (path.read_text("utf-8") for path in (paths.project_root() / "tests" / "env").glob("test_*.py"))
    return frozenset(name for text in texts for name in _MARK.findall(text))


def check_of(check: str) -> str:
    """The id without its parameters: the longest known one that ``check`` begins with. Raises ValueError if none is."""
    found = [known for known in known_checks() if is_part(check, known)]
    return max(found, key=len)


def render_readme() -> str:
    """README.md."""
    rows = [_render_row(fault) for fault in load_faults().values()]
    elsewhere = [f"| `{check}` | {why} |" for check, why in sorted(load_elsewhere().items())]
    return (
        _HEAD
        + "\n".join([_COLUMNS, "|---|---|---|---|---|", *rows])
        + _HOSTS
        + "\n".join(["| host | cuda9.0 fails | cuda10.0 fails |", "|---|---|---|", *host_table.render_rows()])
        + _ELSEWHERE
        + "\n".join(["| check | seen failing |", "|---|---|", *elsewhere])
        + "\n"
    )


def _render_row(fault: Fault) -> str:
    what = f"{fault.what} (stand-in: {fault.stand_in})" if fault.stand_in else fault.what
    caught, *others = (f"`{check}`" for check in fault.fails)
    green = ", ".join(f"`{check}`" for check in fault.green)
    return f"| **{fault.name}**: {what} | {fault.source} | {caught} | {', '.join(others)} | {green} |"


_HEAD = """# Broken on purpose

Generated from `faults.toml` by `PYTHONPATH=tests .venv/bin/python -m broken.table`; do not edit.

A check that was never seen failing proves nothing. Each fault below is put into a good image, or a good virtual
environment, by a few lines; the harness then runs on it as on any other target, and has to fail in exactly the checks
that are named here, while what has nothing to do with the fault stays green. Packages are genuine, with their hashes;
what is a stand-in is called one.

```
make test-broken                             # all of them (the good images are built if need be)
.venv/bin/python -m pytest tests/broken -k numpy   # some
```

A new fault is a new table in `faults.toml`; its fields are explained at the top of that file.

"""
_COLUMNS = "| fault | from | caught by | fails too | stays green (what does not fail of) |"
_HOSTS = """

## Hosts

The same for machines: on each simulated host (docs/simulated-host.md) group gpu of the harness runs on the images of
both variants (`hosts.toml`). What would have to compute on a card is "not tested: simulated driver" there, and never
passed.

"""
_ELSEWHERE = """

## Checks that no fault here is about

"""


if __name__ == "__main__":
    README.write_text(render_readme(), encoding="utf-8")

"""Group notebook: what course work is done in."""

from __future__ import annotations

import pytest

from gpuenv.core.errors import CheckError
from gpuenv.harness.judges.grounds import require
from gpuenv.harness.targets.connection import Connection


@pytest.mark.check("notebook/plot")
def test_notebook_with_a_plot_runs_in_the_targets_kernel(connection: Connection) -> None:
    """Fails: broken kernel (one that starts another Python, or none)."""
    found = connection.program("notebook")
    if "image/png" not in found["types"] or found["plot_bytes"] < 1000:
        raise CheckError(
            f"the notebook ran, but shows no plot (outputs: {', '.join(found['types']) or 'none'})",
            "%matplotlib inline does not work: ipykernel and matplotlib do not fit",
            "make gpu-shell CMD='jupyter kernelspec list'",
        )
    if found["kernel_prefix"] != found["prefix"]:
        raise CheckError(
            f"the kernel runs in {found['kernel_prefix']}, not in {found['prefix']}",
            "the kernel specification names another Python",
            "make gpu-shell CMD='jupyter kernelspec list'",
        )


@pytest.mark.check("notebook/server")
@pytest.mark.kinds("image")
def test_jupyter_listens_where_the_shell_publishes(connection: Connection) -> None:
    """Fails: an image without Jupyter's settings (it listens inside only, whatever is published)."""
    servers = connection.program("server").data
    require(servers, "server")
    for name, found in servers.items():
        address = f"http://127.0.0.1:{found['port']}/"
        is_printed = bool(found["printed"]) and all(one.startswith(address) for one in found["printed"])
        if found["status"] != 200 or not is_printed:
            raise CheckError(
                f"`jupyter {name}` under PORT={found['port']} prints {', '.join(found['printed']) or 'no address'} and "
                f"answers {found['status'] or 'nothing'}",
                found["said"] or "it says nothing",
                "look at what it reads: make gpu-shell CMD='jupyter --paths'",
            )

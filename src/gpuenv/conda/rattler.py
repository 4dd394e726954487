"""Installs conda packages with py-rattler, or solves for the lock, in a process of its own.

``python -m gpuenv.conda.rattler FILE`` does the job that the JSON file describes. A process, because what it uses is
told through variables (`SSL_CERT_FILE`, proxies, `CONDA_OVERRIDE_CUDA`), and so that all it writes ends in the log.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpuenv.conda.channels import public_name


async def install(job: dict[str, Any]) -> None:
    """Install ``job["packages"]``, each from its address, into ``job["prefix"]``: rattler compares their sums.

    It runs none of the scripts that packages bring along.
    """
    import rattler

    cache = Path(job["cache"])
    client = rattler.Client.from_config(rattler.Config(), max_retries=3)
    records = [_record(package) for package in job["packages"]]
    for record in records:
        print(f"{record.name.normalized} {record.version} {record.build} {record.sha256 and record.sha256.hex()}")
    await rattler.install(
        records, job["prefix"], cache_dir=cache / "packages", client=client, show_progress=False,
        execute_link_scripts=False,
    )  # fmt: skip


def _record(package: dict[str, Any]) -> Any:
    import rattler

    keys = ("name", "version", "build_number", "subdir", "noarch", "depends", "size")
    values: dict[str, Any] = {key: package[key] for key in keys}
    values.update({key: bytes.fromhex(package[key]) for key in ("sha256", "md5") if package[key]})
    record = rattler.PackageRecord(build=rattler.BuildString(package["build"]), **values)
    return rattler.RepoDataRecord(record, package["file_name"], package["url"], package["channel"])


async def look_up(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Solve for ``job["specifications"]``; the records of the packages, with their files and channels."""
    import rattler

    client = rattler.Client.from_config(rattler.Config(), max_retries=3)
    gateway = rattler.Gateway(cache_dir=Path(job["cache"]) / "repodata", client=client)
    specifications, channels = map(renamed, job["specifications"]), map(public_name, job["channels"])
    records = await solve(list(specifications), list(channels), job["subdir"], gateway)
    # The file and its channel are not in conda's own record.
    return [{**json.loads(each.to_json()), "file_name": each.file_name, "channel": each.channel} for each in records]


async def solve(specifications: Sequence[str], channels: Sequence[str], subdir: str, gateway: Any) -> list[Any]:
    """The records of the packages that fit; ``gateway`` is rattler's. Raises rattler's SolverError if none do."""
    import rattler

    # Strict: a package comes from the first channel that has it, unless its specification names another one. Channels
    # of a mirror (`CHANNELS=`) are named by nothing, and any of them may have what is asked for.
    is_mirror = len(channels) > 1 and not any("::" in each for each in specifications)
    records: list[Any] = await rattler.solve(
        [rattler.Channel(each) for each in channels],
        [rattler.MatchSpec(each, strict=False) for each in specifications],
        gateway=gateway,
        platforms=[rattler.Subdir(name) for name in (subdir, "noarch")],
        virtual_packages=rattler.VirtualPackage.detect(rattler.VirtualPackageOverrides.from_env()),
        channel_priority=rattler.ChannelPriority.Disabled if is_mirror else rattler.ChannelPriority.Strict,
        # Packages of that time carry none.
        timestamp_policy="allow-missing",
    )
    return records


def renamed(specification: str) -> str:
    """A specification with its channel as rattler knows it."""
    channel, separator, rest = specification.rpartition("::")
    return f"{public_name(channel)}{separator}{rest}"


def main() -> int:
    """Do one job; an error is printed in rattler's own words."""
    import asyncio

    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        if "packages" in job:
            asyncio.run(install(job))
        else:
            Path(job["answer"]).write_text(json.dumps(asyncio.run(look_up(job))), encoding="utf-8")
    except Exception as error:  # noqa: BLE001 - rattler's errors have no common base; the caller tells them apart
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of rattler that still have an answer to give make a Python that is ending abort.
    os._exit(code)

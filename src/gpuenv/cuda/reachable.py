"""Asks, within seconds and without fetching any, whether the archives of a lock can be had."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from gpuenv.core.deadline import gather
from gpuenv.cuda.files import cached_path, file_name, local_path
from gpuenv.net import download
from gpuenv.variants.cuda_lock import Component, CudaLock, Source

#: For all sources together; they are asked at the same time.
DEADLINE_S = 5.0


def unreachable_reason(lock: CudaLock, sources_dir: Path | None) -> str | None:
    """Why the first component that cannot be had cannot; None if every one is local, cached, or answers in time."""
    absent = absent_components(lock, sources_dir)
    sources = {source.url: source for part in absent for source in part.sources}
    answers = gather({url: partial(_probe, source) for url, source in sources.items()}, DEADLINE_S)
    return first_obstacle(absent, {url: None if answer is None else str(answer) for url, answer in answers.items()})


def absent_components(lock: CudaLock, sources_dir: Path | None) -> list[Component]:
    """The components of which no archive is on this machine."""
    return [part for part in lock.components if not any(_is_here(source, sources_dir) for source in part.sources)]


def first_obstacle(absent: Iterable[Component], problems: Mapping[str, str | None]) -> str | None:
    """Why the first component of which no source answers cannot be had. ``problems`` by URL, None where it answers."""
    for part in absent:
        if all(problems[source.url] is not None for source in part.sources):
            reasons = ", ".join(f"{source.origin}: {problems[source.url]}" for source in part.sources)
            return f"no source of {part.name} {part.version} can be reached ({reasons})"
    return None


def _is_here(source: Source, sources_dir: Path | None) -> bool:
    local = local_path(source)
    places = [local or cached_path(source), *([sources_dir / file_name(source)] if sources_dir else [])]
    return any(place.is_file() for place in places)


def _probe(source: Source) -> str | None:
    return "it is missing" if local_path(source) else download.probe(source.url, DEADLINE_S)

"""Asks, within seconds and without fetching any, whether the archives of a lock can be had."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gpuenv.core.deadline import gather
from gpuenv.cuda.files import cached_path, file_name, local_path
from gpuenv.net import download
from gpuenv.variants.cuda_lock import Component, CudaLock, Source

#: For all sources together; they are asked at the same time.
DEADLINE_S = 5.0


def unreachable_reason(lock: CudaLock, sources_dir: Path | None) -> str | None:
    """Why the first component that cannot be had cannot; None if every one is local, cached, or answers.

    Never raises for a network's sake, and takes DEADLINE_S at most. Hashes are not looked at.
    """
    absent = [part for part in lock.components if not any(_is_here(source, sources_dir) for source in part.sources)]
    answers = _ask([source for part in absent for source in part.sources])
    for part in absent:
        if all(answers[source] is not None for source in part.sources):
            return _render(part, answers)
    return None


def _is_here(source: Source, sources_dir: Path | None) -> bool:
    local = local_path(source)
    places = [local or cached_path(source), *([sources_dir / file_name(source)] if sources_dir else [])]
    return any(place.is_file() for place in places)


def _ask(sources: list[Source]) -> dict[Source, str | None]:
    """What each source answers: None, or the reason why it does not serve."""
    answers = gather({source: partial(_probe, source) for source in sources}, DEADLINE_S)
    return {source: str(answer) if isinstance(answer, Exception) else answer for source, answer in answers.items()}


def _probe(source: Source) -> str | None:
    return "it is missing" if local_path(source) else download.probe(source.url, DEADLINE_S)


def _render(component: Component, answers: dict[Source, str | None]) -> str:
    reasons = ", ".join(f"{source.origin}: {answers[source]}" for source in component.sources)
    return f"no source of {component.name} {component.version} can be reached ({reasons})"

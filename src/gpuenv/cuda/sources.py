"""Fetches the archives of CUDA, wheels too: from a folder of the user, the cache, then each source in its order.

Nothing is used before its sha256 was verified, wherever it came from, and through the same open file; what is refused
is named, and the next asked.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from gpuenv.core import locking, paths, ui
from gpuenv.core.errors import HostError, SourceError, UsageError
from gpuenv.cuda import archives, files
from gpuenv.cuda.files import cached_path, file_name, find_by_digest, local_path, open_verified
from gpuenv.net import certificates
from gpuenv.net.pip_settings import PipSettings, load_pip_settings
from gpuenv.net.questions import ANSWERS_S, Answer, Question, ask_all
from gpuenv.variants.cuda_lock import Component, CudaLock, Source

#: Opens a verified archive; with the source it belongs to, or None where there is nothing. May raise SourceError.
Find = Callable[[], "tuple[BinaryIO, Source] | None"]


def stage_libraries(lock: CudaLock, target: Path, sources_dir: Path | None) -> None:
    """Fetch, verify and unpack every component; leave its libraries in ``target``.

    ``target`` appears whole or not at all; its files are to be read only. Raises SourceError listing every place that
    was tried for a component, and UsageError when ``sources_dir`` is no folder.
    """
    check_folder(sources_dir)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
        new = Path(folder) / "new"
        new.mkdir()
        if sources_dir is None:
            kept = paths.cache_dir() / "libraries" / lock.digest[:16]
            files.link_into(files.keep(kept, "unpacking the CUDA libraries", partial(_fill, lock, None)), new)
        else:
            # The user's folder is asked first, so what was kept from elsewhere is passed over.
            _fill(lock, sources_dir, new)
        if target.exists():
            shutil.rmtree(target)
        new.rename(target)


def _fill(lock: CudaLock, sources_dir: Path | None, libraries: Path) -> None:
    told = [_stage_component(component, lock, libraries, sources_dir) for component in lock.parts]
    told += [f"stand-ins for {', '.join(lock.stand_ins)}"] if lock.stand_ins else []
    told += [f"without {', '.join(lock.left_out)}"] if lock.left_out else []
    ui.say(f"CUDA libraries: {'; '.join(told)}")


def check_folder(sources_dir: Path | None) -> None:
    """Refuse a SOURCES_DIR that is no folder. Raises UsageError."""
    if sources_dir is not None and not sources_dir.is_dir():
        raise UsageError(
            f"SOURCES_DIR={sources_dir} is not a folder", "it is missing or a file", "name a folder that holds archives"
        )


def _stage_component(component: Component, lock: CudaLock, libraries: Path, sources_dir: Path | None) -> str:
    """Take a component from the first place that has it; what it is, and from where."""
    problems: list[str] = []
    for place, find in _places(component, sources_dir, libraries.parent):
        try:
            if found := find():
                archive, source = found
                with archive, tempfile.TemporaryDirectory(prefix="tree-", dir=libraries.parent) as tree:
                    only = component.sonames if source.wheel else ()
                    archives.unpack(source.unpack, archive, file_name(source), Path(tree), only)
                    archives.select_libraries(Path(tree), component.sonames, libraries)
                return f"{component.name} {component.version} from {place} ({file_name(source)})"
        except SourceError as error:  # noqa: PERF203 - the next place may have it
            problems.append(f"{place}: {error.what} ({error.why})")
            ui.warn(f"{component.name} from {problems[-1]}")
    only_wheels = all(source.wheel for source in component.sources)
    other = "archives" if only_wheels else "index" if lock.has_index else None
    names = " or ".join(dict.fromkeys(file_name(source) for source in component.sources))
    raise SourceError(
        f"{component.name} {component.version} could not be had from anywhere",
        "; ".join(problems),
        f"put {names} into a folder and run again with SOURCES_DIR=<folder>"
        + (f", or take CUDA={other}" if other else ""),
    )


def _places(component: Component, sources_dir: Path | None, copies: Path) -> Iterator[tuple[str, Find]]:
    """Where to look, in order: what to call the place, and how to look there."""
    if sources_dir is not None:
        for source in component.sources:
            path = sources_dir / file_name(source)
            if path.is_file():
                yield f"SOURCES_DIR={sources_dir}", partial(_in_folder, path, source, copies)
        yield f"SOURCES_DIR={sources_dir}", partial(_by_content, sources_dir, component, copies)
    for source in component.sources:
        yield "the cache", partial(_in_cache, source, copies)
    for source in component.sources:
        yield source.origin, partial(open_source, source, copies)


def _in_folder(path: Path, source: Source, copies: Path) -> tuple[BinaryIO, Source]:
    return open_verified(path, source, copies), source


def _by_content(folder: Path, component: Component, copies: Path) -> tuple[BinaryIO, Source] | None:
    found = find_by_digest(folder, component.sources)
    return _in_folder(*found, copies) if found else None


def _in_cache(source: Source, copies: Path) -> tuple[BinaryIO, Source] | None:
    path = cached_path(source)
    if not path.is_file():
        return None
    try:
        return _in_folder(path, source, copies)
    except SourceError:
        path.unlink(missing_ok=True)
        raise


def open_source(source: Source, copies: Path) -> tuple[BinaryIO, Source]:
    """Open the verified archive of one source: where it lies, in the cache, or downloaded into that.

    Raises SourceError where it cannot be had, HostError where there is no room.
    """
    local = local_path(source)
    if local is not None:
        if not local.is_file():
            raise SourceError(f"{local} is missing", "a file:// source names it", "make it again")
        return _in_folder(local, source, copies)
    path = cached_path(source)
    waiting = f"another gpuenv is downloading {path.name}; waiting for it"
    with locking.held(path.with_name("lock"), waiting):
        # The one that was waited for may have put it there.
        return _in_cache(source, copies) or _download(source, path, copies)


def _download(source: Source, path: Path, copies: Path) -> tuple[BinaryIO, Source]:
    """Download to a ``.part`` beside ``path``, which appears only once the sha256 is right."""
    # It loads requests, which took half of the start of a `gpu-shell` without an engine.
    from gpuenv.net import download, index

    if source.wheel:
        fetch = partial(index.fetch, source.wheel, source.sha256)
    else:
        fetch = partial(download.fetch, source.url or "")
    part = path.with_name(path.name + ".part")
    label = f"downloading {path.name} from {source.origin}"
    while True:
        was_begun = fetch(part, label, files.size_limit(source))
        try:
            verified = _in_folder(part, source, copies)
        except SourceError:
            part.unlink()
            if not was_begun:
                raise
            # What was there from before may be at fault, not the source: once more, from the beginning.
            ui.say(f"{path.name}: the part from before does not fit; starting over")
        else:
            part.rename(path)
            return verified


def unreachable_reasons(locks: Sequence[CudaLock], sources_dir: Path | None) -> list[str | None]:
    """For each lock why the first component that cannot be had cannot; None if every one is here or answers in time."""
    absent = [absent_components(lock, sources_dir) for lock in locks]
    if not any(absent):
        return [None for _ in locks]
    try:
        asked = questions([part for parts in absent for part in parts], certificates.verify_setting())
    except (HostError, UsageError) as error:
        return [f"{error.what}: {error.why}" if parts else None for parts in absent]
    answers = ask_all(asked, ANSWERS_S)
    return [first_obstacle(parts, answers) for parts in absent]


def absent_components(lock: CudaLock, sources_dir: Path | None) -> list[Component]:
    """The components of which no archive is on this machine, under whatever name in ``sources_dir``."""
    return [
        part
        for part in lock.parts
        if not any(_is_here(source, sources_dir) for source in part.sources) and not _is_renamed(part, sources_dir)
    ]


def questions(absent: Iterable[Component], verify: str | bool, pip: PipSettings | None = None) -> list[Question]:
    """What is asked to know whether they can be had; nothing is fetched.

    Wheels are asked of the index of ``pip``, the host's own settings if it is None. Raises UsageError for those.
    """
    sources = [source for part in absent for source in part.sources]
    urls = {source.url for source in sources if source.url and not local_path(source)}
    asked = [Question("archive", url, url, verify, has_to_be_there=True) for url in sorted(urls)]
    wheels = {(source.wheel, source.sha256) for source in sources if source.wheel}
    if wheels:
        from gpuenv.net import index

        pip = pip or load_pip_settings()
        asked += [one for name, sha256 in sorted(wheels) for one in index.questions(name, sha256, pip, verify)]
    return asked


def first_obstacle(absent: Iterable[Component], answers: Mapping[str, Answer]) -> str | None:
    """Why the first component of which no source answers cannot be had."""
    for part in absent:
        problems = [_problem(source, answers) for source in part.sources]
        if all(problems):
            reasons = ", ".join(f"{source.origin}: {problem}" for source, problem in zip(part.sources, problems))
            return f"no source of {part.name} {part.version} can be reached ({reasons})"
    return None


def _problem(source: Source, answers: Mapping[str, Answer]) -> str | None:
    """Why none of the places that were asked for a source has it."""
    # Each index was asked for a wheel: see `index.questions`.
    own = f"#{source.wheel}"
    problems = [one.problem for url, one in answers.items() if url == source.url or url.endswith(own)]
    if not all(problems):
        return None
    return "; ".join(problem for problem in dict.fromkeys(problems) if problem) or _nowhere(source)


def _nowhere(source: Source) -> str:
    """Why nothing was asked for a source that is not here."""
    if not source.wheel:
        return "it is missing"
    from gpuenv.net import index

    try:
        return index.why_none(load_pip_settings())
    except UsageError as error:
        return f"{error.what}: {error.why}"


def _is_here(source: Source, sources_dir: Path | None) -> bool:
    local = local_path(source)
    places = [local or cached_path(source), *([sources_dir / file_name(source)] if sources_dir else [])]
    return any(place.is_file() for place in places)


def _is_renamed(component: Component, sources_dir: Path | None) -> bool:
    """Whether one of its archives is in a folder of the user under another name, as it will be looked for there."""
    try:
        return sources_dir is not None and find_by_digest(sources_dir, component.sources) is not None
    except OSError:
        # Whoever opens the folder tells why not.
        return False

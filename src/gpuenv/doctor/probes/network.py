"""How this machine reaches what a build fetches: its settings, and every address that a build would ask."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from gpuenv.base_image import apt_sources, registry, root_system
from gpuenv.conda import channels, spec
from gpuenv.core.errors import GpuenvError
from gpuenv.cuda import sources as cuda_sources
from gpuenv.doctor.facts import Network, Wish
from gpuenv.host import systems
from gpuenv.net import build_settings, certificates, redact
from gpuenv.net import index as index_of_pip
from gpuenv.net.pip_settings import PipSettings, load_pip_settings
from gpuenv.net.questions import Answer, Question, ask_all
from gpuenv.variants.cuda_lock import load_cuda_lock, of_index


def network(wish: Wish) -> Network:
    """Settings and answers."""
    pip, verify, found = _read_settings()
    locks = {variant.name: load_cuda_lock(variant.cuda_lock_path) for variant in wish.variants}
    indexed = {name: of_index(lock) for name, lock in locks.items() if lock.has_index}
    absent, absent_of_index = (
        {name: cuda_sources.absent_components(lock, wish.sources_dir) for name, lock in kind.items()}
        for kind in (locks, indexed)
    )
    missing = [part for parts in (*absent.values(), *absent_of_index.values()) for part in parts]
    archives = cuda_sources.questions(missing, verify, pip)
    answers = ask_all([*questions(wish, pip, found.bundle, verify), *archives])
    return replace(
        found,
        answers=(*answers.values(), *folder_index(pip.index_url)),
        proxies=tuple((name, redact.address(os.environ[name])) for name in build_settings.proxy_names(os.environ)),
        archive_obstacles={name: cuda_sources.first_obstacle(parts, answers) for name, parts in absent.items()},
        index_obstacles={name: cuda_sources.first_obstacle(parts, answers) for name, parts in absent_of_index.items()},
    )


def _read_settings() -> tuple[PipSettings, str | bool, Network]:
    """What is read before anything is asked: pip's settings, and what downloads, which do not read those, verify by."""
    pip = PipSettings()
    pip_problem: GpuenvError | None = None
    try:
        pip = load_pip_settings()
    except GpuenvError as error:
        pip_problem = error
    try:
        path, origin = certificates.find_named(os.environ, pip.cert)
        if path is not None:
            build_settings.read_certificates(path)
        # Downloads ask here, and stop at a bundle that is named and missing even where pip has another one.
        verify = certificates.verify_setting()
    except GpuenvError as error:
        # What answers is asked by what the system trusts: that, too, is worth knowing.
        system = certificates.find_bundle({})
        return pip, str(system) if system else True, Network(bundle_problem=error, pip_problem=pip_problem)
    named = ((name, os.environ.get(name, "")) for name in certificates.VARIABLES)
    missing = tuple((name, file) for name, file in named if file and not Path(file).is_file())
    bundle = str(path) if path else None
    return pip, verify, Network(bundle=bundle, bundle_origin=origin, missing_bundles=missing, pip_problem=pip_problem)


def questions(wish: Wish, pip: PipSettings, bundle: str | None, verify: str | bool) -> Iterator[Question]:
    """Every address that a build on this machine would ask, each once, but those of archives."""
    named = pip.index_url
    # A build does not see a folder of this machine, and takes the public index.
    index = named if named and urlsplit(named).scheme != "file" else index_of_pip.default_index()
    proxy = (("http", pip.proxy), ("https", pip.proxy)) if pip.proxy else ()
    if index and urlsplit(index).scheme in ("http", "https"):
        name = redact.address(urlsplit(index).netloc)
        yield Question("index", name, f"{index.rstrip('/')}/pip/", bundle or verify, proxy)
    registries = {registry.split_name(base.reference)[0] for one in wish.variants for base in (one.base, one.builder)}
    for url in sorted(registries):
        yield registry.question(url, verify)
    for name in channel_names(wish):
        yield Question("channel", name, channel_url(name), bundle or verify, proxy, has_to_be_there=True)
    mirror = apt_mirror()
    if mirror:
        yield Question("apt", urlsplit(mirror).netloc, mirror, verify)


def folder_index(index: str | None) -> Iterator[Answer]:
    """The answer of an index that is a folder of this machine, which only programs of this machine use."""
    parts = urlsplit(index or "")
    if parts.scheme == "file":
        yield Answer("index-folder", parts.path, None if Path(parts.path).is_dir() else "there is no such folder")


def channel_names(wish: Wish) -> list[str]:
    """The conda channels of all variants, each once."""
    found = (spec.channels(environment) for one in wish.variants for environment in spec.environments(one))
    return sorted({name for names in found for name in names})


def channel_url(name: str) -> str:
    """What a channel must have."""
    return f"{channels.address(name)}/linux-64/repodata.json"


def apt_mirror() -> str | None:
    """The first mirror in this machine's own Debian or Ubuntu sources, which a local base and an engine come from."""
    codename = apt_sources.suite_of(systems.read_os_release())
    texts = apt_sources.pick_sources(root_system.ETC_APT, codename) if codename else []
    match = re.search(r"https?://\S+", "\n".join(texts))
    return f"{match[0].rstrip('/')}/dists/{codename}/InRelease" if match else None
